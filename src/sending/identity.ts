import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';

/*
 * One normal form for everything that is compared. What a client wrote is kept in events as it was (an
 * address at Postfix as that sends it: postfix-address.ts); what is compared goes through here first:
 *   domain   lower case, A-labels (RFC 5890), no trailing dot
 *   address  local part in lower case and NFC, `+tag` and needless quotes dropped; domain as above
 *   account  like an address, but a `+tag` stays: it is part of a login's name
 *   ehlo     like a domain; an address literal keeps its brackets, and what is no name is `.`
 *   ip       IPv4 dotted, IPv4-mapped IPv6 as IPv4, IPv6 in RFC 5952 form
 */

/**
 * How the session ids begin that Dovecot is told of logins that come through Stopgap. Dovecot gives them to its policy server: where
 * that is Stopgap too, it knows that these logins are judged and recorded already.
 */
export const OWN_SESSION = 'stopgap-';

/** Octets of an address: 64, `@` and 255 (RFC 5321 section 4.5.3.1). */
export const LONGEST_ADDRESS = 320;
/** Characters of a name that is compared in its normal form: more than any address and login has. */
const LONGEST_NAME = 1024;

const PLAIN_DOMAIN = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
const PLAIN_LOCAL = /^[a-z0-9._=*-]*$/;
/** Most names are in normal form already: one pass of this tells, and nothing is allocated. */
const PLAIN_ADDRESS = /^[a-z0-9._=*-]+@[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
/** The look-behind keeps it linear: a run in the middle is looked at once, not from each of its characters. */
const TAIL = /(?<![\s.])[\s.]+$/;
/** ASCII that a host name may hold; a URL parser would take the rest for a port, a path or an escape. */
const HOST_CHARACTERS = /^[a-z0-9._*\u0080-\uffff-]*$/;

export function normalizeDomain(raw: string): string {
  if (PLAIN_DOMAIN.test(raw)) return raw;
  const lower = trimmed(lowerCase(raw));
  if (PLAIN_DOMAIN.test(lower) || !HOST_CHARACTERS.test(lower)) return lower;
  // domainToASCII gives '' for what is no domain: such a name is still compared, as it is. Other dots
  // (U+3002 and its like) have become plain ones only now.
  return trimmed(domainToASCII(lower)) || lower;
}

/** Without space around it, and without dots at its end. */
function trimmed(text: string): string {
  return text.trimStart().replace(TAIL, '');
}

/** Normal form of a return path or recipient. The null sender stays the empty string. */
export function normalizeAddress(raw: string): string {
  if (PLAIN_ADDRESS.test(raw)) return raw;
  const at = raw.lastIndexOf('@');
  const local = normalizeLocal(unquoted(at < 0 ? raw : raw.slice(0, at)));
  const plus = local.startsWith('"') ? -1 : local.indexOf('+');
  const base = plus > 0 ? local.slice(0, plus) : local;
  return at < 0 ? base : `${base}@${normalizeDomain(raw.slice(at + 1))}`;
}

export function normalizeAccount(raw: string): string {
  if (PLAIN_ADDRESS.test(raw)) return raw;
  const trimmed = lowerCase(raw).trim();
  const at = trimmed.lastIndexOf('@');
  return at < 0 ? trimmed : `${trimmed.slice(0, at)}@${normalizeDomain(trimmed.slice(at + 1))}`;
}

/** The EHLO name of those who say none, or dots alone: as little as that, it may be new to an account. */
export const NAMELESS = '.';

export function normalizeEhlo(raw: string): string {
  return normalizeDomain(raw) || (raw === '' ? '' : NAMELESS);
}

const DOTTED = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** Whether the text is an IPv4 address in its normal form. */
export function isDotted(text: string): boolean {
  return DOTTED.test(text);
}

/**
 * Normal form of an IP address; undefined if the text is none. Of the forms that inet_aton takes only the dotted
 * decimal is one: `010.0.0.1` and `127.1` mean different things to different people.
 */
export function normalizeIp(raw: string): string | undefined {
  if (DOTTED.test(raw)) return raw;
  const bare = raw.trim().split('%', 1)[0]!;
  if (!bare.includes(':')) return DOTTED.test(bare) ? bare : undefined;
  return ipaddr.IPv6.isValid(bare) ? ipaddr.process(bare).toString() : undefined;
}

/** Whether the text is an address, in any form that {@link normalizeIp} takes. Asked for each line of a trace. */
export function isIp(raw: string): boolean {
  if (DOTTED.test(raw)) return true;
  return (raw.includes(':') && readIpv6(raw, PARTS)) || normalizeIp(raw) !== undefined;
}

/** What comes after the last `@`; undefined if there is none. */
export function domainOf(address: string): string | undefined {
  const at = address.lastIndexOf('@');
  return at < 0 || at === address.length - 1 ? undefined : address.slice(at + 1);
}

/**
 * The network that one customer holds: an IPv4 address itself, of IPv6 the /64 (RFC 6177: sites get /64s or
 * more, so single addresses can be changed at will). Takes an address as a socket gives it; what is none is
 * its own network.
 */
export function clientNetwork(ip: string): string {
  if (!ip.includes(':')) return ip;
  if (readIpv6(ip, PARTS) && !isMapped(PARTS)) return slash64(PARTS);
  const normal = normalizeIp(ip) ?? ip;
  return normal.includes(':') && readIpv6(normal, PARTS) ? slash64(PARTS) : normal;
}

/** The /24 of an IPv4 address or the /48 of an IPv6 network: a sender that gets another address there is not new. */
export function neighbourhood(network: string): string {
  return network.includes(':')
    ? network.split(':').slice(0, 3).join(':')
    : network.slice(0, network.lastIndexOf('.'));
}

/**
 * The networks around an IPv6 /64 that one site may hold as well: its /56 and its /48 (RFC 6177). None of any other network.
 *
 * @param network as {@link clientNetwork} gives it
 */
export function widerNetworks(network: string): readonly string[] {
  if (!network.endsWith('::/64') || !readIpv6(network.slice(0, -3), PARTS)) return [];
  PARTS[3]! &= 0xff00;
  const wider = slash64(PARTS).replace('/64', '/56');
  PARTS[3] = 0;
  return [wider, slash64(PARTS).replace('/64', '/48')];
}

/** How many times what a /64 may do a wider network may: see {@link widerNetworks}. 1 for any other. */
export function widthFactor(network: string): number {
  if (!network.endsWith('::/56') && !network.endsWith('::/48')) return 1;
  return network.endsWith('6') ? 2 : 4;
}

/** Scratch for one call at a time: nothing here waits. */
const PARTS = new Uint16Array(8);

/** IPv4 in IPv6 (RFC 4291, 2.5.5.2), as a dual-stack listener sees its IPv4 clients. */
function isMapped(parts: Uint16Array): boolean {
  return parts[5] === 0xffff && parts.every((part, index) => index >= 5 || part === 0);
}

/** True for loopback, private (RFC 1918, RFC 4193), link-local and unspecified addresses. */
export function isPrivateIp(ip: string): boolean {
  const bare = ip.split('/', 1)[0]!;
  // Asked for each network that a rule trips on: none of 2000::/3 (global unicast) is private.
  if (readIpv6(bare, PARTS) && PARTS[0]! >> 13 === 1) return false;
  if (!ipaddr.isValid(bare)) return false;
  return ['loopback', 'private', 'linkLocal', 'uniqueLocal', 'unspecified'].includes(
    ipaddr.process(bare).range(),
  );
}

/** Whether an address lies in a network: one address, `192.0.2.0/24`, or `private` for {@link isPrivateIp}. */
export function isWithin(ip: string, network: string): boolean {
  if (network === 'private') return isPrivateIp(ip);
  if (!ipaddr.isValid(ip)) return false;
  const address = ipaddr.process(ip);
  const [first, length] = network.includes('/')
    ? ipaddr.parseCIDR(network)
    : ([ipaddr.process(network), undefined] as const);
  if (address.kind() !== first.kind()) return false;
  return length === undefined ? address.toString() === first.toString() : address.match(first, length);
}

export function isLoopback(ip: string): boolean {
  return ipaddr.isValid(ip) && ipaddr.process(ip).range() === 'loopback';
}

const LOCAL_USER = /^uid-\d+@/;

/** Whether this account is a user of a mail server's own machine, whose programs hand in mail by the `sendmail` command. */
export function isLocalUser(account: string): boolean {
  return LOCAL_USER.test(account);
}

const QUOTED = /^"((?:[^"\\]|\\.)*)"$/s;
/** What a local part may be without quotes (RFC 5321 section 4.1.2): atoms between single dots. */
const DOT_ATOM = /^[^\s"(),:;<>@[\\\].]+(?:\.[^\s"(),:;<>@[\\\].]+)*$/;

