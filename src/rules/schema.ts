import { z } from 'zod';
import { REFUSALS } from '../blocks/events.js';
import { InvalidInput } from '../kernel/errors.js';
import { DAY, DURATION_FORM, MINUTE, parseDuration, parseInstant } from '../kernel/time.js';
import { peakName, PEAKS_KEPT } from '../sending/day-summary.js';
import { DIRECTIONS, parsePattern, SUBJECT_TYPES, subjectKey } from '../sending/subjects.js';
import type { Anomaly, Baseline, Breaker, Conditions, Count, Rule, RuleExemption, RuleSet } from './model.js';
import {
  ACTIONS,
  COUNTS,
  countsNewcomers,
  DISTINCT_MAX,
  isDistinctCount,
  LEARNING,
  OUTBREAK_MAX,
  WINDOW_MAX,
  WINDOW_MIN,
} from './model.js';
import { faultsOf, strictObject } from '../overrides/strict-object.js';
import {
  amount,
  conditions,
  duration,
  isZone,
  learning,
  LONGEST,
  QUIET_HOURS,
  score,
  times,
} from './condition-schema.js';

const BELOW_PLUS = 'must not be lower than plus: it would never count';

/** `{ baseline: 5x, record: 1.5x, floor: 40, ceiling: 2000 }`, or `{ record: 2.5x, plus: 10 }` */
const baseline = strictObject(
  {
    baseline: times.optional(),
    record: times.optional(),
    largest: times.optional(),
    plus: amount.optional(),
    rise: amount.optional(),
    floor: amount.optional(),
    start: amount.optional(),
    ceiling: amount.optional(),
  },
  ({ code, input }) => {
    if (code !== 'invalid_type') return undefined;
    return input === undefined ? 'is missing' : 'must follow the sender, such as { baseline: 3x, floor: 40 }';
  },
)
  .superRefine(({ baseline: typical, record, plus = 0, floor = plus, start = floor, ceiling }, context) => {
    const fault = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (typical === undefined && record === undefined) fault('baseline', 'is missing');
    if (floor === 0) fault('floor', 'is missing: give it, or plus');
    if (floor < plus) fault('floor', BELOW_PLUS);
    else if (start < plus) fault('start', BELOW_PLUS);
    if (ceiling !== undefined && ceiling < Math.max(floor, start))
      fault('ceiling', 'must not be lower than floor and start');
  })
  .transform(
    ({ baseline: typical = 0, record = 0, largest = 0, plus, rise, floor, start, ceiling }): Baseline => {
      const lowest = floor ?? plus!;
      const added = plus === undefined ? {} : { plus };
      const bounded = rise === undefined ? {} : { rise };
      return {
        typical,
        record,
        largest,
        ...added,
        ...bounded,
        floor: lowest,
        start: start ?? lowest,
        ceiling: ceiling ?? null,
      };
    },
  );

/** A fixed number, or a baseline: the faults are those of the form that was meant. */
const limit = z.unknown().transform((value, context) => {
  const fault = (message: string, path: readonly PropertyKey[] = []): void =>
    context.addIssue({ code: 'custom', message, path: [...path] });
  if (value === undefined) fault('is missing');
  else if (value === null || Array.isArray(value))
    fault('must be a number, or follow the sender such as { baseline: 3x, floor: 40 }');
  if (value === undefined || value === null || Array.isArray(value)) return z.NEVER;
  const result = typeof value === 'object' ? baseline.safeParse(value) : amount.safeParse(value);
  if (!result.success) {
    for (const { message, path } of result.error.issues.flatMap(faultsOf)) fault(message, path);
    return z.NEVER;
  }
  const bound = result.data;
  return typeof bound === 'number'
    ? { limit: bound, baseline: undefined }
    : { limit: Math.min(bound.floor, bound.start), baseline: bound };
});

