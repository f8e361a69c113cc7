import type { Span } from '@opentelemetry/api';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Express, Request, Response } from 'express';
import { z } from 'zod';
import { allows, concerns } from '../../accounts/roles.js';
import { messageOf, StopgapError } from '../../kernel/errors.js';
import { SECOND } from '../../kernel/time.js';
import { within } from '../../runtime/clock.js';
import type { Subject } from '../../sending/subjects.js';
import { StoreUnavailable } from '../../store/port.js';
import { isSampled, parseTraceparent, traceparentOf } from '../../tracing/spans.js';
import type { Tracing } from '../../tracing/tracing.js';
import type { ApiDependencies, Authenticator, Caller, OperationDependencies } from '../dependencies.js';
import { isPerson, titleOf } from '../dependencies.js';
import type { BodyReader } from './body.js';
import { bodyReader, bytesOf } from './body.js';
import { idempotencyKey, IdempotentAnswers, seedOf } from './idempotency.js';
import { proxied } from './proxy-auth.js';
import { refuseCrossSite } from './same-site.js';
import { sessionToken } from './session-cookie.js';
import { checkInput, Problem, problemOf, sendProblem } from './problem.js';
import type { Answer, ApiRequest, Method, Route } from './route.js';
import { matches } from './route.js';

/** How long a request may be worked on before it is answered 503. */
const PATIENCE = 15 * SECOND;
const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
};
/** Requests of one token that are not answered yet, or whose answers are not read: each may hold a megabyte. */
const MOST_OF_ONE = 100;
/** Bytes of their bodies: what is made of a body can take five times its size, and more while many are worked on at once. */
const MOST_BYTES_OF_ONE = 16 * 1024 * 1024;
/** Everything below it asks for a token. */
const PROTECTED = '/api/v1';

const NO_QUERY = z.strictObject({});

/** Without `tokens` no route may ask for a role. */
export type ServeDependencies = OperationDependencies &
  Partial<Pick<ApiDependencies, 'tokens' | 'tracing' | 'models' | 'publicUrl' | 'proxyAuth'>> & {
    readonly people?: PeopleAuthenticator | undefined;
  };

/** Knows the sessions of people. */
export interface PeopleAuthenticator {
  authenticate(token: string, isUse: boolean): Caller | undefined;
}

/** Throws if a request cannot be handled now. */
export type Admission = (request: Request) => void;

/** What only processes with other roles serve. */
export interface Elsewhere {
  readonly routes: readonly Route[];
  /** Why this process does not. */
  readonly lacks: string;
}

interface Locals {
  readonly requestId: string;
  caller?: Caller;
  trace?: string | undefined;
  /** The route's template; absent if nothing matched. */
  route?: string;
  /** The route's method; absent if the path does not have it. */
  method?: string;
}