/** `"alice"` and `"al\ice"` are `alice`: quotes change nothing if none are needed, and escapes never do. */
function unquoted(local: string): string {
  const content = QUOTED.exec(local)?.[1]?.replace(/\\(.)/gs, '$1');
  if (content === undefined) return local;
  return DOT_ATOM.test(content) ? content : `"${content.replace(/["\\]/g, '\\$&')}"`;
}

function normalizeLocal(raw: string): string {
  return PLAIN_LOCAL.test(raw) ? raw : lowerCase(raw);
}

/** Composed before, for the case mapping, and after, since some letters compose in lower case only (J with caron). */
function lowerCase(raw: string): string {
  // Composing takes the square of a run of combining marks; a name of this length is nobody's, and needs no equal.
  if (raw.length > LONGEST_NAME) return raw.toLowerCase();
  return raw.normalize('NFC').toLowerCase().normalize('NFC');
}

/*
 * IPv6 in text without a general parser's regular expressions: this is asked for each connection, send and
 * refusal. Only plain forms are read; the rest (zones, embedded IPv4) is the library's.
 */

/**
 * Reads hexadecimal groups with at most one `::` into eight 16-bit parts.
 *
 * @returns false if the text is anything else; `parts` is then undefined in part
 */
export function readIpv6(text: string, parts: Uint16Array): boolean {
  let count = 0;
  let gap = -1;
  let group = 0;
  let digits = 0;
  for (let index = 0; index <= text.length; index++) {
    const code = index < text.length ? text.charCodeAt(index) : 58;
    const digit = hexDigit(code);
    if (digit >= 0) {
      if (++digits > 4) return false;
      group = (group << 4) | digit;
      continue;
    }
    if (code !== 58) return false;
    if (digits > 0) {
      if (count === 8) return false;
      parts[count++] = group;
      group = digits = 0;
      if (index === text.length) break;
      if (index === text.length - 1) return false; // a single colon at the end
      if (text.charCodeAt(index + 1) !== 58) continue;
      if (gap >= 0) return false;
      gap = count;
      index++;
    } else if (index === 0 && text.charCodeAt(1) === 58) {
      gap = 0;
      index++;
    } else if (index < text.length) return false;
  }
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  parts.copyWithin(8 - (count - gap), gap, count);
  parts.fill(0, gap, 8 - (count - gap));
  return true;
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  return code >= 65 && code <= 70 ? code - 55 : -1;
}

/** The /64 that an address lies in, as RFC 5952 writes it: after its first four groups all is zero. */
function slash64(parts: Uint16Array): string {
  let last = 3;
  while (last >= 0 && parts[last] === 0) last--;
  let text = '';
  for (let index = 0; index <= last; index++)
    text += `${index === 0 ? '' : ':'}${parts[index]!.toString(16)}`;
  return `${text}::/64`;
}

/**
 * Whether the text matches a pattern in which `*` is any characters, none included. By hand: many stars
 * turned into a regular expression could take exponential time.
 */
export function matches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (p < pattern.length && pattern[p] === '*') p++;
  return p === pattern.length;
}
