import { z } from 'zod';
import type { Span } from '../blocks/commands.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, DURATION_FORM, SECOND, parseDuration, parseInstant } from '../kernel/time.js';
import { InvalidInput } from '../kernel/errors.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';

/** Ten years: what is meant to be longer is meant to be indefinite. */
const LONGEST: Milliseconds = 3650 * DAY;

export const noteInput = z.string('must be a text').max(2000, 'at most 2000 characters');

export const subjectInput = z.strictObject(
  {
    type: z.enum(SUBJECT_TYPES, `must be one of ${SUBJECT_TYPES.join(', ')}`),
    value: z.string('must be a text'),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'must be an object {type, value}' : undefined) },
);

const durationInput = z.string(`must be ${DURATION_FORM}`).transform((text, context): Milliseconds => {
  const span = parseDuration(text);
  if (span !== undefined && span >= SECOND && span <= LONGEST) return span;
  context.addIssue({ code: 'custom', message: `must be ${DURATION_FORM}, at most ${LONGEST / DAY}d` });
  return z.NEVER;
});

export const instantInput = z.string('must be an ISO 8601 time').transform((text, context): Instant => {
  const at = parseInstant(text.trim());
  if (at !== undefined) return at;
  context.addIssue({ code: 'custom', message: 'must be an ISO 8601 time such as 2027-01-31T08:00:00Z' });
  return z.NEVER;
});

/** The three ways to say how long; {@link spanOf} sees to it that one is used. */
export const spanInputs = {
  duration: durationInput.optional(),
  until: instantInput.optional(),
  indefinite: z.literal(true, 'must be true, or be left out').optional(),
};

export interface SpanInput {
  readonly duration?: Milliseconds | undefined;
  readonly until?: Instant | undefined;
  readonly indefinite?: true | undefined;
}

/** @throws InvalidInput where it is not just one of the three */
export function spanOf(input: SpanInput): Span {
  return optionalSpanOf(input, 1)!;
}

/** @throws InvalidInput where it is more than one of the three, or fewer than `least` */
export function optionalSpanOf({ duration, until, indefinite }: SpanInput, least = 0): Span | undefined {
  const given = [duration, until, indefinite].filter((way) => way !== undefined).length;
  if (given > 1 || given < least) {
    const fault = given === 0 ? 'how long is missing' : 'there is more than one';
    throw new InvalidInput('duration', `${fault}: give exactly one of duration, until or indefinite: true`);
  }
  if (given === 0) return undefined;
  if (indefinite === true) return { until: null };
  return duration === undefined ? { until: until! } : { duration };
}

/** A query parameter that may stand once. */
export const once = z.string('must stand only once');

/** A whole number in a query. */
export function wholeNumber(least: number, most: number, otherwise: number): z.ZodType<number> {
  const message = `must be a whole number from ${least} to ${most}`;
  return once
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .refine((value) => value >= least && value <= most, message)
    .default(otherwise);
}

/** A query parameter with any of some words, repeated or separated by commas; undefined where it is absent. */
export function anyOf<Word extends string>(words: readonly Word[]): z.ZodType<ReadonlySet<Word> | undefined> {
  const message = `must be any of ${words.join(', ')}`;
  return z
    .union([z.string(), z.array(z.string())])
    .transform((given, context): ReadonlySet<Word> => {
      const chosen = [given].flat().flatMap((part) => part.split(','));
      const known = chosen.flatMap((part) => words.filter((word) => word === part.trim()));
      if (known.length === chosen.length) return new Set(known);
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .optional()
    .meta({ description: `Any of ${words.join(', ')}; repeated, or separated by commas.` });
}

/** A query parameter with one of some words. */
export function oneOf<const Word extends string>(words: readonly Word[]): z.ZodEnum<{ [Key in Word]: Key }> {
  return z.enum(words, `must be one of ${words.join(', ')}`);
}
