import { formatDuration } from '../kernel/time.js';
import { forgeable, formatQuietHours, withoutGeoData } from '../rules/explain.js';
import { LEARNING } from '../rules/model.js';
import type {
  Baseline,
  Conditions,
  QuietHours,
  Rule,
  RuleSet,
  RulesChanged,
  Anomaly,
} from '../rules/model.js';
import type { ApiDependencies } from './dependencies.js';
import { blocksOfExempt } from './exempt-blocks.js';
import type { RuleJson, RuleSetJson, RulesJson } from './shapes.js';
import { instant, span } from './views.js';

/** The rule set in force. */
export function rulesView(
  changed: RulesChanged,
  { models: { sendVolume, ledger }, clock, places }: Pick<ApiDependencies, 'models' | 'clock' | 'places'>,
): RulesJson {
  const active = ledger.rows.activeByRule(clock.now());
  const { version, origin, source, rules: set } = changed;
  const { rules, ...rest } = ruleSetView(set);
  const shown = rules.map((rule) => ({ ...rule, activeBlocks: active.get(rule.id) ?? 0 }));
  const warnings = rulesWarningsOf(set, places);
  const installedAt = instant(sendVolume.installedAt);
  return { version, origin, source, ...rest, warnings, installedAt, rules: shown };
}

/** Exemptions end no block: those in force that they cover, a sentence each. */
export async function goingOn(
  { rules }: RulesChanged,
  deps: Pick<ApiDependencies, 'models' | 'clock'>,
): Promise<readonly string[]> {
  const blocks = await blocksOfExempt(
    rules.exempt.map(({ subject }) => subject),
    deps,
  );
  return blocks.map(
    ({ id, type, value }) =>
      `${type} ${value} is exempt, and is blocked all the same: to end that, stopgap block release ${id}`,
  );
}

/** What is valid and will not do what it is meant to here. */
export function rulesWarningsOf(set: Pick<RuleSet, 'rules'>, places: ApiDependencies['places']): string[] {
  const vain = places === undefined ? [] : withoutGeoData(set, places).map(({ sentence }) => sentence);
  return [...forgeable(set), ...vain];
}

/** What a rule set says, whether it is in force or not. */
export function ruleSetView({
  mode,
  maxAutomaticBlocks,
  learning = LEARNING,
  rules,
  exempt,
}: RuleSet): RuleSetJson {
  return {
    mode,
    learning: {
      days: learning.days,
      age: formatDuration(learning.age),
      installation: formatDuration(learning.installation),
    },
    maxAutomaticBlocks: `${maxAutomaticBlocks.max} in ${formatDuration(maxAutomaticBlocks.window)}`,
    rules: rules.map(ruleView),
    exempt: exempt.map(({ subject, until, reason }) => ({ subject, until: instant(until), reason })),
  };
}

function ruleView(rule: Rule): RuleJson {
  const { id, per, count, limit, direction, refuse, renewWhileTrying, escalate } = rule;
  return {
    id,
    description: rule.description ?? null,
    per,
    count,
    window: formatDuration(rule.window),
    leaveOut: rule.leaveOut ?? null,
    limit,
    baseline: rule.baseline === undefined ? null : baselineView(rule.baseline),
    when: rule.when === undefined ? null : conditionsView(rule.when),
    score:
      rule.score === undefined
        ? null
        : {
            threshold: rule.score.threshold,
            signals: rule.score.signals.map(({ points, ...conditions }) => ({
              points,
              ...conditionsView(conditions),
            })),
          },
    turned: rule.turned === undefined ? null : turnedView(rule.turned),
    then: rule.then,
    for: rule.then === 'observe' ? null : span(rule.for),
    escalate:
      escalate === undefined
        ? null
        : {
            factor: escalate.factor,
            max: formatDuration(escalate.max),
            forget: formatDuration(escalate.forget),
          },
    lapse: formatDuration(rule.lapse),
    direction,
    refuse,
    renewWhileTrying,
    teaches: rule.teaches === true,
  };
}

function baselineView({ typical, ...rest }: Baseline): NonNullable<RuleJson['baseline']> {
  return { baseline: typical, ...rest };
}

function turnedView({ count, window, baseline, alarm, after }: Anomaly): NonNullable<RuleJson['turned']> {
  return {
    ...{ count, window: formatDuration(window), limit: baselineView(baseline) },
    ...{ alarm: formatDuration(alarm), after: formatDuration(after) },
  };
}

const SPANS = new Set(['firstSeenWithin', 'dormantFor', 'installedWithin', 'installedFor']);

/** As they are written in a rules file. */
function conditionsView(conditions: Conditions): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(conditions).map(([key, value]: [string, unknown]) => {
      if (SPANS.has(key)) return [key, formatDuration(value as number)];
      return [key, key === 'quietHours' ? formatQuietHours(value as QuietHours) : value];
    }),
  );
}
