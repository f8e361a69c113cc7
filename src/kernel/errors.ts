/**
 * Every error that a user can meet carries a code from this list; docs/reference/api.md explains each, and a test
 * compares the two.
 */
export const ERROR_CODES = {
  'invalid-input': 'A field of the input is missing, of the wrong type or out of range.',
  'not-found': 'There is no such thing.',
  conflict: 'The transition is impossible in the state that the thing is in.',
  'precondition-failed': 'The thing has changed since it was read (If-Match).',
  unauthorized: 'No token, or one that is not valid.',
  forbidden: 'The token is valid, but its role does not allow this.',
  unavailable: 'The store does not answer, or the read models are not caught up yet.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An error with a code for the user who caused it: its message may be shown unchanged. */
export class StopgapError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = 'StopgapError';
  }
}

/** The input is at fault: names the field and says what would be right. */
export class InvalidInput extends StopgapError {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super('invalid-input', message, { field });
    this.name = 'InvalidInput';
  }
}

/** The text of any thrown value, for logs and messages: never empty, though an error's message may be. */
export function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown) || 'an error without a reason';
  return thrown.message || thrown.constructor.name;
}

const MOST_PROBLEMS = 10;
const LONGEST_PROBLEM = 300;

/** All that is wrong with what somebody wrote, a line each: of very many the first, and of very long ones the beginning. */
export function problemsText(problems: readonly string[]): string {
  const lines = problems
    .slice(0, MOST_PROBLEMS)
    .map((line) => (line.length > LONGEST_PROBLEM ? `${line.slice(0, LONGEST_PROBLEM)}…` : line));
  const more = problems.length - lines.length;
  return (more > 0 ? [...lines, `and ${more} more`] : lines).join('\n');
}

const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE']);

/** Whether the reason is a disk, or somebody's share of it, that is full: there may be room again at any moment. */
export function isDiskFull(thrown: unknown): boolean {
  const { code, cause } = (thrown ?? {}) as { readonly code?: string; readonly cause?: unknown };
  return NO_ROOM.has(code ?? '') || (cause !== undefined && isDiskFull(cause));
}

/** Any thrown value, as an error that can be thrown again. */
export function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
