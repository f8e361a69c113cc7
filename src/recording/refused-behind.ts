import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import { recentlyUsed } from '../runtime/recently-used.js';

/** Recipients that the mail server behind refused with one code. */
export interface RefusedBehind {
  readonly code: number;
  /** Within a day, at least: it begins anew a day after the first. */
  readonly count: number;
  readonly since: Instant;
  readonly at: Instant;
}

/** Accounts, and codes of each, that are remembered. */
const [MOST_ACCOUNTS, MOST_CODES] = [10_000, 8];

/**
 * What the mail server behind refused lately that says nothing of a recipient: a sender or client that it does not take, a size, a
 * trouble of its own. No rule counts it, so it is in memory alone; who asks why mail was refused is told.
 */
export class RefusalsBehind {
  readonly #ofAccounts = recentlyUsed<string, ReadonlyMap<number, RefusedBehind>>(MOST_ACCOUNTS);

  note(account: string, code: number, at: Instant): void {
    const codes = new Map(this.#ofAccounts.get(account));
    const before = codes.get(code);
    const isOn = before !== undefined && at - before.since <= DAY;
    // What came last is last.
    codes.delete(code);
    codes.set(code, { code, count: isOn ? before.count + 1 : 1, since: isOn ? before.since : at, at });
    for (const oldest of codes.keys()) {
      if (codes.size <= MOST_CODES) break;
      codes.delete(oldest);
    }
    this.#ofAccounts.set(account, codes);
  }

  /** Those of which the last was in the day before an instant. */
  of(account: string, upTo: Instant): readonly RefusedBehind[] {
    const codes = this.#ofAccounts.get(account)?.values() ?? [];
    return [...codes].filter(({ at }) => at <= upTo && upTo - at <= DAY);
  }

  /** Somebody was forgotten. */
  clear(): void {
    this.#ofAccounts.clear();
  }
}
