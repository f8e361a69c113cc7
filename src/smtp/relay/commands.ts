import { domainToASCII } from 'node:url';
import { InvalidInput } from '../../kernel/errors.js';
import type { RelayEnvelope, RelayRecipient, Reply } from './port.js';

/** What an upstream offers (EHLO keywords, RFC 5321 section 4.1.1.1). */
export interface Capabilities {
  readonly pipelining: boolean;
  readonly eightBit: boolean;
  readonly utf8: boolean;
  readonly dsn: boolean;
  readonly starttls: boolean;
  readonly authPlain: boolean;
  /** SIZE is offered. */
  readonly size: boolean;
  /** Bytes of the largest message; 0 if no limit is stated. */
  readonly maxSize: number;
  /** What it takes of the client, by message or by session (Postfix's XFORWARD and XCLIENT); empty if it is not offered. */
  readonly xforward: readonly string[];
  readonly xclient: readonly string[];
}

/** Reads the lines of an EHLO reply; the first is the greeting. */
export function parseCapabilities(lines: readonly string[]): Capabilities {
  const keywords = new Map<string, string[]>();
  for (const line of lines.slice(1)) {
    // "AUTH=PLAIN" is how some old servers write it.
    const [keyword = '', ...parameters] = line
      .trim()
      .toUpperCase()
      .replace(/^AUTH=/, 'AUTH ')
      .split(/\s+/);
    keywords.set(keyword, [...(keywords.get(keyword) ?? []), ...parameters]);
  }
  const maxSize = Number(keywords.get('SIZE')?.[0] ?? 0);
  return {
    pipelining: keywords.has('PIPELINING'),
    eightBit: keywords.has('8BITMIME'),
    utf8: keywords.has('SMTPUTF8'),
    dsn: keywords.has('DSN'),
    starttls: keywords.has('STARTTLS'),
    authPlain: keywords.get('AUTH')?.includes('PLAIN') ?? false,
    size: keywords.has('SIZE'),
    maxSize: Number.isSafeInteger(maxSize) && maxSize > 0 ? maxSize : 0,
    xforward: keywords.get('XFORWARD') ?? [],
    xclient: keywords.get('XCLIENT') ?? [],
  };
}

export const NO_CAPABILITIES = parseCapabilities([]);

/** RFC 6531 section 3.5: the address needs SMTPUTF8, and the upstream does not offer it. */
export const NEEDS_SMTPUTF8: Reply = {
  code: 550,
  text: '5.6.7 a non-ASCII address is not permitted: the next server does not offer SMTPUTF8',
};

/** An address for use in commands, checked, with what it requires. */
export interface WireAddress {
  /** With the domain as A-labels. */
  readonly ascii: string;
  /** As it was given: for a session with SMTPUTF8. */
  readonly given: string;
  /** True if the local part is not ASCII: only a session with SMTPUTF8 can take it. */
  readonly needsUtf8: boolean;
}

// eslint-disable-next-line no-control-regex -- control characters are exactly what must not pass
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029<>]/;
// eslint-disable-next-line no-control-regex -- ASCII begins at NUL
const ASCII = /^[\u0000-\u007f]*$/;

/**
 * Checks an address for what could change the meaning of a command and turns its domain into A-labels (smtp-server
 * has turned them into Unicode).
 *
 * @throws InvalidInput
 */
function wireAddress(address: string, field: string): WireAddress {
  if (UNSAFE.test(address)) {
    throw new InvalidInput(field, 'an address must not contain control characters, "<" or ">"');
  }
  if (address.includes(' ') && !/^"[^"]*"@[^ ]+$/.test(address)) {
    throw new InvalidInput(field, 'an address may contain spaces only within a quoted local part');
  }
  if (ASCII.test(address)) return { ascii: address, given: address, needsUtf8: false };
  const at = address.lastIndexOf('@');
  const local = address.slice(0, at + 1);
  const domain = address.slice(at + 1);
  const labels = at < 0 || ASCII.test(domain) ? domain : domainToASCII(domain);
  if (labels === '') throw new InvalidInput(field, 'the domain has no valid A-label form (RFC 5891)');
  return { ascii: local + labels, given: address, needsUtf8: !ASCII.test(at < 0 ? address : local) };
}

/** What a session with these capabilities writes between the angle brackets; undefined: it cannot. */
function path(address: WireAddress, utf8: boolean): string | undefined {
  if (!address.needsUtf8) return address.ascii;
  return utf8 ? address.given : undefined;
}

/**
 * xtext (RFC 3461 section 4): everything except `!` to `~`, and also `+` and `=`, as `+XX`; other characters as their
 * UTF-8 bytes. `<` and `>` are written as `+XX` too, so that nothing in a parameter looks like the end of a path.
 */
