import { z } from 'zod';
import { suggestion } from '../kernel/suggestion.js';

/** What is said of unknown keys: of each a line, in the order of the issue. {@link faultsOf} takes them apart. */
export const unknownKeys =
  (known: readonly string[]) =>
  ({ code, keys }: { readonly code?: string | undefined; readonly keys?: unknown }): string | undefined =>
    code === 'unrecognized_keys'
      ? (keys as readonly string[])
          .map((key) => `is not a known key; ${suggestion(key, known, 'docs/reference/rules.md')}`)
          .join('\n')
      : undefined;

/** An object with these keys alone. A mistyped one is told the nearest. @param error says what else may be wrong */
export function strictObject<S extends z.ZodRawShape>(shape: S, error?: z.core.$ZodErrorMap) {
  const ofKeys = unknownKeys(Object.keys(shape));
  return z.strictObject(shape, { error: (issue) => ofKeys(issue) ?? error?.(issue) });
}

export type Path = readonly PropertyKey[];

/** The faults that zod found, in our words: the place, and what would be right. */
export function faultsOf(issue: z.core.$ZodIssue): readonly { path: Path; message: string }[] {
  if (issue.code === 'unrecognized_keys') {
    const hints = issue.message.split('\n');
    return issue.keys.map((key, index) => ({
      path: [...issue.path, key],
      message: hints[index]!,
    }));
  }
  if (issue.code === 'invalid_type' && issue.message.includes('received undefined')) {
    return [{ path: issue.path, message: 'is missing' }];
  }
  return [{ path: issue.path, message: issue.message }];
}
