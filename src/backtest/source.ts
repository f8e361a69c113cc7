import type { ActivityEvent } from './world.js';

/** Some of what happened, and how far the reading has come. */
export interface Batch {
  /** In the order in which they are to be gone through. */
  readonly activities: readonly ActivityEvent[];
  /** Of {@link total}, in the same unit: bytes of a file, positions of a store. */
  readonly done: number;
  /** Undefined where nobody knows, as with standard input. */
  readonly total: number | undefined;
}

/** Where a back-test takes its events from: read once, from beginning to end. */
export interface Source {
  /** What reports call it: a file's name, or `history`. */
  readonly name: string;
  /** Messages that are not gone through because they were imported; known at the end. */
  readonly imported?: number;
  batches(): AsyncIterable<Batch>;
}
