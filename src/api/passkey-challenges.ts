import { createHash, createHmac, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { Request } from 'express';
import type { AdminTable } from '../accounts/admins.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import { cookieOf, hostCookie } from './http/session-cookie.js';

/** How long somebody may take with the device. */
export const PATIENCE: Milliseconds = 5 * MINUTE;
const COOKIE = '__Host-stopgap-passkey';
const COOKIE_FORM = /^[0-9a-z]{1,12}\.[\w-]{43}$/;

/** For whom a passkey is made, and where pages may use it (WebAuthn's relying party). */
export interface RelyingParty {
  readonly rpId: string;
  readonly origins: readonly string[];
}

/**
 * Undefined if browsers have no passkeys there: they need a name, and HTTPS unless it is `localhost`. A name that only the
 * client says is not believed.
 *
 * @param publicUrl under which the API is reached
 */
export function relyingParty(request: Request, publicUrl: string | undefined): RelyingParty | undefined {
  if (publicUrl !== undefined) {
    const { hostname, origin, protocol } = new URL(publicUrl);
    const isName = isIP(hostname.replace(/^\[|\]$/g, '')) === 0;
    const isFit = hostname === 'localhost' || (protocol === 'https:' && isName);
    return isFit ? { rpId: hostname, origins: [origin] } : undefined;
  }
  const origins = ['http', 'https'].map((scheme) => `${scheme}://${request.get('host')}`);
  if (!origins.every((url) => URL.canParse(url) && new URL(url).hostname === 'localhost')) return undefined;
  return { rpId: 'localhost', origins: origins.map((url) => new URL(url).origin) };
}

/** A challenge, and the cookie that brings it back. */
export interface Challenge {
  readonly challenge: string;
  readonly cookie: string;
}

/**
 * The challenges that devices sign. Each is derived from a random cookie, its time, and what all processes know and nobody
 * else: the stored passwords. So nothing is kept of those who begin and never come back, any process can end what another
 * began, and nobody has a device sign today what counts tomorrow.
 */
export class Challenges {
  readonly #admins: () => AdminTable;

  constructor(admins: () => AdminTable) {
    this.#admins = admins;
  }

  /** @param what is to be signed for: a challenge for one thing is none for another */
  begin(what: string, now: Instant): Challenge {
    const value = `${now.toString(36)}.${randomBytes(32).toString('base64url')}`;
    const cookie = hostCookie(COOKIE, value, 'Strict', PATIENCE / SECOND);
    return { challenge: this.#derived(what, value), cookie };
  }

  /** The challenge that a browser was given; undefined if it was none, or too long ago. */
  of(request: Request, what: string, now: Instant): string | undefined {
    const value = cookieOf(request, COOKIE, COOKIE_FORM);
    const age = now - Number.parseInt(value?.split('.')[0] ?? '', 36);
    return value !== undefined && age >= 0 && age <= PATIENCE ? this.#derived(what, value) : undefined;
  }

  /** The browser forgets it. */
  get gone(): string {
    return hostCookie(COOKIE, '', 'Strict', 0);
  }

  #derived(what: string, value: string): string {
    const key = createHash('sha256');
    for (const { name, password } of this.#admins().values()) key.update(`${name}\n${password ?? ''}\n`);
    return createHmac('sha256', key.digest()).update(`${what}\n${value}`).digest('base64url');
  }
}
