import { STATUS_CODES } from 'node:http';
import type { Response } from 'express';
import type { z } from 'zod';
import type { ErrorCode } from '../../kernel/errors.js';
import { InvalidInput, StopgapError } from '../../kernel/errors.js';
import { InvalidRules } from '../../rules/parse.js';

/** One field that is at fault. */
export interface FieldFault {
  readonly field: string;
  readonly message: string;
}

/**
 * An error as RFC 9457 has it. With a `code` its type is `/problems/<code>`; without one the status says it
 * all and the type is `about:blank` (RFC 9457, 4.2.1).
 */
export class Problem extends Error {
  readonly code: ErrorCode | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly members: Readonly<Record<string, unknown>>;

  constructor(
    readonly status: number,
    message: string,
    more: {
      readonly code?: ErrorCode;
      readonly headers?: Readonly<Record<string, string>>;
      readonly members?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(message);
    this.name = 'Problem';
    this.code = more.code;
    this.headers = more.headers ?? {};
    this.members = more.members ?? {};
  }
}

/** 400 with every field that is at fault. */
export function invalid(faults: readonly FieldFault[]): Problem {
  const detail = faults.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`));
  return new Problem(400, detail.join('; '), { code: 'invalid-input', members: { errors: faults } });
}

const STATUSES: Readonly<Record<ErrorCode, number>> = {
  'invalid-input': 400,
  'not-found': 404,
  conflict: 409,
  'precondition-failed': 412,
  unauthorized: 401,
  forbidden: 403,
  unavailable: 503,
};

/** Seconds after which a client may try again. */
const RETRY_AFTER = '5';

/** The problem that a thrown error is for the client; undefined for a fault of ours. */
export function problemOf(thrown: unknown): Problem | undefined {
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof InvalidRules) {
    const errors = thrown.faults.map((fault) => ({ field: fault.path, message: fault.message }));
    const faults = thrown.faults.map(({ line, path, message }) => ({ line: line ?? null, path, message }));
    return new Problem(422, thrown.message, { code: 'invalid-input', members: { errors, faults } });
  }
  if (thrown instanceof InvalidInput) return invalid([{ field: thrown.field, message: thrown.message }]);
  if (thrown instanceof StopgapError) {
    const { code, details } = thrown;
    const headers: Record<string, string> = code === 'unavailable' ? { 'Retry-After': RETRY_AFTER } : {};
    return new Problem(STATUSES[code], thrown.message, { code, headers, members: details });
  }
  return ofExpress(thrown);
}

/** What express and its body reader throw: plain errors with a status. */
function ofExpress(thrown: unknown): Problem | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { status, type } = thrown as { status?: unknown; type?: unknown };
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  const limit = (thrown as { limit?: unknown }).limit;
  if (status === 413) return new Problem(413, `the body is larger than ${String(limit)} bytes`);
  if (status === 415) return new Problem(415, thrown.message);
  const field = type === undefined ? 'path' : 'body';
  return invalid([{ field, message: thrown.message }]);
}

export function problemBody(problem: Problem, instance: string): Readonly<Record<string, unknown>> {
  const { status, code, message, members } = problem;
  return {
    ...members,
    type: code === undefined ? 'about:blank' : `/problems/${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    ...(code === undefined ? {} : { code }),
    detail: message,
    instance,
  };
}

/** Writes it, unless an answer is under way already. */
export function sendProblem(response: Response, problem: Problem, requestId: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.status(problem.status).set(problem.headers).set('Cache-Control', 'no-store');
  response.set('Content-Type', 'application/problem+json; charset=utf-8');
  response.end(JSON.stringify(problemBody(problem, `urn:request:${requestId}`)));
}

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
