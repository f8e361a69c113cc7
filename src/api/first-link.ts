import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AdminTable } from '../accounts/admins.js';
import { hasAdmin } from '../accounts/admins.js';

const TOKEN_BYTES = 32;

/** The token of a link that works once. */
export function newLinkToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

export function linkHash(token: string): string {
  return `sha256:${createHash('sha256').update(token, 'utf8').digest('hex')}`;
}

/**
 * The link by which the first administrator is made. Only its hash is kept, in memory: it ends with the process, with its
 * use, and once there is an administrator.
 */
export class FirstLink {
  readonly #hash: string;
  readonly #admins: () => AdminTable;
  #isUsed = false;

  /** @param token of the link, as somebody shows it who has read it at the start */
  constructor(token: string, admins: () => AdminTable) {
    this.#hash = linkHash(token);
    this.#admins = admins;
  }

  get isOpen(): boolean {
    return !this.#isUsed && !hasAdmin(this.#admins());
  }

  /** Does what the link is for; undefined if it is not that link, or works no more. If it fails the link works again. */
  async use<T>(token: string, work: () => Promise<T>): Promise<T | undefined> {
    const isThis = timingSafeEqual(Buffer.from(linkHash(token)), Buffer.from(this.#hash));
    if (!isThis || !this.isOpen) return undefined;
    this.#isUsed = true;
    try {
      return await work();
    } catch (thrown) {
      this.#isUsed = false;
      throw thrown;
    }
  }
}
