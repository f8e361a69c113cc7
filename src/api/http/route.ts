import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { Role, Scope } from '../../accounts/roles.js';
import { StopgapError } from '../../kernel/errors.js';
import type { Subject } from '../../sending/subjects.js';
import type { Authenticator, Caller } from '../dependencies.js';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export type Concerns = (subject: Subject) => boolean;

/** Whether the caller sees what is of every domain, and of none. */
export const seesAll = (concerns: Concerns): boolean => concerns({ type: 'ehlo', value: '' });

/**
 * Whether all mail that a block on a subject of the caller's stops is the caller's to see. Under an address, or the domain, an account
 * elsewhere may send too.
 */
export const seesMailOf = ({ type }: Subject, concerns: Concerns): boolean =>
  type === 'account' || seesAll(concerns);

/** What a handler gives back; {@link ./serve.ts} writes it. */
export interface Answer {
  readonly status: number;
  /** Written as JSON. Without it and without `text` there is no body. */
  readonly body?: unknown;
  /** Written as it is. */
  readonly text?: string;
  /** Content type; application/json unless given. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** A part of it failed and may be tried again: it is not kept for its Idempotency-Key. */
  readonly isUnfinished?: boolean;
}

/** One request, checked: what a handler works from. */
export interface ApiRequest<Query, Body> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  /** Whether a subject is the caller's to see, as `concerns` has it. A route of the scope `own` shows no other. */
  readonly concerns: Concerns;
  /** Whether the caller's token would still be let in, with the same rights: for answers that go on. */
  readonly isStillAllowed: () => boolean;
  readonly requestId: string;
  /** From token, Idempotency-Key and the request itself: what event ids are made of. */
  readonly seed: string | undefined;
  /** The traceparent for the resulting events, if it is traced. */
  readonly trace?: string | undefined;
  readonly request: Request;
  readonly response: Response;
}

export interface BodySpec<Body> {
  readonly schema: z.ZodType<Body>;
  /** True if the request may come without one; it is then read as `{}`. */
  readonly optional?: boolean;
  /** Bytes. */
  readonly limit?: number;
  /** Also takes YAML, which is handed to the schema as `{source: <text>}`. */
  readonly yaml?: boolean;
  /** Takes so many JSON values, as a list or one a line (NDJSON), handed to the schema as an array; one more is not read. */
  readonly ndjson?: number;
}

export interface ResponseSpec {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** application/json unless given; several if the client chooses. */
  readonly type?: string | readonly string[];
  /** Content types that a client may choose instead, without the schema. */
  readonly text?: string | readonly string[];
}

/** One row of the route table: express, the checks and the OpenAPI document are all made from it. */
interface RouteSpec<Query, Body> {
  readonly method: Method;
  /** With `{name}` for parameters, as OpenAPI has it. */
  readonly path: string;
  readonly summary: string;
  /** The role that is needed, as `allows` takes it; absent if no token is needed. */
  readonly role?: Role;
  /** What it is to the administrator of a domain. */
  readonly scope: Scope;
  /** Knows the tokens, where the route lies outside of what asks for one anyway. */
  readonly authenticator?: Authenticator;
  /** True if its answer holds a secret: then it is not kept for an Idempotency-Key, and sending again does it again. */
  readonly isSecret?: boolean;
  /** False if it works before the read models are caught up. */
  readonly needsModels?: boolean;
  readonly query?: z.ZodType<Query>;
  readonly body?: BodySpec<Body>;
  /** The answers that are no problems, by status. */
  readonly responses: Readonly<Record<number, ResponseSpec>>;
  /** Gives an answer, or nothing if it has written to the response itself. */
  handle(request: ApiRequest<Query, Body>): Answer | undefined | Promise<Answer | undefined>;
}

export type Route = RouteSpec<unknown, unknown>;

/** A row whose handler knows the types of its own query and body. */
export function route<Query = unknown, Body = unknown>(spec: RouteSpec<Query, Body>): Route {
  return spec;
}

/** Whether a path is one of the route's. */
export function matches({ path: template }: Route, path: string): boolean {
  const parts = path.split('/');
  const wanted = template.split('/');
  return (
    parts.length === wanted.length &&
    wanted.every((part, index) => part.startsWith('{') || part === parts[index])
  );
}

export function ok(body: unknown, headers?: Readonly<Record<string, string>>): Answer {
  return { status: 200, body, ...(headers === undefined ? {} : { headers }) };
}

/**
 * The subject that a request names, if it concerns the caller. Whether there is such a one elsewhere shows in nothing.
 *
 * @throws StopgapError `not-found`
 */
export function ownSubject<S extends Subject>(subject: S, concerns: Concerns): S {
  if (concerns(subject)) return subject;
  throw new StopgapError('not-found', `there is no ${subject.type} ${subject.value} in your domains`);
}
