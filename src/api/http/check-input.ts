import type { z } from 'zod';
import type { FieldFault } from './problem.js';
import { invalid } from './problem.js';

/**
 * Checks what came in against its schema.
 *
 * @param whole how to name the value as a whole: `body` or `query`
 * @throws Problem 400 naming every field at fault
 */
export function checkInput<T>(schema: z.ZodType<T>, value: unknown, whole: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(result.error.issues.flatMap((issue) => faultsOf(issue, whole)));
}

/** What an issue says of which fields. @param whole how to name the value as a whole */
export function faultsOf(issue: z.core.$ZodIssue, whole: string): readonly FieldFault[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: [...path, key].join('.'), message: 'is not known here' }));
  }
  const field = path.length === 0 ? whole : path.join('.');
  const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  return [{ field, message: isMissing ? 'is missing' : issue.message }];
}
