import type { Instant } from '../kernel/time.js';
import type { AuthEvent, SendEvent } from '../sending/events.js';

/** Where imported events go. */
export interface Sink {
  /** Takes one; they come in the order of time. */
  write(event: PastEvent): void;
  /** Resolves when it can take more; undefined if it can at once. Rejects with what keeps it from taking any. */
  room(): Promise<void> | undefined;
  /** Resolves when all is written. */
  finish(): Promise<void>;
}

/** What a record kept by somebody else says has happened. */
export interface PastEvent {
  /** The same for the same activity, from any files and at any number of reads: a UUID is made of it. */
  readonly id: string;
  readonly at: Instant;
  /** The id under which its source knows the message. */
  readonly correlation: string | undefined;
  readonly event: SendEvent | AuthEvent;
  /** Of further recipients of a message: how many it has with them, as far as is known. */
  readonly total?: number;
  /** The name that a failed login gave. No event holds it, since people type passwords there. */
  readonly login?: string;
}
