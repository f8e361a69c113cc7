import type { Instant } from '../kernel/time.js';
import type { AuthEvent, SendEvent } from '../sending/events.js';

/** What a record kept by somebody else says has happened. */
export interface PastEvent {
  /** The same for the same activity, however often and from whatever files it is read: a UUID is made of it. */
  readonly id: string;
  readonly at: Instant;
  /** The id under which its source knows the message. */
  readonly correlation: string | undefined;
  readonly event: SendEvent | AuthEvent;
}