/** Puts the route table on an express app: identification, checks, answers, problems and metrics. */
export function serve(
  app: Express,
  routes: readonly Route[],
  deps: ServeDependencies,
  newRequestId: () => string,
  { admit, elsewhere }: { admit?: Admission; elsewhere?: Elsewhere | undefined } = {},
): void {
  const answers = new IdempotentAnswers(deps.clock);
  const underWay = new Map<string, UnderWay>();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
  app.use((request, response, next) => {
    const given = request.get('x-request-id');
    const requestId = given !== undefined && /^[\w.:-]{1,100}$/.test(given) ? given : newRequestId();
    Object.assign(response.locals, { requestId } satisfies Locals);
    response.set(SECURITY_HEADERS).set('X-Request-Id', requestId);
    measure(response, deps);
    admit?.(request);
    next();
  });
  const open = new Set(
    routes.flatMap(({ method, path, role }) => (role === undefined ? `${method.toUpperCase()} ${path}` : [])),
  );
  app.use(PROTECTED, (request, response, next) => {
    const locals = localsOf(response);
    const isOpen = open.has(`${request.method} ${request.baseUrl}${request.path}`);
    if (deps.tokens !== undefined && !isOpen) locals.caller = identify(request, deps, deps.tokens, true);
    if (deps.tracing !== undefined)
      locals.trace = traceRequest(deps.tracing, request, response, () => locals);
    next();
  });
  for (const [path, methods] of byPath(routes)) {
    for (const route of methods) {
      const read = route.body === undefined ? undefined : bodyReader(route.body);
      app[route.method](expressPath(path), async (request, response) => {
        Object.assign(localsOf(response), { route: path, method: route.method.toUpperCase() });
        const bytes = route.body === undefined ? 0 : bytesOf(request, route.body);
        const leave = takePlace(underWay, localsOf(response).caller, response, bytes);
        try {
          const answer = await work(route, read, request, response, deps, answers);
          if (answer !== undefined) send(response, answer);
        } finally {
          leave();
        }
      });
    }
    const allow = allowed(methods.map(({ method }) => method));
    app.all(expressPath(path), (request, response) => {
      localsOf(response).route = path;
      if (request.method === 'OPTIONS') return send(response, { status: 204, headers: { Allow: allow } });
      throw new Problem(405, `${request.method} is not possible here: use ${allow}`, {
        headers: { Allow: allow },
      });
    });
  }
  const advice = routes.some(({ path }) => path === PROTECTED)
    ? `see ${PROTECTED} for what there is`
    : 'this process does not have the role api; ask one that has';
  app.use(({ path }: Request) => {
    const known = elsewhere?.routes.find((route) => matches(route, path));
    // Its template: the path may have a token in it.
    if (known !== undefined)
      throw new StopgapError(
        'not-found',
        `there is no ${known.path}: this process ${elsewhere!.lacks}; ask one that has`,
      );
    throw new StopgapError('not-found', `there is no ${path.slice(0, 200)}: ${advice}`);
  });
  app.use((thrown: unknown, request: Request, response: Response, _next: unknown) => {
    const { requestId } = localsOf(response);
    sendProblem(response, problemOf(thrown) ?? fault(thrown, request, response, deps), requestId);
  });
}

/** What one token has under way. */
interface UnderWay {
  requests: number;
  bytes: number;
}

/**
 * Counts a request of a token until its work is done and its client has the answer, or is gone.
 *
 * @param bytes that its body has at most
 * @returns a function to call when the work is done
 * @throws Problem 503 if the token has too many requests, or too much data
 */
function takePlace(
  underWay: Map<string, UnderWay>,
  caller: Caller | undefined,
  response: Response,
  bytes: number,
): () => void {
  if (caller === undefined) return () => undefined;
  const name = titleOf(caller);
  const own = underWay.get(name) ?? { requests: 0, bytes: 0 };
  if (own.requests >= MOST_OF_ONE) throw tooMuch(`${MOST_OF_ONE} requests of ${name}`);
  if (own.bytes + bytes > MOST_BYTES_OF_ONE) throw tooMuch(`many large requests of ${name}`);
  underWay.set(name, own);
  own.requests += 1;
  own.bytes += bytes;
  let reasons = 2;
  const leave = (): void => {
    if (--reasons > 0) return;
    own.requests -= 1;
    own.bytes -= bytes;
    if (own.requests === 0) underWay.delete(name);
  };
  response.once('close', leave);
  return leave;
}

function tooMuch(what: string): Problem {
  const message = `${what} are under way already`;
  return new Problem(503, message, { code: 'unavailable', headers: { 'Retry-After': '1' } });
}

/** `/blocks/{id}` as express writes it. */
export function expressPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1');
}

function byPath(routes: readonly Route[]): ReadonlyMap<string, readonly Route[]> {
  const paths = new Map<string, Route[]>();
  for (const route of routes) paths.set(route.path, [...(paths.get(route.path) ?? []), route]);
  return paths;
}

