import { LRUCache } from 'lru-cache';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';
import { LONGEST_ADDRESS, normalizeAccount } from '../sending/identity.js';

/** Logins of one account that did not get as far as a block: for a wrong password, or put off with 454. */
export interface FailedLogins {
  readonly failed: number;
  /** Not tried, since too many logins from their network had failed. */
  readonly putOff: number;
  /** When the first of them was. */
  readonly since: Instant;
  /** When the last one was, and from which client network. */
  readonly at: Instant;
  readonly network: string;
}

/** After an hour without one they are counted anew. */
const REST: Milliseconds = HOUR;

/**
 * What administrators are told when a customer says that his mail is refused. In memory alone, and of accounts that exist:
 * what else is typed as a login may be a password, and strangers choose it.
 */
export class FailedLoginsByAccount {
  readonly #exists: (account: string) => boolean;
  readonly #accounts = new LRUCache<string, FailedLogins>({ max: 10_000 });

  /** @param exists whether an account, in normal form, is in the users file */
  constructor(exists: (account: string) => boolean) {
    this.#exists = exists;
  }

  note(login: string, what: 'failed' | 'putOff', network: string, at: Instant): void {
    if (Buffer.byteLength(login) > LONGEST_ADDRESS) return;
    const account = normalizeAccount(login);
    if (!this.#exists(account)) return;
    const before = this.of(account, at) ?? { failed: 0, putOff: 0, since: at };
    this.#accounts.set(account, { ...before, [what]: before[what] + 1, at, network });
  }

  /** Undefined where there was none within the last hour. */
  of(account: string, now: Instant): FailedLogins | undefined {
    const found = this.#accounts.get(account);
    return found === undefined || now - found.at > REST ? undefined : found;
  }
}
