import { createHash, randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { Session } from '../../projections/sessions/sessions.js';
import type { AdminTable } from '../accounts/admins.js';
import type { Rights } from '../accounts/roles.js';
import { ROLES } from '../accounts/roles.js';
import { StopgapError } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, SECOND, formatInstant } from '../kernel/time.js';
import { newId } from '../runtime/ids.js';
import type { SessionEnded, SessionFact, Via } from '../sessions/events.js';
import { sessionStream, VIA } from '../sessions/events.js';
import { WrongExpectedRevision } from '../store/port.js';
import { shown } from './commands.js';
import type { ApiDependencies, Caller } from './dependencies.js';
import { clientOf } from './http/client.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { sessionCookie, sessionToken } from './http/session-cookie.js';
import type { UsedUp } from './second-factor.js';
import { instantShape } from './shapes.js';
import { recentlyUsed } from '../runtime/recently-used.js';

/** A session ends when it was not used for so long, and after so long in any case. */
const IDLE: Milliseconds = 12 * HOUR;
const LASTS: Milliseconds = 7 * DAY;
/** How often it is recorded that a session is used: by that much a restart may shorten its rest. */
const RECORDED: Milliseconds = HOUR;
const TOKEN_BYTES = 32;
/** Others may write to the stream of a person at the same time, but not often. */
const MOST_TRIES = 5;

const SESSION = '/api/v1/session';
const SESSIONS = '/api/v1/sessions';

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
export const whoShape = z
  .object({
    name: z.string(),
    role: z.enum(ROLES),
    domains: z.array(z.string()),
    by: z.enum(['password', 'passkey', 'token', 'proxy', ...VIA]).meta({
      description: 'How they came in. With a password or a passkey they have an account of their own here.',
    }),
    secondFactor: z.boolean().meta({ description: 'Whether their account here asks for a code.' }),
    session: sessionShape
      .nullable()
      .meta({ description: 'Null for a token, and for a person that a proxy signs in.' }),
  })
  .meta({ id: 'Who' });

/** What a sign-in does beside giving a session: decided by what is recorded when it is asked, which may be several times. */
interface Entering {
  readonly useUp?: (() => UsedUp) | undefined;
  /** The sessions that end with it. */
  readonly displaces?: () => readonly Session[];
}

export type PeopleDependencies = ApiDependencies & { readonly admins: () => AdminTable };

/** Who gets a session, with what rights. */
export interface Entrant extends Rights {
  /** In normal form. */
  readonly name: string;
  /** The session ends when this becomes another. */
  readonly stamp: string;
  /** Who vouches for them, where they are not in the file of administrators. */
  readonly via?: Via;
  /** SHA-256 of what the one who vouches knows them by. */
  readonly sub?: string;
}

/** The sessions of people: by cookies, which stand for what is recorded. */
export class PersonSessions {
  readonly #deps: PeopleDependencies;
  readonly #onEnded: (session: string) => void;
  /** When each session was last used, by id. */
  readonly #used = recentlyUsed<string, Instant>(10_000);
  readonly #recording = new Set<string>();
  /** Those whose time was seen to be over, until that is recorded. */
  readonly #expired = recentlyUsed<string, true>(10_000);

  /** @param onEnded told of each session that is ended here */
  constructor(deps: PeopleDependencies, onEnded: (session: string) => void) {
    this.#deps = deps;
    this.#onEnded = onEnded;
  }

