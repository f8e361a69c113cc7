import type { Request } from 'express';
import { z } from 'zod';
import type { AdminRecord } from '../accounts/admins.js';
import { addAdmin, normalizeAdmin, endAdminLink, setPasswordByLink } from '../accounts/admins.js';
import { LONGEST_PASSWORD, SHORTEST_OF_ADMIN } from '../accounts/passwords.js';
import { StopgapError } from '../kernel/errors.js';
import { isLoopback, normalizeIp } from '../sending/identity.js';
import type { PersonChanged } from '../sessions/events.js';
import type { Attempt, Attempts } from './attempts.js';
import { linkHash } from './first-link.js';
import { Problem } from './http/problem.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { refuseCrossSite } from './http/same-site.js';
import { relyingParty } from './passkey-challenges.js';
import { changeFile } from './people.js';
import type { UsedUp } from './second-factor.js';
import { codeUsed } from './second-factor.js';
import type { PeopleDependencies, PersonSessions } from './sessions.js';
import { whoShape } from './sessions.js';

const SIGN_IN = '/api/v1/sign-in';
/** Who signs in to an evaluation. */
const DEMO = 'demo';
/** Bytes of a body. */
const LIMIT = 8 * 1024;

export const nameInput = z
  .string('must be a text')
  .min(1, 'must not be empty')
  .max(100, 'at most 100 characters');
export const passwordInput = z.string('must be a text').max(4096, 'at most 4096 characters');
/** A password that is new. */
export const newPasswordInput = z
  .string('must be a text')
  .min(SHORTEST_OF_ADMIN, `at least ${SHORTEST_OF_ADMIN} characters`)
  .refine((text) => Buffer.byteLength(text) <= LONGEST_PASSWORD, `at most ${LONGEST_PASSWORD} bytes`);
export const codeInput = z.string('must be a text').max(40, 'at most 40 characters');

const signInInput = z.strictObject({
  name: nameInput,
  password: passwordInput,
  code: codeInput.optional().meta({
    description: 'The time-based code, or a recovery code, of a person who has them.',
  }),
});
type SignInBody = z.infer<typeof signInInput>;

const tokenInput = z.string('must be a text').max(200, 'at most 200 characters');
const firstInput = z.strictObject({ token: tokenInput, name: nameInput, password: newPasswordInput });
type First = z.infer<typeof firstInput>;
const linkInput = z.strictObject({
  token: tokenInput,
  password: newPasswordInput,
  code: codeInput.optional(),
});
type ByLink = z.infer<typeof linkInput>;

const waysShape = z
  .object({
    evaluation: z.boolean().meta({ description: 'Whether one click is enough, on this machine.' }),
    first: z.boolean().meta({ description: 'Whether the link that was printed at the start still works.' }),
    openId: z
      .object({ label: z.string() })
      .nullable()
      .meta({ description: 'The OpenID provider, and what its button says.' }),
    passkeys: z.boolean().meta({
      description: 'Whether there can be: over HTTPS by the name in api.publicUrl, or as localhost.',
    }),
  })
  .meta({ id: 'WaysToSignIn' });

/** How people get in. */
export class SignIn {
  readonly #deps: PeopleDependencies;
  readonly #sessions: PersonSessions;
  readonly #attempts: Attempts;

  constructor(deps: PeopleDependencies, sessions: PersonSessions, attempts: Attempts) {
    this.#deps = deps;
    this.#sessions = sessions;
    this.#attempts = attempts;
  }

  get routes(): readonly Route[] {
    const answers = { 200: { description: 'Who has signed in', schema: whoShape } };
    return [
      route({
        method: 'get',
        path: SIGN_IN,
        summary: 'Which ways of signing in there are',
        scope: 'all',
        responses: { 200: { description: 'All of them', schema: waysShape } },
        handle: ({ request }) => ok(this.#ways(request)),
      }),
      route<unknown, SignInBody>({
        method: 'post',
        path: SIGN_IN,
        summary: 'Sign in as a person: the answer sets the cookie of a session',
        scope: 'all',
        body: { schema: signInInput, limit: LIMIT },
        responses: answers,
        handle: (request) => this.#byPassword(request),
      }),
      route({
        method: 'post',
        path: `${SIGN_IN}/evaluation`,
        summary:
          'Sign in to the evaluation set-up as an administrator, without a password: on this machine alone',
        scope: 'all',
        responses: answers,
        handle: (request) => this.#toEvaluation(request),
      }),
      route<unknown, First>({
        method: 'post',
        path: `${SIGN_IN}/first`,
        summary: 'Make the first administrator by the link that was printed at the start, and sign in',
        scope: 'all',
        body: { schema: firstInput, limit: LIMIT },
        responses: answers,
        handle: (request) => this.#first(request),
      }),
      route<unknown, ByLink>({
        method: 'post',
        path: `${SIGN_IN}/link`,
        summary: 'Set a password by a link that an administrator made, and sign in',
        scope: 'all',
        body: { schema: linkInput, limit: LIMIT },
        responses: answers,
        handle: (request) => this.#byLink(request),
      }),
    ];
  }

  #ways(request: Request): z.infer<typeof waysShape> {
    const { vouchers, first, openId: provider, publicUrl } = this.#deps;
    const evaluation = vouchers?.evaluation !== undefined;
    const openId = provider === undefined || publicUrl === undefined ? null : { label: provider.label };
    return {
      evaluation,
      first: first?.isOpen === true,
      openId,
      passkeys: relyingParty(request, publicUrl) !== undefined,
    };
  }

