import { isLoopback } from '../../sending/identity.js';
import type { Capabilities } from './commands.js';
import { xtext } from './commands.js';
import type { RelayClient } from './port.js';

/** What is said of a value that is not known. */
const UNAVAILABLE = '[UNAVAILABLE]';
/** Postfix takes no longer value. */
const LONGEST_VALUE = 255;
/** Octets of a command without its line end (RFC 5321 section 4.5.3.1.4). */
const LONGEST_COMMAND = 510;

/**
 * The XFORWARD commands for one message, with what this upstream takes; none if it takes nothing. The values hold until
 * the transaction ends.
 */
export function xforward({ xforward: takes }: Capabilities, client: RelayClient | undefined): string[] {
  if (client === undefined || takes.length === 0) return [];
  return commands('XFORWARD', takes, {
    NAME: undefined,
    ADDR: addressOf(client),
    PORT: String(client.port),
    PROTO: client.protocol,
    HELO: client.helo,
    IDENT: client.ident,
    SOURCE: isLoopback(client.ip) ? 'LOCAL' : 'REMOTE',
  });
}

/**
 * The XCLIENT commands that make a session one of this client: the same for all its connections and messages, so that
 * they can share sessions.
 */
export function xclient({ xclient: takes }: Capabilities, client: RelayClient): string[] {
  return commands('XCLIENT', takes, { NAME: undefined, ADDR: addressOf(client), LOGIN: client.login });
}

/** Which clients may share a session after XCLIENT. */
export function clientKey({ ip, login, helo }: RelayClient): string {
  return JSON.stringify([ip, login, helo]);
}

/** The client's name for an EHLO in its place; undefined if it is none that can be said. */
export function heloName({ helo }: RelayClient): string | undefined {
  return /^[!-~]{1,255}$/.test(helo) ? helo : undefined;
}

function addressOf({ ip }: RelayClient): string {
  return ip.includes(':') ? `IPV6:${ip}` : ip;
}

function commands(
  verb: string,
  takes: readonly string[],
  values: Readonly<Record<string, string | undefined>>,
): string[] {
  const lines: string[] = [];
  let line = verb;
  for (const [name, value] of Object.entries(values)) {
    if (!takes.includes(name)) continue;
    const word = ` ${name}=${encoded(value)}`;
    if (line.length + word.length > LONGEST_COMMAND) {
      lines.push(line);
      line = verb;
    }
    line += word;
  }
  return line === verb ? lines : [...lines, line];
}

/** A long value is cut, and never in the middle of an encoded byte. */
function encoded(value: string | undefined): string {
  if (value === undefined || value === '') return UNAVAILABLE;
  // No character takes less than one octet: nothing beyond this is used.
  const text = xtext(value.slice(0, LONGEST_VALUE));
  return text.slice(0, LONGEST_VALUE).replace(/\+[0-9A-F]?$/, '');
}
