import { z } from 'zod';
import { DAY, DURATION_FORM, formatDuration, HOUR, MINUTE, parseDuration } from '../kernel/time.js';
import { strictObject, unknownKeys } from '../overrides/strict-object.js';
import type { Conditions, QuietHours, Score } from './model.js';
import { DISTINCT_COUNTS, DISTINCT_MAX, pointsOf } from './model.js';

/** The longest block, and the longest look-back. */
export const LONGEST = 3650 * DAY;

export const duration = (min: number, max: number) =>
  z.string(`must be ${DURATION_FORM}`).transform((text, context) => {
    const span = parseDuration(text);
    if (span === undefined || span < min || span > max) {
      context.addIssue({
        code: 'custom',
        message: `must be ${DURATION_FORM}, from ${formatDuration(min)} to ${max / DAY}d`,
      });
      return z.NEVER;
    }
    return span;
  });

/** The message for an invalid value and for a missing one. */
function orMissing(message: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: ({ input }) => (input === undefined ? 'is missing' : message) };
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
};

/** A whole number from 1, or a size. */
const AMOUNT = 'must be a whole number of at least 1 (for bytes also a size such as 500MB)';

export const amount = z.union([z.number(), z.string()], orMissing(AMOUNT)).transform((value, context) => {
  // In quotes `2.000` is no number to YAML, which would refuse it.
  const parts = /^(?!\d+\.000$)(\d+(?:\.\d+)?)\s*(?:([kmg]i?)b|b)?$/i.exec(String(value));
  const number = parts === null ? NaN : Number(parts[1]) * SIZE_UNITS[(parts[2] ?? '').toLowerCase()]!;
  if (!Number.isSafeInteger(number) || number < 1) {
    context.addIssue({
      code: 'custom',
      message: AMOUNT,
    });
    return z.NEVER;
  }
  return number;
});

/** `5x`, `1.5x`, or a plain number. */
const TIMES = 'must be a multiple such as 5x, above 0 and at most 1000x';

export const times = z.union([z.number(), z.string()], orMissing(TIMES)).transform((value, context) => {
  const number = Number(/^(\d+(?:\.\d+)?)\s*x?$/i.exec(String(value).trim())?.[1] ?? NaN);
  if (!(number > 0 && number <= 1000)) {
    context.addIssue({ code: 'custom', message: TIMES });
    return z.NEVER;
  }
  return number;
});

const yes = z.literal(true, 'must be true; leave it out where it does not matter').optional();
/** No longer than profiles remember. */
const within = duration(HOUR, 365 * DAY).optional();
/** Baselines have a resolution of a day. */
const days = duration(DAY, 365 * DAY).optional();

