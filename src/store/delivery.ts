import type { Logger } from 'pino';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../kernel/events.js';
import { UNREADABLE } from '../kernel/events.js';
import type { AlarmClock, Clock, Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { Backoff } from '../runtime/clock.js';
import type { EventStore } from './port.js';
import { eventBytes } from './port.js';

/** Appends under way at once, each to a stream of its own; new mail needs the store too. */
const AT_ONCE = 128;
/** Events of one append: what is under way when a process is killed is delivered again. */
const MOST_EVENTS = 500;
/** What is held in memory of all that waits: enough streams for {@link AT_ONCE}. */
const HELD = { events: 4096, bytes: 16 * 1024 * 1024 } as const;
/** Between attempts at a stream whose append was not answered. */
const PAUSES = { first: SECOND / 4, most: 10 * SECOND } as const;
/** How often a store that is away is asked whether it is back, which costs nothing. */
const LOOK: Milliseconds = SECOND;

export interface DeliveryOptions {
  readonly remote: Pick<EventStore, 'append' | 'healthy' | 'maxAppendBytes'>;
  readonly local: LocalStore;
  readonly clock: AlarmClock;
  readonly log: Logger;
  /** How many events wait, also those that are still being written. */
  readonly waiting: () => number;
  /** So many events of a stream wait no more. */
  readonly onDone: (stream: string, events: number) => void;
  /** Called for an event that the store refuses alone; resolves when it is kept elsewhere. */
  readonly refused: (stream: string, event: NewEvent, reason: string) => Promise<void>;
}

/** What is held of one stream. Of each at most one append is under way. */
interface Lane {
  readonly stream: string;
  /** In order, with the bytes of each. */
  readonly events: { readonly event: RecordedEvent; readonly bytes: number }[];
  /** So many of them go one by one: together they were refused, and one of them is at fault. */
  alone: number;
  /** Set while attempts fail. */
  backoff: Backoff | undefined;
  /** Ends its pause; undefined if it has none. */
  resume: (() => void) | undefined;
}

/**
 * Takes what waits on this disk to the shared store: many streams at once, each in order. What has arrived is deleted
 * here, so that a process that is killed leaves little to deliver twice.
 */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #lanes = new Map<string, Lane>();
  /** Those that have something to deliver and nothing under way, in the order in which they came to that. */
  readonly #ready = new Set<Lane>();
  readonly #underWay = new Set<Promise<void>>();
  /** Position up to which the local store was read. */
  #readTo = 0;
  #more = true;
  #reading: Promise<void> | undefined;
  #held = { events: 0, bytes: 0 };
  /** Positions of what has arrived and is not deleted yet. */
  readonly #arrived = new Set<number>();
  /** Positions of what is being kept elsewhere, since the store refuses it. */
  readonly #refused = new Set<number>();
  #deleting: Promise<void> | undefined;
  #stopped = false;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Delivers until nothing waits, or it is stopped. */
  async run(): Promise<void> {
    const { remote, waiting } = this.#options;
    while (waiting() > 0 && !this.#stopped) {
      if (remote.healthy) this.#fill();
      this.#begin();
      await this.#change(remote.healthy ? undefined : LOOK);
    }
    await Promise.all([this.#reading, ...this.#underWay]);
    await this.deleteArrived();
  }

  /** Deletes what has arrived; says whether nothing of it is left. */
  async deleteArrived(): Promise<boolean> {
    this.#delete();
    await this.#deleting;
    return this.#arrived.size === 0;
  }

  /** Whether the event at this position of the local store has arrived: soon it will be deleted there. */
  hasArrived(position: number): boolean {
    return this.#arrived.has(position);
  }

  /** Whether the event at this position goes from the local store without another attempt to deliver it. */
  isGoing(position: number): boolean {
    return this.#arrived.has(position) || this.#refused.has(position);
  }

  /** More was written, or it was given up: looks again. */
  notice(): void {
    this.#more = true;
    this.#signal();
  }

  /** Begins no append any more: `run` resolves when those under way are answered. */
  stop(): void {
    this.#stopped = true;
    for (const lane of this.#lanes.values()) lane.resume?.();
    this.#signal();
  }

  /** Reads on if there is memory for more waiting events; those in memory are delivered meanwhile. */
  #fill(): void {
    if (!this.#more || this.#reading !== undefined) return;
    if (this.#held.events > HELD.events / 2 || this.#held.bytes > HELD.bytes / 2) return;
    const { clock, log } = this.#options;
    this.#more = false;
    this.#reading = this.#read()
      .catch((error: unknown) => {
        log.warn({ error: messageOf(error) }, 'the outbox cannot be read');
        clock.after(LOOK, () => this.notice());
      })
      .finally(() => {
        this.#reading = undefined;
        this.#signal();
      });
  }

  async #read(): Promise<void> {
    for await (const event of this.#options.local.readAll({ after: this.#readTo })) {
      this.#readTo = event.position;
      if (event.stream !== QUARANTINE_STREAM) this.#hold(event);
      if (this.#stopped) return;
      if (this.#held.events < HELD.events && this.#held.bytes < HELD.bytes) continue;
      this.#more = true;
      return;
    }
  }

  #hold(event: RecordedEvent): void {
    const { stream } = event;
    let lane = this.#lanes.get(stream);
    if (lane === undefined) {
      lane = { stream, events: [], alone: 0, backoff: undefined, resume: undefined };
      this.#lanes.set(stream, lane);
      this.#ready.add(lane);
    }
    const bytes = eventBytes(event);
    lane.events.push({ event, bytes });
    this.#held.events++;
    this.#held.bytes += bytes;
  }

  #begin(): void {
    const { remote } = this.#options;
    for (const lane of this.#ready) {
      if (this.#stopped || this.#underWay.size >= AT_ONCE || !remote.healthy) return;
      this.#ready.delete(lane);
      const delivering = this.#deliver(lane).finally(() => {
        this.#underWay.delete(delivering);
        if (lane.events.length === 0) this.#lanes.delete(lane.stream);
        else if (lane.resume === undefined) this.#ready.add(lane);
        this.#signal();
      });
      this.#underWay.add(delivering);
    }
  }

  async #deliver(lane: Lane): Promise<void> {
    const { remote, refused } = this.#options;
    const count = this.#fitting(lane);
    const events = lane.events.slice(0, count).map(({ event }) => plain(event));
    try {
      if (events.some(({ type }) => type === UNREADABLE)) throw new Error('this disk gives it back damaged');
      await remote.append(lane.stream, events, 'any');
    } catch (error) {
      if (isUnavailable(error)) return this.#later(lane, error);
      if (count > 1) {
        lane.alone = count;
        return;
      }
      const { position } = lane.events[0]!.event;
      this.#refused.add(position);
      try {
        await refused(lane.stream, events[0]!, messageOf(error));
        this.#done(lane, count);
        return;
      } catch (fault) {
        return this.#later(lane, fault);
      } finally {
        this.#refused.delete(position);
      }
    }
    this.#done(lane, count);
  }

  /** How many of a lane's events the next append takes. */
  #fitting({ events, alone }: Lane): number {
    if (alone > 0) return 1;
    const { maxAppendBytes } = this.#options.remote;
    let total = 0;
    let count = 0;
    for (const { bytes } of events) {
      total += bytes;
      if (count === MOST_EVENTS || (count > 0 && total > maxAppendBytes)) break;
      count++;
    }
    return count;
  }

  #done(lane: Lane, count: number): void {
    for (const { event, bytes } of lane.events.splice(0, count)) {
      this.#held.events--;
      this.#held.bytes -= bytes;
      this.#arrived.add(event.position);
    }
    lane.alone = Math.max(0, lane.alone - count);
    lane.backoff = undefined;
    this.#options.onDone(lane.stream, count);
    this.#delete();
  }

  #later(lane: Lane, error: unknown): void {
    const { clock, log, waiting } = this.#options;
    log.debug({ error: messageOf(error), waiting: waiting() }, 'the outbox cannot be delivered yet');
    if (this.#stopped) return;
    lane.backoff ??= new Backoff(PAUSES);
    const over = (): void => {
      cancel();
      lane.resume = undefined;
      this.#ready.add(lane);
      this.#signal();
    };
    const cancel = clock.after(lane.backoff.next(), over);
    lane.resume = over;
  }

  /** Deletes what has arrived; meanwhile more arrives, which goes together. */
  #delete(): void {
    this.#deleting ??= this.#deleteSlices().finally(() => (this.#deleting = undefined));
  }

  async #deleteSlices(): Promise<void> {
    const { local, log } = this.#options;
    while (this.#arrived.size > 0) {
      const positions = [...this.#arrived];
      try {
        await local.remove(positions);
      } catch (error) {
        // With the next that arrives it is tried again; until then a restart would deliver them twice.
        log.warn({ error: messageOf(error) }, 'delivered events stay in the outbox for now');
        return;
      }
      for (const position of positions) this.#arrived.delete(position);
    }
  }

  #signal(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** Resolves when something has changed since it was last called, or after `pause` at the latest. */
  async #change(pause: Milliseconds | undefined): Promise<void> {
    const { clock } = this.#options;
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const cancel = pause === undefined ? undefined : clock.after(pause, resolve);
        this.#wake = () => {
          cancel?.();
          resolve();
        };
      });
      this.#wake = undefined;
    }
    this.#changed = false;
  }
}

