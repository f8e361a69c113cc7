import { outbreakSentence } from '../../src/rules/explain.js';
import type { Rule } from '../../src/rules/model.js';
import { highestLimit } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/verdict.js';
import type { Instant } from '../../src/kernel/time.js';
import { domainOf } from '../../src/sending/identity.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { FeedbackContext } from './feedback.js';
import type { Overrides } from './overrides.js';
import type { Outbreaks, AnomalousAccount } from './outbreak.js';
import type { WindowReading } from './window-readings.js';

/**
 * An account has turned abnormal, says a rule over its domain: are there too many of them?
 *
 * @returns a verdict for each of those that are to be acted upon
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
      ...{ rule: rule.id, version: rules.version, count: rule.count, window, limit },
      observed: found.count,
      ...{ firstPosition: each.position, lastPosition: position, lastAt: at },
      sentence: outbreakSentence(rule, subject, own, { domain, limit, ...found }),
    };
    return { kind: 'act', rule, mode: rules.mode, subject, evidence, at };
  });
}

/** How it stands with a domain, or with an account and its domain, by every rule that counts accounts which turn abnormal. */
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
    if (rule.count !== 'accounts') return [];
    const limit = allowedTogether(overrides, rule, domain, now);
    if (limit === null) return [];
    const { id, count, window, direction } = rule;
    const standing = outbreaks.standing(
      keyOf(rule, domain),
      window,
      now,
      type === 'account' ? value : undefined,
    );
    const group = { domain, limit, window, ...standing };
    if (type === 'account') return [{ ...volumes.account.turning(rule, value, now), outbreak: group }];
    const { accounts: observed } = standing;
    return [{ rule: id, count, window, observed, limit, direction, besides: [], outbreak: group }];
  });
}

/** How many accounts of a domain may turn; null where the rule is off for it. More than are remembered would be no limit. */
function allowedTogether(overrides: Overrides, rule: Rule, domain: string, at: Instant): number | null {
  const limit = overrides.limit(rule.id, 'domain', domain, rule.limit, at);
  return limit === null ? null : Math.min(limit, highestLimit(rule.count));
}

function keyOf({ id }: Rule, domain: string): string {
  return `${id} ${domain}`;
}
