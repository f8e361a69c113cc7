import { z } from 'zod';
import type { Span } from '../blocks/commands.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import {
  DAY,
  DURATION_FORM,
  formatDuration,
  formatInstant,
  LONGEST_SPAN,
  parseDuration,
  parseInstant,
  SECOND,
} from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';
import { parsePattern, SUBJECT_TYPES } from '../sending/subjects.js';

export const instantShape = z.string().meta({ format: 'date-time' });
export const durationShape = z.string().meta({ examples: ['1h30m'] });
export const position = z.int().meta({ description: 'Place in the total order of events.' });

/** Of mail that is held for a block. */
export const OTHERS_WORDS =
  'Whether mail of accounts of other domains is held too, which the role domain neither sees nor decides on: an operator does.';

export const subjectShape = z
  .object({ type: z.enum(SUBJECT_TYPES), value: z.string().meta({ description: 'In normal form.' }) })
  .meta({ id: 'Subject' });

export const leaveOut = z
  .int()
  .optional()
  .meta({ description: 'So many of the largest messages are left out of the count.' });

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

/** How the API writes an indefinite span. */
const INDEFINITE = 'indefinite';

/** Leaves out what read models keep with a subject. */
export function subjectView({ type, value }: Subject): Subject {
  return { type, value };
}

export function instantView(at: Instant | null | undefined): string | null {
  return at === null || at === undefined ? null : formatInstant(at);
}

export function spanView(length: Milliseconds | null): string {
  return length === null ? INDEFINITE : formatDuration(length);
}

export const noteInput = z.string('must be a text').max(2000, 'at most 2000 characters');

/**
 * What is to be blocked or exempted.
 *
 * @param isSeen whether such a sender is known here: asked of names that nobody means, so that it is a slip where there is none
 */
export const subjectInput = (isSeen: (subject: Subject) => boolean) =>
  z
    .strictObject(
      {
        type: z.enum(SUBJECT_TYPES, `must be one of ${SUBJECT_TYPES.join(', ')}`),
        value: z.string('must be a text'),
      },
      { error: (issue) => (issue.code === 'invalid_type' ? 'must be an object {type, value}' : undefined) },
    )
    .transform(({ type, value }, context) =>
      checkedSubject(() => parsePattern(type, value, 'subject', isSeen), context),
    );

/** A subject in normal form. What is wrong with it is told beside the faults of other fields. */
export function checkedSubject(read: () => Subject, context: z.RefinementCtx): Subject {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof InvalidInput)) throw thrown;
    const path = thrown.field.split('.').slice(1);
    context.addIssue({ code: 'custom', path, message: thrown.message });
    return z.NEVER;
  }
}

export const durationInput = z.string(`must be ${DURATION_FORM}`).transform((text, context): Milliseconds => {
  const span = parseDuration(text);
  if (span !== undefined && span >= SECOND && span <= LONGEST_SPAN) return span;
  context.addIssue({ code: 'custom', message: `must be ${DURATION_FORM}, at most ${LONGEST_SPAN / DAY}d` });
  return z.NEVER;
});

export const instantInput = z.string('must be an ISO 8601 time').transform((text, context): Instant => {
  const at = parseInstant(text.trim());
  if (at !== undefined) return at;
  context.addIssue({ code: 'custom', message: 'must be an ISO 8601 time such as 2027-01-31T08:00:00Z' });
  return z.NEVER;
});

/** The three ways to say how long; {@link oneSpan} requires just one. */
export const spanInputs = {
  duration: durationInput.optional(),
  until: instantInput.optional(),
  indefinite: z.literal(true, 'must be true, or be left out').optional(),
};

interface SpanInput {
  readonly duration?: Milliseconds | undefined;
  readonly until?: Instant | undefined;
  readonly indefinite?: true | undefined;
}

/** Checks a body with {@link spanInputs}, whatever else is wrong with it. @param least 0 if it may say nothing */
export const oneSpan = (least: 0 | 1): z.core.$ZodCheck<SpanInput> =>
  z.superRefine(
    ({ duration, until, indefinite }, context) => {
      const given = [duration, until, indefinite].filter((way) => way !== undefined).length;
      if (given <= 1 && given >= least) return;
      const fault = given === 0 ? 'how long is missing' : 'there is more than one';
      const message = `${fault}: give exactly one of duration, until or indefinite: true`;
      context.addIssue({ code: 'custom', path: ['duration'], message });
    },
    { when: ({ value }) => isObject(value) },
  );

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of a body that {@link oneSpan} has checked. */
export function spanOf(input: SpanInput): Span {
  return optionalSpanOf(input)!;
}

export function optionalSpanOf({ duration, until, indefinite }: SpanInput): Span | undefined {
  if (indefinite === true) return { until: null };
  if (duration !== undefined) return { duration };
  return until === undefined ? undefined : { until };
}

/** A query parameter that is given once at most. What else is wrong with it has a message of its own. */
export const once = z.string({
  error({ code, maximum }) {
    if (code === 'invalid_type') return 'must stand only once';
    return code === 'too_big' ? `must be at most ${String(maximum)} characters` : undefined;
  },
});

/** A whole number in a query. */
export function wholeNumber(least: number, most: number, otherwise: number): z.ZodType<number> {
  const message = `must be a whole number from ${least} to ${most}`;
  return once
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .refine((value) => value >= least && value <= most, message)
    .default(otherwise);
}

/** A query parameter with any of some words, repeated or separated by commas; undefined if it is absent. */
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

/** Makes an opaque cursor from the key of the last item of a page. */
export function cursorOf(key: string): string {
  return Buffer.from(`1:${key}`, 'utf8').toString('base64url');
}

/** The key that a cursor was made of. @throws InvalidInput */
export function keyOfCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (text.startsWith('1:') && cursorOf(text.slice(2)) === cursor) return text.slice(2);
  throw new InvalidInput('cursor', 'is none that a list gave: take next of the page before');
}

/** The number that a cursor was made of. @throws InvalidInput */
export function numberOfCursor(cursor: string): number {
  const key = keyOfCursor(cursor);
  if (/^\d{1,16}$/.test(key)) return Number(key);
  throw new InvalidInput('cursor', 'is of another list');
}

export const decidedShape = z
  .object({
    action: z.enum(['release', 'delete']),
    count: z.int().meta({ description: 'Messages that were held when it was decided.' }),
    failed: z.boolean().meta({ description: 'Whether the hook was given up.' }),
  })
  .nullable()
  .meta({
    id: 'HeldDecision',
    description: 'What a person has decided for some or all of these, and no hook has done; null: nothing.',
  });
export type DecidedJson = z.infer<typeof decidedShape>;
