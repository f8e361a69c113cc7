import { restsOnBounces } from './model.js';
import type { Rule, RuleSet } from './model.js';

/**
 * The rules by which a stranger can get somebody else refused, or that cannot block since a stranger could: each as a
 * sentence for a person.
 */
export function forgeable({ rules }: Pick<RuleSet, 'rules'>): readonly string[] {
  return rules.flatMap((rule) => {
    if (rule.then !== 'block') return [];
    if (restsOnBounces(rule))
      return [
        `rule "${rule.id}" looks at bounces, which anybody may send to anybody: it proposes, and blocks nobody`,
      ];
    const why = whyForgeable(rule);
    return why === undefined ? [] : [`rule "${rule.id}" ${why}; let it propose, or count per ip`];
  });
}

function whyForgeable({ per, direction }: Rule): string | undefined {
  const arriving = direction !== 'outbound';
  switch (per) {
    case 'ehlo':
      return arriving
        ? 'blocks an EHLO name, which every client chooses: a stranger who takes that of a customer gets its mail refused'
        : 'blocks an EHLO name, which every client chooses: one account that takes that of a customer gets it refused';
    case 'address':
    case 'domain':
      return arriving
        ? `blocks ${per === 'domain' ? 'the domain of ' : ''}a return path of mail that arrives, which anybody can write there: the mail of its owner is refused with it`
        : undefined;
    case 'account':
    case 'ip':
      return undefined;
  }
}
