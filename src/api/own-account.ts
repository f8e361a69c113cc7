import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { AdminRecord } from '../accounts/admins.js';
import { endSecondFactor, setAdminPassword, startSecondFactor } from '../accounts/admins.js';
import type { SecondFactor } from '../accounts/second-factor.js';
import { newSecondFactor } from '../accounts/second-factor.js';
import { StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import type { PersonChanged } from '../sessions/events.js';
import type { Attempts } from './attempts.js';
import { invalid } from './http/problem.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { changeFile } from './people.js';
import type { UsedUp } from './second-factor.js';
import { codeUsed, otpauthUri } from './second-factor.js';
import type { PeopleDependencies, PersonSessions } from './sessions.js';
import { whoShape } from './sessions.js';
import { codeInput, newPasswordInput, passwordInput } from './sign-in.js';

const PASSWORD = '/api/v1/session/password';
const SECOND_FACTOR = '/api/v1/session/second-factor';
/** How long a person may take to show the first code of a new secret. */
const PATIENCE: Milliseconds = 10 * MINUTE;

const passwordChange = z.strictObject({ password: passwordInput, newPassword: newPasswordInput });
const confirmation = z.strictObject({ code: codeInput });
const ownPassword = z.strictObject({ password: passwordInput });
type PasswordChange = z.infer<typeof passwordChange>;
type Confirmation = z.infer<typeof confirmation>;
type OwnPassword = z.infer<typeof ownPassword>;

const secretShape = z
  .object({
    secret: z.string().meta({ description: 'In base32, to be typed.' }),
    uri: z.string().meta({ description: 'What an authenticator reads from a picture: otpauth://…' }),
  })
  .meta({ id: 'NewSecondFactor' });
const recoveryShape = z
  .object({ recoveryCodes: z.array(z.string()).meta({ description: 'Each works once. Shown only now.' }) })
  .meta({ id: 'RecoveryCodes' });

type Own = AdminRecord & { readonly session: string };

/** What people change of their own account. Their sessions end by it; the one that asks gets a new cookie. */
export class OwnAccount {
  readonly #deps: PeopleDependencies;
  readonly #sessions: PersonSessions;
  readonly #attempts: Attempts;
  /** Secrets that wait for their first code, by session. */
  readonly #waiting: LRUCache<string, SecondFactor>;

  constructor(deps: PeopleDependencies, sessions: PersonSessions, attempts: Attempts) {
    this.#deps = deps;
    this.#sessions = sessions;
    this.#attempts = attempts;
    this.#waiting = new LRUCache({ max: 1000, ttl: PATIENCE, ttlResolution: 0, perf: deps.clock });
  }

  get routes(): readonly Route[] {
    const shared = { role: 'viewer', scope: 'all', isSecret: true } as const;
    return [
      route<unknown, PasswordChange>({
        method: 'put',
        path: PASSWORD,
        summary: 'Change the own password: other sessions end, and this one gets another cookie',
        ...shared,
        body: { schema: passwordChange },
        responses: { 200: { description: 'Who asks', schema: whoShape } },
        handle: (request) => this.#setPassword(request),
      }),
      route<unknown, OwnPassword>({
        method: 'post',
        path: SECOND_FACTOR,
        summary: 'Begin to use time-based codes: a secret, which counts once it is confirmed',
        ...shared,
        body: { schema: ownPassword },
        responses: { 200: { description: 'What an authenticator needs', schema: secretShape } },
        handle: (request) => this.#begin(request),
      }),
      route<unknown, Confirmation>({
        method: 'put',
        path: SECOND_FACTOR,
        summary: 'Confirm the new secret with a code: from then on one is asked for at each sign-in',
        ...shared,
        body: { schema: confirmation },
        responses: {
          200: { description: 'Codes for when the authenticator is lost', schema: recoveryShape },
        },
        handle: (request) => this.#confirm(request),
      }),
      route<unknown, OwnPassword>({
        method: 'delete',
        path: SECOND_FACTOR,
        summary: 'Remove the second factor: the password alone is enough then',
        ...shared,
        body: { schema: ownPassword },
        responses: { 204: { description: 'It is removed, and the session has another cookie' } },
        handle: (request) => this.#remove(request),
      }),
    ];
  }

  #setPassword(asked: ApiRequest<unknown, PasswordChange>): Promise<Answer> {
    const { password, newPassword } = asked.body;
    return this.withPassword(asked, password, async (admin) => {
      const { name, stamp } = admin;
      await changeFile(this.#deps, (file) => setAdminPassword({ file, name, stamp, password: newPassword }));
      return this.renewed(asked, name, { what: 'password', description: `${name}: another password` });
    });
  }

  /** With a session alone, a thief could lock its owner out by a secret that only the thief knows. */
  #begin(asked: ApiRequest<unknown, OwnPassword>): Promise<Answer> {
    return this.withPassword(asked, asked.body.password, ({ name, totp, session }) => {
      if (totp !== undefined)
        throw new StopgapError('conflict', 'there is a second factor already: remove it first');
      const factor = newSecondFactor();
      this.#waiting.set(session, factor);
      return ok({ secret: factor.secret, uri: otpauthUri(name, factor.secret) });
    });
  }

  async #confirm(asked: ApiRequest<unknown, Confirmation>): Promise<Answer> {
    const { request, body } = asked;
    const admin = this.own(asked.caller);
    const { name, session, stamp } = admin;
    const factor = this.#waiting.get(session);
    if (factor === undefined || admin.totp !== undefined)
      throw new StopgapError('conflict', 'no secret waits for its first code: begin again');
    return this.#attempts.try(request, name, body.code, async ({ fail }) => {
      const { models, clock } = this.#deps;
      const proven = { ...admin, totp: factor.secret, recovery: [] };
      const used = codeUsed(proven, body.code, models.sessions, clock.now());
      if (used === undefined) return fail(invalid([{ field: 'code', message: 'is wrong' }]));
      await changeFile(this.#deps, (file) => startSecondFactor({ file, name, stamp }, factor));
      this.#waiting.delete(session);
      const change = { what: 'second-factor', description: `${name}: a second factor` } as const;
      const { headers } = await this.renewed(asked, name, change, used);
      return { ...ok({ recoveryCodes: factor.recovery }), ...(headers === undefined ? {} : { headers }) };
    });
  }

  #remove(asked: ApiRequest<unknown, OwnPassword>): Promise<Answer> {
    return this.withPassword(asked, asked.body.password, async ({ name, totp, stamp }) => {
      if (totp === undefined) throw new StopgapError('conflict', 'there is no second factor');
      await changeFile(this.#deps, (file) => endSecondFactor({ file, name, stamp }));
      const change = { what: 'second-factor', description: `${name}: no second factor` } as const;
      const { headers } = await this.renewed(asked, name, change);
      return { status: 204, ...(headers === undefined ? {} : { headers }) };
    });
  }

  /** A session may be left open on a machine: what matters asks for the password again. */
  async withPassword(
    { request, caller }: ApiRequest<unknown, unknown>,
    password: string,
    work: (admin: Own) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    const admin = this.own(caller);
    return this.#attempts.try(request, admin.name, password, async ({ network, fail }) => {
      if (!(await this.#attempts.isPassword(admin.password, password, network)))
        return fail(invalid([{ field: 'password', message: 'is wrong' }]));
      return work(admin);
    });
  }

  /** Records a change, which has ended all sessions of its person, and gives the browser that asked another one. */
  async renewed(
    asked: ApiRequest<unknown, unknown>,
    name: string,
    change: Pick<PersonChanged, 'what' | 'description'>,
    used?: UsedUp,
  ): Promise<Answer> {
    const fact = { type: 'PersonChanged', data: { person: name, ...change } } as const;
    await this.#sessions.record(name, asked.requestId, () => fact);
    await this.#sessions.endOutdated(name, asked.requestId);
    const admin = this.#deps.admins().get(name);
    if (admin === undefined) throw new StopgapError('conflict', `${name} was removed meanwhile`);
    return this.#sessions.begin(asked, admin, () => used ?? {});
  }

  /** @throws StopgapError `conflict` for those who have no account of their own here */
  own({ name, session, via, viaProxy }: ApiRequest<unknown, unknown>['caller']): Own {
    const admin = this.#deps.admins().get(name);
    if (session === undefined || via !== undefined || viaProxy === true || admin === undefined)
      throw new StopgapError(
        'conflict',
        'only who signs in with a password has one here: a token, a proxy and a provider have none',
      );
    return { ...admin, session };
  }
}
