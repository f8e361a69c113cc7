import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { HOUR } from '../../kernel/time.js';

/** Long enough for any client's first retries (RFC 5321 section 4.5.4.1 asks for one within the hour or so). */
const LIFE = 6 * HOUR;

export const NOBODY: ReadonlySet<string> = new Set();

/**
 * Who has got which message, where an LMTP upstream took it for some recipients only and the client was told to
 * try again. In memory and bounded: after a restart, or when pushed out, a retry delivers twice rather than
 * never (RFC 1047).
 */
export class DeliveredRecipients {
  readonly #delivered: LRUCache<string, ReadonlySet<string>>;

  /** @param maxRecipients remembered recipients, over all messages */
  constructor(maxRecipients: number) {
    this.#delivered = new LRUCache({
      ttl: LIFE,
      maxSize: maxRecipients,
      sizeCalculation: (recipients) => recipients.size,
    });
  }

  get empty(): boolean {
    return this.#delivered.size === 0;
  }

  /** @param digest SHA-256 of the content without our own header lines, which differ each time */
  key(returnPath: string, digest: string): string {
    return createHash('sha256').update(returnPath).update('\0').update(digest).digest('base64');
  }

  /** Addresses that have got the message. */
  recall(key: string): ReadonlySet<string> {
    return this.#delivered.get(key) ?? NOBODY;
  }

  add(key: string, addresses: readonly string[]): void {
    if (addresses.length === 0) return;
    this.#delivered.set(key, new Set([...this.recall(key), ...addresses]));
  }

  /** The message has reached everyone. */
  forget(key: string): void {
    this.#delivered.delete(key);
  }
}
