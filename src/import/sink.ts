import type { PastEvent } from './past-event.js';

/** Where imported events go. */
export interface Sink {
  /** Takes one; they come in the order of time. */
  write(event: PastEvent): void;
  /** Resolves when it can take more; undefined where it can at once. Rejects with what keeps it from taking any. */
  room(): Promise<void> | undefined;
  /** Resolves when all is written. */
  finish(): Promise<void>;
}
