import { createHmac, randomBytes } from 'node:crypto';
import type { LRUCache } from 'lru-cache';
import { recentlyUsed } from '../runtime/recently-used.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';
import { normalizeAccount } from '../sending/identity.js';

/** After so long a rest, failed credentials count as new. */
const REPEATED: Milliseconds = HOUR;
const LONGEST_LOGIN = 320;

/**
 * Credentials that failed within the last hour. The phone of one account, which tries every minute, fails once an hour with
 * them. Only keyed hashes are kept, and they die with the process.
 */
export class FailedCredentials {
  readonly #failed: LRUCache<string, true>;
  readonly #hashKey = randomBytes(32);

  /** @param remembered how many are kept; the least used are forgotten */
  constructor(clock: Pick<AlarmClock, 'monotonic'>, remembered = 50_000) {
    this.#failed = recentlyUsed(remembered, {
      ttl: REPEATED,
      ttlResolution: 0,
      updateAgeOnGet: true,
      perf: { now: () => clock.monotonic() + 1 }, // 0 means "never" to it
    });
  }

  /**
   * What credentials are known by here.
   *
   * @param login in any form
   */
  keyOf(network: string, login: string, password: string): string {
    // Truncated: a stranger chooses the login and its length.
    return keyedHash(this.#hashKey, [network, normalizeAccount(login.slice(0, LONGEST_LOGIN)), password]);
  }

  has(key: string): boolean {
    return this.#failed.get(key) === true;
  }

  add(key: string): void {
    this.#failed.set(key, true);
  }
}

/** A hash that is equal for equal texts and reveals nothing else. */
export function keyedHash(key: Buffer, parts: readonly string[]): string {
  const hmac = createHmac('sha256', key);
  for (const part of parts) {
    const bytes = Buffer.from(part, 'utf8');
    // Lengths keep "ab" + "c" apart from "a" + "bc".
    hmac.update(`${bytes.length}:`).update(bytes);
  }
  return hmac.digest('base64');
}
