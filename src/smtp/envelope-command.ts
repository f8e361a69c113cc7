import type { SMTPServerAddressArgs } from 'smtp-server';
import { isPrintable } from '../kernel/printable.js';
import { LONGEST_ADDRESS } from '../sending/identity.js';
import type { SmtpReply } from './replies.js';

/** What a session was offered and may use. */
export interface Offers {
  /** 8BITMIME (RFC 6152). */
  readonly eightBit: boolean;
  /** SMTPUTF8 (RFC 6531). */
  readonly utf8: boolean;
  /** DSN (RFC 3461). */
  readonly dsn: boolean;
  /** AUTH (RFC 4954): MAIL FROM has a parameter of that name too. */
  readonly auth: boolean;
}

export const NO_OFFERS: Offers = { eightBit: false, utf8: false, dsn: false, auth: false };

/** `MAIL FROM:<…>` or `RCPT TO:<…>`, parsed. */
export interface EnvelopeCommand {
  /** As the client wrote it, without its source route; empty for the null sender. */
  readonly address: string;
  /** It had a source route (`<@relay.test:user@example.com>`). */
  readonly routed: boolean;
  /** Keywords in upper case; xtext is decoded. False if there are none, as smtp-server has it. */
  readonly args: SMTPServerAddressArgs | false;
}

export type EnvelopeVerb = 'MAIL FROM' | 'RCPT TO';

const BAD_SYNTAX: Readonly<Record<EnvelopeVerb, SmtpReply>> = {
  'MAIL FROM': { code: 501, text: '5.1.7 Bad sender address syntax' },
  'RCPT TO': { code: 501, text: '5.1.3 Bad recipient address syntax' },
};
const TOO_LONG: Readonly<Record<EnvelopeVerb, SmtpReply>> = {
  'MAIL FROM': { code: 501, text: `5.1.7 The address is longer than ${LONGEST_ADDRESS} octets` },
  'RCPT TO': { code: 501, text: `5.1.3 The address is longer than ${LONGEST_ADDRESS} octets` },
};
const UTF8_NOT_ASKED: SmtpReply = {
  code: 553,
  text: '5.6.7 An address beyond ASCII needs SMTPUTF8 at MAIL FROM',
};
const UTF8_NOT_OFFERED: SmtpReply = {
  code: 553,
  text: '5.6.7 An address beyond ASCII is not taken: SMTPUTF8 is not offered here',
};

/** Octets of a domain (RFC 5321 section 4.5.3.1.2). */
const LONGEST_DOMAIN = 255;
/** Letters beyond ASCII count as such: the session's right to use them is checked elsewhere. */
const ATOM = /^[\w!#$%&'*+/=?^`{|}~\u0080-\uffff-]+(?:\.[\w!#$%&'*+/=?^`{|}~\u0080-\uffff-]+)*$/;
const QUOTED = /^"(?:[^"\\]|\\.)*"$/;
const DOMAIN =
  /^[a-z0-9\u0080-\uffff]+(?:-+[a-z0-9\u0080-\uffff]+)*(?:\.[a-z0-9\u0080-\uffff]+(?:-+[a-z0-9\u0080-\uffff]+)*)*$/i;
const LITERAL = /^\[(?:IPv6:[0-9a-f:.]{2,45}|\d{1,3}(?:\.\d{1,3}){3})\]$/i;
const ROUTE = /^@[^\s,:@<>"]+(?:,@[^\s,:@<>"]+)*:/;
const KEYWORD = /^[a-z0-9][a-z0-9-]*$/i;
// eslint-disable-next-line no-control-regex -- ASCII begins at NUL
const ASCII = /^[\u0000-\u007f]*$/;
/** Scripts that join their letters need these in domains (RFC 5892 appendix A). */
const JOINERS = /[\u200c\u200d]/g;

/**
 * Reads a MAIL or RCPT command: linear in its length, and bounded before any work.
 *
 * @param utf8 whether the transaction asked for SMTPUTF8; at MAIL FROM its own parameter says so
 * @returns what it says, or what the client is told instead
 */
