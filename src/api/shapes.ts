import { z } from 'zod';
import { REFUSALS } from '../blocks/events.js';
import { RULES_ORIGINS } from '../rules/model.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';

/*
 * What the API gives: handlers are typed by these shapes, and the OpenAPI document is generated from them.
 * Instants are ISO 8601 in UTC, durations texts such as 1h30m.
 */

export const BLOCK_STATES = ['proposed', 'active', 'released', 'expired', 'dismissed', 'lapsed'] as const;

const instant = z.string().meta({ format: 'date-time' });
const duration = z.string().meta({ examples: ['1h30m'] });
export const position = z.int().meta({ description: 'Place in the total order of events.' });

export const subjectShape = z
  .object({ type: z.enum(SUBJECT_TYPES), value: z.string().meta({ description: 'In normal form.' }) })
  .meta({ id: 'Subject' });

const leaveOut = z
  .int()
  .optional()
  .meta({ description: 'So many of the largest messages are left out of the count.' });

export const evidenceShape = z
  .object({
    rule: z.string(),
    version: z.int().meta({ description: 'Version of the rule set.' }),
    count: z.string(),
    window: duration,
    leaveOut,
    limit: z.number(),
    observed: z.number(),
    habit: z
      .object({
        ...{ typical: z.number(), record: z.number(), weeks: z.int(), learnt: z.boolean() },
        bound: z
          .enum(['floor', 'start', 'ceiling'])
          .optional()
          .meta({ description: 'Where the limit comes from, if not from these.' }),
      })
      .optional()
      .meta({ description: 'What is usual, where that made the limit: the weekly peaks.' }),
    signals: z.array(z.string()).optional().meta({ description: 'What else was noticed.' }),
    firstPosition: position,
    lastPosition: position,
    lastAt: instant,
    sentence: z.string(),
  })
  .meta({ id: 'Evidence', description: 'The numbers that tripped a rule.' });

const historyShape = z
  .object({
    type: z.string().meta({ examples: ['BlockImposed'] }),
    at: instant,
    by: z.string().meta({ examples: ['admin:alice', 'rule:burst@3', 'system:expiry'] }),
    position,
    note: z.string().optional(),
    until: instant.nullable().optional(),
    falsePositive: z.boolean().optional(),
    evidence: evidenceShape.optional(),
  })
  .meta({ id: 'HistoryItem' });

export const blockShape = z
  .object({
    id: z.string(),
    state: z.enum(BLOCK_STATES),
    subject: subjectShape,
    direction: z.enum(DIRECTIONS),
    description: z.string(),
    refusal: z.enum(REFUSALS),
    origin: z.enum(['rule', 'admin']),
    rule: z.string().nullable(),
    since: instant.nullable().meta({ description: 'When it came into force; null before that.' }),
    until: instant
      .nullable()
      .meta({ description: 'When it ends; null while indefinite is true, or before it is in force.' }),
    indefinite: z.boolean().meta({ description: 'True where it ends only by a release.' }),
    duration: duration.meta({
      description: 'From since to until; of a proposal how long it would last. Or indefinite.',
    }),
    proposedAt: instant.nullable(),
    lapsesAt: instant.nullable(),
    endedAt: instant.nullable(),
    falsePositive: z.boolean(),
    evidence: evidenceShape.nullable(),
    follows: z
      .object({
        block: z.string().meta({ description: 'Id of what was let go of.' }),
        state: z.enum(['released', 'dismissed']),
        at: instant,
        by: z.string().meta({ examples: ['admin:carol'] }),
        falsePositive: z.boolean(),
        note: z.string().optional(),
      })
      .nullable()
      .meta({ description: 'What a person decided on this subject within the hour before this began.' }),
    history: z.array(historyShape),
    version: z.int().meta({ description: 'What ETag names: changes whenever the block does.' }),
  })
  .meta({ id: 'Block' });

export const exemptionShape = z
  .object({
    id: z.string(),
    subject: subjectShape,
    reason: z.string(),
    until: instant.nullable().meta({ description: 'Null is for ever.' }),
    origin: z.enum(['rules', 'admin']),
    by: z.string().nullable(),
    at: instant.nullable(),
    saved: z.int().meta({ description: 'How often it kept a rule from acting.' }),
    savedAt: instant.nullable(),
  })
  .meta({ id: 'Exemption' });

/** So many are named. */
export const EXEMPT_BLOCKS_NAMED = 100;

export const grantedExemptionShape = exemptionShape
  .extend({
    blocks: z
      .array(
        z.object({
          ...{ id: z.string(), subject: subjectShape, direction: z.enum(DIRECTIONS) },
          until: instant.nullable().meta({ description: 'Null is for ever.' }),
          release: z.string().meta({ description: 'POST there to end it.' }),
        }),
      )
      .meta({
        description: `Blocks in force that it covers, ${EXEMPT_BLOCKS_NAMED} at most: an exemption ends no block, so they go on refusing.`,
      }),
  })
  .meta({ id: 'GrantedExemption' });

export const faultShape = z
  .object({ line: z.int().nullable(), path: z.string(), message: z.string() })
  .meta({ id: 'RuleFault' });

const baselineShape = z.object({
  baseline: z.number().meta({ description: 'Times the median of the weekly peaks.' }),
  record: z.number().meta({ description: 'Times the highest of them; 0 leaves it out.' }),
  largest: z.number().meta({ description: 'Times the largest message; 0 leaves it out.' }),
  floor: z.number(),
  start: z.number().meta({ description: 'The floor of who is still being learnt.' }),
  ceiling: z.number().nullable(),
});

