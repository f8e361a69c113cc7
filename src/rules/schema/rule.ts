import { z } from 'zod';
import { REFUSALS } from '../../blocks/events.js';
import { DAY, DURATION_FORM, MINUTE } from '../../kernel/time.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../../sending/subjects.js';
import {
  ACTIONS,
  COUNTS,
  DISTINCT_MAX,
  OUTBREAK_MAX,
  WINDOW_MAX,
  WINDOW_MIN,
  isDistinctCount,
} from '../model.js';
import type { Conditions, Count, Rule, Anomaly } from '../model.js';
import { baseline, limit } from './baseline.js';
import { conditions, score } from './conditions.js';
import { LONGEST, duration } from './values.js';

const escalate = z.strictObject({
  factor: z.number().min(1, 'must be at least 1').max(100, 'must be at most 100'),
  max: duration(MINUTE, LONGEST),
  forget: duration(MINUTE, LONGEST).default(30 * DAY),
});

const blockFor = z.union([z.literal('indefinite').transform(() => null), duration(MINUTE, LONGEST)], {
  error: `must be ${DURATION_FORM}, from 1m to ${LONGEST / DAY}d, or indefinite`,
});

const turned = z
  .strictObject({
    count: z.enum(['messages', 'recipients'], 'must be messages or recipients'),
    window: duration(WINDOW_MIN, WINDOW_MAX),
    limit: baseline,
    alarm: duration(MINUTE, 7 * DAY).default(30 * MINUTE),
    after: duration(MINUTE, 365 * DAY).default(10 * DAY),
  })
  .transform(({ limit: follows, ...rest }): Anomaly => ({ ...rest, baseline: follows }));

/** Which counts exist for which subjects: a rule that could never trip is a mistake. */
const ONLY_FOR: Partial<Record<Count, readonly Rule['per'][]>> = {
  authFailures: ['ip'],
  bounces: ['account', 'address', 'domain'],
  networks: ['account'],
  ehlos: ['account'],
  returnPaths: ['account'],
  recipientDomains: ['account'],
  accounts: ['domain'],
};

/** What is asked of where a message comes from. */
const asksWhere = (conditions: Conditions | undefined): boolean =>
  (['newIp', 'newEhlo', 'newCountry', 'newAsn'] as const).some((key) => conditions?.[key] !== undefined);

const NOWHERE = 'cannot ask for what is new at a count of bounces: they come from nowhere the sender was';

export const rule = z
  .strictObject({
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
      fault('direction', `must be outbound for a count of ${value.count}: it is held against whoever sends`);
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
    if (value.count === 'accounts' && value.turned === undefined)
      fault(
        'turned',
        'is missing: say when an account has turned, such as { count: messages, window: 30m, limit: … }',
      );
    if (value.count !== 'accounts' && value.turned !== undefined)
      fault('turned', 'is for a count of accounts');
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
    // What zod makes of an absent key is not what the types call absent.
    const present = Object.fromEntries(
      Object.entries({ ...rest, ...bound }).filter(([, value]) => value !== undefined),
    );
    return { ...present, for: span === undefined ? null : span } as Rule;
  });
