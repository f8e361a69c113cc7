import type { Request } from 'express';
import { z } from 'zod';
import type { AdminRecord } from '../accounts/admins.js';
import { normalizeAdmin } from '../accounts/admins.js';
import { StopgapError } from '../kernel/errors.js';
import { isLoopback, normalizeIp } from '../sending/identity.js';
import type { Attempts } from './attempts.js';
import { Problem } from './http/problem.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { refuseCrossSite } from './http/same-site.js';
import type { CodeUsed } from './second-factor.js';
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
export const codeInput = z.string('must be a text').max(40, 'at most 40 characters');

const signInInput = z.strictObject({
  name: nameInput,
  password: passwordInput,
  code: codeInput.optional().meta({
    description: 'The time-based code, or a recovery code, of a person who has them.',
  }),
});
type SignInBody = z.infer<typeof signInInput>;

const waysShape = z
  .object({
    evaluation: z.boolean().meta({ description: 'Whether one click is enough, on this machine.' }),
    first: z.boolean().meta({ description: 'Whether the link that was printed at the start still works.' }),
    openId: z
      .object({ label: z.string() })
      .nullable()
      .meta({ description: 'The OpenID provider, and what its button says.' }),
    passkeys: z.boolean(),
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
        handle: () => ok(this.#ways()),
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
    ];
  }

  #ways(): z.infer<typeof waysShape> {
    const evaluation = this.#deps.vouchers?.evaluation !== undefined;
    return { evaluation, first: false, openId: null, passkeys: false };
  }

  /** A name that is not known costs as much as a wrong password, and hears the same. */
  #byPassword(asked: ApiRequest<unknown, SignInBody>): Promise<Answer> {
    const { body, request } = asked;
    refuseCrossSite(request, this.#deps.publicUrl);
    const name = normalizeAdmin(body.name);
    return this.#attempts.try(request, name, body.password, async ({ network, fail }) => {
      const admin = this.#deps.admins().get(name);
      const isRight = await this.#attempts.isPassword(admin?.password, body.password, network);
      if (!isRight || admin === undefined) return fail(wrong('the name or the password is wrong'));
      if (admin.totp !== undefined && body.code === undefined)
        throw wrong('the code of the second factor is needed', { needs: 'code' });
      return this.#sessions.begin(asked, admin, () => {
        const used = admin.totp === undefined ? {} : this.#codeOf(admin, body.code!);
        return used ?? fail(wrong('the code is wrong, or was used before', { needs: 'code' }));
      });
    });
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

  #codeOf(admin: AdminRecord, code: string): CodeUsed | undefined {
    const { models, clock } = this.#deps;
    return codeUsed(admin, code, models.sessions, clock.now());
  }
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

function wrong(message: string, members: Readonly<Record<string, unknown>> = {}): Problem {
  const headers = { 'WWW-Authenticate': 'Session realm="stopgap"' };
  return new Problem(401, message, { code: 'unauthorized', headers, members });
}
