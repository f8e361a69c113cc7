import { z } from 'zod';
import { InvalidInput } from '../kernel/errors.js';
import { parseInstant } from '../kernel/time.js';
import { parseSubject } from '../sending/subjects.js';
import type { Allowance, Limit, OverrideEntry } from './model.js';
import { FACTOR_MAX, FACTOR_MIN, OVERRIDE_TYPES } from './model.js';
import { strictObject } from './strict-object.js';

/* What people, panels and files may write: the same for the API and the overrides file. */

const MOST_LIMITS = 200;

const LIMIT_FORM = 'must be a whole number of at least 1, or off';
const limit = z.union([z.int(LIMIT_FORM).min(1, LIMIT_FORM), z.literal('off')], LIMIT_FORM);

/** What is wrong if there is no object at all; what is wrong within one is said by its fields. */
const noObject = (message: string) => (issue: { readonly code?: string | undefined }) =>
  issue.code === 'invalid_type' ? message : undefined;

const limits = z
  .record(z.string(), limit, 'must be an object of rule ids and their limits')
  .superRefine((value, context) => {
    const ids = Object.keys(value);
    if (ids.length > MOST_LIMITS) {
      context.addIssue({ code: 'custom', message: `names ${ids.length} rules: at most ${MOST_LIMITS}` });
    }
    for (const id of ids) {
      if (/^[a-z0-9][a-z0-9_.-]{0,63}$/i.test(id)) continue;
      const message = 'is no rule id: 1 to 64 letters, digits, dots, dashes or underscores';
      context.addIssue({ code: 'custom', path: [id], message });
    }
  });

const factor = z.number(`must be a number from ${FACTOR_MIN} to ${FACTOR_MAX}`);
const allowance = {
  limits: limits.optional(),
  factor: factor
    .min(FACTOR_MIN, `must be at least ${FACTOR_MIN}`)
    .max(FACTOR_MAX, `must be at most ${FACTOR_MAX}`)
    .optional(),
};

const until = z
  .union([z.string(), z.null()], 'must be an ISO 8601 time, or null')
  .transform((text, context) => {
    const at = text === null ? null : parseInstant(text.trim());
    if (at !== undefined) return at;
    context.addIssue({ code: 'custom', message: 'must be a date such as 2027-01-31 or an ISO 8601 time' });
    return z.NEVER;
  });

const words = (most: number) => z.string('must be a text').trim().max(most, `at most ${most} characters`);

/** The keys of an override, without its subject. */
const keys = {
  ...allowance,
  total: strictObject(allowance, noObject('must be an object with limits or factor')).optional(),
  until: until.default(null),
  reason: words(500).optional(),
  plan: words(100).optional(),
};

/** The subject of an override, in normal form. */
export const overrideSubject = strictObject(
  {
    type: z.enum(OVERRIDE_TYPES, `must be one of ${OVERRIDE_TYPES.join(', ')}`),
    value: z.string('must be a text'),
  },
  noObject('must be an object {type, value}'),
).transform(({ type, value }, context): OverrideEntry['subject'] => {
  try {
    return { type, value: parseSubject(type, value).value };
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    context.addIssue({ code: 'custom', path: ['value'], message: error.message });
    return z.NEVER;
  }
});

/** The terms and their end: an override without its subject. */
export type OverrideBody = Omit<OverrideEntry, 'subject'>;

/** An override whose subject is known already. */
export const overrideBody = strictObject(keys, noObject('must be an object with limits or factor')).transform(
  (value, context): OverrideBody => entryOf(value, context),
);

/** An override with its subject. */
export const overrideEntry = strictObject(
  { subject: overrideSubject, ...keys },
  noObject('must be an object with subject, and limits or factor'),
).transform((value, context): OverrideEntry => {
  if (value.subject.type === 'account' && value.total !== undefined) {
    context.addIssue({ code: 'custom', path: ['total'], message: TOTAL_OF_ACCOUNT });
  }
  return { subject: value.subject, ...entryOf(value, context) };
});

export const TOTAL_OF_ACCOUNT = 'is for a domain only: an account has no accounts below it';

interface Written {
  readonly limits?: Record<string, Limit> | undefined;
  readonly factor?: number | undefined;
  readonly total?: Pick<Written, 'limits' | 'factor'> | undefined;
  readonly until: number | null;
  readonly reason?: string | undefined;
  readonly plan?: string | undefined;
}

/** What was written, without what is empty. */
function entryOf(value: Written, context: z.RefinementCtx): OverrideBody {
  const own = allowanceOf(value);
  const total = allowanceOf(value.total ?? {});
  const hasTotal = total.limits !== undefined || total.factor !== undefined;
  if (own.limits === undefined && own.factor === undefined && !hasTotal) {
    context.addIssue({
      code: 'custom',
      message: 'changes nothing: give limits, factor, or a total of a domain',
    });
  }
  const plan = given(value.plan);
  const reason = given(value.reason);
  return {
    terms: { ...own, ...(hasTotal ? { total } : {}), ...(plan === undefined ? {} : { plan }) },
    until: value.until,
    ...(reason === undefined ? {} : { reason }),
  };
}

function allowanceOf({ limits: named, factor: multiplier }: Pick<Written, 'limits' | 'factor'>): Allowance {
  return {
    ...(named === undefined || Object.keys(named).length === 0 ? {} : { limits: named }),
    ...(multiplier === undefined ? {} : { factor: multiplier }),
  };
}

function given(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
