import { setTimeout } from 'node:timers/promises';
import { SendVolume } from '../../projections/volume/send-volume.js';
import { errorOf, StopgapError } from '../kernel/errors.js';
import type { NewEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, SECOND } from '../kernel/time.js';
import type { RulesChanged } from '../rules/model.js';
import { RULES_STREAM } from '../rules/model.js';
import { idOf, summaryId } from '../runtime/ids.js';
import type { Day, DaySummaryFact } from '../sending/day-summary.js';
import { dayOf, PROFILE_CATEGORY, profileStream } from '../sending/day-summary.js';
import type { AuthEvent, SendEvent } from '../sending/events.js';
import { AUTH_CATEGORY, authStream, SEND_CATEGORY, sendStream } from '../sending/events.js';
import { normalizeAddress } from '../sending/identity.js';
import { senderIdentity, sendStreamKey } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable, WrongExpectedRevision } from '../store/port.js';
import type { PastEvent, Sink } from './sink.js';

/** Who signs what was imported. */
export const IMPORTER = 'system:import';

export interface HistoryOptions {
  readonly appender: Appender;
  readonly days: ImportedDaySummaries;
  /** What it was read from, which the events say: `postfix-log`. */
  readonly source: string;
  /** Days that are not over by then are not summarised. */
  readonly now: Instant;
}

/**
 * Makes past events part of the store: each as it would have been recorded had it happened here, marked as imported so that
 * no window counts it and no rule acts on it; and of each sender's days the summaries, which is where baselines come from.
 *
 * Ids follow from what happened: what was imported before is not written again.
 */
export class History implements Sink {
  readonly #options: HistoryOptions;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  write(past: PastEvent): void {
    const { appender, days, source } = this.#options;
    const { stream, event } = recordOf(past, source);
    appender.put(stream, event);
    this.#summarise(days.add(past));
  }

  room(): Promise<void> | undefined {
    return this.#options.appender.room();
  }

  finish(): Promise<void> {
    const { appender, days, now } = this.#options;
    this.#summarise(days.over(dayOf(now)));
    return appender.finish();
  }

  #summarise(facts: readonly DaySummaryFact[]): void {
    const { appender } = this.#options;
    for (const { type, data } of facts) {
      const at = (data.day + 1) * DAY;
      appender.put(profileStream(data.subject), { id: summaryId(data), type, data, at, by: IMPORTER });
    }
  }
}

/** The event as the store takes it, and its stream. */
export function recordOf(
  { id, at, correlation, event }: PastEvent,
  source: string,
): { stream: string; event: NewEvent } {
  const recorded: NewEvent = {
    id: idOf(`${source}/${event.type}/${id}`),
    type: event.type,
    at,
    by: IMPORTER,
    ...(correlation === undefined ? {} : { correlation }),
    data: { ...event.data, imported: source },
  };
  return { stream: streamOf(event), event: recorded };
}

function streamOf(event: SendEvent | AuthEvent): string {
  switch (event.type) {
    case 'AuthenticationFailed':
      return authStream(event.data.network);
    case 'BounceReceived':
      return sendStream(normalizeAddress(event.data.address));
    case 'MessageAccepted':
    case 'RecipientsRefused':
    case 'MessageRefused':
      return sendStream(sendStreamKey(senderIdentity(event.data)));
  }
}

/** Appends under way: a store writes many in one go. */
const AT_ONCE = 512;
/** A store that is away comes back, or does not: half a minute tells. */
const ATTEMPTS = 8;
const FIRST_PAUSE: Milliseconds = SECOND / 4;

export interface AppenderOptions {
  /** Whether an id is known to be in the store: for stores that forget what was appended long ago. */
  readonly isKnown?: (id: string) => boolean;
  /** How to wait for a store that is away. */
  readonly pause?: (span: Milliseconds) => Promise<unknown>;
}

/** Appends many events that may be in the store already, in their order. */
export class Appender {
  readonly #store: Pick<EventStore, 'append'>;
  readonly #isKnown: (id: string) => boolean;
  readonly #pause: (span: Milliseconds) => Promise<unknown>;
  #underWay = 0;
  #fault: Error | undefined;
  #waiting: (() => void)[] = [];
  /** Events that were not in the store before. */
  added = 0;
  /** Events that were. */
  known = 0;

  constructor(store: Pick<EventStore, 'append'>, options: AppenderOptions = {}) {
    this.#store = store;
    this.#isKnown = options.isKnown ?? (() => false);
    this.#pause = options.pause ?? setTimeout;
  }