const escalate = strictObject({
  factor: z.number().min(1, 'must be at least 1').max(100, 'must be at most 100'),
  max: duration(MINUTE, LONGEST),
  forget: duration(MINUTE, LONGEST).default(30 * DAY),
});

const blockFor = z.union([z.literal('indefinite').transform(() => null), duration(MINUTE, LONGEST)], {
  error: `must be ${DURATION_FORM}, from 1m to ${LONGEST / DAY}d, or indefinite`,
});

const turned = strictObject({
  count: z.enum(['messages', 'recipients'], 'must be messages or recipients'),
  window: duration(WINDOW_MIN, WINDOW_MAX),
  limit: baseline,
  alarm: duration(MINUTE, 7 * DAY).default(30 * MINUTE),
  after: duration(MINUTE, 365 * DAY).default(10 * DAY),
}).transform(({ limit: follows, ...rest }): Anomaly => ({ ...rest, baseline: follows }));

/** Which counts exist for which subjects: a rule that could never trip is a mistake. */
const ONLY_FOR: Partial<Record<Count, readonly Rule['per'][]>> = {
  authFailures: ['ip'],
  bounces: ['account', 'address', 'domain'],
  networks: ['account'],
  ehlos: ['account'],
  returnPaths: ['account'],
  recipientDomains: ['account'],
  accounts: ['domain', 'ip', 'ehlo'],
};

/** Whether the conditions concern the place of a message. */
const asksWhere = (conditions: Conditions | undefined): boolean =>
  (['newIp', 'newEhlo', 'newCountry', 'newAsn'] as const).some((key) => conditions?.[key] !== undefined);

const NOWHERE = 'cannot ask for what is new at a count of bounces: they come from nowhere the sender was';

