import type { z } from 'zod';

export type Path = readonly PropertyKey[];

/** What zod found, in our words: where, and what would be right. */
export function faultsOf(issue: z.core.$ZodIssue): readonly { path: Path; message: string }[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'is not a known key' }));
  }
  if (issue.code === 'invalid_type' && issue.message.includes('received undefined')) {
    return [{ path: issue.path, message: 'is missing' }];
  }
  return [{ path: issue.path, message: issue.message }];
}
