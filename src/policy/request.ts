import { fitName, LONGEST_NAME } from '../kernel/printable.js';
import { asPostfixSends } from '../sending/postfix-address.js';

/*
 * Postfix's policy delegation protocol (SMTPD_POLICY_README): lines `name=value`, each ended by one line feed, and an
 * empty line that ends the request.
 */

/** Why a connection is dropped: what it sent is no request, or more than a request may have. */
export type Malformed = 'attributes' | 'bytes' | 'syntax';

/** Postfix 3.10 sends 32. */
const MOST_ATTRIBUTES = 128;
/**
 * Bytes of one request. Postfix's have about 800, with certificates a few thousand. Exim sends what its client said, such as an
 * EHLO name of 16 KB: were it cut off for that, its mail would go on unseen.
 */
const LARGEST_REQUEST = 65_536;

/** The attributes that are looked at; all others are skipped. */
const NAMES = [
  'request',
  'protocol_state',
  'client_address',
  'client_port',
  'server_address',
  'helo_name',
  'sender',
  'recipient',
  'recipient_count',
  'queue_id',
  'instance',
  'size',
  'sasl_username',
  // A name of ours: `no` where the mail server cannot hold the message.
  'stopgap_hold',
] as const;
export type AttributeName = (typeof NAMES)[number];

/** What one request says. What it does not name is empty. Of an attribute that comes twice the first holds. */
export type PolicyRequest = Record<AttributeName, string>;

/** By their length: most lines are of an attribute whose length no known one has. */
const BY_LENGTH: readonly (readonly AttributeName[] | undefined)[] = Array.from({ length: 16 }, (_, length) =>
  NAMES.filter((name) => name.length === length),
);

function empty(): PolicyRequest {
  return {
    request: '',
    protocol_state: '',
    client_address: '',
    client_port: '',
    server_address: '',
    helo_name: '',
    sender: '',
    recipient: '',
    recipient_count: '',
    queue_id: '',
    instance: '',
    size: '',
    sasl_username: '',
    stopgap_hold: '',
  };
}

/** Reads the requests of one connection, however its bytes are cut. Linear in what comes, and bounded. */
export class RequestReader {
  readonly #onRequest: (request: PolicyRequest) => void;
  #request = empty();
  #attributes = 0;
  #bytes = 0;
  /** The beginning of a line whose end has not come yet. */
  #rest = '';

  constructor(onRequest: (request: PolicyRequest) => void) {
    this.#onRequest = onRequest;
  }

  /** Whether a request has begun that has not ended. */
  get isWithin(): boolean {
    return this.#attributes > 0 || this.#rest !== '';
  }

  /** @returns why nothing of this connection can be read any more */
  read(chunk: Buffer): Malformed | undefined {
    // One byte a character: names are ASCII, and values are decoded when they are used.
    const text = chunk.toString('latin1');
    let start = 0;
    for (;;) {
      const end = text.indexOf('\n', start);
      const length = (end < 0 ? text.length : end) - start + this.#rest.length;
      if (this.#bytes + length > LARGEST_REQUEST) return 'bytes';
      if (end < 0) {
        this.#rest += text.slice(start);
        return undefined;
      }
      let fault: Malformed | undefined;
      if (length === 0) fault = this.#end();
      else if (this.#rest === '') fault = this.#take(text, start, end);
      else {
        const line = this.#rest + text.slice(start, end);
        this.#rest = '';
        fault = this.#take(line, 0, line.length);
      }
      if (fault !== undefined) return fault;
      start = end + 1;
    }
  }

  /** One line of the text. */
  #take(text: string, start: number, end: number): Malformed | undefined {
    if (++this.#attributes > MOST_ATTRIBUTES) return 'attributes';
    this.#bytes += end - start + 1;
    if (this.#bytes > LARGEST_REQUEST) return 'bytes';
    const equals = text.indexOf('=', start);
    // An HTTP request that a browser was made to send ends here.
    if (equals <= start || equals >= end) return 'syntax';
    for (const name of BY_LENGTH[equals - start] ?? []) {
      if (!text.startsWith(name, start)) continue;
      if (this.#request[name] === '') this.#request[name] = text.slice(equals + 1, end);
      break;
    }
    return undefined;
  }

  #end(): Malformed | undefined {
    if (this.#attributes === 0) return 'syntax';
    const request = this.#request;
    this.#request = empty();
    this.#attributes = this.#bytes = 0;
    this.#onRequest(request);
    return undefined;
  }
}

/** Nearly every value is text already. */
const PLAIN = /^[ -~]*$/;

/**
 * A value as text: what is not UTF-8, and control characters, are replaced, as Postfix does it. The text holds on to nothing
 * of the bytes that came with it.
 */
export function decoded(value: string): string {
  if (value === '') return '';
  const fit = value.slice(0, LONGEST_NAME);
  return PLAIN.test(fit) ? copied(fit) : fitName(Buffer.from(fit, 'latin1').toString());
}

/**
 * The address that Postfix sends mail from or to by this value, as text. What is too long loses its beginning: blocks and rules go
 * by the domain at its end.
 */
export function sentAddress(value: string): string {
  return decoded(asPostfixSends(value).slice(-LONGEST_NAME));
}

/** The same text in memory of its own: a part of a string keeps the whole of it, and what is kept would keep all requests. */
export function copied(value: string): string {
  return Buffer.from(value, 'latin1').toString('latin1');
}

/** A count that a request names, from 0 to `most`; 0 if it names none. */
export function countOf(value: string, most: number): number {
  return /^\d{1,15}$/.test(value) ? Math.min(Number(value), most) : 0;
}