/** It says nothing about the events: they wait. Any other result of an append is a judgement on them. */
function isUnavailable(error: unknown): boolean {
  return error instanceof StopgapError && error.code === 'unavailable';
}

/** As it was handed in, without what the local store added. */
function plain({ id, type, version, at, by, correlation, trace, data }: RecordedEvent): NewEvent {
  return {
    id,
    type,
    at,
    by,
    data,
    ...(version === undefined ? {} : { version }),
    ...(correlation === undefined ? {} : { correlation }),
    ...(trace === undefined ? {} : { trace }),
  };
}

/** The store on a node's own disk, which holds what is on its way to the shared one, and nothing else. */
export interface LocalStore extends EventStore {
  /** Deletes these events at once. @throws StoreUnavailable */
  remove(positions: readonly number[]): Promise<void>;
  /** Leaves nothing of what was deleted on the disk; says whether it could. @throws StoreUnavailable */
  clean(): Promise<boolean>;
  /** How many events each stream holds. @throws StoreUnavailable */
  countByStream(): AsyncIterable<{ readonly stream: string; readonly events: number }>;
}

/** Of this category of the local store is nothing but the stream below. */
const QUARANTINE_CATEGORY = 'quarantine';
export const QUARANTINE_STREAM = `${QUARANTINE_CATEGORY}-outbox`;

