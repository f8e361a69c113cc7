import type { Until } from '../blocks/events.js';
import type { Instant } from '../kernel/time.js';
import { grouped } from '../kernel/printable.js';

/** The types of an override's subject: a domain's applies to every account of it and of its subdomains. */
export const OVERRIDE_TYPES = ['account', 'domain'] as const;

export interface OverrideSubject {
  readonly type: (typeof OVERRIDE_TYPES)[number];
  /** In normal form. */
  readonly value: string;
}

export const OVERRIDE_ORIGINS = ['file', 'api'] as const;
/** Who set it; the weaker first. A subject can have one of each: the API's lies over the file's, key by key. */
export type OverrideOrigin = (typeof OVERRIDE_ORIGINS)[number];

/** A limit in place of a rule's, in the rule's own count and window; `off`: the rule does not look at the subject. */
export type Limit = number | 'off';

/** What differs from the rules. */
export interface Allowance {
  /** By rule id. */
  readonly limits?: Readonly<Record<string, Limit>>;
  /** Multiplies every limit that is not named beside it: the rule's, or that of a weaker override. */
  readonly factor?: number;
}

/** What a customer bought. */
export interface Terms extends Allowance {
  /** Of a domain only: what its rules `per: domain` allow it altogether. The rest is for each of its accounts. */
  readonly total?: Allowance;
  /** The name of what was bought. */
  readonly plan?: string;
}

/** One override as a person or a panel gives it. */
export interface OverrideEntry {
  readonly subject: OverrideSubject;
  readonly terms: Terms;
  /** Null is for ever. */
  readonly until: Until;
  readonly reason?: string;
}

/** One override as it is now. */
export interface Override extends OverrideEntry {
  readonly origin: OverrideOrigin;
  /** Who set it, and when. */
  readonly by: string;
  readonly at: Instant;
}

export const FACTOR_MIN = 0.1;
export const FACTOR_MAX = 100;

/** The same text for the same terms, in any order of their keys. */
export function termsKey({ limits, factor, total, plan }: Terms): string {
  return JSON.stringify([sorted(limits), factor, sorted(total?.limits), total?.factor, plan]);
}

export function sameOverride(a: Omit<OverrideEntry, 'subject'>, b: Omit<OverrideEntry, 'subject'>): boolean {
  return a.until === b.until && a.reason === b.reason && termsKey(a.terms) === termsKey(b.terms);
}

function sorted(limits: Allowance['limits']): readonly unknown[] {
  return Object.entries(limits ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** As much of a rule as says whether an override can mean it. */
interface RuleName {
  readonly id: string;
  readonly per: string;
}

/** A limit that no rule in force looks at. */
export interface Unused {
  /** The field that holds it: `limits.burst`, `total.limits.domain`. */
  readonly field: string;
  readonly message: string;
}

/** The limits that mean nothing under these rules. Rule sets change: they may mean something again. */
export function unusedLimits(terms: Terms, rules: readonly RuleName[]): readonly Unused[] {
  return [
    ...unused('limits', 'account', terms.limits, rules),
    ...unused('total.limits', 'domain', terms.total?.limits, rules),
  ];
}

const WHERE: Readonly<Record<string, string>> = {
  account: 'its limit belongs under limits',
  domain: 'its limit belongs under total.limits, in the override of a domain',
};

function unused(path: string, per: string, limits: Terms['limits'], rules: readonly RuleName[]): Unused[] {
  return Object.keys(limits ?? {}).flatMap((id) => {
    const rule = rules.find((one) => one.id === id);
    if (rule?.per === per) return [];
    const message =
      rule === undefined
        ? 'no rule in force has this id'
        : `the rule counts per ${rule.per}: ${WHERE[rule.per] ?? 'no override reaches it'}`;
    return [{ field: `${path}.${id}`, message }];
  });
}

/** A sentence for each limit that means nothing under these rules, and that one of these overrides sets. */
export function vainLimits(
  overrides: Iterable<Pick<Override, 'terms'>>,
  rules: readonly RuleName[],
): readonly string[] {
  const setting = new Map<string, { count: number; terms: Terms }>();
  const add = (field: string, terms: Terms): void => {
    const found = setting.get(field);
    if (found === undefined) setting.set(field, { count: 1, terms });
    else found.count++;
  };
  for (const { terms } of overrides) {
    for (const id of Object.keys(terms.limits ?? {})) add(`limits.${id}`, { limits: { [id]: 'off' } });
    for (const id of Object.keys(terms.total?.limits ?? {}))
      add(`total.limits.${id}`, { total: { limits: { [id]: 'off' } } });
  }
  return [...setting.values()].flatMap(({ count, terms }) =>
    unusedLimits(terms, rules).map(
      ({ field, message }) =>
        `${count === 1 ? 'one override sets' : `${count} overrides set`} ${field} in vain: ${message}`,
    ),
  );
}

/** What holds for a subject in place of a rule's limit, and whose doing that is. */
export interface Overridden {
  /** Null: the rule does not look at this subject. */
  readonly limit: number | null;
  /** The rule's own. */
  readonly usual: number;
  /** The override that names the limit; undefined if the usual one is only multiplied. */
  readonly named: Override | undefined;
  /** The override whose factor multiplies it. */
  readonly multiplied: Override | undefined;
  /** Undefined if nothing multiplies it. */
  readonly factor: number | undefined;
}

/**
 * The limit as an evidence sentence ends: `500 instead of 100, by the override of domain example.com (plan "pro")`;
 * of a rule that is off the words are `as much as it likes instead of 100, by …`.
 */
export function inWords({ limit, usual, named, multiplied, factor }: Overridden): string {
  const amount = limit === null ? 'as much as it likes' : grouped(limit);
  const why = [
    ...(named === undefined ? [] : [`by the override of ${nameOf(named)}`]),
    ...(multiplied === undefined ? [] : [`times ${factor} by the override of ${nameOf(multiplied)}`]),
  ];
  return `${amount} instead of ${grouped(usual)}, ${why.join(', ')}`;
}

function nameOf({ subject, terms }: Override): string {
  const plan = terms.plan === undefined ? '' : ` (plan "${terms.plan}")`;
  return `${subject.type} ${subject.value}${plan}`;
}
