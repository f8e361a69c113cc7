import type { Terms } from './model.js';

/** As much of a rule as says whether an override can mean it. */
interface RuleName {
  readonly id: string;
  readonly per: string;
}

/** A limit that no rule in force looks at. */
export interface Unused {
  /** Where it stands: `limits.burst`, `total.limits.domain`. */
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
