import { LRUCache } from 'lru-cache';
import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { MINUTE } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';

/** `feigned`: the password may have been right; a block made the login fail. */
export type FailureKind = 'genuine' | 'feigned';

interface Bucket {
  /** Failures that are still allowed; below zero where attempts at once went past. */
  tokens: number;
  /** By the monotonic clock. */
  at: Milliseconds;
}

export interface AttemptLimiterOptions {
  /** Failures a minute that are allowed; as many at once. */
  readonly attemptsPerMinute: number;
  readonly clock: Pick<AlarmClock, 'monotonic'>;
  /** Buckets that are kept of each kind; the least used are forgotten. 50,000 by default. */
  readonly remembered?: number;
}

/** A flood of attempts at once is paid back over this many minutes at most. */
const LONGEST_DEBT = 10;
const LONGEST_LOGIN = 320;

/**
 * Limits failed logins by client network. Genuine failures count for the whole network. Feigned ones count for the
 * network and the account together: the phone of one blocked account, which tries every minute, must not lock
 * the office out that it stands in.
 */
export class AttemptLimiter {
  readonly #rate: number;
  readonly #clock: Pick<AlarmClock, 'monotonic'>;
  readonly #genuine: LRUCache<string, Bucket>;
  readonly #feigned: LRUCache<string, Bucket>;

  constructor({ attemptsPerMinute, clock, remembered = 50_000 }: AttemptLimiterOptions) {
    this.#rate = attemptsPerMinute;
    this.#clock = clock;
    this.#genuine = new LRUCache({ max: remembered });
    this.#feigned = new LRUCache({ max: remembered });
  }

  /**
   * Whether a login may be tried now. Takes nothing: only failures do.
   *
   * @param network of the client, as `clientNetwork` gives it
   * @param account the login, in any form
   */
  allow(network: string, account: string): boolean {
    return (
      this.#left(this.#genuine.get(network)) >= 1 &&
      this.#left(this.#feigned.get(pair(network, account))) >= 1
    );
  }

  /** Notes a failed login. */
  failed(network: string, account: string, kind: FailureKind): void {
    if (kind === 'genuine') this.#take(this.#genuine, network);
    else this.#take(this.#feigned, pair(network, account));
  }

  #take(buckets: LRUCache<string, Bucket>, key: string): void {
    const tokens = Math.max(this.#left(buckets.get(key)) - 1, -LONGEST_DEBT * this.#rate);
    buckets.set(key, { tokens, at: this.#clock.monotonic() });
  }

  #left(bucket: Bucket | undefined): number {
    if (bucket === undefined) return this.#rate;
    const passed = this.#clock.monotonic() - bucket.at;
    return Math.min(this.#rate, bucket.tokens + (passed * this.#rate) / MINUTE);
  }
}

function pair(network: string, account: string): string {
  // Cut: a stranger chooses the login, and its length.
  return `${network} ${normalizeAccount(account.slice(0, LONGEST_LOGIN))}`;
}
