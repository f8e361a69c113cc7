import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { AdminRecord } from '../accounts/admins.js';
import { addPasskey, removePasskey } from '../accounts/admins.js';
import type { Passkey } from '../accounts/passkeys.js';
import { LONGEST_ID, PASSKEY_NAME } from '../accounts/passkeys.js';
import { StopgapError } from '../kernel/errors.js';
import { formatInstant, HOUR, SECOND } from '../kernel/time.js';
import { SideThread } from '../runtime/side-thread.js';
import type { Attempts } from './attempts.js';
import { tooMany } from './attempts.js';
import { invalid } from './http/problem.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { refuseCrossSite } from './http/same-site.js';
import type { OwnAccount } from './own-account.js';
import type { RelyingParty } from './passkey-challenges.js';
import { Challenges, PATIENCE, relyingParty } from './passkey-challenges.js';
import type { PasskeyAnswer, PasskeyTold, Proved } from './passkey-thread.js';
import { changeFile } from './people.js';
import type { UsedUp } from './second-factor.js';
import type { PeopleDependencies, PersonSessions } from './sessions.js';
import { whoShape } from './sessions.js';
import { instantShape, instantView } from './shapes.js';
import { passwordInput, wrong } from './sign-in.js';

const SIGN_IN = '/api/v1/sign-in/passkey';
const OWN = '/api/v1/session/passkeys';
/** Bytes of a body. */
const LIMIT = 16 * 1024;
/** Mebibytes of the heap of the thread that checks. */
const HEAP = 128;
/** What keys may be of, by the numbers of COSE: ES256, EdDSA, RS256. */
const ALGORITHMS = [-7, -8, -257];
const WHAT_FOR = 'sign in';
/** Sign-ins an hour by one passkey: each is recorded for good, and its challenge looked for at the next ones. */
const MOST_USES = 60;

const base64url = (most: number) =>
  z
    .string('must be a text')
    .max(most, `at most ${most} characters`)
    .regex(/^[\w-]+$/, 'must be base64url');
const idInput = base64url(LONGEST_ID);
const credential = { id: idInput, rawId: idInput, type: z.literal('public-key') };
const nameInput = z
  .string('must be a text')
  .trim()
  .min(1, 'must not be empty')
  .max(60, 'at most 60 characters')
  .regex(PASSKEY_NAME, 'must have no control characters');
const beginInput = z.strictObject({ name: nameInput, password: passwordInput });
const newInput = z.strictObject({
  name: nameInput,
  credential: z
    .object({
      ...credential,
      response: z.object({
        clientDataJSON: base64url(4096),
        attestationObject: base64url(8192),
        transports: z
          .array(z.string().regex(/^[a-z-]{1,15}$/))
          .max(6)
          .optional(),
      }),
    })
    .meta({ description: 'What navigator.credentials.create() gave, as JSON.' }),
});
const knownInput = z.strictObject({
  credential: z
    .object({
      ...credential,
      response: z.object({
        clientDataJSON: base64url(4096),
        authenticatorData: base64url(4096),
        signature: base64url(2048),
        userHandle: base64url(128).nullish(),
      }),
    })
    .meta({ description: 'What navigator.credentials.get() gave, as JSON.' }),
});
const removal = z.strictObject({ password: passwordInput });
type Begin = z.infer<typeof beginInput>;
type NewInput = z.infer<typeof newInput>;
type KnownInput = z.infer<typeof knownInput>;
type Removal = z.infer<typeof removal>;

const passkeyShape = z
  .object({
    id: z.string(),
    name: z.string(),
    addedAt: instantShape,
    lastUsedAt: instantShape.nullable(),
  })
  .meta({ id: 'Passkey' });