function allowed(methods: readonly Method[]): string {
  const names = methods.map((method) => method.toUpperCase());
  return [...names, ...(names.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
}

async function work(
  route: Route,
  read: BodyReader | undefined,
  request: Request,
  response: Response,
  deps: ServeDependencies,
  answers: IdempotentAnswers,
): Promise<Answer | undefined> {
  const { requestId, trace } = localsOf(response);
  const { authenticator } = route;
  const caller =
    authenticator === undefined ? localsOf(response).caller : authenticate(request, authenticator);
  if (route.role !== undefined) {
    authorize(caller, route);
    if (route.needsModels !== false && deps.models?.ready !== true) {
      throw new StoreUnavailable('the read models are not caught up with the store yet');
    }
  }
  const isStillAllowed = (): boolean => {
    try {
      const now =
        authenticator === undefined
          ? identify(request, deps, deps.tokens!, false)
          : authenticate(request, authenticator);
      authorize(now, route);
      return keyOf(now) === keyOf(caller!);
    } catch {
      return false;
    }
  };
  const params = Object.fromEntries(
    Object.entries(request.params).map(([name, value]) => [name, String(value)]),
  );
  const query = checkInput(route.query ?? NO_QUERY, { ...request.query }, 'query');
  const raw = await read?.(request, response);
  const body = raw === undefined ? undefined : checkInput(route.body!.schema, raw.value, 'body');
  // What a stranger is answered is not kept: it may be the cookie of a session.
  const isKept = route.method !== 'get' && route.role !== undefined && route.isSecret !== true;
  const key = isKept ? idempotencyKey(request.get('idempotency-key')) : undefined;
  const by = {
    caller: caller ?? NOBODY,
    concerns: (subject: Subject): boolean => concerns(caller ?? NOBODY, subject),
    isStillAllowed,
  };
  const checked = { params, query, body, ...by, requestId, trace, request, response };
  const patiently = <T>(work: Promise<T>): Promise<T> =>
    within(deps.clock, PATIENCE, work, () => {
      throw new StoreUnavailable(
        'the store did not answer in time: whether the change was made is not known',
      );
    });
  if (key === undefined) return patiently(handle(route, { ...checked, seed: undefined }));
  const keyed = {
    caller: keyOf(checked.caller),
    key,
    method: request.method,
    url: request.originalUrl,
    // If-Match is part of the request.
    body: Buffer.concat([Buffer.from(`${request.get('if-match') ?? ''}\n`), raw?.bytes ?? Buffer.alloc(0)]),
  };
  return patiently(
    answers.answer(keyed, `urn:request:${requestId}`, async () => {
      const answer = await handle(route, { ...checked, seed: seedOf(keyed) });
      return answer ?? { status: 204 };
    }),
  );
}

async function handle(route: Route, request: ApiRequest<unknown, unknown>): Promise<Answer | undefined> {
  return route.handle(request);
}

const NOBODY: Caller = { name: '', role: 'viewer', domains: [] };

/** What an answer that is kept may depend on: a token that becomes one for other domains sees nothing of what it saw. */
function keyOf(caller: Caller): string {
  const { name, role, domains } = caller;
  const who = isPerson(caller) ? `person\0${name}\0${role}` : name;
  return role === 'domain' ? [who, role, ...domains].join('\0') : who;
}

function send(response: Response, { status, body, text, type, headers = {} }: Answer): void {
  response.status(status).set('Cache-Control', 'no-store').set(headers);
  if (body === undefined && text === undefined) {
    response.end();
    return;
  }
  const bytes = Buffer.from(text ?? JSON.stringify(body));
  // Express's own `send` answers 304 to every `If-None-Match: *`; here only routes decide what has a version.
  response
    .set('Content-Type', type ?? 'application/json; charset=utf-8')
    .set('Content-Length', `${bytes.length}`);
  response.end(bytes);
}

/** Who it is by a token; without one as a reverse proxy says; else by the cookie of a session. */
function identify(
  request: Request,
  { people, publicUrl, proxyAuth }: ServeDependencies,
  tokens: Authenticator,
  isUse: boolean,
): Caller {
  if (request.get('authorization') !== undefined) return authenticate(request, tokens);
  const person = proxyAuth === undefined ? undefined : proxied(request, proxyAuth);
  if (person !== undefined) {
    // The browser signs in to the proxy by itself, whatever page asks.
    refuseCrossSite(request, publicUrl);
    return person;
  }
  const session = sessionToken(request);
  if (people === undefined || session === undefined) return authenticate(request, tokens);
  refuseCrossSite(request, publicUrl);
  const caller = people.authenticate(session, isUse);
  if (caller !== undefined) return caller;
  throw unauthorized('the session has ended: sign in again', 'Session realm="stopgap"');
}

/** Whose token it is (RFC 6750). */
function authenticate(request: Request, tokens: Authenticator): Caller {
  // Some callers can send no header: they have it in the path.
  const { token: inPath } = request.params;
  const header = request.get('authorization');
  if (header === undefined && inPath === undefined) {
    throw unauthorized('a token is needed: send Authorization: Bearer <token>', 'Bearer realm="stopgap"');
  }
  const token =
    inPath === undefined
      ? /^Bearer +([\x21-\x7e]{1,1024})$/i.exec(header!)?.[1]
      : String(inPath).slice(0, 1024);
  const caller = token === undefined ? undefined : tokens.authenticate(token);
  if (caller === undefined) {
    throw unauthorized(
      'the token is not valid, or has expired',
      'Bearer realm="stopgap", error="invalid_token"',
    );
  }
  const { name, role, domains } = caller;
  return { name, role, domains };
}

function unauthorized(message: string, challenge: string): Problem {
  return new Problem(401, message, { code: 'unauthorized', headers: { 'WWW-Authenticate': challenge } });
}

function authorize(caller: Caller | undefined, { role: needed, scope }: Route): void {
  if (needed === undefined) return;
  if (caller === undefined) throw unauthorized('a token is needed', 'Bearer realm="stopgap"');
  if (allows(caller.role, needed, scope)) return;
  // For those of some domains no role is enough: this shows or changes what is everybody's.
  const wanted =
    caller.role === 'domain' ? 'is not for the administrators of single domains' : `needs the role ${needed}`;
  const message = `this ${wanted}; ${titleOf(caller)} has the role ${caller.role}`;
  throw new Problem(403, message, {
    code: 'forbidden',
    headers: { 'WWW-Authenticate': 'Bearer realm="stopgap", error="insufficient_scope"' },
    members: { needed, role: caller.role },
  });
}

/** Logs a fault of ours. The client learns only under which id it is logged. */
function fault(thrown: unknown, request: Request, response: Response, { log }: ServeDependencies): Problem {
  const { requestId, route } = localsOf(response);
  log.error(
    {
      correlation: `request:${requestId}`,
      method: request.method,
      route,
      error: messageOf(thrown),
      stack: thrown instanceof Error ? thrown.stack : undefined,
    },
    'a request failed through a fault of ours',
  );
  return new Problem(500, `a fault of ours, logged under ${requestId}`, {
    members: { correlation: requestId },
  });
}

/** Measures until the answer is written or the client is gone; a feed until it has begun. */
function measure(response: Response, { metrics }: ServeDependencies): void {
  const begun = performance.now();
  response.once('close', () => {
    const { route = 'unmatched', method = 'other' } = localsOf(response);
    if (String(response.getHeader('Content-Type')).startsWith('text/event-stream')) return;
    const status = response.writableFinished ? String(response.statusCode) : 'gone';
    metrics.api.answered(method, route, status, performance.now() - begun);
  });
}

function localsOf(response: Response): Locals {
  return response.locals as Locals;
}

/** Methods that change nothing. */
const LOOKS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Traces a request until it is answered. A request with a traceparent is traced if the caller's own trace is sampled.
 * Other requests are traced if they may change something, and a sample of the rest.
 *
 * @param about what is known of it once it is answered
 * @returns the traceparent for the resulting events
 */
function traceRequest(
  tracing: Tracing,
  request: Request,
  response: Response,
  about: () => { readonly route?: string; readonly requestId: string },
): string | undefined {
  const parent = request.get('traceparent');
  const caller = parent === undefined ? undefined : parseTraceparent(parent);
  const wanted = caller === undefined ? !LOOKS.has(request.method) || tracing.chosen() : isSampled(caller);
  if (!wanted) return undefined;
  const { method } = request;
  const attributes = { 'http.request.method': method };
  const span = tracing.start(method, { parent, kind: SpanKind.SERVER, attributes });
  response.once('close', () => answered(span, response, method, about()));
  return traceparentOf(span);
}

function answered(
  span: Span,
  response: Response,
  method: string,
  { route, requestId }: { readonly route?: string; readonly requestId: string },
): void {
  // A path may name a sender, so the span has the template only.
  if (route !== undefined) span.updateName(`${method} ${route}`).setAttribute('http.route', route);
  span.setAttribute('stopgap.correlation', `request:${requestId}`);
  if (response.writableFinished) span.setAttribute('http.response.status_code', response.statusCode);
  if (response.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
