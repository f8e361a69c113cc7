import { togetherSentence } from '../src/rules/explain.js';
import type { Rule } from '../src/rules/model.js';
import type { Verdict } from '../src/rules/verdict.js';
import { domainOf } from '../src/sending/identity.js';
import type { Judged } from './judgements.js';
import type { Overrides } from './overrides.js';
import type { Together, Turned } from './together.js';

/**
 * An account has turned abnormal, says a rule over its domain: are there too many of them?
 *
 * @returns a verdict for each of those that are to be acted upon
 */
export function turnedTogether(
  together: Together,
  rule: Rule,
  turned: Turned,
  { rules, volumes, overrides }: Judged & { readonly overrides: Overrides },
): readonly Verdict[] {
  const { at, position } = turned;
  const domain = domainOf(turned.account);
  if (domain === undefined) return [];
  const limit = overrides.limit(rule.id, 'domain', domain, rule.limit, at);
  if (limit === null) return [];
  const { window } = rule;
  const { alarm } = rule.turned!;
  const found = together.note(`${rule.id} ${domain}`, turned, { window, limit, alarm });
  if (found === undefined) return [];
  return found.accounts.map((each) => {
    const subject = { type: 'account', value: each.account } as const;
    const own = volumes.account.turned(rule, each, at);
    const evidence = {
      ...{ rule: rule.id, version: rules.version, count: rule.count, window, limit },
      observed: found.count,
      ...{ firstPosition: each.position, lastPosition: position, lastAt: at },
      sentence: togetherSentence(rule, subject, own, { domain, limit, ...found }),
    };
    return { kind: 'act', rule, mode: rules.mode, subject, evidence, at };
  });
}
