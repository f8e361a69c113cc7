import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { outbreakSentence } from '../../src/rules/explain.js';
import type { Rule } from '../../src/rules/model.js';
import { highestLimit, OUTBREAK_MAX } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import { domainOf } from '../../src/sending/identity.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { AnomalousAccount, WindowReading } from './rule-evaluation.js';
import type { FeedbackContext } from './subject-volumes.js';
import type { Overrides } from './overrides.js';

/** What an account of a group has done. */
interface Deed {
  readonly account: string;
  readonly at: Instant;
  /** Done from a place that it used on a day before: it keeps up no alarm. */
  readonly isKnownPlace?: boolean;
}

interface Group<Member> {
  /** By account, its last deed. */
  readonly accounts: Map<string, Member>;
  alarmSince: Instant;
  alarmUntil: Instant;
  /** How many began the alarm. */
  found: number;
  /** What the alarm rests on: the accounts that were acted on, without those that a person has called innocent. */
  acted: Set<string>;
  /** Nothing of it matters any more from then on. */
  idleAt: Instant;
}

export type OutbreaksState<Member = AnomalousAccount> = readonly {
  readonly key: string;
  readonly accounts: readonly Member[];
  readonly alarmSince: Instant;
  readonly alarmUntil: Instant;
  readonly found: number;
  readonly acted: readonly string[];
  readonly idleAt: Instant;
}[];

const newGroup = <Member>(): Group<Member> => ({
  accounts: new Map<string, Member>(),
  acted: new Set<string>(),
  alarmSince: 0,
  alarmUntil: 0,
  idleAt: 0,
  found: 0,
});

/** What there is to act on. */
interface Found<Member> {
  readonly accounts: readonly Member[];
  readonly count: number;
  readonly alarmed: boolean;
  /** How many had begun the alarm. */
  readonly begun: number;
}

/** Idle groups are dropped each time this many accounts were noted. */
const SWEEP = 1_000;
/** The groups that are kept at most; the one that nothing was added to for longest makes room. */
export const GROUPS_MAX = 10_000;

/**
 * The accounts that lately did the same, by rule and what they have in common: each does little, but all at the same
 * time. When there are too many, an alarm is on, and each account that does it during the alarm is acted on at once. It is over
 * too when so many of them turn out to be innocent, or so many more are allowed, that they would have begun none. As long as it would
 * have lasted, those who are left count together with those who do it next.
 */
export class Outbreaks<Member extends Deed = AnomalousAccount> {
  readonly #groups = new Map<string, Group<Member>>();
  #noted = 0;

  /**
   * An account has done it.
   *
   * @param key of the rule and what they have in common
   * @param isEnough what must be so besides of more than the limit; it may be costly, so it is asked only when they are one more
   * @returns those to act on, how many there were, and how many had begun the alarm; undefined while there are not too many
   */
  note(
    key: string,
    turned: Member,
    { window, limit, alarm }: { window: Milliseconds; limit: number; alarm: Milliseconds },
    isEnough?: (accounts: ReadonlyMap<string, Member>) => boolean,
  ): Found<Member> | undefined {
    const { account, at } = turned;
    this.#sweep(at);
    const group = this.#groups.get(key) ?? newGroup<Member>();
    this.#keep(key, group);
    group.idleAt = Math.max(group.idleAt, at + window);
    const { accounts } = group;
    // An event may come late: it is of the time when it happened.
    const isTogether = (other: Member): boolean => other.at < at + window;
    const isWithin = at < group.alarmUntil && at > group.alarmSince - window;
    let count = isWithin ? group.acted.size : 0;
    const alarmed = count > limit;
    const add = (other: Member): void => {
      if (!isWithin || !group.acted.has(other.account)) count++;
    };
    for (const other of accounts.values()) {
      if (other.at <= at - window) accounts.delete(other.account);
      else if (other.account !== account && isTogether(other)) add(other);
    }
    const before = accounts.size;
    if (accounts.has(account) || before < OUTBREAK_MAX) {
      accounts.set(account, turned);
      add(turned);
    }
    if (!alarmed && (count <= limit || (isEnough !== undefined && accounts.size === before)))
      return undefined;
    const acting = alarmed ? [turned] : [...accounts.values()].filter(isTogether);
    if (!alarmed && isEnough?.(new Map(acting.map((each) => [each.account, each]))) === false)
      return undefined;
    for (const each of acting) accounts.delete(each.account);
    const isLate = !isWithin && at < group.alarmUntil;
    if (!isLate && acting.some((each) => each.isKnownPlace !== true)) {
      if (!isWithin) [group.acted, group.alarmSince] = [new Set(), at];
      if (!alarmed) group.found = count;
      for (const each of acting) if (group.acted.size < OUTBREAK_MAX) group.acted.add(each.account);
      group.alarmUntil = Math.max(group.alarmUntil, at + alarm);
      group.idleAt = Math.max(group.idleAt, group.alarmUntil);
    }
    return { accounts: acting, count: alarmed ? acting.length : count, alarmed, begun: group.found };
  }

  /** What an account did last in a group. */
  last(key: string, account: string): Member | undefined {
    return this.#groups.get(key)?.accounts.get(account);
  }

