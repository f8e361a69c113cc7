import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ClientAuth, Configuration } from 'openid-client';
import { z } from 'zod';
import type { Session } from '../../projections/sessions/sessions.js';
import { normalizeAdmin } from '../accounts/admins.js';
import type { Role } from '../accounts/roles.js';
import { domainsOf } from '../accounts/roles.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import { printable } from '../kernel/printable.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, HOUR, MINUTE, SECOND } from '../kernel/time.js';
import { within } from '../runtime/clock.js';
import type { Attempts } from './attempts.js';
import type { OpenIdSettings } from './dependencies.js';
import { Problem } from './http/problem.js';
import { NAME } from './http/proxy-auth.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { route } from './http/route.js';
import { cookieOf, hostCookie } from './http/session-cookie.js';
import type { Entrant, PeopleDependencies, PersonSessions } from './sessions.js';
import { recentlyUsed } from '../runtime/recently-used.js';

const START = '/api/v1/sign-in/openid';
export const CALLBACK = `${START}/callback`;
/** How long somebody may take at the provider. */
const AT_PROVIDER: Milliseconds = 10 * MINUTE;
/** How long the provider may take for one answer, and for all that a sign-in needs. */
const ONE_ANSWER: Milliseconds = 5 * SECOND;
const ALL_ANSWERS: Milliseconds = 12 * SECOND;
/** For so long what the provider says of itself is kept, and our secret. */
const KNOWN: Milliseconds = HOUR;
const MOST_GROUPS = 10_000;
const MOST_DOMAINS = 1000;

const COOKIE = '__Host-stopgap-openid';
const COOKIE_FORM = /^([0-9a-z]{1,12})\.[\w-]{43}$/;

/** From the one that may do least. */
const RANKS: readonly Role[] = ['domain', 'viewer', 'operator', 'admin'];
const rankOf = (role: string | undefined): number => RANKS.findIndex((one) => one === role);

/** Why somebody is not let in: what the page is told. */
type Why =
  | ('denied' | 'expired' | 'invalid' | 'name' | 'name-taken' | 'no-role')
  | ('provider' | 'too-many' | 'unavailable' | 'unreachable');

interface Failure {
  readonly correlation: string;
  readonly why: Why;
  readonly error: string;
}

class Refused extends Problem {
  constructor(
    readonly why: Why,
    cause: string = why,
  ) {
    super(401, cause);
  }
}

/** The sessions of people of a provider end when another one, or another rule, vouches for them. */
export function openIdStamp({ issuer, clientId, groupsClaim, roles, domainsClaim }: OpenIdSettings): string {
  const rules = JSON.stringify([issuer, clientId, groupsClaim, roles, domainsClaim]);
  return createHash('sha256').update(rules).digest('hex').slice(0, 32);
}

/**
 * Sign-in at an OpenID provider: authorization code, PKCE, state and nonce. The three are derived from a random cookie, so
 * that nothing is kept here of those who begin and never come back, and any process can end what another began.
 */
export class OpenId {
  readonly #deps: PeopleDependencies;
  readonly #sessions: PersonSessions;
  readonly #attempts: Attempts;
  readonly #settings: OpenIdSettings;
  /** Where the page is. */
  readonly #page: string;
  /** By why: anybody can have as many as they like. */
  readonly #failures: FloodCoalescer<Failure>;
  #known: { readonly until: Instant; readonly configuration: Promise<Configuration> } | undefined;
  /** Cookies that were shown. The provider takes a code once, and a cookie counts once. */
  readonly #shown = recentlyUsed<string, true>(10_000);