const descriptor = z.object({
  id: z.string(),
  type: z.literal('public-key'),
  transports: z.array(z.string()).optional(),
});
const creationShape = z
  .object({
    rp: z.object({ id: z.string(), name: z.string() }),
    user: z.object({ id: z.string(), name: z.string(), displayName: z.string() }),
    challenge: z.string(),
    pubKeyCredParams: z.array(z.object({ type: z.literal('public-key'), alg: z.int() })),
    timeout: z.int(),
    attestation: z.literal('none'),
    excludeCredentials: z.array(descriptor),
    authenticatorSelection: z.object({
      residentKey: z.literal('required'),
      requireResidentKey: z.literal(true),
      userVerification: z.literal('required'),
    }),
  })
  .meta({ id: 'PasskeyCreation', description: 'PublicKeyCredentialCreationOptionsJSON of WebAuthn.' });
const requestShape = z
  .object({
    challenge: z.string(),
    rpId: z.string(),
    timeout: z.int(),
    userVerification: z.literal('required'),
  })
  .meta({ id: 'PasskeyRequest', description: 'PublicKeyCredentialRequestOptionsJSON of WebAuthn.' });

/** Sign-in by a key in somebody's device (WebAuthn), in the place of password and code. */
export class Passkeys {
  readonly #deps: PeopleDependencies;
  readonly #sessions: PersonSessions;
  readonly #attempts: Attempts;
  readonly #account: OwnAccount;
  readonly #challenges: Challenges;
  readonly #thread = new SideThread<PasskeyTold, PasskeyAnswer>({
    script: new URL('./passkey-thread.js', import.meta.url),
    heap: HEAP,
    work: 'checking a passkey',
  });
  #asked = 0;

  constructor(
    deps: PeopleDependencies,
    sessions: PersonSessions,
    { attempts, account }: { readonly attempts: Attempts; readonly account: OwnAccount },
  ) {
    this.#deps = deps;
    this.#sessions = sessions;
    this.#attempts = attempts;
    this.#account = account;
    this.#challenges = new Challenges(deps.admins);
  }

  get routes(): readonly Route[] {
    const own = { role: 'viewer', scope: 'all', isSecret: true } as const;
    return [
      route({
        method: 'post',
        path: `${SIGN_IN}/begin`,
        summary: 'Begin to sign in by a passkey: what the browser asks the device for',
        scope: 'all',
        responses: { 200: { description: 'For navigator.credentials.get()', schema: requestShape } },
        handle: (request) => this.#begin(request),
      }),
      route<unknown, KnownInput>({
        method: 'post',
        path: SIGN_IN,
        summary: 'Sign in by a passkey: the answer sets the cookie of a session',
        scope: 'all',
        body: { schema: knownInput, limit: LIMIT },
        responses: { 200: { description: 'Who has signed in', schema: whoShape } },
        handle: (request) => this.#signIn(request),
      }),
      route({
        method: 'get',
        path: OWN,
        summary: 'List the own passkeys',
        role: 'viewer',
        scope: 'all',
        responses: { 200: { description: 'All', schema: z.object({ items: z.array(passkeyShape) }) } },
        handle: ({ caller }) => {
          const { name, passkeys } = this.#account.own(caller);
          return ok({ items: passkeys.map((one) => this.#view(name, one)) });
        },
      }),
      route<unknown, Begin>({
        method: 'post',
        path: `${OWN}/begin`,
        summary: 'Begin to add a passkey: what the browser asks the device for',
        ...own,
        body: { schema: beginInput, limit: LIMIT },
        responses: { 200: { description: 'For navigator.credentials.create()', schema: creationShape } },
        handle: (request) => this.#beginNew(request),
      }),
      route<unknown, NewInput>({
        method: 'post',
        path: OWN,
        summary: 'Add a passkey: other sessions end, and this one gets another cookie',
        ...own,
        body: { schema: newInput, limit: LIMIT },
        responses: { 201: { description: 'The passkey', schema: passkeyShape } },
        handle: (request) => this.#add(request),
      }),
      route<unknown, Removal>({
        method: 'delete',
        path: `${OWN}/{id}`,
        summary: 'Remove a passkey: other sessions end, and this one gets another cookie',
        ...own,
        body: { schema: removal, limit: LIMIT },
        responses: { 204: { description: 'It is removed' } },
        handle: (request) => this.#remove(request),
      }),
    ];
  }

  #begin({ request }: Asked): Answer {
    refuseCrossSite(request, this.#deps.publicUrl);
    const { rpId } = this.#party(request);
    const { challenge, cookie } = this.#challenges.begin(WHAT_FOR, this.#deps.clock.now());
    const options = { challenge, rpId, timeout: PATIENCE, userVerification: 'required' };
    return ok(options, { 'Set-Cookie': cookie });
  }

  async #signIn(asked: ApiRequest<unknown, KnownInput>): Promise<Answer> {
    const { request, body } = asked;
    const { admins, clock, models, publicUrl } = this.#deps;
    refuseCrossSite(request, publicUrl);
    const party = this.#party(request);
    const challenge = this.#challenges.of(request, WHAT_FOR, clock.now());
    if (challenge === undefined) throw wrong('that took too long: try again');
    const { id, response } = body.credential;
    const ownerOf = (): AdminRecord | undefined =>
      [...admins().values()].find(({ passkeys }) => passkeys.some((one) => one.id === id));
    const person = ownerOf();
    return this.#attempts.try(request, person?.name, response.signature, async ({ fail }) => {
      const passkey = person?.passkeys.find((one) => one.id === id);
      if (person === undefined || passkey === undefined || person.disabled) return fail(refused());
      if ((response.userHandle ?? userHandle(person.name)) !== userHandle(person.name))
        return fail(refused());
      const { name, stamp } = person;
      const lastUse = () => models.sessions.passkeyUse(name, id);
      const uses = (lastUse()?.challenges ?? []).filter(([, at]) => at > clock.now() - HOUR);
      if (uses.length >= MOST_USES) {
        const wait = Math.ceil((uses[0]![1] + HOUR - clock.now()) / SECOND) * SECOND;
        throw tooMany('this passkey was used too often within an hour: wait', wait);
      }
      const counter = Math.max(passkey.counter, lastUse()?.counter ?? 0);
      const proved = await this.#check({
        kind: 'known',
        id: ++this.#asked,
        options: {
          response: { ...body.credential, response: given(response), clientExtensionResults: {} },
          ...expected(challenge, party),
          credential: { id, publicKey: new Uint8Array(Buffer.from(passkey.key, 'base64url')), counter },
        },
      });
      // Meanwhile somebody may have removed it, or disabled its owner.
      if (proved === undefined || ownerOf()?.stamp !== stamp) return fail(refused());
      const hash = createHash('sha256').update(challenge).digest('hex');
      const answer = await this.#sessions.begin(asked, person, (): UsedUp => {
        const { counter: last = 0, challenges = [] } = lastUse() ?? {};
        const isReplayed = challenges.some(([used]) => used === hash);
        if (isReplayed || (proved.counter > 0 && proved.counter <= last)) return fail(refused());
        return { passkey: id, counter: proved.counter, challenge: hash };
      });
      return this.#withoutChallenge(answer);
    });
  }

  #beginNew(asked: ApiRequest<unknown, Begin>): Promise<Answer> {
    const { rpId } = this.#party(asked.request);
    return this.#account.withPassword(asked, asked.body.password, ({ name, passkeys }) => {
      const { challenge, cookie } = this.#challenges.begin(whatForNew(asked), this.#deps.clock.now());
      const options = {
        rp: { id: rpId, name: 'Stopgap' },
        user: { id: userHandle(name), name, displayName: name },
        challenge,
        timeout: PATIENCE,
        attestation: 'none',
        pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
        excludeCredentials: passkeys.map(({ id, transports }) => ({
          id,
          type: 'public-key',
          ...(transports.length === 0 ? {} : { transports: [...transports] }),
        })),
        authenticatorSelection: {
          residentKey: 'required',
          requireResidentKey: true,
          userVerification: 'required',
        },
      };
      return Promise.resolve(ok(options, { 'Set-Cookie': cookie }));
    });
  }

  /** That the password was given is known by the challenge: only {@link #beginNew} gives one for this session. */
  async #add(asked: ApiRequest<unknown, NewInput>): Promise<Answer> {
    const { request, body, caller } = asked;
    const { clock } = this.#deps;
    const { name, stamp } = this.#account.own(caller);
    const party = this.#party(request);
    const challenge = this.#challenges.of(request, whatForNew(asked), clock.now());
    if (challenge === undefined) throw new StopgapError('conflict', 'that took too long: begin again');
    const { id, response } = body.credential;
    const { transports = [], ...signed } = response;
    const proved = await this.#check({
      kind: 'new',
      id: ++this.#asked,
      options: {
        response: { ...body.credential, response: signed, clientExtensionResults: {} },
        ...expected(challenge, party),
        supportedAlgorithmIDs: ALGORITHMS,
      },
    });
    if (proved === undefined)
      throw invalid([{ field: 'credential', message: 'is not what was asked for: begin again' }]);
    const addedAt = formatInstant(clock.now());
    const passkey: Passkey = { id, ...proved, addedAt, transports, name: body.name };
    await changeFile(this.#deps, (file) => addPasskey({ file, name, stamp, passkey }));
    const description = `${name}: the passkey ${passkey.name}`;
    const renewed = await this.#account.renewed(asked, name, { what: 'passkey', description });
    return { ...this.#withoutChallenge(renewed), status: 201, body: this.#view(name, passkey) };
  }

  #remove(asked: ApiRequest<unknown, Removal>): Promise<Answer> {
    return this.#account.withPassword(asked, asked.body.password, async ({ name, passkeys, stamp }) => {
      const id = asked.params['id']!;
      const removed = passkeys.find((one) => one.id === id);
      await changeFile(this.#deps, (file) => removePasskey({ file, name, stamp, id }));
      const description = `${name}: no passkey ${removed?.name ?? ''} any more`;
      const { headers = {} } = await this.#account.renewed(asked, name, { what: 'passkey', description });
      return { status: 204, headers };
    });
  }

  /** @throws StopgapError `conflict` where browsers have no passkeys */
  #party(request: ApiRequest<unknown, unknown>['request']): RelyingParty {
    const party = relyingParty(request, this.#deps.publicUrl);
    if (party !== undefined) return party;
    throw new StopgapError(
      'conflict',
      'there are no passkeys here: they need api.publicUrl with https:// and a name, or localhost',
    );
  }

  /** What a device has proved; undefined: nothing. */
  async #check(told: PasskeyTold): Promise<Proved | undefined> {
    const { proved, fault } = await this.#thread.ask(told);
    if (fault !== undefined) this.#deps.log.debug({ fault }, 'a passkey proved nothing');
    return proved;
  }

  #withoutChallenge({ headers = {}, ...answer }: Answer): Answer {
    const cookies = [headers['Set-Cookie'] ?? [], this.#challenges.gone].flat();
    return { ...answer, headers: { ...headers, 'Set-Cookie': cookies } };
  }

  #view(person: string, { id, name, addedAt }: Passkey): z.infer<typeof passkeyShape> {
    const use = this.#deps.models.sessions.passkeyUse(person, id);
    return { id, name, addedAt, lastUsedAt: instantView(use?.usedAt) };
  }
}

type Asked = ApiRequest<unknown, unknown>;

/** A challenge for one session, which gave the password, is none for another. */
function whatForNew({ caller, body }: ApiRequest<unknown, { readonly name: string }>): string {
  return `add to ${caller.session}: ${body.name}`;
}

/** What devices keep of whose key it is: it tells nothing of the person. */
function userHandle(person: string): string {
  return createHash('sha256').update(`passkey of ${person}`, 'utf8').digest('base64url');
}

function expected(challenge: string, { rpId, origins }: RelyingParty) {
  return {
    expectedChallenge: challenge,
    expectedOrigin: [...origins],
    expectedRPID: rpId,
    requireUserVerification: true,
  };
}

function given<T extends { readonly userHandle?: string | null | undefined }>({ userHandle, ...rest }: T) {
  return { ...rest, ...(typeof userHandle === 'string' ? { userHandle } : {}) };
}

/** The same whatever is wrong. */
function refused() {
  return wrong('this passkey does not let anybody in here: it is not known, or was removed');
}
