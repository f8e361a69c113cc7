import { StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { RuleSet, RulesChanged, RulesFact } from './model.js';
import { isShadowEvent } from './shadow.js';
import type { ShadowFact } from './shadow.js';

/** What stands in the stream of the rules, as far as shadow rules go. */
export interface ShadowStanding {
  /** Version of the rules in force; 0 before the first. */
  readonly live: number;
  readonly shadow: { readonly version: number; readonly rules: RuleSet; readonly source: string } | undefined;
  /** How many rule sets ever ran in the shadow. */
  readonly shadows: number;
}

export const NO_RULES_YET: ShadowStanding = { live: 0, shadow: undefined, shadows: 0 };

export type ShadowCommand =
  | { readonly kind: 'load'; readonly rules: RuleSet; readonly source: string }
  | { readonly kind: 'remove' }
  | { readonly kind: 'promote' };

/**
 * What a command brings about: no fact where there is nothing left to do.
 *
 * @throws StopgapError `not-found` where nothing runs in the shadow that could be removed or promoted
 */
export function decideShadow(
  command: ShadowCommand,
  { live, shadow, shadows }: ShadowStanding,
): readonly (ShadowFact | RulesFact)[] {
  if (command.kind === 'load') {
    const { rules, source } = command;
    if (shadow?.source === source) return [];
    return [{ type: 'ShadowRulesChanged', data: { version: shadows + 1, rules, source } }];
  }
  if (shadow === undefined) throw new StopgapError('not-found', 'no rules run in the shadow');
  const { version, rules, source } = shadow;
  if (command.kind === 'remove') return [{ type: 'ShadowRulesRemoved', data: { version } }];
  return [
    { type: 'ShadowRulesPromoted', data: { version } },
    { type: 'RulesChanged', data: { version: live + 1, rules, source, origin: 'shadow' } },
  ];
}

/** Folds one event of the stream of the rules; what is none of ours changes nothing. */
export function evolveShadow(standing: ShadowStanding, event: RecordedEvent): ShadowStanding {
  if (event.type === 'RulesChanged') {
    const { version } = (event.data ?? {}) as Partial<RulesChanged>;
    return Number.isSafeInteger(version) ? { ...standing, live: version! } : standing;
  }
  if (!isShadowEvent(event)) return standing;
  const { version } = event.data;
  if (event.type === 'ShadowRulesChanged') {
    const { rules, source } = event.data;
    return { ...standing, shadow: { version, rules, source }, shadows: Math.max(standing.shadows, version) };
  }
  return standing.shadow?.version === version ? { ...standing, shadow: undefined } : standing;
}
