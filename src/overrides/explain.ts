import type { Override } from './model.js';

/** What holds for a subject in place of a rule's limit, and whose doing that is. */
export interface Overridden {
  /** Null: the rule does not look at this subject. */
  readonly limit: number | null;
  /** The rule's own. */
  readonly usual: number;
  /** The override that names the limit; undefined where the usual one is only multiplied. */
  readonly named: Override | undefined;
  /** The override whose factor multiplies it. */
  readonly multiplied: Override | undefined;
  /** Undefined where nothing multiplies it. */
  readonly factor: number | undefined;
}

const NUMBERS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/**
 * The limit as an evidence sentence ends: `500 instead of 100, by the override of domain example.com (plan "pro")`;
 * of a rule that is off the words are `as much as it likes instead of 100, by …`.
 */
export function inWords({ limit, usual, named, multiplied, factor }: Overridden): string {
  const amount = limit === null ? 'as much as it likes' : NUMBERS.format(limit);
  const why = [
    ...(named === undefined ? [] : [`by the override of ${nameOf(named)}`]),
    ...(multiplied === undefined ? [] : [`times ${factor} by the override of ${nameOf(multiplied)}`]),
  ];
  return `${amount} instead of ${NUMBERS.format(usual)}, ${why.join(', ')}`;
}

function nameOf({ subject, terms }: Override): string {
  const plan = terms.plan === undefined ? '' : ` (plan "${terms.plan}")`;
  return `${subject.type} ${subject.value}${plan}`;
}