const ruleShape = z.object({
  id: z.string(),
  description: z.string().nullable(),
  per: z.enum(SUBJECT_TYPES),
  count: z.string(),
  window: duration,
  leaveOut: z
    .int()
    .nullable()
    .meta({ description: 'So many of the largest messages are left out of the count.' }),
  limit: z.number().meta({ description: 'With a baseline the lowest that it can be.' }),
  baseline: baselineShape.nullable().meta({ description: 'How the limit follows the sender.' }),
  when: z.record(z.string(), z.unknown()).nullable().meta({ description: 'As in the rules file.' }),
  score: z
    .object({
      threshold: z.number(),
      signals: z.array(z.looseObject({ points: z.number() })),
    })
    .nullable(),
  turned: z
    .object({ count: z.string(), window: duration, limit: baselineShape, alarm: duration, after: duration })
    .nullable()
    .meta({ description: 'Of a count of accounts: when one of them has turned.' }),
  then: z.string(),
  for: duration.nullable().meta({ description: 'Or indefinite; null where it only observes.' }),
  escalate: z.object({ factor: z.number(), max: duration, forget: duration }).nullable(),
  lapse: duration,
  direction: z.enum(DIRECTIONS),
  refuse: z.enum(REFUSALS),
  renewWhileTrying: z.boolean(),
  teaches: z.boolean(),
});

/** What a rule set says, wherever it stands. */
export const ruleSetShape = z.object({
  mode: z.enum(['enforce', 'observe']),
  maxAutomaticBlocks: z.string().meta({ examples: ['20 in 10m'] }),
  learning: z
    .object({ days: z.int(), age: duration, installation: duration })
    .meta({ description: 'When a sender counts as known.' }),
  rules: z.array(ruleShape),
  exempt: z.array(z.object({ subject: subjectShape, until: instant.nullable(), reason: z.string() })),
});

export const rulesWarnings = z.array(z.string()).meta({
  description: 'What is valid and will not do what it is meant to here, a sentence each.',
});

export const rulesShape = z
  .object({
    version: z.int(),
    origin: z.enum(RULES_ORIGINS).meta({ description: 'A promotion is one of shadow.' }),
    source: z.string().meta({ description: 'The YAML that it was read from.' }),
    ...ruleSetShape.shape,
    warnings: rulesWarnings,
    installedAt: instant.nullable().meta({
      description: 'What learning.installation counts from: the first event or day that there is.',
    }),
    rules: z.array(ruleShape.extend({ activeBlocks: z.int() })),
  })
  .meta({ id: 'Rules' });

export const windowShape = z
  .object({
    subject: subjectShape,
    rule: z.string(),
    count: z.string(),
    window: duration,
    leaveOut,
    observed: z.number().meta({ description: 'All that is within the window.' }),
    sinceTrip: z.number().nullable().meta({
      description:
        'Of that, what came since the rule tripped or a block of the sender came about: that alone trips the rule again; null where neither was within the window.',
    }),
    limit: z.number().meta({ description: 'What is in force now: tripled for an hour after a release.' }),
    direction: z.enum(DIRECTIONS),
    applies: z
      .boolean()
      .meta({ description: 'False where the rule cannot trip for this sender now, whatever it sends.' }),
    reason: z.string().nullable().meta({ description: 'Why it does not apply; null where it does.' }),
    besides: z
      .array(z.string())
      .meta({ description: 'What must be so besides of a message, or of what is within the window.' }),
    outbreak: z
      .object({
        domain: z.string(),
        accounts: z.int().meta({ description: 'So many have turned within its window.' }),
        limit: z.number().meta({ description: 'The rule trips above so many.' }),
        window: duration,
        turnedAt: instant
          .nullable()
          .meta({ description: 'When this account turned; null where it has not, and of the domain.' }),
        alarmUntil: instant
          .nullable()
          .meta({ description: 'Until then whoever turns is acted upon at once; null where there is none.' }),
      })
      .optional()
      .meta({
        description:
          'Of a rule that counts accounts which turn: how it stands with their domain. Of an account, count, window and limit are then those above which it turns.',
      }),
  })
  .meta({ id: 'Window' });

export const coverShape = z
  .object({ id: z.string(), reason: z.string(), subject: subjectShape })
  .meta({ id: 'Cover' });

export const problemShape = z
  .looseObject({
    type: z.string().meta({ description: '/problems/<code>, or about:blank where the status says it all.' }),
    title: z.string(),
    status: z.int(),
    code: z.string().optional(),
    detail: z.string(),
    instance: z.string(),
    errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

export function listOf<Item extends z.ZodType>(
  item: Item,
): z.ZodObject<{ items: z.ZodArray<Item>; next: z.ZodNullable<z.ZodString> }> {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().meta({ description: 'Cursor of the next page; null at the end.' }),
  });
}

export type BlockJson = z.infer<typeof blockShape>;
export type EvidenceJson = z.infer<typeof evidenceShape>;
export type HistoryJson = z.infer<typeof historyShape>;
export type ExemptionJson = z.infer<typeof exemptionShape>;
export type GrantedExemptionJson = z.infer<typeof grantedExemptionShape>;
export type RuleJson = z.infer<typeof ruleShape>;
export type RuleSetJson = z.infer<typeof ruleSetShape>;
export type RulesJson = z.infer<typeof rulesShape>;
export type WindowJson = z.infer<typeof windowShape>;
export type CoverJson = z.infer<typeof coverShape>;
