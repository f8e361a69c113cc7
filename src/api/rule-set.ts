import { z } from 'zod';
import { REFUSALS } from '../blocks/events.js';
import { isOver } from '../blocks/state.js';
import type { Instant } from '../kernel/time.js';
import { formatDuration } from '../kernel/time.js';
import type { Override } from '../overrides/model.js';
import { OVERRIDE_TYPES, vainLimits } from '../overrides/model.js';
import { forgeable, formatQuietHours, withoutGeoData } from '../rules/explain.js';
import type {
  Anomaly,
  Baseline,
  Conditions,
  QuietHours,
  Rule,
  RuleSet,
  RulesChanged,
} from '../rules/model.js';
import { LEARNING, RULES_ORIGINS } from '../rules/model.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import { blocksOfExempt } from './exemptions.js';
import { durationShape, instantShape, instantView, spanView, subjectShape } from './shapes.js';

export const faultShape = z
  .object({ line: z.int().nullable(), path: z.string(), message: z.string() })
  .meta({ id: 'RuleFault' });

const baselineShape = z.object({
  baseline: z.number().meta({ description: 'Times the median of the weekly peaks; 0 leaves it out.' }),
  record: z.number().meta({ description: 'Times the highest of them; 0 leaves it out.' }),
  largest: z.number().meta({ description: 'Times the largest message; 0 leaves it out.' }),
  plus: z.number().meta({ description: 'Added to the highest of these multiples.' }),
  rise: z
    .number()
    .nullable()
    .meta({ description: 'The most by which the last four weeks raise the record; null for any amount.' }),
  floor: z.number(),
  start: z.number().meta({ description: 'The floor of who is still being learnt.' }),
  ceiling: z.number().nullable(),
});

const ruleShape = z.object({
  id: z.string(),
  description: z.string().nullable(),
  per: z.enum(SUBJECT_TYPES),
  count: z.string(),
  window: durationShape,
  leaveOut: z
    .int()
    .nullable()
    .meta({ description: 'So many of the largest messages are left out of the count.' }),
  limit: z.number().meta({ description: 'With a baseline the lowest that it can be.' }),
  baseline: baselineShape.nullable().meta({ description: 'How the limit follows the sender.' }),
  when: z.record(z.string(), z.unknown()).nullable().meta({ description: 'As in the rules file.' }),
  score: z
    .object({ threshold: z.number(), signals: z.array(z.looseObject({ points: z.number() })) })
    .nullable(),
  turned: z
    .object({
      count: z.string(),
      window: durationShape,
      limit: baselineShape,
      alarm: durationShape,
      after: durationShape,
    })
    .nullable()
    .meta({ description: 'Of a count of accounts: when one of them has turned.' }),
  then: z.string(),
  for: durationShape.nullable().meta({ description: 'Or indefinite; null where it only observes.' }),
  escalate: z.object({ factor: z.number(), max: durationShape, forget: durationShape }).nullable(),
  lapse: durationShape,
  direction: z.enum(DIRECTIONS),
  refuse: z.enum(REFUSALS),
  renewWhileTrying: z.boolean(),
  teaches: z.boolean(),
});

/** A rule set, in force or in the shadow. */
export const ruleSetShape = z.object({
  mode: z.enum(['enforce', 'observe']),
  maxAutomaticBlocks: z.string().meta({ examples: ['20 in 10m'] }),
  learning: z
    .object({ days: z.int(), age: durationShape, installation: durationShape })
    .meta({ description: 'When a sender counts as known.' }),
  rules: z.array(ruleShape),
  exempt: z.array(z.object({ subject: subjectShape, until: instantShape.nullable(), reason: z.string() })),
});

export const rulesWarnings = z
  .array(z.string())
  .meta({ description: 'What is valid and will not do what it is meant to here, a sentence each.' });

export const rulesShape = z
  .object({
    version: z.int(),
    origin: z.enum(RULES_ORIGINS).meta({ description: 'A promotion is one of shadow.' }),
    source: z.string().meta({ description: 'The YAML that it was read from.' }),
    ...ruleSetShape.shape,
    warnings: rulesWarnings,
    installedAt: instantShape
      .nullable()
      .meta({ description: 'What learning.installation counts from: the first event or day that there is.' }),
    rules: z.array(ruleShape.extend({ activeBlocks: z.int() })),
  })
  .meta({ id: 'Rules' });

type RuleJson = z.infer<typeof ruleShape>;
type RuleSetJson = z.infer<typeof ruleSetShape>;
type RulesJson = z.infer<typeof rulesShape>;

/** The rule set in force. */
export function rulesView(
  changed: RulesChanged,
  {
    models: { sendVolume, ledger, overrides },
    clock,
    places,
  }: Pick<ApiDependencies, 'models' | 'clock' | 'places'>,
): RulesJson {
  const now = clock.now();
  const active = ledger.rows.activeByRule(now);
  const { version, origin, source, rules: set } = changed;
  const { rules, ...rest } = ruleSetView(set);
  const shown = rules.map((rule) => ({ ...rule, activeBlocks: active.get(rule.id) ?? 0 }));
  const warnings = [
    ...rulesWarningsOf(set, places),
    ...vainLimits(overridesInForce(overrides, now), set.rules),
  ];
  const installedAt = instantView(sendVolume.installedAt);
  return { version, origin, source, ...rest, warnings, installedAt, rules: shown };
}

function* overridesInForce(
  overrides: ApiDependencies['models']['overrides'],
  now: Instant,
): Generator<Override> {
  for (const type of OVERRIDE_TYPES)
    for (const { api, file } of overrides.all(type))
      for (const layer of [api, file]) if (layer !== undefined && !isOver(layer.until, now)) yield layer;
}

/** A sentence for each block in force that the exemptions cover: they do not end it. */
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

/** A sentence for each rule that is valid and cannot do here what it says. */
export function rulesWarningsOf(set: Pick<RuleSet, 'rules'>, places: ApiDependencies['places']): string[] {
  const vain = places === undefined ? [] : withoutGeoData(set, places).map(({ sentence }) => sentence);
  return [...forgeable(set), ...vain];
}

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
    exempt: exempt.map(({ subject, until, reason }) => ({ subject, until: instantView(until), reason })),
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
    for: rule.then === 'observe' ? null : spanView(rule.for),
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

function baselineView({ typical, plus = 0, rise, ...rest }: Baseline): NonNullable<RuleJson['baseline']> {
  return { baseline: typical, plus, rise: rise ?? null, ...rest };
}

function turnedView({ count, window, baseline, alarm, after }: Anomaly): NonNullable<RuleJson['turned']> {
  return {
    count,
    window: formatDuration(window),
    limit: baselineView(baseline),
    alarm: formatDuration(alarm),
    after: formatDuration(after),
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
