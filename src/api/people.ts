import { createHash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Session } from '../../projections/sessions/sessions.js';
import type { AdminRecord, AdminTable } from '../accounts/admins.js';
import { normalizeAdmin } from '../accounts/admins.js';
import { ROLES } from '../accounts/roles.js';
import { NO_ADMIN, PasswordChecker, passwordCost } from '../accounts/passwords.js';
import { StopgapError } from '../kernel/errors.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND, formatInstant } from '../kernel/time.js';
import { newId } from '../runtime/ids.js';
import { clientNetwork } from '../sending/identity.js';
import type { SessionEnded, SessionFact } from '../sessions/events.js';
import { sessionStream } from '../sessions/events.js';
import { AttemptLimiter } from '../accounts/attempt-limiter.js';
import { WrongExpectedRevision } from '../store/port.js';
import { shown } from './commands.js';
import type { ApiDependencies, Caller } from './dependencies.js';
import { Problem } from './http/problem.js';
import { clientIp } from './http/client-ip.js';
import type { ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { refuseCrossSite } from './http/same-site.js';
import { sessionCookie, sessionToken } from './http/session-cookie.js';
import type { CodeUsed } from './second-factor.js';
import { codeUsed, isTimeBased } from './second-factor.js';
import { instantShape } from './shapes.js';

/** A session ends when it was not used for so long, and after so long in any case. */
const IDLE: Milliseconds = 12 * HOUR;
const LASTS: Milliseconds = 7 * DAY;
/** How often it is recorded that a session is used: by that much a restart may shorten its rest. */
const RECORDED: Milliseconds = HOUR;
const TOKEN_BYTES = 32;
/** Failures a minute, and as many at once: from one network, and of one name from wherever. */
const FAILURES_OF_NETWORK = 10;
const FAILURES_OF_NAME = 20;
/** Time-based codes of one person that may be wrong within an hour: a thief of the password guesses one of a million. */
const WRONG_CODES = 10;
/** Checks of passwords that may wait: more than people are. */
const MOST_WAITING = 50;
/** Others may write to the stream of a person at the same time, but not often. */
const MOST_TRIES = 5;

const SIGN_IN = '/api/v1/sign-in';
const SESSION = '/api/v1/session';
const SESSIONS = '/api/v1/sessions';

const signInInput = z.strictObject({
  name: z.string('must be a text').min(1, 'must not be empty').max(100, 'at most 100 characters'),
  password: z.string('must be a text').max(4096, 'at most 4096 characters'),
  code: z.string('must be a text').max(40, 'at most 40 characters').optional().meta({
    description: 'The time-based code, or a recovery code, of a person who has them.',
  }),
});
type SignIn = z.infer<typeof signInInput>;

const sessionShape = z
  .object({
    id: z.string(),
    name: z.string(),
    since: instantShape,
    usedAt: instantShape.meta({ description: 'When it was last used, as far as this process knows.' }),
    until: instantShape.meta({ description: 'When it ends in any case.' }),
    idleUntil: instantShape.meta({ description: 'When it ends if it is not used.' }),
    network: z.string().meta({ description: 'The client network that it was begun from.' }),
    current: z.boolean().meta({ description: 'Whether it is the one that asks.' }),
  })
  .meta({ id: 'Session' });
const whoShape = z
  .object({
    name: z.string(),
    role: z.enum(ROLES),
    domains: z.array(z.string()),
    session: sessionShape
      .nullable()
      .meta({ description: 'Null for a token, and for a person that a proxy signs in.' }),
  })
  .meta({ id: 'Who' });

export type PeopleDependencies = ApiDependencies & { readonly admins: () => AdminTable };

/** The people who administrate: they sign in with a password, and have a session from then on. */
export class People {
  readonly #deps: PeopleDependencies;
  readonly #onEnded: (session: string) => void;
  readonly #networks: AttemptLimiter;
  readonly #names: AttemptLimiter;
  readonly #codes: AttemptLimiter;
  readonly #checker = new PasswordChecker({ queue: MOST_WAITING });
  /** When each session was last used, by id. */
  readonly #used = new LRUCache<string, Instant>({ max: 10_000 });
  readonly #recording = new Set<string>();
  readonly #failures: FloodCoalescer<{ readonly network: string }>;

  /** @param onEnded told of each session that is ended here */
  constructor(deps: PeopleDependencies, onEnded: (session: string) => void) {
    this.#deps = deps;
    this.#onEnded = onEnded;
    const { clock, log } = deps;
    this.#networks = new AttemptLimiter({ attemptsPerMinute: FAILURES_OF_NETWORK, clock });
    this.#names = new AttemptLimiter({ attemptsPerMinute: FAILURES_OF_NAME, clock });
    this.#codes = new AttemptLimiter({ attemptsPerMinute: WRONG_CODES, per: HOUR, clock });
    this.#failures = new FloodCoalescer(clock, ({ network }, count, since) =>
      log.warn({ network, count, since: formatInstant(since) }, 'a sign-in failed'),
    );
  }

  /**
   * Whose session it is; undefined if it has ended, or its person has other rights or another password since.
   *
   * @param isUse false if nobody waits for the answer: then the session rests
   */
  authenticate(token: string, isUse: boolean): Caller | undefined {
    const { models, admins, clock } = this.#deps;
    const session = models.sessions.find(hashOf(token));
    const admin = session === undefined ? undefined : admins().get(session.person);
    if (session === undefined || admin?.stamp !== session.stamp) return undefined;
    const now = clock.now();
    if (now >= Math.min(session.until, this.#usedAt(session) + IDLE)) return undefined;
    if (isUse) this.#use(session, now);
    const { name, role, domains } = admin;
    return { name, role, domains, session: session.id };
  }

  get routes(): readonly Route[] {
    return [
      route<unknown, SignIn>({
        method: 'post',
        path: SIGN_IN,
        summary: 'Sign in as a person: the answer sets the cookie of a session',
        scope: 'all',
        body: { schema: signInInput, limit: 8 * 1024 },
        responses: { 200: { description: 'Who has signed in', schema: whoShape } },
        handle: (request) => this.#signIn(request),
      }),
      route({
        method: 'get',
        path: SESSION,
        summary: 'Who asks, with what rights',
        role: 'viewer',
        scope: 'all',
        responses: { 200: { description: 'Who asks', schema: whoShape } },
        handle: ({ caller }) => ok(this.#who(caller)),
      }),
      route({
        method: 'delete',
        path: SESSION,
        summary: 'Sign out: the session that asks ends',
        role: 'viewer',
        scope: 'all',
        responses: { 204: { description: 'It has ended' } },
        handle: async (request) => {
          const { session } = request.caller;
          if (session === undefined) throw new StopgapError('conflict', 'the caller has no session to end');
          await this.#end(request, session, 'signed-out');
          return { status: 204, headers: { 'Set-Cookie': sessionCookie('', 0) } };
        },
      }),
      route({
        method: 'get',
        path: SESSIONS,
        summary: "List the own sessions, newest first; an admin sees everybody's",
        role: 'viewer',
        scope: 'all',
        responses: {
          200: { description: 'All of them', schema: z.object({ items: z.array(sessionShape) }) },
        },
        handle: ({ caller }) => {
          const all = this.#deps.models.sessions.all(this.#deps.clock.now());
          const own = all.filter((one) => this.#isInForce(one) && isOf(caller, one));
          return ok({ items: own.reverse().map((one) => this.#view(one, caller)) });
        },
      }),
      route({
        method: 'delete',
        path: `${SESSIONS}/{id}`,
        summary: "End an own session; an admin ends anybody's",
        role: 'viewer',
        scope: 'all',
        responses: { 204: { description: 'It has ended, and its event feeds with it' } },
        handle: async (request) => {
          const id = request.params['id']!;
          const session = this.#deps.models.sessions.byId(id);
          if (session === undefined || !isOf(request.caller, session))
            throw new StopgapError('not-found', `there is no session ${id.slice(0, 100)}`);
          await this.#end(request, id, 'revoked');
          return { status: 204 };
        },
      }),
    ];
  }

  /** A name that is not known costs as much as a wrong password, and hears the same. */
  async #signIn({ body, request, requestId }: ApiRequest<unknown, SignIn>) {
    const { admins, publicUrl, clock, log } = this.#deps;
    refuseCrossSite(request, publicUrl);
    const name = normalizeAdmin(body.name);
    const network = clientNetwork(clientIp(request, this.#deps.proxies ?? []) ?? 'unknown');
    const attempts = [await this.#networks.begin(network, name, body.password)];
    try {
      if (attempts[0] !== undefined)
        attempts.push(await this.#names.begin(this.#placeOf(name, network), name, body.password));
      if (attempts.includes(undefined)) throw tooMany('too many sign-ins have failed: wait a minute', MINUTE);
      const fail = (problem: Problem): never => {
        for (const attempt of attempts) attempt!.failed();
        this.#failures.add(network, { network });
        throw problem;
      };
      const admin = admins().get(name);
      const cost = passwordCost(NO_ADMIN);
      const isRight = await this.#checker.verify(admin?.password, body.password, {
        ...{ network, cost, like: NO_ADMIN },
      });
      if (!isRight || admin === undefined) return fail(wrong('the name or the password is wrong'));
      if (admin.totp !== undefined && body.code === undefined)
        throw wrong('the code of the second factor is needed', { needs: 'code' });
      if (admin.totp !== undefined && isTimeBased(body.code!)) {
        const attempt = await this.#codes.begin(`${name} ${admin.stamp}`, name, body.code!);
        if (attempt === undefined)
          throw tooMany('too many codes were wrong: wait, or use a recovery code', HOUR / WRONG_CODES);
        attempts.push(attempt);
      }
      const token = randomBytes(TOKEN_BYTES).toString('base64url');
      const before = sessionToken(request);
      const session = await this.#begin(admin, token, network, requestId, () => {
        const used = admin.totp === undefined ? {} : this.#codeOf(admin, body.code!);
        return used ?? fail(wrong('the code is wrong, or was used before', { needs: 'code' }));
      });
      await this.#endFormer(before, admin, requestId);
      log.info(
        { correlation: `request:${requestId}`, by: `admin:${name}`, network },
        'an administrator signed in',
      );
      const { role, domains } = admin;
      const seconds = Math.floor((session.until - clock.now()) / SECOND);
      return ok(this.#who({ name, role, domains, session: session.id }), {
        'Set-Cookie': sessionCookie(token, seconds),
      });
    } finally {
      for (const attempt of attempts) attempt?.end();
    }
  }

  /**
   * Where failures of a name count. From a network that the person has a session of they count apart: strangers elsewhere
   * cannot keep them out. No name begins with a space.
   */
  #placeOf(name: string, network: string): string {
    const all = this.#deps.models.sessions.all(this.#deps.clock.now());
    const isTheirs = all.some((one) => one.person === name && one.network === network);
    return isTheirs ? ` ${network} ${name}` : name;
  }

  #codeOf(admin: AdminRecord, code: string): CodeUsed | undefined {
    const { models, clock } = this.#deps;
    return codeUsed(admin, code, models.sessions, clock.now());
  }

  /** @param useCode what of a code is used up, by what is recorded now */
  async #begin(
    { name: person, stamp }: AdminRecord,
    token: string,
    network: string,
    requestId: string,
    useCode: () => CodeUsed,
  ): Promise<Session> {
    const { models, clock } = this.#deps;
    const session = newId();
    await this.#record(person, requestId, () => {
      const until = clock.now() + LASTS;
      const data = { session, person, hash: hashOf(token), stamp, until, network, ...useCode() };
      return { type: 'SignedIn', data };
    });
    const begun = models.sessions.byId(session);
    if (begun === undefined) throw new StopgapError('unavailable', 'the session is not known yet: try again');
    return begun;
  }

  /** Who signs in anew leaves no session behind in that browser. */
  async #endFormer(token: string | undefined, { name }: AdminRecord, requestId: string): Promise<void> {
    const former = token === undefined ? undefined : this.#deps.models.sessions.find(hashOf(token));
    if (former?.person !== name) return;
    const data = { session: former.id, reason: 'signed-in-again' } as const;
    await this.#record(name, requestId, () => ({ type: 'SessionEnded', data }));
    this.#onEnded(former.id);
  }

  async #end(
    { caller, requestId }: ApiRequest<unknown, unknown>,
    id: string,
    reason: SessionEnded['reason'],
  ): Promise<void> {
    const { person } = this.#deps.models.sessions.byId(id)!;
    const data = { session: id, reason };
    await this.#record(person, requestId, () => ({ type: 'SessionEnded', data }), caller.name);
    this.#onEnded(id);
  }

  /**
   * Decides by all that is recorded of a person, records it, and resolves when it shows. Two that use the same code at
   * once do not both get in: only one of them is next in the stream.
   */
  async #record(
    person: string,
    requestId: string | undefined,
    decide: () => SessionFact,
    by = person,
  ): Promise<void> {
    const { store, clock } = this.#deps;
    const stream = sessionStream(person);
    for (let tried = 1; ; tried++) {
      let expected: number | 'none' = 'none';
      for await (const last of store.readStream(stream, { direction: 'backwards', limit: 1 })) {
        expected = last.revision;
        await shown(this.#deps, last.position);
      }
      const event = {
        ...{ id: newId(), at: clock.now(), by: `admin:${by}` },
        ...(requestId === undefined ? {} : { correlation: `request:${requestId}` }),
        ...decide(),
      };
      try {
        const { position } = await store.append(stream, [event], expected);
        return await shown(this.#deps, position);
      } catch (thrown) {
        if (!(thrown instanceof WrongExpectedRevision) || tried === MOST_TRIES) throw thrown;
      }
    }
  }

  #use(session: Session, now: Instant): void {
    const { id, person, usedAt } = session;
    this.#used.set(id, now);
    if (now - usedAt < RECORDED || this.#recording.has(id)) return;
    this.#recording.add(id);
    // Without it the session may end sooner, and nothing else: the next use tries again.
    this.#record(person, undefined, () => ({ type: 'SessionUsed', data: { session: id } }))
      .catch(() => undefined)
      .finally(() => this.#recording.delete(id));
  }

  #usedAt({ id, usedAt }: Session): Instant {
    return Math.max(usedAt, this.#used.get(id) ?? usedAt);
  }

  #isInForce(session: Session): boolean {
    const isSame = this.#deps.admins().get(session.person)?.stamp === session.stamp;
    return isSame && this.#usedAt(session) + IDLE > this.#deps.clock.now();
  }

  #who(caller: Caller): z.infer<typeof whoShape> {
    const { name, role, domains, session: id } = caller;
    const session = id === undefined ? undefined : this.#deps.models.sessions.byId(id);
    const view = session === undefined ? null : this.#view(session, caller);
    return { name, role, domains: [...domains], session: view };
  }

  #view(session: Session, caller: Caller): z.infer<typeof sessionShape> {
    const { id, person, since, until, network } = session;
    const usedAt = this.#usedAt(session);
    return {
      ...{ id, name: person, network, current: id === caller.session },
      ...{ since: formatInstant(since), usedAt: formatInstant(usedAt), until: formatInstant(until) },
      idleUntil: formatInstant(Math.min(until, usedAt + IDLE)),
    };
  }
}

function isOf({ name, role, session }: Caller, { person }: Session): boolean {
  return role === 'admin' || (session !== undefined && person === name);
}

function hashOf(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}

function wrong(message: string, members: Readonly<Record<string, unknown>> = {}): Problem {
  const headers = { 'WWW-Authenticate': 'Session realm="stopgap"' };
  return new Problem(401, message, { code: 'unauthorized', headers, members });
}

function tooMany(message: string, wait: Milliseconds): Problem {
  return new Problem(429, message, { headers: { 'Retry-After': `${wait / SECOND}` } });
}