  put(stream: string, event: NewEvent): void {
    if (this.#fault !== undefined) return;
    if (this.#isKnown(event.id)) {
      this.known++;
      return;
    }
    this.#underWay++;
    void this.#append(stream, event)
      .then(
        (isNew) => void (isNew ? this.added++ : this.known++),
        (error: unknown) => void (this.#fault ??= errorOf(error)),
      )
      .then(() => {
        this.#underWay--;
        for (const wake of this.#waiting.splice(0)) wake();
      });
  }

  /** Resolves when it can take more; undefined if it can at once. Rejects with what went wrong. */
  room(): Promise<void> | undefined {
    return this.#underWay < AT_ONCE && this.#fault === undefined ? undefined : this.#until(AT_ONCE / 2);
  }

  /** Resolves when all is in the store. */
  finish(): Promise<void> {
    return this.#until(0);
  }

  async #until(most: number): Promise<void> {
    while (this.#underWay > most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** @returns whether it was new */
  async #append(stream: string, event: NewEvent): Promise<boolean> {
    for (let attempt = 1, wait = FIRST_PAUSE; ; attempt++, wait *= 2) {
      try {
        return !(await this.#store.append(stream, [event], 'any')).duplicate;
      } catch (error) {
        // It is in another stream: the account had another name when it was imported.
        if (isConflict(error)) return false;
        if (!(error instanceof StoreUnavailable) || attempt === ATTEMPTS) throw error;
        await this.#pause(wait);
      }
    }
  }
}

function isConflict(error: unknown): boolean {
  return (
    error instanceof StopgapError && error.code === 'conflict' && !(error instanceof WrongExpectedRevision)
  );
}

/**
 * What senders did on the days of the past, as it would have been summarised had it happened here: the very same
 * projection counts, in the time of the events, and what rules would have said of it is not asked.
 */
export class ImportedDaySummaries {
  readonly #volume = new SendVolume();
  #day: Day = -Infinity;
  #position = 0;

  /** @param rules whose windows are counted */
  constructor(rules: RulesChanged) {
    this.#fold({ type: 'RulesChanged', data: rules }, 0, RULES_STREAM);
  }

  /**
   * Counts one event; they come in the order of time.
   *
   * @returns the summaries of the days that are over by it
   */
  add({ at, event }: PastEvent): readonly DaySummaryFact[] {
    const day = dayOf(at);
    const over = day > this.#day ? this.over(day) : [];
    this.#day = Math.max(this.#day, day);
    this.#fold(event, at, '');
    return over;
  }

  /** The summaries of all days before this one that were not given yet. */
  over(before: Day): readonly DaySummaryFact[] {
    const facts = [...this.#volume.profiles.due(before)];
    // Folded like any other: the day is closed, and a sender's next window knows nothing of it any more.
    for (const fact of facts) this.#fold(fact, (fact.data.day + 1) * DAY, '');
    return facts;
  }

  #fold({ type, data }: { type: string; data: unknown }, at: Instant, stream: string): void {
    const position = ++this.#position;
    const envelope = {
      id: String(position),
      at,
      recordedAt: at,
      by: 'system:import',
      stream,
      revision: 0,
      position,
    };
    this.#volume.apply({ type, data, ...envelope });
  }
}

/** The categories of imported events. */
const IMPORTED_CATEGORIES: readonly string[] = [SEND_CATEGORY, AUTH_CATEGORY, PROFILE_CATEGORY];

/** Hexadecimal digits of an id that fit a number: two of ten million are the same once in a hundred such imports. */
const DIGITS = 13;

/**
 * The ids of what was imported into a store before, in eight bytes each: for a store that would write an event of the same
 * id a second time, once it has forgotten the first.
 */
export class KnownIds {
  #ids = new Float64Array(1024);
  #size = 0;

  /** Reads everything in the store. */
  static async of(store: Pick<EventStore, 'readAll'>): Promise<KnownIds> {
    const known = new KnownIds();
    for await (const { id, by } of store.readAll({ categories: IMPORTED_CATEGORIES })) {
      if (by === IMPORTER) known.#add(id);
    }
    known.#ids = known.#ids.subarray(0, known.#size).sort();
    return known;
  }

  get size(): number {
    return this.#size;
  }

  has(id: string): boolean {
    const wanted = numberOf(id);
    let low = 0;
    let high = this.#size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ids[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.#size && this.#ids[low] === wanted;
  }

  #add(id: string): void {
    if (this.#size === this.#ids.length) {
      const longer = new Float64Array(2 * this.#size);
      longer.set(this.#ids);
      this.#ids = longer;
    }
    this.#ids[this.#size++] = numberOf(id);
  }
}

function numberOf(id: string): number {
  return Number.parseInt(id.replaceAll('-', '').slice(0, DIGITS), 16);
}