  /** The accounts of a group that did it within the window. Changes nothing. */
  within(key: string, window: Milliseconds, now: Instant): readonly Member[] {
    return [...(this.#groups.get(key)?.accounts.values() ?? [])].filter(({ at }) => at > now - window);
  }

  /** The state of a group, and when an account of it turned abnormal, if it has. Changes nothing. */
  standing(
    key: string,
    { window, limit }: { readonly window: Milliseconds; readonly limit: number },
    now: Instant,
    account?: string,
  ): { readonly accounts: number; readonly turnedAt?: Instant; readonly alarmUntil?: Instant } {
    const { alarmUntil, acted } = this.#groups.get(key) ?? newGroup();
    const turned = this.within(key, window, now);
    const turnedAt = turned.find((each) => each.account === account)?.at;
    return {
      accounts: turned.length,
      ...(turnedAt === undefined ? {} : { turnedAt }),
      ...(now < alarmUntil && acted.size > limit ? { alarmUntil } : {}),
    };
  }

  /** An account was released or dismissed: it has done nothing. @param isInnocent no alarm rests on it either */
  forget(account: string, isInnocent = false): void {
    for (const { accounts, acted } of this.#groups.values()) {
      accounts.delete(account);
      if (isInnocent) acted.delete(account);
    }
  }

  /** A person has judged what a group did. */
  drop(key: string): void {
    this.#groups.delete(key);
  }

  /** The opposite of {@link restore}. */
  dump(): OutbreaksState<Member> {
    return [...this.#groups].map(([key, { accounts, acted, ...rest }]) => ({
      key,
      ...rest,
      accounts: [...accounts.values()],
      acted: [...acted],
    }));
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore(state: OutbreaksState<Member>): void {
    this.#groups.clear();
    for (const { key, accounts, acted, ...rest } of state) {
      const byAccount = new Map(accounts.map((turned) => [turned.account, turned]));
      this.#groups.set(key, { accounts: byAccount, acted: new Set(acted), ...rest });
    }
  }

  /** Puts a group last, and makes room for it. */
  #keep(key: string, group: Group<Member>): void {
    this.#groups.delete(key);
    if (this.#groups.size >= GROUPS_MAX)
      for (const oldest of this.#groups.keys()) {
        this.#groups.delete(oldest);
        break;
      }
    this.#groups.set(key, group);
  }

  #sweep(at: Instant): void {
    if (++this.#noted % SWEEP !== 0) return;
    for (const [key, { idleAt }] of this.#groups) if (idleAt <= at) this.#groups.delete(key);
  }
}

/**
 * An account has turned abnormal under a rule on its domain: checks whether there are too many of them.
 *
 * @returns a verdict for each account to act upon
 */
export function outbreakVerdicts(
  outbreaks: Outbreaks,
  rule: Rule,
  turned: AnomalousAccount,
  { rules, volumes, overrides }: FeedbackContext & { readonly overrides: Overrides },
): readonly Verdict[] {
  const { at, position } = turned;
  const domain = domainOf(turned.account);
  if (domain === undefined) return [];
  const limit = allowedTogether(overrides, rule, domain, at);
  if (limit === null) return [];
  const { window } = rule;
  const { alarm } = rule.turned!;
  const found = outbreaks.note(keyOf(rule, domain), turned, { window, limit, alarm });
  if (found === undefined) return [];
  return found.accounts.map((each) => {
    const subject = { type: 'account', value: each.account } as const;
    const own = volumes.account.turned(rule, each, at);
    const evidence = {
      rule: rule.id,
      version: rules.version,
      count: rule.count,
      window,
      limit,
      observed: found.count,
      firstPosition: each.first,
      lastPosition: position,
      lastAt: at,
      sentence: outbreakSentence(rule, subject, own, { domain, limit, ...found }),
    };
    return { kind: 'act', rule, mode: rules.mode, subject, evidence, at };
  });
}

/** The state of a domain, or of an account and its domain, by every rule that counts accounts which turn abnormal. */
export function outbreakReadings(
  outbreaks: Outbreaks,
  { type, value }: Subject,
  now: Instant,
  { rules, volumes, overrides }: FeedbackContext & { readonly overrides: Overrides },
): readonly WindowReading[] {
  if (type !== 'account' && type !== 'domain') return [];
  const domain = type === 'domain' ? value : domainOf(value);
  if (domain === undefined) return [];
  return rules.rules.flatMap((rule) => {
    if (rule.turned === undefined) return [];
    const limit = allowedTogether(overrides, rule, domain, now);
    if (limit === null) return [];
    const { id, count, window, direction } = rule;
    const standing = outbreaks.standing(
      keyOf(rule, domain),
      { window, limit },
      now,
      type === 'account' ? value : undefined,
    );
    const group = { domain, limit, window, ...standing };
    if (type === 'account') return [{ ...volumes.account.turning(rule, value, now), outbreak: group }];
    const { accounts: observed } = standing;
    return [{ rule: id, count, window, observed, limit, direction, besides: [], outbreak: group }];
  });
}

/**
 * How many accounts of a domain may turn abnormal; null if the rule is off for it. A number above those remembered
 * would be no limit.
 */
function allowedTogether(overrides: Overrides, rule: Rule, domain: string, at: Instant): number | null {
  const limit = overrides.limit(rule.id, 'domain', domain, rule.limit, at);
  return limit === null ? null : Math.min(limit, highestLimit(rule.count));
}

function keyOf({ id }: Rule, domain: string): string {
  return `${id} ${domain}`;
}