const HOURS = /^([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)(?:\s+(\S{1,64}))?$/;

/** {@link isZone} is asked of a whole rule set: each time it costs as much as a hundred rules. */
const quietHours = z
  .string('must be unusual, or hours such as 22:00-06:00 Europe/Berlin')
  .transform((text, context): QuietHours => {
    if (text.trim() === 'unusual') return { kind: 'unusual' };
    const parts = HOURS.exec(text.trim());
    const zone = parts?.[5] ?? 'UTC';
    if (parts === null) {
      context.addIssue({ code: 'custom', message: QUIET_HOURS });
      return z.NEVER;
    }
    const minutes = (hour: string, minute: string): number => Number(hour) * 60 + Number(minute);
    const from = minutes(parts[1]!, parts[2]!);
    const to = minutes(parts[3]!, parts[4]!);
    if (from === to) {
      context.addIssue({ code: 'custom', message: 'must begin and end at different times' });
      return z.NEVER;
    }
    return { kind: 'fixed', from, to, zone };
  });

/** What quiet hours accept, in words. */
export const QUIET_HOURS =
  'must be unusual, or hours such as 22:00-06:00 Europe/Berlin (a zone of the IANA database; UTC unless given)';

export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

const few = z
  .int(`must be a whole number from 1 to ${DISTINCT_MAX - 1}`)
  .min(1, `must be a whole number from 1 to ${DISTINCT_MAX - 1}`)
  .max(DISTINCT_MAX - 1, `must be a whole number from 1 to ${DISTINCT_MAX - 1}`);

const fields = {
  newIp: yes,
  newEhlo: yes,
  newCountry: yes,
  newAsn: yes,
  firstSeenWithin: days,
  dormantFor: days,
  installedWithin: within,
  installedFor: within,
  learning: z.boolean('must be true or false').optional(),
  quietHours: quietHours.optional(),
  distinct: z
    .partialRecord(z.enum(DISTINCT_COUNTS, `must be one of ${DISTINCT_COUNTS.join(', ')}`), few, {
      error: unknownKeys(DISTINCT_COUNTS),
    })
    .refine((most) => Object.keys(most).length > 0, `must name one of ${DISTINCT_COUNTS.join(', ')}`)
    .optional(),
  share: strictObject({
    of: z.enum(['refusedRecipients', 'bounces'], 'must be refusedRecipients or bounces'),
    above: z
      .number('must be a share from 0 to 1')
      .min(0, 'must be a share from 0 to 1')
      .max(1, 'must be a share from 0 to 1'),
    least: z.int('must be a whole number of at least 1').min(1, 'must be a whole number of at least 1'),
  })
    .refine(({ of, above }) => of === 'bounces' || above < 1, {
      path: ['above'],
      message: 'must be below 1: no more can be refused than were tried',
    })
    .optional(),
};

/** Removes the keys that zod sets to undefined: the types want them absent. */
function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}

const someOf = (value: object, context: z.RefinementCtx): void => {
  if (
    Object.keys(value).every(
      (key) => key === 'points' || (value as Record<string, unknown>)[key] === undefined,
    )
  )
    context.addIssue({ code: 'custom', message: 'must name at least one condition' });
};

const NOVELTIES = ['newIp', 'newEhlo', 'newCountry', 'newAsn', 'quietHours'] as const;

/** Conditions that can never hold together are a mistake. */
const possible = (value: Conditions, context: z.RefinementCtx): void => {
  const fault = (key: keyof Conditions, message: string) =>
    context.addIssue({ code: 'custom', path: [key], message: `${message}: it could never hold` });
  const { learning, firstSeenWithin, dormantFor, installedWithin, installedFor, quietHours } = value;
  const news = NOVELTIES.find((key) =>
    key === 'quietHours' ? quietHours?.kind === 'unusual' : value[key] !== undefined,
  );
  if (learning === true && news !== undefined) fault(news, 'says nothing of who is still being learnt');
  if (installedFor !== undefined && installedWithin !== undefined && installedFor >= installedWithin)
    fault('installedFor', 'must be shorter than installedWithin');
  if (firstSeenWithin !== undefined && dormantFor !== undefined && dormantFor >= firstSeenWithin)
    fault('dormantFor', 'must be shorter than firstSeenWithin');
};

export const conditions = strictObject(fields)
  .superRefine(someOf)
  .superRefine((value, context) => possible(value as Conditions, context))
  .transform((value) => compact(value) as Conditions);

export const score = strictObject({
  threshold: z.number('must be a number above 0').positive('must be a number above 0'),
  signals: z
    .array(
      strictObject({
        points: z.number('must be a number above 0').positive('must be a number above 0'),
        ...fields,
      })
        .superRefine(someOf)
        .superRefine((value, context) => possible(value as Conditions, context))
        .transform(compact),
      'must be a list of signals',
    )
    .min(1, 'must have at least one signal')
    .max(20, 'at most 20 signals'),
})
  .superRefine(({ threshold, signals }, context) => {
    if (pointsOf(signals) < threshold)
      context.addIssue({
        code: 'custom',
        path: ['threshold'],
        message: 'must not be more than all signals together: it could never be reached',
      });
  })
  .transform((value) => value as Score);

export const learning = strictObject({
  days: z
    .int('must be a whole number from 1 to 16')
    .min(1, 'must be a whole number from 1 to 16')
    .max(16, 'must be a whole number from 1 to 16'),
  age: duration(MINUTE, 365 * DAY),
  installation: duration(MINUTE, 365 * DAY),
}).partial();
