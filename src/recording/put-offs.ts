import type { Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';

/** Why mail or a login is put off for no fault of its sender. */
export type PutOffFor = 'upstream' | 'store' | 'spool' | 'logins' | 'checks';

/** One kind of trouble, from the first to the last client that was put off for it. */
export interface PutOffs {
  readonly why: PutOffFor;
  readonly since: Instant;
  readonly at: Instant;
}

/** After so long a rest it is a trouble of its own. */
const REST: Milliseconds = 15 * MINUTE;

/**
 * The last trouble of each kind that clients heard of, in memory alone. They hear one reply for all of them, and for a block too:
 * only this tells which it was.
 */
export class LastPutOffs {
  readonly #last = new Map<PutOffFor, PutOffs>();

  note(why: PutOffFor, at: Instant): void {
    const before = this.#last.get(why);
    const since = before === undefined || at - before.at > REST ? at : before.since;
    this.#last.set(why, { why, since, at });
  }

  get all(): readonly PutOffs[] {
    return [...this.#last.values()];
  }
}
