import { StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { RuleSet, RulesChanged, RulesFact } from './model.js';
import { isShadowEvent } from './shadow.js';
import type { ShadowFact } from './shadow.js';

/** What the stream of the rules says. */
export interface RulesStanding {
  /** Undefined before the first. */
  readonly inForce: RulesChanged | undefined;
  /** The text of the rules file that was put in force last. */
  readonly file: string | undefined;
  readonly shadow: { readonly version: number; readonly rules: RuleSet; readonly source: string } | undefined;
  /** How many rule sets ever ran in the shadow. */
  readonly shadows: number;
}

export const NO_RULES_YET: RulesStanding = {
  inForce: undefined,
  file: undefined,
  shadow: undefined,
  shadows: 0,
};

export type RulesCommand =
  /**
   * Puts a rule set in force. A file is put in force when it differs from the last file that was, so that what was set
   * through the API meanwhile stays until somebody edits the file; built-in rules only ever replace built-in rules.
   */
  | {
      readonly kind: 'replace';
      readonly origin: Exclude<RulesChanged['origin'], 'shadow'>;
      readonly rules: RuleSet;
      readonly source: string;
    }
  | { readonly kind: 'load'; readonly rules: RuleSet; readonly source: string }
  | { readonly kind: 'remove' }
  | { readonly kind: 'promote' };

/**
 * What a command brings about: no fact where there is nothing left to do.
 *
 * @throws StopgapError `not-found` where nothing runs in the shadow that could be removed or promoted
 */
export function decideRules(
  command: RulesCommand,
  { inForce, file, shadow, shadows }: RulesStanding,
): readonly (ShadowFact | RulesFact)[] {
  const next = (inForce?.version ?? 0) + 1;
  if (command.kind === 'replace') {
    const { rules, source, origin } = command;
    if (inForce?.source === source || (origin === 'file' && file === source)) return [];
    if (origin === 'defaults' && (inForce?.origin ?? origin) !== origin) return [];
    return [{ type: 'RulesChanged', data: { version: next, rules, source, origin } }];
  }
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
    { type: 'RulesChanged', data: { version: next, rules, source, origin: 'shadow' } },
  ];
}

/** Folds one event of the stream of the rules; what is none of ours changes nothing. */
export function evolveRules(standing: RulesStanding, event: RecordedEvent): RulesStanding {
  if (isChange(event)) {
    const { data } = event;
    return { ...standing, inForce: data, file: data.origin === 'file' ? data.source : standing.file };
  }
  if (!isShadowEvent(event)) return standing;
  const { version } = event.data;
  if (event.type === 'ShadowRulesChanged') {
    const { rules, source } = event.data;
    return { ...standing, shadow: { version, rules, source }, shadows: Math.max(standing.shadows, version) };
  }
  return standing.shadow?.version === version ? { ...standing, shadow: undefined } : standing;
}

/** Anything else of this name is passed over, as the read models do. */
function isChange(event: RecordedEvent): event is RecordedEvent & RulesFact {
  const { version, source, rules } = (event.data ?? {}) as Partial<RulesChanged>;
  return (
    event.type === 'RulesChanged' &&
    Number.isSafeInteger(version) &&
    typeof source === 'string' &&
    Array.isArray(rules?.rules)
  );
}