  /**
   * Whose session it is; undefined if it has ended, or its person has other rights or another password since.
   *
   * @param isUse false if nobody waits for the answer: then the session rests
   */
  authenticate(token: string, isUse: boolean): Caller | undefined {
    const session = this.#deps.models.sessions.find(hashOf(token));
    const person = session === undefined ? undefined : this.#entrantOf(session);
    if (session === undefined || person === undefined) return undefined;
    const now = this.#deps.clock.now();
    if (this.#isOver(session, now)) return undefined;
    if (isUse) this.#use(session, now);
    return callerOf(person, session);
  }

  get routes(): readonly Route[] {
    return [
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
          const own = this.#inForce().filter((one) => isOf(caller, one));
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

  /** As {@link enter}. @returns the answer that says who has signed in */
  async begin(asked: Asked, person: Entrant, useUp?: () => UsedUp): Promise<Answer> {
    const { caller, cookie } = await this.enter(asked, person, { useUp });
    return ok(this.#who(caller), { 'Set-Cookie': cookie });
  }

  /** Gives somebody a session, in place of the one that they had in that browser. */
  async enter(
    { request, requestId }: Asked,
    person: Entrant,
    { useUp, displaces }: Entering = {},
  ): Promise<{ readonly caller: Caller; readonly cookie: string }> {
    const { models, clock, log } = this.#deps;
    const [token, id] = [randomBytes(TOKEN_BYTES).toString('base64url'), newId()];
    const { name, role, domains, stamp, via, sub } = person;
    const network = clientOf(request, this.#deps);
    let displaced: readonly Session[] = [];
    await this.record(name, requestId, () => {
      displaced = displaces?.() ?? [];
      const ends = displaced.map(({ id: session }): SessionFact => {
        return { type: 'SessionEnded', data: { session, reason: 'displaced' } };
      });
      const until = clock.now() + LASTS;
      const given = via === undefined ? {} : { via, role, domains, ...(sub === undefined ? {} : { sub }) };
      const data = { session: id, person: name, hash: hashOf(token), stamp, until, network };
      return [...ends, { type: 'SignedIn', data: { ...data, ...given, ...useUp?.() } }];
    });
    const correlation = `request:${requestId}`;
    for (const one of displaced) this.#onEnded(one.id);
    if (displaced.length > 0)
      log.warn(
        { correlation, by: `admin:${name}`, network, role, ended: displaced.length },
        'sessions of another person of that name ended',
      );
    const session = models.sessions.byId(id);
    if (session === undefined)
      throw new StopgapError('unavailable', 'the session is not known yet: try again');
    await this.#endFormer(sessionToken(request), session, requestId);
    log.info({ correlation, by: `admin:${name}`, network }, 'an administrator signed in');
    const seconds = Math.floor((session.until - clock.now()) / SECOND);
    return { caller: callerOf(person, session), cookie: sessionCookie(token, seconds) };
  }

  /** Records the end of the sessions that a change of their person has ended, whatever becomes of the person later. */
  async endOutdated(name: string, requestId: string, by = name): Promise<void> {
    const stamp = this.#deps.admins().get(name)?.stamp;
    for (const session of this.#deps.models.sessions.all(this.#deps.clock.now())) {
      if (session.person !== name || session.via !== undefined || session.stamp === stamp) continue;
      const data = { session: session.id, reason: 'revoked' } as const;
      await this.record(name, requestId, () => ({ type: 'SessionEnded', data }), by);
      this.#onEnded(session.id);
    }
  }

  /**
   * Records the end of the sessions of somebody who is in no file of ours, but of those with that person's name and rights.
   *
   * @param sub as in {@link Entrant}
   * @param person who they are now, by the one who vouches; undefined if they may not sign in any more
   */
  async endOthers(via: Via, sub: string, requestId: string, person?: Entrant): Promise<void> {
    for (const session of this.#inForce()) {
      if (session.via !== via || session.sub !== sub) continue;
      if (person !== undefined && isSame(session, person)) continue;
      const data = { session: session.id, reason: 'revoked' } as const;
      await this.record(session.person, requestId, () => ({ type: 'SessionEnded', data }));
      this.#onEnded(session.id);
    }
  }

  /** The sessions of a person that have not ended. @param vouches who vouches for them; undefined for one of the file */
  of(name: string, vouches?: Via): readonly Session[] {
    return this.#inForce().filter(({ person, via }) => person === name && via === vouches);
  }

  /** Who signs in anew leaves no session behind in that browser. */
  async #endFormer(token: string | undefined, now: Session, requestId: string): Promise<void> {
    const former = token === undefined ? undefined : this.#deps.models.sessions.find(hashOf(token));
    if (former?.person !== now.person || former.via !== now.via) return;
    const data = { session: former.id, reason: 'signed-in-again' } as const;
    await this.record(now.person, requestId, () => ({ type: 'SessionEnded', data }));
    this.#onEnded(former.id);
  }

  async #end({ caller, requestId }: Asked, id: string, reason: SessionEnded['reason']): Promise<void> {
    const { person } = this.#deps.models.sessions.byId(id)!;
    const data = { session: id, reason };
    await this.record(person, requestId, () => ({ type: 'SessionEnded', data }), caller.name);
    this.#onEnded(id);
  }

  /**
   * Decides by all that is recorded of a person, records it as one, and resolves when it shows. Two that use the same code
   * at once do not both get in: only one of them is next in the stream.
   */
  async record(
    person: string,
    requestId: string | undefined,
    decide: () => SessionFact | readonly SessionFact[],
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
      const events = [decide()].flat().map((fact) => ({
        id: newId(),
        at: clock.now(),
        by: `admin:${by}`,
        ...(requestId === undefined ? {} : { correlation: `request:${requestId}` }),
        ...fact,
      }));
      try {
        const { position } = await store.append(stream, events, expected);
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
    this.record(person, undefined, () => ({ type: 'SessionUsed', data: { session: id } }))
      .catch(() => undefined)
      .finally(() => this.#recording.delete(id));
  }

  /** Whether its time is over. Once it was, it stays so: the clock may be set back. */
  #isOver(session: Session, now: Instant): boolean {
    const { id, person, until } = session;
    if (now < Math.min(until, this.usedAt(session) + IDLE) && !this.#expired.has(id)) return false;
    this.#expired.set(id, true);
    if (this.#recording.has(id)) return true;
    this.#recording.add(id);
    // Without it the session may come back with a restart: the next look tries again.
    this.record(person, undefined, () => ({ type: 'SessionEnded', data: { session: id, reason: 'expired' } }))
      .catch(() => undefined)
      .finally(() => this.#recording.delete(id));
    return true;
  }

  /** When it was last used, as far as this process knows. */
  usedAt({ id, usedAt }: Session): Instant {
    return Math.max(usedAt, this.#used.get(id) ?? usedAt);
  }

  /** Oldest first. */
  #inForce(): Session[] {
    const now = this.#deps.clock.now();
    const all = this.#deps.models.sessions.all(now);
    return all.filter((one) => this.#entrantOf(one) !== undefined && !this.#isOver(one, now));
  }

  /** Whose session it is; undefined if they are not who they were at the sign-in. */
  #entrantOf({ person, stamp, via, role, domains = [] }: Session): Entrant | undefined {
    if (via === undefined) {
      const admin = this.#deps.admins().get(person);
      return admin?.stamp === stamp ? admin : undefined;
    }
    const known = ROLES.find((one) => one === role);
    const isSame = this.#deps.vouchers?.[via] === stamp;
    return known !== undefined && isSame ? { name: person, role: known, domains, stamp, via } : undefined;
  }

  #who(caller: Caller): z.infer<typeof whoShape> {
    const { name, role, domains, session: id } = caller;
    const session = id === undefined ? undefined : this.#deps.models.sessions.byId(id);
    const view = session === undefined ? null : this.#view(session, caller);
    return { name, role, domains: [...domains], ...this.#means(caller), session: view };
  }

  /** How a caller came in. */
  #means({ name, session, via, viaProxy }: Caller): Pick<z.infer<typeof whoShape>, 'by' | 'secondFactor'> {
    if (viaProxy === true) return { by: 'proxy', secondFactor: false };
    if (session === undefined) return { by: 'token', secondFactor: false };
    const secondFactor = via === undefined && this.#deps.admins().get(name)?.totp !== undefined;
    const isPasskey = this.#deps.models.sessions.byId(session)?.passkey !== undefined;
    return { by: via ?? (isPasskey ? 'passkey' : 'password'), secondFactor };
  }

  #view(session: Session, caller: Caller): z.infer<typeof sessionShape> {
    const { id, person, since, until, network } = session;
    const usedAt = this.usedAt(session);
    return {
      id,
      name: person,
      network,
      current: id === caller.session,
      since: formatInstant(since),
      usedAt: formatInstant(usedAt),
      until: formatInstant(until),
      idleUntil: formatInstant(Math.min(until, usedAt + IDLE)),
    };
  }
}

type Asked = ApiRequest<unknown, unknown>;

function callerOf({ name, role, domains, via }: Entrant, { id }: Session): Caller {
  return { name, role, domains, session: id, ...(via === undefined ? {} : { via }) };
}

function isOf(caller: Caller, { person, via }: Session): boolean {
  return (
    caller.role === 'admin' || (caller.session !== undefined && person === caller.name && via === caller.via)
  );
}

function isSame({ person, role, domains = [] }: Session, now: Entrant): boolean {
  const isEqual = isDeepStrictEqual(new Set(domains), new Set(now.domains));
  return person === now.name && role === now.role && isEqual;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}