  /** A name that is not known costs as much as a wrong password, and hears the same. */
  #byPassword(asked: ApiRequest<unknown, SignInBody>): Promise<Answer> {
    const { body, request } = asked;
    refuseCrossSite(request, this.#deps.publicUrl);
    const name = normalizeAdmin(body.name);
    return this.#attempts.try(request, name, body.password, async ({ network, fail, beginCode }) => {
      const admin = this.#deps.admins().get(name);
      const isRight = await this.#attempts.isPassword(admin?.password, body.password, network);
      if (!isRight || admin === undefined || admin.disabled)
        return fail(wrong('the name or the password is wrong'));
      await beginCode(admin, body.code);
      await this.#attempts.beginSession(name, network);
      return this.#sessions.begin(asked, admin, () => this.#codeOf(admin, body.code, fail));
    });
  }

  #first(asked: ApiRequest<unknown, First>): Promise<Answer> {
    const { first, publicUrl, clock, tokens } = this.#deps;
    const { token, name: given, password } = asked.body;
    refuseCrossSite(asked.request, publicUrl);
    return this.#attempts.try(asked.request, undefined, token, async ({ fail }) => {
      const added = await first?.use(token, async () => {
        const who = { name: given, role: 'admin', password, now: clock.now() };
        const addition = { ...who, isFirst: true, tokens };
        const name = await changeFile(this.#deps, (file) => addAdmin({ file, ...addition }));
        await this.#changed(asked, name, { what: 'added', description: `${name}: admin, the first` });
        return this.#deps.admins().get(name);
      });
      return added === undefined ? fail(unusable()) : this.#sessions.begin(asked, added);
    });
  }

  /** Also for people who have forgotten their password. Their second factor is asked for all the same. */
  #byLink(asked: ApiRequest<unknown, ByLink>): Promise<Answer> {
    const { admins, publicUrl, clock } = this.#deps;
    const { token, password, code } = asked.body;
    refuseCrossSite(asked.request, publicUrl);
    const hash = linkHash(token);
    const person = [...admins().values()].find(({ link }) => link?.hash === hash);
    return this.#attempts.try(
      asked.request,
      person?.name,
      token + (code ?? ''),
      async ({ fail, beginCode }) => {
        const link = person?.link;
        if (person === undefined || link === undefined || person.disabled) return fail(unusable());
        const { name } = person;
        if (link.until <= clock.now()) {
          await changeFile(this.#deps, (file) => endAdminLink({ file, name, link }));
          return fail(unusable());
        }
        await beginCode(person, code);
        this.#codeOf(person, code, fail);
        await changeFile(this.#deps, (file) => setPasswordByLink({ file, name, password, link }));
        await this.#changed(asked, name, { what: 'password', description: `${name}: a password, by a link` });
        await this.#sessions.endOutdated(name, asked.requestId);
        const after = admins().get(name);
        if (after === undefined) return fail(unusable());
        return this.#sessions.begin(asked, after, () => this.#codeOf(after, code, fail));
      },
    );
  }

  #changed(
    { requestId }: ApiRequest<unknown, unknown>,
    person: string,
    change: Pick<PersonChanged, 'what' | 'description'>,
  ): Promise<void> {
    const fact = { type: 'PersonChanged', data: { person, ...change } } as const;
    return this.#sessions.record(person, requestId, () => fact);
  }

  async #toEvaluation(asked: ApiRequest<unknown, unknown>): Promise<Answer> {
    const { vouchers, publicUrl } = this.#deps;
    const stamp = vouchers?.evaluation;
    if (stamp === undefined)
      throw new StopgapError('not-found', 'this is no evaluation set-up: it needs a password');
    refuseCrossSite(asked.request, publicUrl);
    if (!isOnThisMachine(asked.request))
      throw new StopgapError('forbidden', 'this is done only on the machine itself, and not through a proxy');
    return this.#sessions.begin(asked, { name: DEMO, role: 'admin', domains: [], stamp, via: 'evaluation' });
  }

  /** What of a second factor is used up, if there is one. @throws Problem 401 without a code, or with a wrong one */
  #codeOf(admin: AdminRecord, code: string | undefined, fail: Attempt['fail']): UsedUp {
    const { models, clock } = this.#deps;
    if (admin.totp === undefined) return {};
    if (code === undefined) throw wrong('the code of the second factor is needed', { needs: 'code' });
    const used = codeUsed(admin, code, models.sessions, clock.now());
    return used ?? fail(wrong('the code is wrong, or was used before', { needs: 'code' }));
  }
}

function unusable(): Problem {
  return wrong('the link does not work, or works no more: ask for another');
}

/** Headers by which a proxy says for whom it asks. */
const FORWARDED = /^(?:forwarded|via|x-forwarded-.*|x-real-ip|x-client-ip|true-client-ip|cf-connecting-ip)$/;

/**
 * Whether a client on this machine asks by itself, and by a name of this machine. The name of a site may point to this
 * machine too, and a proxy may say nothing of its client.
 */
function isOnThisMachine({ socket, headers }: Request): boolean {
  const { host, origin = `http://${host}` } = headers;
  return (
    isLoopback(normalizeIp(socket.remoteAddress ?? '') ?? '') &&
    [`http://${host}`, origin].every(isOfThisMachine) &&
    !Object.keys(headers).some((name) => FORWARDED.test(name))
  );
}

function isOfThisMachine(url: string): boolean {
  const name = URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
  return name === 'localhost' || isLoopback(name);
}

export function wrong(message: string, members: Readonly<Record<string, unknown>> = {}): Problem {
  const headers = { 'WWW-Authenticate': 'Session realm="stopgap"' };
  return new Problem(401, message, { code: 'unauthorized', headers, members });
}
