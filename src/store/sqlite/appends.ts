import type { Person } from '../../forgetting/person.js';
import { StopgapError } from '../../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import type { Instant, Milliseconds } from '../../kernel/time.js';
import { TimeSlice } from '../../runtime/clock.js';
import type { Health } from '../health.js';
import type { Appended, ExpectedRevision } from '../port.js';
import { StoreDamaged, StoreUnavailable, WrongExpectedRevision } from '../port.js';
import { fromAppend } from './schema.js';
import type { LiveFeed } from './subscription.js';

/**
 * What goes between the main thread and the writer's. Appends travel as one flat array a batch: structured
 * clone handles a run of strings and numbers several times faster than an object each.
 */
export type ToWriter =
  | AppendMessage
  | {
      readonly kind: 'retain';
      readonly call: number;
      readonly category: string;
      readonly maxAge: Milliseconds | null;
    }
  | { readonly kind: 'sweep'; readonly call: number; readonly now: Instant; readonly limit: number }
  /** One slice of {@link forgetSlice}; answers with its three numbers. */
  | { readonly kind: 'forget'; readonly call: number; readonly person: Person; readonly after: number }
  | { readonly kind: 'rename'; readonly call: number; readonly person: Person }
  /** Gives free pages back to the disk, up to so many, if there are many; answers with how many it gave. */
  | { readonly kind: 'give-back'; readonly call: number; readonly pages: number }
  | { readonly kind: 'compact'; readonly call: number; readonly most: number }
  /** One slice of {@link dropStreams}; answers with its two numbers. */
  | {
      readonly kind: 'drop-streams';
      readonly call: number;
      readonly after: number;
      readonly categories: readonly string[] | undefined;
    }
  | { readonly kind: 'remove'; readonly call: number; readonly positions: readonly number[] }
  /** Whether the disk takes what is written; with `room`, also whether it has room for a large append. */
  | { readonly kind: 'probe'; readonly room: boolean; readonly call: number }
  | { readonly kind: 'close' };

export interface AppendMessage {
  readonly kind: 'append';
  readonly count: number;
  readonly recordedAt: Instant;
  /** For each append: stream, expected revision, number of events; then for each event {@link EVENT_FIELDS} fields. */
  readonly flat: readonly (string | number | null)[];
}

/** id, type, version, at, by, correlation (or null), data as JSON text, trace (or null). */
export const EVENT_FIELDS = 8;

/** Expected revisions other than numbers, as they travel. */
export const ANY = -1;
export const NONE = -2;

export type FromWriter =
  | { readonly kind: 'ready'; readonly head: number }
  | AppendedMessage
  | {
      readonly kind: 'answer';
      readonly call: number;
      readonly value: CallAnswer;
      readonly error?: string;
      /** The file is damaged; `error` says what to do. */
      readonly damaged?: boolean;
      /** This thread could not load what the call needs, and never will: Node.js tries no module again. */
      readonly spoilt?: boolean;
    };

export type CallAnswer = number | readonly number[];

interface AppendedMessage {
  readonly kind: 'appended';
  /** For each append in the order of arrival: {@link WriteOutcome}, revision, position. */
  readonly outcomes: Float64Array;
  /** Why appends failed, by their index in `outcomes`. */
  readonly reasons: ReadonlyMap<number, string>;
  /** Which events of an append were passed over since they were written before, by its index in `outcomes`. */
  readonly passedOver: ReadonlyMap<number, readonly number[]>;
}

export const WriteOutcome = {
  /** Written, fully or without the skipped events: revision and position of the last event written. */
  written: 0,
  /** All of it had been written before: revision and position of its last event then. */
  duplicate: 1,
  /** Wrong expected revision: the actual one, or -1 for none. */
  wrongRevision: 2,
  /** Ids that were used otherwise; the reason says which. */
  conflict: 3,
  /** The file did not take it; the reason says why. */
  failed: 4,
  /** The file is damaged; the reason says what to do. */
  damaged: 5,
} as const;

export interface WriterOptions {
  readonly file: string;
  /** Bound on the file's size in pages of 4096 bytes; undefined for none. */
  readonly maxPages: number | undefined;
}

/** An append that has not been answered. */
export interface Pending {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  /** JSON text of each event's data. */
  readonly texts: readonly string[];
  readonly expected: ExpectedRevision;
  /** When it came, in milliseconds of `performance.now()`. */
  readonly since: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: Error) => void;
  /** When the store took it, by the store's clock; set as it is handed to the writer. */
  recordedAt: number;
  /** It was answered to its caller, if only by a time-out; the writer's answer is still to come. */
  settled: boolean;
}

