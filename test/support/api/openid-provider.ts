import type { KeyObject } from 'node:crypto';
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export const CLIENT = { id: 'stopgap', secret: 'the secret of stopgap' };

type Claims = Readonly<Record<string, unknown>>;

interface Grant {
  readonly nonce: string;
  readonly challenge: string;
  readonly redirectUri: string;
  readonly claims: Claims;
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Made once: it takes a tenth of a second. */
const KEYS = generateKeyPairSync('rsa', { modulusLength: 2048 });
const STRANGER = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** An OpenID provider on loopback: signed tokens, PKCE, codes that work once, and every fault that a test asks for. */
export class OpenIdProvider {
  readonly issuer: string;
  /** Who is at the browser, as the ID token says. */
  claims: Claims = { sub: 'sub-1', preferred_username: 'Alice', groups: ['mail-admins'] };
  userInfo: Claims | undefined;
  /** What is another in the ID token. */
  fault: Claims = {};
  algorithm: 'RS256' | 'none' | 'HS256' | 'stranger' = 'RS256';
  /** How often a code was exchanged. */
  exchanged = 0;
  readonly #server: http.Server;
  readonly #grants = new Map<string, Grant>();

  private constructor(server: http.Server) {
    this.#server = server;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<OpenIdProvider> {
    const server = http.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const provider = new OpenIdProvider(server);
    server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
      void provider.#answer(request).then(([status, body]) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
    });
    return provider;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<unknown>((resolve) => this.#server.close(resolve));
  }

  /** What a person does who is sent here: they sign in, and are sent back. @returns where to */
  signIn(location: string): string {
    const url = new URL(location);
    const given = (name: string): string => url.searchParams.get(name) ?? '';
    if (url.origin !== this.issuer || given('client_id') !== CLIENT.id || given('response_type') !== 'code')
      throw new Error(`this is no request for a sign-in: ${location}`);
    if (given('code_challenge_method') !== 'S256') throw new Error('without PKCE');
    const code = randomUUID();
    const redirectUri = given('redirect_uri');
    const asked = { nonce: given('nonce'), challenge: given('code_challenge'), redirectUri };
    this.#grants.set(code, { ...asked, claims: this.claims });
    return `${redirectUri}?code=${code}&state=${given('state')}&session_state=x`;
  }

  async #answer(request: http.IncomingMessage): Promise<readonly [status: number, body: unknown]> {
    switch (request.url ?? '') {
      case '/.well-known/openid-configuration':
        return [200, this.#metadata()];
      case '/keys':
        return [200, { keys: [{ ...KEYS.publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig' }] }];
      case '/token':
        return this.#token(request);
      case '/user':
        return [200, { sub: this.claims['sub'], ...this.userInfo }];
      default:
        return [404, {}];
    }
  }

  #metadata(): Claims {
    const at = (path: string): string => this.issuer + path;
    return {
      issuer: this.issuer,
      authorization_endpoint: at('/authorize'),
      token_endpoint: at('/token'),
      jwks_uri: at('/keys'),
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      // What it offers must not be what is believed.
      id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
      ...(this.userInfo === undefined ? {} : { userinfo_endpoint: at('/user') }),
    };
  }

  async #token(request: http.IncomingMessage): Promise<readonly [status: number, body: unknown]> {
    const form = new URLSearchParams(await text(request));
    const [, basic = ''] = (request.headers.authorization ?? '').split(' ');
    const [id, secret] = Buffer.from(basic, 'base64').toString().split(':').map(plain);
    if (id !== CLIENT.id || secret !== CLIENT.secret) return [401, { error: 'invalid_client' }];
    const code = form.get('code') ?? '';
    const grant = this.#grants.get(code);
    this.#grants.delete(code);
    const verifier = form.get('code_verifier') ?? '';
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    if (grant?.challenge !== challenge || grant.redirectUri !== form.get('redirect_uri'))
      return [400, { error: 'invalid_grant' }];
    this.exchanged++;
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.issuer, aud: CLIENT.id, iat: now, exp: now + 60, nonce: grant.nonce };
    const token = this.#signed({ ...claims, ...grant.claims, ...this.fault });
    return [200, { access_token: 'access', token_type: 'Bearer', id_token: token }];
  }

  #signed(claims: Claims): string {
    const { algorithm } = this;
    const head = encoded({ alg: algorithm === 'stranger' ? 'RS256' : algorithm, kid: 'k', typ: 'JWT' });
    const signed = `${head}.${encoded(claims)}`;
    if (algorithm === 'none') return `${signed}.`;
    if (algorithm === 'HS256') return `${signed}.${Buffer.from('x'.repeat(32)).toString('base64url')}`;
    const key: KeyObject = (algorithm === 'RS256' ? KEYS : STRANGER).privateKey;
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
  }
}

/** As a form writes it (RFC 6749, 2.3.1). */
function plain(part: string): string {
  return decodeURIComponent(part.replaceAll('+', ' '));
}
