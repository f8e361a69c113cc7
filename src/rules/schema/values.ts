import { z } from 'zod';
import { DAY, DURATION_FORM, formatDuration, parseDuration } from '../../kernel/time.js';

/** Longest block, and longest time that is looked back. */
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

/** What is said of a value of no use, and of none at all. */
export function orMissing(message: string): { error: (issue: { readonly input?: unknown }) => string } {
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
  const parts = /^(\d+(?:\.\d+)?)\s*(?:([kmg]i?)b|b)?$/i.exec(String(value));
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

/** `5x`, `1.5x`, or the bare number. */
const TIMES = 'must be a multiple such as 5x, above 0 and at most 1000x';

export const times = z.union([z.number(), z.string()], orMissing(TIMES)).transform((value, context) => {
  const number = Number(/^(\d+(?:\.\d+)?)\s*x?$/i.exec(String(value).trim())?.[1] ?? NaN);
  if (!(number > 0 && number <= 1000)) {
    context.addIssue({ code: 'custom', message: TIMES });
    return z.NEVER;
  }
  return number;
});
