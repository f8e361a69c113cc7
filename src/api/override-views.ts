import { z } from 'zod';
import { overriddenLimit } from '../../projections/volume/limits.js';
import type { Overrides, SubjectOverrides } from '../../projections/volume/overrides.js';
import { isOver } from '../blocks/state.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import type { OverrideEvent } from '../overrides/events.js';
import type {
  Allowance,
  Override,
  OverrideEntry,
  OverrideSubject,
  Terms,
  Unused,
} from '../overrides/model.js';
import { OVERRIDE_ORIGINS, OVERRIDE_TYPES, unusedLimits } from '../overrides/model.js';
import { termsOf } from '../overrides/decide.js';
import type { Rule } from '../rules/model.js';
import { instant } from './views.js';

/* What the API shows of overrides. */

const time = z.string().meta({ format: 'date-time' });
const limitShape = z.union([z.int(), z.literal('off')]);
const limitsShape = z.record(z.string(), limitShape).meta({ description: 'By rule id.' });
const subjectShape = z.object({ type: z.enum(OVERRIDE_TYPES), value: z.string() });
const termsShape = {
  limits: limitsShape,
  factor: z.number().nullable(),
  total: z
    .object({ limits: limitsShape, factor: z.number().nullable() })
    .nullable()
    .meta({ description: 'Of a domain: for its rules per domain.' }),
  plan: z.string().nullable(),
  until: time.nullable().meta({ description: 'Null is for ever.' }),
  reason: z.string().nullable(),
};
const layerShape = z
  .object({
    ...termsShape,
    by: z.string(),
    at: time,
    inForce: z.boolean().meta({ description: 'False once its time is over.' }),
  })
  .meta({ id: 'OverrideLayer' });

export const unusedShape = z.object({
  field: z.string().meta({ examples: ['limits.burst'] }),
  message: z.string(),
});

export const overrideShape = z
  .object({
    subject: subjectShape,
    version: z.int().meta({ description: 'What ETag names: 0 where there never was one.' }),
    api: layerShape.nullable().meta({ description: "Lies over the file's, key by key." }),
    file: layerShape.nullable(),
    unused: z.array(unusedShape).meta({ description: 'Limits that no rule in force looks at.' }),
  })
  .meta({ id: 'Override' });

const effectiveShape = z.object({
  rule: z.string(),
  per: z.enum(OVERRIDE_TYPES).meta({ description: 'For a domain: each of its accounts, or all of it.' }),
  limit: limitShape,
  usual: z.number().meta({ description: "The rule's own." }),
  lowest: z.boolean().meta({
    description: "True where the limit follows the sender's baselines: then both are the lowest it can be.",
  }),
  sentence: z.string(),
});

export const overrideDetailShape = z
  .object({
    ...overrideShape.shape,
    effective: z
      .array(effectiveShape)
      .meta({ description: 'Where a limit differs now, whoever set it: also what is inherited.' }),
    history: z
      .array(
        z.object({
          type: z.enum(['OverrideSet', 'OverrideRemoved']),
          origin: z.enum(OVERRIDE_ORIGINS),
          at: time,
          by: z.string(),
          position: z.int(),
          note: z.string().optional(),
          set: z.object(termsShape).optional(),
        }),
      )
      .meta({ description: 'Oldest first.' }),
  })
  .meta({ id: 'OverrideDetail' });

export type OverrideJson = z.infer<typeof overrideShape>;
export type OverrideDetailJson = z.infer<typeof overrideDetailShape>;
type TermsJson = Pick<OverrideJson['api'] & object, keyof typeof termsShape>;

/** @param set undefined where nothing is set for the subject */
export function overrideView(
  subject: OverrideSubject,
  set: SubjectOverrides | undefined,
  rules: readonly Rule[],
  now: Instant,
): OverrideJson {
  const layers = [set?.api, set?.file].filter((layer) => layer !== undefined);
  const unused = layers.flatMap(({ terms }) => unusedLimits(terms, rules));
  return {
    subject: { type: subject.type, value: subject.value },
    version: set?.version ?? 0,
    api: layerView(set?.api, now),
    file: layerView(set?.file, now),
    unused: withoutTwins(unused),
  };
}

/** The limits that differ from the rules' own for a subject: of a domain for each of its accounts, and for all of it. */
export function effectiveView(
  overrides: Overrides,
  { type, value }: OverrideSubject,
  rules: readonly Rule[],
  now: Instant,
): OverrideDetailJson['effective'] {
  const counted = { account: type === 'account' ? value : `@${value}`, domain: value };
  return rules.flatMap((rule) => {
    const { id, per, limit: usual, baseline } = rule;
    if (per !== 'account' && (per !== 'domain' || type !== 'domain')) return [];
    const found = overriddenLimit(overrides, rule, per, counted[per], usual, now);
    if (found === undefined) return [];
    const lowest = baseline !== undefined && !found.isNamed;
    const sentence = lowest ? `at least ${found.sentence}` : found.sentence;
    return [{ rule: id, per, limit: found.limit ?? ('off' as const), usual, lowest, sentence }];
  });
}

export function historyView(
  events: readonly (RecordedEvent & OverrideEvent)[],
): OverrideDetailJson['history'] {
  return events.map((event) => {
    const { at, by, position } = event;
    const item = { type: event.type, origin: event.data.origin, at: instant(at)!, by, position };
    if (event.type === 'OverrideSet')
      return { ...item, set: termsView({ ...event.data, terms: termsOf(event.data) }) };
    return event.data.note === undefined ? item : { ...item, note: event.data.note };
  });
}

function layerView(layer: Override | undefined, now: Instant): OverrideJson['api'] {
  if (layer === undefined) return null;
  const { by, at, until } = layer;
  return { ...termsView(layer), by, at: instant(at)!, inForce: !isOver(until, now) };
}

function termsView({ terms, until, reason }: Omit<OverrideEntry, 'subject'>): TermsJson {
  return {
    ...allowanceView(terms),
    total: terms.total === undefined ? null : allowanceView(terms.total),
    plan: terms.plan ?? null,
    until: instant(until),
    reason: reason ?? null,
  };
}

function allowanceView({ limits, factor }: Allowance): Pick<TermsJson, 'limits' | 'factor'> {
  return { limits: limits ?? {}, factor: factor ?? null };
}

/** What stands in both layers is said once. */
function withoutTwins(unused: readonly Unused[]): Unused[] {
  return [...new Map(unused.map((one) => [one.field, one])).values()];
}

/** As {@link unusedLimits}, for an answer that names several subjects. */
export function unusedOf(
  subject: OverrideSubject,
  terms: Terms,
  rules: readonly Rule[],
): readonly (Unused & { readonly subject: OverrideSubject })[] {
  return unusedLimits(terms, rules).map((one) => ({ subject, ...one }));
}
