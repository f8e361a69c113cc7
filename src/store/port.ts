import type { Person } from '../forgetting/person.js';
import { InvalidInput, messageOf, StopgapError } from '../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';

/**
 * What a stream must look like for an append to go through: `any` state, no event at all (`none`), or the
 * revision of its last event. A stream whose events have all outlived their retention has none: it fits `none`,
 * and its revisions go on where they were; in a journal (see {@link EventStore.sweep}) there or further on.
 */
export type ExpectedRevision = number | 'any' | 'none';

export interface Appended {
  /** Revision of the last event written; if all were written before, the highest that one of them has. */
  readonly revision: number;
  /** Position of that event. */
  readonly position: number;
  /** True if every event had been appended before: the same append, retried. Nothing was written. */
  readonly duplicate: boolean;
}

/** The stream is not at the expected revision: read again, decide again. */
export class WrongExpectedRevision extends StopgapError {
  constructor(
    readonly stream: string,
    readonly expected: ExpectedRevision,
    /** Revision of the last event, or `none` if the stream has no events. */
    readonly actual: number | 'none',
  ) {
    super('conflict', `stream ${stream} is at ${actual}, not at ${expected}`);
    this.name = 'WrongExpectedRevision';
  }
}

/** The store did not take or give what was asked in time, or is closed: try again later. Nothing is known to be written. */
export class StoreUnavailable extends StopgapError {
  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message);
    this.name = 'StoreUnavailable';
    if (options?.cause !== undefined) this.cause = options.cause;
  }
}

/** The store is there and refuses the user: nothing passes until somebody changes the configuration, here or there. */
export class AccessRefused extends StoreUnavailable {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AccessRefused';
  }
}

/** What the store keeps is damaged: waiting mends nothing. The message names the file and says what to do. */
export class StoreDamaged extends StoreUnavailable {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreDamaged';
  }
}

/** The store cannot be opened as it is (corrupt, foreign, newer, locked): the message says what to do. */
export class StoreRefused extends StopgapError {
  constructor(message: string, cause?: unknown) {
    super('unavailable', message);
    if (cause !== undefined) this.cause = cause;
    this.name = 'StoreRefused';
  }
}

/**
 * The log that the store holds is not the one that was followed: it was emptied, restored from an older backup, or
 * exchanged. What was folded from the former one is void: a reader begins again at position 0. The message says how it
 * was recognised.
 */
export class LogReplaced extends StopgapError {
  constructor(message: string) {
    super('unavailable', message);
    this.name = 'LogReplaced';
  }
}

export interface ReadStreamOptions {
  readonly direction?: 'forwards' | 'backwards';
  /** Revision to start at, inclusive; by default the first (forwards) or the last (backwards). */
  readonly from?: number;
  /** At most so many events. */
  readonly limit?: number;
}

export interface ReadAllOptions {
  /** Position to start after, exclusive; 0 (the default) is the beginning. */
  readonly after?: number;
  /** Position to start at, in place of `after`: that of an event which there is, or was. */
  readonly from?: number;
  /** Position to stop at, inclusive. */
  readonly until?: number;
  /** Only streams of these categories. */
  readonly categories?: readonly string[];
  readonly limit?: number;
}

export interface SubscribeOptions {
  /** Position to start after, exclusive; 0 is the beginning, `end` is the next event. */
  readonly after: number | 'end';
  readonly categories?: readonly string[];
}

/**
 * Handles one event. The next is not handed over before a returned promise has settled; returning nothing
 * costs no turn of the event loop. Throwing or rejecting ends the subscription with that error.
 */
export type EventHandler = (event: RecordedEvent) => void | Promise<void>;

