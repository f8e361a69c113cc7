import { z } from 'zod';
import type { Baseline } from '../model.js';
import { faultsOf } from './faults.js';
import { amount, times } from './values.js';

/** `{ baseline: 5x, record: 1.5x, floor: 40, ceiling: 2000 }` */
export const baseline = z
  .strictObject(
    {
      baseline: times,
      record: times.optional(),
      largest: times.optional(),
      floor: amount,
      start: amount.optional(),
      ceiling: amount.optional(),
    },
    {
      error: ({ code, input }) => {
        if (code !== 'invalid_type') return undefined;
        return input === undefined
          ? 'is missing'
          : 'must follow the sender, such as { baseline: 3x, floor: 40 }';
      },
    },
  )
  .superRefine(({ floor, start = floor, ceiling }, context) => {
    if (ceiling !== undefined && ceiling < Math.max(floor, start))
      context.addIssue({
        code: 'custom',
        path: ['ceiling'],
        message: 'must not be lower than floor and start',
      });
  })
  .transform(({ baseline: typical, record = 0, largest = 0, floor, start = floor, ceiling }): Baseline => ({
    ...{ typical, record, largest, floor, start, ceiling: ceiling ?? null },
  }));

/** A fixed number, or one that follows the sender: the faults are those of the form that was meant. */
export const limit = z.unknown().transform((value, context) => {
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