/** The type of an entry there. */
export const QUARANTINED = 'OutboxRefused';

/** An event that the shared store refuses for a reason of its own. */
export interface Quarantined {
  /** The stream that it was meant for. */
  readonly stream: string;
  readonly event: NewEvent;
  /** What the store said. */
  readonly reason: string;
  readonly refusedAt: Instant;
  /** Of the entry in the local store. */
  readonly position: number;
}

interface Entry {
  readonly stream: string;
  readonly event: NewEvent;
  readonly reason: string;
}

/** Keeps an event until somebody has looked at it; resolves when that is durable. @throws StoreUnavailable */
export async function quarantine(
  local: LocalStore,
  clock: Clock,
  stream: string,
  event: NewEvent,
  reason: string,
): Promise<void> {
  const data: Entry = { stream, event, reason };
  // An id of its own for each refusal: the entry of an earlier one may be about to go, the event being tried once more.
  const entry = {
    id: crypto.randomUUID(),
    type: QUARANTINED,
    at: clock.now(),
    by: 'system:outbox',
    data,
  };
  await local.append(QUARANTINE_STREAM, [entry], 'any');
}

/** What is in quarantine, the oldest refusal first. */
export async function* quarantined(local: Pick<EventStore, 'readAll'>): AsyncGenerator<Quarantined> {
  for await (const entry of local.readAll({ categories: [QUARANTINE_CATEGORY] })) {
    const { position, at: refusedAt, data } = entry as RecordedEvent<string, Entry>;
    yield { ...data, position, refusedAt };
  }
}

/**
 * Takes events out of quarantine.
 *
 * @param ids of these events; of all if it is absent
 * @param keep makes an event wait for the store once more; it leaves the quarantine when that is durable
 * @param gone told of each that has left it
 * @returns how many there were
 * @throws StopgapError `not-found` for an id that is not in quarantine; StoreUnavailable
 */
export async function release(
  local: LocalStore,
  ids: readonly string[] | undefined,
  keep: (stream: string, event: NewEvent) => Promise<unknown>,
  gone: () => void = () => undefined,
): Promise<number> {
  const wanted = new Set(ids);
  let released = 0;
  for await (const { stream, event, position } of quarantined(local)) {
    if (ids !== undefined && !wanted.delete(event.id)) continue;
    await keep(stream, event);
    await local.remove([position]);
    gone();
    released++;
  }
  const [missing] = wanted;
  if (missing !== undefined) throw new StopgapError('not-found', `no event ${missing} is in quarantine`);
  return released;
}