  constructor(
    deps: PeopleDependencies,
    sessions: PersonSessions,
    attempts: Attempts,
    { settings, publicUrl }: { readonly settings: OpenIdSettings; readonly publicUrl: string },
  ) {
    this.#deps = deps;
    this.#sessions = sessions;
    this.#attempts = attempts;
    this.#settings = settings;
    this.#page = publicUrl;
    // Loaded now: later an upgrade may be replacing its files, or there is one file too many, and Node.js tries none again.
    import('openid-client').catch(() => undefined);
    this.#failures = new FloodCoalescer(deps.clock, ({ correlation, why, error }, count, since) =>
      deps.log.warn(
        { correlation, why, error, count, since: formatInstant(since) },
        'an OpenID sign-in failed',
      ),
    );
  }

  get routes(): readonly Route[] {
    const responses = { 302: { description: 'Where the browser goes on' } };
    return [
      route({
        method: 'get',
        path: START,
        summary: 'Sign in at the OpenID provider: the browser is sent there',
        scope: 'all',
        responses,
        handle: (request) => this.#start(request),
      }),
      route({
        method: 'get',
        path: CALLBACK,
        summary:
          'Where the OpenID provider sends the browser back to: gives a session, and goes on to the page',
        scope: 'all',
        query: z.looseObject({}),
        responses,
        handle: (request) => this.#return(request),
      }),
    ];
  }

  async #start({ requestId }: Asked): Promise<Answer> {
    const issued = this.#deps.clock.now().toString(36);
    const cookie = `${issued}.${randomBytes(32).toString('base64url')}`;
    try {
      const { buildAuthorizationUrl, calculatePKCECodeChallenge } = await import('openid-client');
      const url = buildAuthorizationUrl(await this.#provider(), {
        redirect_uri: this.#page + CALLBACK,
        scope: this.#settings.scopes,
        state: derived('state', cookie),
        nonce: derived('nonce', cookie),
        code_challenge: await calculatePKCECodeChallenge(derived('verifier', cookie)),
        code_challenge_method: 'S256',
      });
      const set = hostCookie(COOKIE, cookie, 'Lax', AT_PROVIDER / SECOND);
      return { status: 302, headers: { Location: url.href, 'Set-Cookie': set } };
    } catch (thrown) {
      return this.#refused(requestId, 'unreachable', thrown);
    }
  }

  async #return(asked: Asked): Promise<Answer> {
    const { request, requestId } = asked;
    try {
      const person = await this.#attempts.try(request, undefined, request.originalUrl, async ({ fail }) => {
        try {
          return await within(this.#deps.clock, ALL_ANSWERS, this.#vouchedFor(asked), () => {
            throw new Refused('unreachable');
          });
        } catch (thrown) {
          const refused = await refusalOf(thrown);
          if (refused.why === 'invalid' || isGuess(thrown)) fail(refused);
          throw refused;
        }
      });
      const { cookie } = await this.#sessions.enter(asked, person, {
        displaces: () => this.#othersOf(person),
      });
      const gone = hostCookie(COOKIE, '', 'Lax', 0);
      return { status: 302, headers: { Location: `${this.#page}/#/`, 'Set-Cookie': [cookie, gone] } };
    } catch (thrown) {
      if (thrown instanceof Refused) return this.#refused(requestId, thrown.why, thrown);
      const isTooMany = thrown instanceof Problem && thrown.status === 429;
      return this.#refused(requestId, isTooMany ? 'too-many' : 'unavailable', thrown);
    }
  }

  /** The page hears a word of ours, never the provider's text: anybody can send a browser here with any text. */
  #refused(requestId: string, why: Why, thrown: unknown): Answer {
    const error = printable(messageOf(thrown).slice(0, 300));
    this.#failures.add(why, { correlation: `request:${requestId}`, why, error });
    return { status: 302, headers: { Location: `${this.#page}/#/sign-in?error=${why}` } };
  }

  /** For whom the provider vouches to this browser. @throws Refused; what the library throws */
  async #vouchedFor({ request, requestId }: Asked): Promise<Entrant> {
    const cookie = cookieOf(request, COOKIE, COOKIE_FORM);
    const age = this.#deps.clock.now() - Number.parseInt(cookie?.split('.')[0] ?? '', 36);
    if (cookie === undefined || !(age >= 0 && age <= AT_PROVIDER) || this.#shown.has(cookie))
      throw new Refused('expired');
    this.#shown.set(cookie, true);
    const { authorizationCodeGrant, fetchUserInfo } = await import('openid-client');
    const provider = await this.#provider();
    const url = new URL(this.#page + CALLBACK);
    url.search = new URL(request.originalUrl, this.#page).search;
    try {
      const tokens = await authorizationCodeGrant(provider, url, {
        expectedState: derived('state', cookie),
        expectedNonce: derived('nonce', cookie),
        pkceCodeVerifier: derived('verifier', cookie),
        idTokenExpected: true,
      });
      const claims: Claims = tokens.claims()!;
      // Some providers put groups, domains and names only here.
      const { email, email_verified: isVerified } = claims;
      const { groupsClaim, domainsClaim = groupsClaim } = this.#settings;
      const isWhole =
        groupsClaim in claims &&
        (domainsClaim in claims || this.#roleOf(claims) !== 'domain') &&
        nameOf(claims) !== claims['sub'] &&
        (email === undefined || isVerified !== undefined);
      const hasMore = provider.serverMetadata().userinfo_endpoint !== undefined;
      const more =
        isWhole || !hasMore ? {} : await fetchUserInfo(provider, tokens.access_token, String(claims['sub']));
      return await this.#entrant({ ...more, ...claims }, requestId);
    } catch (thrown) {
      // The secret or the keys may be others by now.
      this.#known = undefined;
      throw thrown;
    }
  }

  /** What the provider says of somebody now holds for their older sessions too: those with other rights end. */
  async #entrant(claims: Claims, requestId: string): Promise<Entrant> {
    const sub = createHash('sha256').update(String(claims['sub'])).digest('hex');
    const end = (person?: Entrant): Promise<void> =>
      this.#sessions.endOthers('openid', sub, requestId, person);
    try {
      const person = this.#person(claims, sub);
      await end(person);
      return person;
    } catch (thrown) {
      if (thrown instanceof Refused && thrown.why === 'no-role') await end();
      throw thrown;
    }
  }

  /** Of several groups the one counts that may do most. */
  #roleOf(claims: Claims): Role | undefined {
    const { groupsClaim, roles } = this.#settings;
    const own = listOf(claims[groupsClaim], MOST_GROUPS).flatMap((group) =>
      Object.hasOwn(roles, group) ? [roles[group]!] : [],
    );
    return own.sort((a, b) => rankOf(b) - rankOf(a))[0];
  }

  #person(claims: Claims, sub: string): Entrant {
    const name = normalizeAdmin(nameOf(claims));
    if (!NAME.test(name)) throw new Refused('name', `the name ${name.slice(0, 100)} cannot be used`);
    // Two of one name could not be told apart in what is recorded.
    if (this.#deps.admins().has(name))
      throw new Refused('name-taken', `${name} is in the file of administrators`);
    if (this.#deps.tokens.hasName(name))
      throw new Refused('name-taken', `there is a token ${name}: revoke it, and make one of another name`);
    const role = this.#roleOf(claims);
    if (role === undefined)
      throw new Refused('no-role', `no group of ${name} has a role in api.openId.roles`);
    try {
      const { domainsClaim = '' } = this.#settings;
      const given = role === 'domain' ? listOf(claims[domainsClaim], MOST_DOMAINS) : [];
      const stamp = openIdStamp(this.#settings);
      return { name, role, domains: domainsOf(role, given), stamp, via: 'openid', sub };
    } catch (thrown) {
      if (thrown instanceof StopgapError) throw new Refused('no-role', `${name}: ${thrown.message}`);
      throw thrown;
    }
  }

  /**
   * A name need not be one person's at the provider. Two of one name are never signed in at once, so that the sign-ins
   * tell who did what is recorded. A person with a lower role keeps out nobody with a higher one: they may have chosen the name for that.
   *
   * @returns the sessions of others of that name, which have to end
   * @throws Refused
   */
  #othersOf({ name, sub, role }: Entrant): readonly Session[] {
    const own = this.#sessions.of(name, 'openid');
    // Sessions that an earlier version began do not say whose they are.
    const others = own.filter((one) => one.sub !== undefined && one.sub !== sub);
    if (others.some((one) => rankOf(one.role) >= rankOf(role)))
      throw new Refused('name-taken', `another person of the provider is signed in as ${name}`);
    return others;
  }

  /** What the provider says of itself. One that did not answer is asked again. */
  #provider(): Promise<Configuration> {
    const now = this.#deps.clock.now();
    if (this.#known !== undefined && now < this.#known.until) return this.#known.configuration;
    const known = { until: now + KNOWN, configuration: discoverProvider(this.#settings) };
    this.#known = known;
    known.configuration.catch(() => {
      if (this.#known === known) this.#known = undefined;
    });
    return known.configuration;
  }
}

/** What a provider says of itself. @throws what the library throws: it does not answer, or calls itself otherwise */
export async function discoverProvider({
  issuer,
  clientId,
  clientSecretFile,
}: OpenIdSettings): Promise<Configuration> {
  const client = await import('openid-client');
  const secret =
    clientSecretFile === undefined
      ? undefined
      : (await readFile(clientSecretFile, 'utf8')).split('\n', 1)[0]!.trim();
  // Without it the signature of a token that came by TLS is not looked at.
  const execute = [client.enableNonRepudiationChecks];
  // The configuration takes http:// on this machine alone.
  if (issuer.startsWith('http:')) execute.push(client.allowInsecureRequests);
  const auth =
    secret === undefined
      ? client.None()
      : eitherAuth(client.ClientSecretBasic(secret), client.ClientSecretPost(secret));
  const options = { execute, timeout: ONE_ANSWER / SECOND };
  return client.discovery(new URL(issuer), clientId, undefined, auth, options);
}

type Asked = ApiRequest<unknown, unknown>;
type Claims = Readonly<Record<string, unknown>>;

/** One secret of a sign-in. It tells nothing of the cookie and of the other secrets. */
function derived(what: 'state' | 'nonce' | 'verifier', cookie: string): string {
  return createHash('sha256').update(`${what}\0${cookie}`).digest('base64url');
}

/** The way that OpenID Connect has by default, unless the provider does not offer it. */
function eitherAuth(basic: ClientAuth, post: ClientAuth): ClientAuth {
  return (server, ...rest) => {
    const { token_endpoint_auth_methods_supported: offered } = server;
    return (offered?.includes('client_secret_basic') === false ? post : basic)(server, ...rest);
  };
}

/** An address that is not verified may be somebody else's: nobody goes by it, whichever claim it is in. */
function nameOf({ preferred_username: name, email, email_verified: isVerified, sub }: Claims): string {
  // Some providers say nothing of it, and some give truth values as text.
  const isUnverified = isVerified !== undefined && isVerified !== true && isVerified !== 'true';
  const address = typeof email === 'string' && email !== '' ? email : undefined;
  const isAddress =
    typeof name === 'string' && address !== undefined && normalizeAdmin(name) === normalizeAdmin(address);
  if (typeof name === 'string' && name !== '' && !(isUnverified && isAddress)) return name;
  return address === undefined || isUnverified ? String(sub) : address;
}

function listOf(claim: unknown, most: number): readonly string[] {
  const list: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return list.slice(0, most).filter((one) => typeof one === 'string');
}

/** Whether the provider does not know the code. Anybody can make up a cookie and a state that go together. */
function isGuess(thrown: unknown): boolean {
  return (thrown as { readonly error?: unknown }).error === 'invalid_grant';
}

async function refusalOf(thrown: unknown): Promise<Refused> {
  if (thrown instanceof Refused) return thrown;
  const { AuthorizationResponseError, ClientError, ResponseBodyError } = await import('openid-client');
  const say = (why: Why): Refused => new Refused(why, messageOf(thrown));
  if (thrown instanceof AuthorizationResponseError)
    return say(thrown.error === 'access_denied' ? 'denied' : 'provider');
  if (thrown instanceof ResponseBodyError) return say('provider');
  if (thrown instanceof ClientError) {
    const isAway = thrown.code === 'OAUTH_TIMEOUT' || thrown.code === 'OAUTH_RESPONSE_IS_NOT_CONFORM';
    return say(isAway ? 'unreachable' : 'invalid');
  }
  // What fetch throws where nobody answers.
  return thrown instanceof TypeError ? say('unreachable') : say('unavailable');
}