/** First in, first out, without moving the rest at each step. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#first];
  }

  shift(): T | undefined {
    if (this.#first >= this.#items.length) return undefined;
    const item = this.#items[this.#first];
    // What is kept here for longer than it waits would outlive the collections of young objects.
    this.#items[this.#first] = undefined;
    if (++this.#first >= 4096) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Empties it and gives what was in it, in order. */
  drain(): T[] {
    const rest = this.#items.slice(this.#first) as T[];
    this.#items = [];
    this.#first = 0;
    return rest;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = this.#first; i < this.#items.length; i++) yield this.#items[i]!;
  }
}

/**
 * Appends answered in one turn of the loop. Their callers go on in that same turn, and a thousand of them in a row would
 * hold up everything else.
 */
const ANSWERS_A_TURN = 128;

/**
 * Answers the appends that were handed to the writer, in order, as it decides on them. The live followers get the events
 * first, then the append resolves.
 */
export class AppendAcks {
  readonly #feed: LiveFeed;
  readonly #health: Health;
  readonly #onDone: () => void;
  /** What the writer was handed, in order, each until its answer. */
  readonly sent = new Fifo<Pending>();
  readonly #answers = new Fifo<{ message: AppendedMessage; next: number }>();
  #busy = false;

  /** @param onDone told whenever all that the writer has decided is answered */
  constructor(feed: LiveFeed, health: Health, onDone: () => void) {
    this.#feed = feed;
    this.#health = health;
    this.#onDone = onDone;
  }

  /** What the writer made of the next batch. */
  take(message: AppendedMessage): void {
    this.#answers.push({ message, next: 0 });
    if (!this.#busy) this.#answer(false);
  }

  /** Answers at once everything that the writer has decided. */
  finish(): void {
    this.#answer(true);
  }

  /** A few milliseconds and so many at a time, unless it must be `all` at once. */
  #answer(all: boolean): void {
    this.#busy = true;
    const timeSlice = new TimeSlice();
    let answered = 0;
    for (let batch = this.#answers.peek(); batch; batch = this.#answers.peek()) {
      const { outcomes, reasons, passedOver } = batch.message;
      while (batch.next * 3 < outcomes.length) {
        const i = batch.next++;
        this.#settle(
          this.sent.shift()!,
          outcomes[i * 3]!,
          outcomes[i * 3 + 1]!,
          outcomes[i * 3 + 2]!,
          reasons.get(i),
          passedOver.get(i),
        );
        if (!all && (++answered >= ANSWERS_A_TURN || timeSlice.spent())) {
          setImmediate(() => this.#answer(false));
          return;
        }
      }
      this.#answers.shift();
    }
    this.#busy = false;
    this.#onDone();
  }

  #settle(
    pending: Pending,
    outcome: number,
    revision: number,
    position: number,
    reason?: string,
    passedOver?: readonly number[],
  ): void {
    switch (outcome) {
      case WriteOutcome.written:
        this.#health.succeed();
        this.#feed.committed(position, () => recordedEvents(pending, revision, position, passedOver));
        pending.resolve({ revision, position, duplicate: false });
        break;
      case WriteOutcome.duplicate:
        this.#health.succeed();
        pending.resolve({ revision, position, duplicate: true });
        break;
      case WriteOutcome.wrongRevision:
        pending.reject(
          new WrongExpectedRevision(pending.stream, pending.expected, revision < 0 ? 'none' : revision),
        );
        break;
      case WriteOutcome.conflict:
        pending.reject(new StopgapError('conflict', `append to ${pending.stream}: ${reason}`));
        break;
      case WriteOutcome.damaged:
        this.#health.fail();
        pending.reject(new StoreDamaged(reason!));
        break;
      default:
        this.#health.fail();
        pending.reject(
          new StoreUnavailable(`the store did not take an append to ${pending.stream}: ${reason}`),
        );
    }
    pending.settled = true;
  }
}

/** What was written of an append: all but what was passed over, the last of it at `revision` and `position`. */
function recordedEvents(
  { events, texts, stream, recordedAt }: Pending,
  revision: number,
  position: number,
  passedOver: readonly number[] = [],
): RecordedEvent[] {
  const count = events.length - passedOver.length;
  const written: RecordedEvent[] = [];
  events.forEach((event, i) => {
    if (passedOver.includes(i)) return;
    const back = count - 1 - written.length;
    written.push(fromAppend(event, texts[i]!, stream, revision - back, position - back, recordedAt));
  });
  return written;
}