export function xtext(text: string): string {
  if (/^[!-*,-;?-~]*$/.test(text)) return text;
  let out = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte >= 0x21 && byte <= 0x7e && !XTEXT_SPECIAL.has(byte);
    out += plain ? String.fromCharCode(byte) : `+${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

const XTEXT_SPECIAL = new Set([0x2b, 0x3c, 0x3d, 0x3e]);

/**
 * ORCPT's value from `type;address`, decoded. For the type `utf-8` (RFC 6533 section 3) the address stays as it is,
 * except that characters not allowed in a parameter, and non-ASCII ones in a session without SMTPUTF8, become
 * `\x{HEX}`.
 */
function orcptValue(orcpt: string, utf8: boolean): string {
  const semicolon = orcpt.indexOf(';');
  const type = orcpt.slice(0, semicolon);
  const address = orcpt.slice(semicolon + 1);
  if (type.toLowerCase() !== 'utf-8') return `${type};${xtext(address)}`;
  let out = '';
  for (const character of address) {
    const code = character.codePointAt(0)!;
    const plain = code > 0x7e ? utf8 : code >= 0x21 && !XTEXT_SPECIAL.has(code);
    out += plain ? character : `\\x{${code.toString(16).toUpperCase()}}`;
  }
  return `${type};${out}`;
}

const NOTIFY = new Set(['NEVER', 'SUCCESS', 'FAILURE', 'DELAY']);

/** The envelope of one transaction, checked; writes MAIL for any session. */
export class WireEnvelope {
  readonly #from: WireAddress;

  /** Throws InvalidInput. */
  constructor(readonly envelope: RelayEnvelope) {
    this.#from = wireAddress(envelope.returnPath, 'returnPath');
    rejectControl(envelope.envid, 'envid');
    if (envelope.size !== undefined && !(Number.isSafeInteger(envelope.size) && envelope.size >= 0)) {
      throw new InvalidInput('size', 'the size is a whole number of bytes');
    }
  }

  /** `MAIL FROM:<…> …`, or the refusal if this session cannot take it. */
  mail(session: Capabilities): string | Reply {
    const { envelope } = this;
    const from = path(this.#from, session.utf8 && envelope.utf8);
    if (from === undefined) return NEEDS_SMTPUTF8;
    let line = `MAIL FROM:<${from}>`;
    if (session.size && envelope.size !== undefined) line += ` SIZE=${envelope.size}`;
    if (session.eightBit && envelope.body !== undefined) line += ` BODY=${envelope.body}`;
    if (session.utf8 && envelope.utf8) line += ' SMTPUTF8';
    if (session.dsn) {
      if (envelope.ret !== undefined) line += ` RET=${envelope.ret}`;
      if (envelope.envid !== undefined && envelope.envid !== '') line += ` ENVID=${xtext(envelope.envid)}`;
    }
    return line;
  }
}

/** One recipient, checked; writes RCPT for any session. */
export class WireRecipient {
  readonly #to: WireAddress;

  /** Throws InvalidInput. */
  constructor(readonly recipient: RelayRecipient) {
    this.#to = wireAddress(recipient.address, 'recipient');
    rejectControl(recipient.orcpt, 'orcpt');
    if (recipient.orcpt !== undefined && !/^[\w!#$%&'*./?^`{|}~-]+;./.test(recipient.orcpt)) {
      throw new InvalidInput('orcpt', 'the original recipient is given as type;address');
    }
    const unknown = recipient.notify?.find((word) => !NOTIFY.has(word));
    if (unknown !== undefined || recipient.notify?.length === 0) {
      throw new InvalidInput('notify', 'notify is NEVER, or a list of SUCCESS, FAILURE and DELAY');
    }
  }

  /** `RCPT TO:<…> …`, or the refusal if this session cannot take it. */
  rcpt(session: Capabilities, utf8Asked: boolean): string | Reply {
    const utf8 = session.utf8 && utf8Asked;
    const to = path(this.#to, utf8);
    if (to === undefined) return NEEDS_SMTPUTF8;
    let line = `RCPT TO:<${to}>`;
    if (session.dsn) {
      const { notify, orcpt } = this.recipient;
      if (notify !== undefined) line += ` NOTIFY=${notify.join(',')}`;
      if (orcpt !== undefined) line += ` ORCPT=${orcptValue(orcpt, utf8)}`;
    }
    return line;
  }
}

function rejectControl(value: string | undefined, field: string): void {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not pass
  if (value !== undefined && /[\u0000-\u001f\u007f]/.test(value)) {
    throw new InvalidInput(field, 'a parameter must not contain control characters');
  }
}