export interface Subscription {
  /**
   * Resolves once everything that the store held when the subscription began has been handled. Rejects if the subscription
   * ends before.
   */
  readonly caughtUp: Promise<void>;
  /**
   * Settles when it has ended: resolves after `stop`, rejects with what ended it otherwise: the handler's error, {@link
   * LogReplaced}, or StoreUnavailable if the store was closed.
   */
  readonly ended: Promise<void>;
  /** Position of the last event handled (or passed over for its category); 0 before the first. */
  readonly position: number;
  /**
   * How old what it has handled may be: the time since the last moment of which it is known that everything written by
   * then has been handled; since it began if there was none. 0 if nothing is missing. A store on a server asks every
   * few seconds how far the log goes, so that up to a few seconds say nothing; more says that events wait, that the
   * server is silent, or that it cannot be asked.
   */
  readonly lag: Milliseconds;
  /**
   * No event is handed over any more; resolves when the handler under way is done. So a handler may call it
   * but must not await it.
   */
  stop(): Promise<void>;
}

/** What a category holds. */
export interface CategoryUse {
  readonly category: string;
  readonly events: number;
  /** True if they were not all counted. */
  readonly isEstimate: boolean;
  /** When the store wrote the oldest one. */
  readonly oldestAt: Instant;
}

/** What the store takes on the disk. Null: it is a server's, which knows it itself. */
export interface StorageUse {
  /** Those that hold an event. Null where to find out would be to read everything. */
  readonly categories: readonly CategoryUse[] | null;
  /** Of its files. */
  readonly bytes: number | null;
  /** Of these, what holds nothing: it is used again first. */
  readonly reclaimable: number | null;
  /** Whether that is given back to the disk by and by, where there is much of it. */
  readonly givesBack: boolean;
  /** What the disk has left. */
  readonly free: number | null;
}

/** What came of forgetting somebody. */
export interface Forgotten {
  /** Events that went. */
  readonly erased: number;
  /** Events that stay, without the name. */
  readonly rewritten: number;
  /** What the store cannot do by itself, or not at all: sentences for those who asked, without the name. */
  readonly remains: readonly string[];
}

/** Bytes that an event counts for beside its JSON: its names in the store's own form. */
const ENVELOPE_BYTES = 256;

/** Bytes that an event counts for in an append, never fewer than a store counts. Costs as much as writing its JSON. */
export function eventBytes(event: NewEvent): number {
  return Buffer.byteLength(JSON.stringify(event)) + ENVELOPE_BYTES;
}

export interface EventStore {
  /**
   * Bytes that one append may have, by {@link eventBytes} of its events; Infinity if nothing bounds it. A larger one
   * may be refused as invalid input. It becomes less when the store turns out to take less.
   */
  readonly maxAppendBytes: number;

  /**
   * Appends to one stream, all or nothing; resolves when the events are durable. An event id that the stream already
   * holds is not written again: an append whose ids were all written before succeeds as `duplicate` under any expected
   * revision. If only some of them were, `any` skips these and writes the others, in order; any other expected revision
   * is refused as a conflict.
   *
   * @throws WrongExpectedRevision, StoreUnavailable
   */
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended>;

  /** Reads a stream; one that does not exist is empty. */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>;

  /** Reads the total order forwards, up to the last event that the store holds when the reading begins. */
  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent>;

  /** Catches up from a position and then follows live: in order, each event once, one at a time. */
  subscribe(options: SubscribeOptions, handler: EventHandler): Subscription;

  /** Position of the last event written; 0 if there is none. */
  head(): Promise<number>;

  /**
   * Sets how long events of a category are kept, by `recordedAt`; undefined keeps them for ever. Remembered across
   * restarts. An event goes only once it is older than that, and never before its elders in its stream. Its id goes
   * with it: an append retried after that would be written again.
   */
  setRetention(category: string, maxAge: Milliseconds | undefined): Promise<void>;

  /**
   * When the last event was written that the log held at an instant; undefined if it held none then, and where
   * {@link sweep} deletes nothing.
   *
   * @throws StoreUnavailable
   */
  lastWrittenBy(at: Instant): Promise<Instant | undefined>;

