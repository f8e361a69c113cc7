import { domainOf, normalizeDomain } from '../sending/identity.js';
import type { PolicyRequest } from './request.js';
import { copied, sentAddress } from './request.js';

/** So many messages are remembered at least, and twice as many at most. They are asked about within seconds. */
const REMEMBERED = 10_000;
/** Of these so many that are held are remembered for longer. */
const MOST_HELD = 2000;
/** Recipient domains that an event names. */
const MOST_DOMAINS = 20;
/** RFC 1035 section 2.3.4. */
const LONGEST_DOMAIN = 255;
/** Bytes of the names by which a message is known. Postfix's have about 60. */
const LONGEST_KEY = 400;

const NO_DOMAINS: readonly string[] = [];

/** What is known of one message while its server asks about it. */
export interface AskedMessage {
  /** Distinct recipient domains in normal form. */
  domains: readonly string[];
  recipients: number;
  /** The block for which the server holds it: then it is no send. */
  held: string | undefined;
  /** It was refused since its server cannot hold it. */
  isUnheld: boolean;
  /** It was told to come again, for no block that is in force. */
  isPutOff: boolean;
  /** What was answered at its end: the same again, however often it is asked. */
  answer: string | undefined;
}

/**
 * The messages that are asked about, across connections: Postfix may ask about one message through several. An instance is
 * unique on its host only, so the session's addresses belong to the key.
 */
export class AskedMessages {
  #young = new Map<string, AskedMessage>();
  /** Those that were last asked about before any of the young ones came: all of them are forgotten at once. */
  #old = new Map<string, AskedMessage>();

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** The message that is asked about; a new one if the request names none. */
  of(key: string | undefined): AskedMessage {
    if (key === undefined) return newMessage();
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const message = this.#old.get(key) ?? newMessage();
    this.#old.delete(key);
    if (this.#young.size >= REMEMBERED) {
      // What a server holds must not be told at its end that it may go, because strangers had it forgotten.
      const held = [...this.#old].filter(
        ([, { held, answer }]) => held !== undefined && answer === undefined,
      );
      this.#old = this.#young;
      this.#young = new Map(held.slice(-MOST_HELD));
    }
    this.#young.set(key, message);
    return message;
  }
}

function newMessage(): AskedMessage {
  return {
    domains: NO_DOMAINS,
    recipients: 0,
    held: undefined,
    isUnheld: false,
    isPutOff: false,
    answer: undefined,
  };
}

/** What a message is known by; undefined if it has no instance, or one that cannot be Postfix's. */
export function keyOf({
  instance,
  server_address,
  client_address,
  client_port,
}: PolicyRequest): string | undefined {
  if (instance === '') return undefined;
  const key = `${instance} ${server_address} ${client_address} ${client_port}`;
  return key.length > LONGEST_KEY ? undefined : copied(key);
}

/** Notes the recipient that a request names. */
export function noteRecipient(message: AskedMessage, { recipient }: PolicyRequest): void {
  if (recipient === '' || message.domains.length >= MOST_DOMAINS) return;
  const named = domainOf(sentAddress(recipient));
  if (named === undefined || named.length > LONGEST_DOMAIN) return;
  const domain = normalizeDomain(named);
  if (!message.domains.includes(domain)) message.domains = message.domains.concat(domain);
}
