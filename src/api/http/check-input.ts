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
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: nameOf([...issue.path, key]), message: 'is not known here' }));
  }
  const field = issue.path.length === 0 ? whole : nameOf(issue.path);
  const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  return [{ field, message: isMissing ? 'is missing' : issue.message }];
}

/** `subject.value`; a key without a character in it is `""`. */
function nameOf(path: readonly PropertyKey[]): string {
  return path.map((key) => (key === '' ? '""' : String(key))).join('.');
}
