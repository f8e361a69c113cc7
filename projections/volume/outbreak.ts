import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import type { InForce } from '../../src/rules/explain.js';
import { OUTBREAK_MAX } from '../../src/rules/model.js';

/** An account that turned abnormal. */
export interface AnomalousAccount extends InForce {
  readonly account: string;
  readonly at: Instant;
  /** The send that showed it. */
  readonly position: number;
  /** What it had sent by then. */
  readonly observed: number;
}

interface Group {
  /** By account, as it turned last. */
  readonly accounts: Map<string, AnomalousAccount>;
  alarmUntil: Instant;
}

export type OutbreaksState = readonly {
  readonly key: string;
  readonly accounts: readonly AnomalousAccount[];
  readonly alarmUntil: Instant;
}[];

const NOBODY: ReadonlyMap<string, AnomalousAccount> = new Map();

/** Groups that nothing happens in are dropped whenever so many have come up. */
const SWEEP = 1_000;

/**
 * Which accounts of a domain turned abnormal lately, by rule: each sends little, but all at once. Once too many have,
 * an alarm stands, and whoever turns while it does is taken at once.
 */
export class Outbreaks {
  readonly #groups = new Map<string, Group>();
  #noted = 0;

  /**
   * An account has turned.
   *
   * @param key of the rule and the domain
   * @returns those to act on, and how many had turned; undefined while there are not too many
   */
  note(
    key: string,
    turned: AnomalousAccount,
    { window, limit, alarm }: { window: Milliseconds; limit: number; alarm: Milliseconds },
  ):
    | { readonly accounts: readonly AnomalousAccount[]; readonly count: number; readonly alarmed: boolean }
    | undefined {
    const { account, at } = turned;
    this.#sweep(at, window);
    let group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, (group = { accounts: new Map(), alarmUntil: 0 }));
    const { accounts } = group;
    for (const other of accounts.values()) if (other.at <= at - window) accounts.delete(other.account);
    if (accounts.has(account) || accounts.size < OUTBREAK_MAX) accounts.set(account, turned);
    const alarmed = at < group.alarmUntil;
    if (!alarmed && accounts.size <= limit) return undefined;
    // An event that comes late shortens no alarm.
    group.alarmUntil = Math.max(group.alarmUntil, at + alarm);
    const found = { accounts: alarmed ? [turned] : [...accounts.values()], count: accounts.size, alarmed };
    for (const each of found.accounts) accounts.delete(each.account);
    return found;
  }

  /** How a group stands, and when an account of it turned, where it has. Changes nothing. */
  standing(
    key: string,
    window: Milliseconds,
    now: Instant,
    account?: string,
  ): { readonly accounts: number; readonly turnedAt?: Instant; readonly alarmUntil?: Instant } {
    const { accounts = NOBODY, alarmUntil = 0 } = this.#groups.get(key) ?? {};
    const turned = [...accounts.values()].filter(({ at }) => at > now - window);
    const turnedAt = turned.find((each) => each.account === account)?.at;
    return {
      accounts: turned.length,
      ...(turnedAt === undefined ? {} : { turnedAt }),
      ...(now < alarmUntil ? { alarmUntil } : {}),
    };
  }

  /** An account was released or dismissed: it has not turned. */
  forget(account: string): void {
    for (const { accounts } of this.#groups.values()) accounts.delete(account);
  }

  /** The opposite of {@link restore}. */
  dump(): OutbreaksState {
    return [...this.#groups].map(([key, { accounts, alarmUntil }]) => ({
      ...{ key, alarmUntil, accounts: [...accounts.values()] },
    }));
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore(state: OutbreaksState): void {
    this.#groups.clear();
    for (const { key, accounts, alarmUntil } of state) {
      const byAccount = new Map(accounts.map((turned) => [turned.account, turned]));
      this.#groups.set(key, { accounts: byAccount, alarmUntil });
    }
  }

  #sweep(at: Instant, window: Milliseconds): void {
    if (++this.#noted % SWEEP !== 0) return;
    for (const [key, { accounts, alarmUntil }] of this.#groups) {
      const newest = Math.max(0, ...[...accounts.values()].map((turned) => turned.at));
      if (alarmUntil < at && newest <= at - window) this.#groups.delete(key);
    }
  }
}
