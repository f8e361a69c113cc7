import type { Instant, Milliseconds } from '../../kernel/time.js';

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
  | { readonly kind: 'answer'; readonly call: number; readonly value: number; readonly error?: string };

export interface AppendedMessage {
  readonly kind: 'appended';
  /** For each append in the order of arrival: {@link WriteOutcome}, revision, position. */
  readonly outcomes: Float64Array;
  /** Why appends failed, by their index in `outcomes`. */
  readonly reasons: ReadonlyMap<number, string>;
  /** Which events of an append were passed over since they were written before, by its index in `outcomes`. */
  readonly passedOver: ReadonlyMap<number, readonly number[]>;
}

export const WriteOutcome = {
  /** Written, whole or but for what was passed over: revision and position of the last event written. */
  written: 0,
  /** All of it had been written before: revision and position of its last event then. */
  duplicate: 1,
  /** Wrong expected revision: the actual one, or -1 for none. */
  wrongRevision: 2,
  /** Ids that were used otherwise; the reason says which. */
  conflict: 3,
  /** The file did not take it; the reason says why. */
  failed: 4,
} as const;

export interface WriterOptions {
  readonly file: string;
  /** Bound on the file's size in pages of 4096 bytes; undefined for none. */
  readonly maxPages: number | undefined;
}