export function readEnvelopeCommand(
  verb: EnvelopeVerb,
  line: string,
  offers: Offers,
  utf8 = false,
): EnvelopeCommand | SmtpReply {
  const colon = line.indexOf(':');
  if (colon < 0 || line.slice(0, colon).trim().toUpperCase() !== verb) return badSyntax(verb);
  const text = line.slice(colon + 1).trimStart();
  const end = endOfPath(text);
  if (end < 0) return badSyntax(verb);
  const route = ROUTE.exec(text.slice(1, end))?.[0] ?? '';
  const address = text.slice(1 + route.length, end);
  if (Buffer.byteLength(address) > LONGEST_ADDRESS) return TOO_LONG[verb];
  const args = readParameters(verb, text.slice(end + 1), offers);
  if ('code' in args) return args;
  if (!isPath(verb, address)) return badSyntax(verb);
  const asked = verb === 'MAIL FROM' ? args.values['SMTPUTF8'] === true : utf8;
  if (!asked && !ASCII.test(address)) return needsUtf8(offers);
  return { address, routed: route !== '', args: args.found && args.values };
}

/** The index of the `>` that ends the path: one within quotes does not. */
function endOfPath(text: string): number {
  if (text[0] !== '<') return -1;
  let quoted = false;
  for (let index = 1; index < text.length; index++) {
    const character = text[index];
    if (character === '\\' && quoted) index++;
    else if (character === '"') quoted = !quoted;
    else if (character === '>' && !quoted) return index;
    else if (character === '<' && !quoted) return -1;
  }
  return -1;
}

function isPath(verb: EnvelopeVerb, address: string): boolean {
  if (address === '') return verb === 'MAIL FROM';
  // RFC 5321 section 4.1.1.3: the postmaster needs no domain.
  if (verb === 'RCPT TO' && address.toLowerCase() === 'postmaster') return true;
  // U+FFFD stands for bytes that are no UTF-8.
  if (!isPrintable(address.replace(JOINERS, '')) || address.includes('\ufffd')) return false;
  const at = address.lastIndexOf('@');
  const [local, domain] = [address.slice(0, at), address.slice(at + 1)];
  if (at < 1 || Buffer.byteLength(domain) > LONGEST_DOMAIN) return false;
  return (ATOM.test(local) || QUOTED.test(local)) && (DOMAIN.test(domain) || LITERAL.test(domain));
}

/** Whether a keyword of a command is known, given the offers. */
function isKnown(verb: EnvelopeVerb, keyword: string, { eightBit, utf8, dsn, auth }: Offers): boolean {
  if (verb === 'RCPT TO') return dsn && (keyword === 'NOTIFY' || keyword === 'ORCPT');
  switch (keyword) {
    case 'SIZE':
      return true;
    case 'BODY':
      return eightBit;
    case 'SMTPUTF8':
      return utf8;
    case 'RET':
    case 'ENVID':
      return dsn;
    case 'AUTH':
      return auth;
    default:
      return false;
  }
}

function readParameters(
  verb: EnvelopeVerb,
  text: string,
  offers: Offers,
): { readonly values: SMTPServerAddressArgs; readonly found: boolean } | SmtpReply {
  const values: SMTPServerAddressArgs = {};
  if (text !== '' && !/^\s/.test(text)) return badSyntax(verb);
  const words = text.split(/\s+/).filter((word) => word !== '');
  for (const word of words) {
    const equals = word.indexOf('=');
    const keyword = (equals < 0 ? word : word.slice(0, equals)).toUpperCase();
    if (!KEYWORD.test(keyword)) return badSyntax(verb);
    if (!isKnown(verb, keyword, offers))
      return { code: 555, text: `5.5.4 The parameter ${keyword.slice(0, 40)} is not known here` };
    if (Object.hasOwn(values, keyword)) return { code: 501, text: `5.5.4 ${keyword} is given twice` };
    const value = equals < 0 ? '' : decodeXtext(word.slice(equals + 1));
    if (!isPrintable(value)) return badSyntax(verb);
    values[keyword] = value === '' ? true : value;
  }
  return { values, found: words.length > 0 };
}

function decodeXtext(text: string): string {
  return text.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** RFC 6531 section 3.5. */
function needsUtf8({ utf8 }: Offers): SmtpReply {
  return utf8 ? UTF8_NOT_ASKED : UTF8_NOT_OFFERED;
}

function badSyntax(verb: EnvelopeVerb): SmtpReply {
  return BAD_SYNTAX[verb];
}
