import type { Until } from '../blocks/events.js';
import type { Instant } from '../kernel/time.js';

/** Whom an override can be for: a domain's holds for every account of it and of its subdomains. */
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

/** One override as it stands. */
export interface Override extends OverrideEntry {
  readonly origin: OverrideOrigin;
  /** Who set it, and when. */
  readonly by: string;
  readonly at: Instant;
}

export const FACTOR_MIN = 0.1;
export const FACTOR_MAX = 100;

/**
 * The same text for the same terms, in whatever order their keys came.
 */
export function termsKey({ limits, factor, total, plan }: Terms): string {
  return JSON.stringify([sorted(limits), factor, sorted(total?.limits), total?.factor, plan]);
}

export function sameOverride(a: Omit<OverrideEntry, 'subject'>, b: Omit<OverrideEntry, 'subject'>): boolean {
  return a.until === b.until && a.reason === b.reason && termsKey(a.terms) === termsKey(b.terms);
}

function sorted(limits: Allowance['limits']): readonly unknown[] {
  return Object.entries(limits ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
}
