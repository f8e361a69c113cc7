/*
 * What data must have at the least for the reducers to make sense of them. Anybody may write to a shared store: an
 * event that has the name of one of ours and nothing else must not pass for one.
 */

export type Check = (value: unknown) => boolean;
/** What must hold of some of the fields of a T; of the others nothing is asked. */
export type Shape<T> = { readonly [Key in keyof T]?: Check };

export const text: Check = (value) => typeof value === 'string';
export const whole: Check = (value) => Number.isSafeInteger(value);
export const wholeOrNull: Check = (value) => value === null || whole(value);

export const oneOf =
  (known: readonly string[]): Check =>
  (value) =>
    known.includes(value as string);

export const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

export function shaped<T>(shape: Shape<T>): Check {
  const checks = Object.entries(shape) as [string, Check][];
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([key, check]) => check((value as Record<string, unknown>)[key]));
}