const rule = strictObject({
  id: z
    .string('must be a name')
    .regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/i, 'must be 1 to 64 letters, digits, dots, dashes or underscores'),
  description: z.string().max(500).optional(),
  per: z.enum(SUBJECT_TYPES, `must be one of ${SUBJECT_TYPES.join(', ')}`),
  count: z.enum(COUNTS, `must be one of ${COUNTS.join(', ')}`),
  window: duration(WINDOW_MIN, WINDOW_MAX),
  limit,
  leaveOut: z
    .union([z.literal(1), z.literal(2)], 'must be 1 or 2: how many of the largest messages are left out')
    .optional(),
  when: conditions.optional(),
  score: score.optional(),
  turned: turned.optional(),
  then: z.enum(ACTIONS, `must be one of ${ACTIONS.join(', ')}`),
  for: blockFor.optional(),
  lapse: duration(MINUTE, LONGEST).default(DAY),
  escalate: escalate.optional(),
  direction: z.enum(DIRECTIONS, `must be one of ${DIRECTIONS.join(', ')}`).default('outbound'),
  refuse: z.enum(REFUSALS, `must be one of ${REFUSALS.join(', ')}`).default('soft'),
  renewWhileTrying: z.boolean('must be true or false').default(false),
  teaches: z.literal(true, 'must be true; leave it out otherwise').optional(),
})
  .superRefine((value, context) => {
    const fault = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (value.then !== 'observe' && value.for === undefined)
      fault('for', `is missing: say how long it blocks, as ${DURATION_FORM}`);
    const fitting = ONLY_FOR[value.count];
    if (fitting !== undefined && !fitting.includes(value.per))
      fault('per', `must be ${fitting.join(' or ')} for a count of ${value.count}`);
    if (fitting !== undefined && value.direction === 'inbound')
      fault('direction', `must be outbound for a count of ${value.count}: it is held against the sender`);
    if (value.per === 'account' && value.direction === 'inbound')
      fault('direction', 'must be outbound: inbound mail has no account');
    const bounded = value.count === 'accounts' || isDistinctCount(value.count);
    if (isDistinctCount(value.count) && value.limit.limit >= DISTINCT_MAX)
      fault('limit', `must be below ${DISTINCT_MAX} for a count of ${value.count}: more are not told apart`);
    if (bounded && value.limit.baseline !== undefined)
      fault('limit', `must be a number for a count of ${value.count}`);
    if (value.limit.baseline !== undefined && value.per !== 'account' && value.per !== 'domain')
      fault('limit', 'must be a number: only accounts and domains have baselines');
    if (value.leaveOut !== undefined && (value.count !== 'recipients' || value.per !== 'account'))
      fault('leaveOut', 'is for a count of recipients per account');
    if (value.limit.baseline?.largest && value.count !== 'recipients')
      fault('limit', 'largest is for a count of recipients');
    if ((value.when ?? value.score) !== undefined && (value.per !== 'account' || value.count === 'accounts'))
      fault(value.when === undefined ? 'score' : 'when', 'is for rules per account');
    if (value.count === 'accounts' && value.per === 'domain' && value.turned === undefined)
      fault(
        'turned',
        'is missing: say when an account has turned, such as { count: messages, window: 30m, limit: … }',
      );
    if ((value.count !== 'accounts' || countsNewcomers(value)) && value.turned !== undefined)
      fault('turned', 'is for a count of accounts per domain');
    if (countsNewcomers(value) && value.direction !== 'outbound')
      fault('direction', 'must be outbound for a count of accounts: only they log in');
    if (bounded && value.renewWhileTrying)
      fault('renewWhileTrying', `does not go with a count of ${value.count}`);
    if (value.count === 'accounts' && value.limit.limit >= OUTBREAK_MAX)
      fault('limit', `must be below ${OUTBREAK_MAX} for a count of accounts: more are not remembered`);
    if ((value.limit.baseline ?? value.turned) !== undefined && value.direction !== 'outbound')
      fault('direction', 'must be outbound where a limit follows baselines: they are those of who sends');
    if (value.count === 'bounces' && [value.when, ...(value.score?.signals ?? [])].some(asksWhere))
      fault(value.when !== undefined && asksWhere(value.when) ? 'when' : 'score', NOWHERE);
    if (value.escalate !== undefined && typeof value.for === 'number' && value.escalate.max < value.for) {
      fault('escalate', 'max must not be shorter than for');
    }
  })
  .transform(({ for: span, limit: bound, ...rest }): Rule => {
    // Removes the keys that zod sets to undefined: the types want them absent.
    const present = Object.fromEntries(
      Object.entries({ ...rest, ...bound }).filter(([, value]) => value !== undefined),
    );
    return { ...present, for: span === undefined ? null : span } as Rule;
  });

const exemption = strictObject({
  subject: strictObject({ type: z.string(), value: z.string() }),
  until: z.union([z.string(), z.null()]).optional(),
  reason: z.string('must say why').min(1, 'must say why').max(500),
}).transform((value, context): RuleExemption => {
  let until: number | null = null;
  if (typeof value.until === 'string') {
    const at = parseInstant(value.until);
    if (at === undefined)
      context.addIssue({
        code: 'custom',
        path: ['until'],
        message: 'must be a date such as 2027-01-01 or an ISO 8601 time',
      });
    else until = at;
  }
  try {
    const { type, value: text } = value.subject;
    return { subject: parsePattern(type, text), until, reason: value.reason };
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    context.addIssue({ code: 'custom', path: error.field.split('.'), message: error.message });
    return z.NEVER;
  }
});

const breaker = z.string('must be a text such as 20 in 10m').transform((text, context): Breaker => {
  const parts = /^(\d{1,6})\s+in\s+(\S+)$/.exec(text.trim());
  const window = parts === null ? undefined : parseDuration(parts[2]!);
  if (parts === null || window === undefined || window > DAY) {
    context.addIssue({
      code: 'custom',
      message: 'must be a text such as 20 in 10m (a window of at most a day)',
    });
    return z.NEVER;
  }
  return { max: Number(parts[1]), window };
});