  /**
   * Deletes what has outlived its retention at `now`, in slices that do not stall appends. Resolves with
   * how many events went. Ever-lasting categories are untouched. Much free space is given back to the disk.
   *
   * @param journals categories whose streams nobody appends to at a revision that he has read. Once such a stream holds no
   * event, its name goes too, where the store can do that. Under this name, as under a new one, a stream then begins at
   * a revision beyond all that the store remembers of its category: none is given twice.
   */
  sweep(now: Instant, journals?: readonly string[]): Promise<number>;

  /**
   * Takes a person out of what is stored: their own streams go, the histories of their blocks go on under the pseudonym,
   * and what others share is written anew without the name. In steps that do not stall appends. What it gives back may
   * be done in part when the process ends: done again, with the same pseudonym, it is completed.
   *
   * @param mayGoOn asked before each step; what it throws ends it in between
   * @throws StoreUnavailable; what `mayGoOn` throws
   */
  forget(person: Person, mayGoOn?: () => void): Promise<Forgotten>;

  /** How much it holds. Cheap, and holds nothing up. @throws StoreUnavailable */
  storage(): Promise<StorageUse>;

  /**
   * False while the last append or probe failed, or an append has been waiting for longer than it should. Never waits.
   * The adapter finds out by itself when the store takes writes again, so a caller may wait for `healthy` before it appends.
   */
  readonly healthy: boolean;

  /**
   * The clock of the store's server less ours, as last measured, to a tenth of a second or so; undefined until that is
   * known, and if the store has no clock but ours.
   */
  readonly clockSkew?: Milliseconds | undefined;

  /**
   * Checks whether an append would succeed, so that `healthy` tells of a store that is gone although there are no
   * appends. Writes no event. Asks nothing if an append has succeeded since the last probe, or if the store is known
   * not to be healthy. Settles by the time at which an append would give up.
   *
   * @throws StoreUnavailable if an append would fail
   */
  probe(): Promise<void>;

  /** Finishes what was accepted, then closes. Later calls throw StoreUnavailable. */
  close(): Promise<void>;
}

/**
 * Sees that an append can be stored and read back as it is.
 *
 * @returns the JSON text of each event's data
 * @throws InvalidInput
 */
export function checkAppend(
  stream: string,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): string[] {
  checkText('stream', stream);
  if (typeof expected === 'number' && !isCount(expected)) {
    throw new InvalidInput(
      'expected',
      `an expected revision is any, none or a number from 0 on, not ${expected}`,
    );
  }
  if (events.length === 0) throw new InvalidInput('events', `an append to ${stream} without an event`);
  if (events.length > 1 && new Set(events.map(({ id }) => id)).size < events.length) {
    throw new InvalidInput('events', `an append to ${stream} with the same event id twice`);
  }
  return events.map(checkEvent);
}

function checkEvent(event: NewEvent): string {
  checkText('id', event.id);
  checkText('type', event.type);
  checkText('by', event.by);
  if (event.correlation !== undefined) checkText('correlation', event.correlation);
  if (event.trace !== undefined) checkText('trace', event.trace);
  if (!Number.isSafeInteger(event.at)) {
    throw new InvalidInput('at', `an event's time is in whole milliseconds, not ${event.at}`);
  }
  const { version = 1 } = event;
  if (!isCount(version) || version < 1) {
    throw new InvalidInput('version', `an event's version is a number from 1 on, not ${version}`);
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(event.data);
  } catch (error) {
    throw new InvalidInput(
      'data',
      `the data of a ${event.type} cannot be written as JSON: ${messageOf(error)}`,
    );
  }
  if (text === undefined) throw new InvalidInput('data', `the data of a ${event.type} has no form in JSON`);
  return text;
}

function checkText(field: string, text: string): void {
  // UTF-8 cannot hold half of a surrogate pair: the name would come back as another one.
  if (typeof text !== 'string' || text === '' || text.includes('\0') || !text.isWellFormed()) {
    throw new InvalidInput(
      field,
      `${field} must be text that is not empty and without NUL or half surrogates`,
    );
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