/** The window whose peaks the limit of a rule follows. */
function followedPeak({ count, leaveOut, window, baseline, turned }: Rule): string | undefined {
  if (turned !== undefined) return peakName(turned.count, 0, turned.window);
  return baseline === undefined ? undefined : peakName(count, leaveOut ?? 0, window);
}

/** More time zones than any provider has customers in. */
const MOST_ZONES = 50;

/** The quiet hours of a rule by a zone's clock, and their place in the rule. */
function fixedHours({ when, score }: Rule): readonly (readonly [path: PropertyKey[], zone: string])[] {
  const conditions = [
    { path: ['when'], hours: when?.quietHours },
    ...(score?.signals ?? []).map((signal, index) => ({
      path: ['score', 'signals', index],
      hours: signal.quietHours,
    })),
  ];
  return conditions.flatMap(({ path, hours }) =>
    hours?.kind === 'fixed' ? [[[...path, 'quietHours'], hours.zone] as const] : [],
  );
}

const written = strictObject(
  {
    version: z.literal(1, 'must be 1: the version of this file format'),
    extends: z.literal('defaults', 'must be defaults: the built-in rules').optional(),
    mode: z.enum(['enforce', 'observe'], 'must be enforce or observe').default('enforce'),
    maxAutomaticBlocks: breaker.default({ max: 20, window: 10 * MINUTE }),
    learning: learning.default({}),
    rules: z.array(rule, 'must be a list of rules').max(200, 'at most 200 rules'),
    exempt: z
      .array(exemption, 'must be a list of exemptions')
      .max(10_000, 'at most 10000 exemptions')
      .default([]),
  },
  (issue) =>
    issue.code === 'invalid_type'
      ? 'the rules must be a mapping that begins with version: 1 and rules:'
      : undefined,
).superRefine((value, context) => {
  const seen = new Map<string, number>();
  value.rules.forEach(({ id }, index) => {
    const first = seen.get(id);
    if (first === undefined) seen.set(id, index);
    else
      context.addIssue({
        code: 'custom',
        path: ['rules', index, 'id'],
        message: `"${id}" is the id of rules[${first}] already`,
      });
  });
  const zones = new Map<string, boolean>();
  value.rules.forEach((each, index) => {
    for (const [path, zone] of fixedHours(each)) {
      if (!zones.has(zone)) zones.set(zone, zones.size < MOST_ZONES && isZone(zone));
      if (zones.get(zone) === true) continue;
      const message = zones.size > MOST_ZONES ? `names more than ${MOST_ZONES} time zones` : QUIET_HOURS;
      context.addIssue({ code: 'custom', path: ['rules', index, ...path], message });
    }
  });
  const followed = new Set<string>();
  value.rules.forEach((each, index) => {
    const peak = followedPeak(each);
    if (peak === undefined || followed.has(peak)) return;
    followed.add(peak);
    if (followed.size <= PEAKS_KEPT) return;
    const path = ['rules', index, each.turned === undefined ? 'limit' : 'turned'];
    const message = `${peak} would be the ${followed.size}th window whose limit follows baselines: at most ${PEAKS_KEPT}`;
    context.addIssue({ code: 'custom', path, message });
  });
});

function asRuleSet({
  version: _,
  extends: __,
  learning: learns,
  ...rest
}: z.output<typeof written>): RuleSet {
  return { ...rest, learning: { ...LEARNING, ...(learns as Partial<typeof LEARNING>) } };
}

/** A rules file that an earlier version has taken and recorded. */
export const recordedRuleSet = written.transform(asRuleSet);

/** A rules file. */
export const ruleSet = written
  .superRefine(({ exempt }, context) => {
    const seen = new Map<string, number>();
    exempt.forEach(({ subject }, index) => {
      const first = seen.get(subjectKey(subject));
      if (first === undefined) seen.set(subjectKey(subject), index);
      else
        context.addIssue({
          code: 'custom',
          path: ['exempt', index],
          message: `${subject.type} ${subject.value} stands at exempt[${first}] already`,
        });
    });
  })
  .transform(asRuleSet);
