import { readFileSync } from 'node:fs';
import { isLoopback } from '../../sending/identity.js';
import { fileFault } from '../../accounts/private-file.js';
import { InvalidInput } from '../../kernel/errors.js';

export type TlsPolicy = 'off' | 'opportunistic' | 'require';

/** An SMTP or LMTP upstream. */
export interface Upstream {
  readonly protocol: 'smtp' | 'lmtp';
  /** Host and port, or the path of a Unix socket. */
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string };
  /** `host:port` or the socket's path, for messages; never with credentials. */
  readonly name: string;
  /** TLS from the first byte (smtps) rather than by STARTTLS. */
  readonly implicitTls: boolean;
  readonly tls: TlsPolicy;
  readonly verify: boolean;
  /** Certificates (PEM) that the upstream's must descend from, instead of the system's. */
  readonly ca: string | undefined;
  /** True if clear text never leaves this machine. */
  readonly loopback: boolean;
  /** The AUTH PLAIN initial response (RFC 4616) in base64; a function, so that no dump of this object shows it. */
  readonly authPlain: (() => string) | undefined;
}

export type RelayTarget = Upstream | { readonly maildir: string };

const FORM = 'smtp://host:port, smtps://host:port, lmtp://host:port, lmtp:///path/to/socket or maildir:PATH';
const DEFAULT_PORT = { smtp: 25, smtps: 465, lmtp: 24 } as const;
const QUERY = ['tls', 'ca'];

/**
 * Reads the URL of the upstream:
 * - `smtp://[user:password@]host[:25]` with STARTTLS if it is offered (`?tls=opportunistic`), always (`?tls=require`,
 *   which also checks the certificate), or never (`?tls=off`);
 * - `smtps://host[:465]`: TLS from the start, certificate checked unless `?tls=opportunistic`;
 * - `lmtp://host[:24]` and `lmtp:///path/to/socket` (RFC 2033), TLS as for smtp;
 * - `maildir:PATH`.
 *
 * `?ca=FILE` (PEM) names the trusted certificates and turns the check on. Errors never repeat the URL: it may hold a
 * password.
 *
 * @throws InvalidInput naming `relay.url`
 */
export function parseRelayUrl(text: string): RelayTarget {
  if (/^maildir:/i.test(text)) {
    const path = text.slice('maildir:'.length);
    if (path === '' || path.includes('\0')) throw wrong('maildir: needs the path of a directory');
    return { maildir: path };
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // The parser's own message would repeat the URL with its password.
    throw wrong('this is no URL');
  }
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== 'smtp' && scheme !== 'smtps' && scheme !== 'lmtp') throw wrong(`unknown scheme "${scheme}"`);
  for (const key of url.searchParams.keys()) {
    if (!QUERY.includes(key)) throw wrong(`unknown option "${key}": there are ${QUERY.join(' and ')}`);
  }
  const implicitTls = scheme === 'smtps';
  const tls = url.searchParams.get('tls') ?? (implicitTls ? 'require' : 'opportunistic');
  if (tls !== 'off' && tls !== 'opportunistic' && tls !== 'require') {
    throw wrong('tls is off, opportunistic or require');
  }
  if (implicitTls && tls === 'off') throw wrong('smtps cannot go with tls=off');
  const ca = readCa(url.searchParams.get('ca'));
  const place = placeOf(url, scheme);
  return {
    protocol: scheme === 'lmtp' ? 'lmtp' : 'smtp',
    ...place,
    implicitTls,
    tls,
    verify: tls === 'require' || ca !== undefined,
    ca,
    authPlain: authOf(url),
  };
}

function placeOf(
  url: URL,
  scheme: keyof typeof DEFAULT_PORT,
): Pick<Upstream, 'address' | 'name' | 'loopback'> {
  if (url.hostname === '') {
    const path = decoded(url.pathname);
    if (scheme !== 'lmtp' || path.length < 2) throw wrong('a host is missing');
    return { address: { path }, name: path, loopback: true };
  }
  if (url.pathname !== '' && url.pathname !== '/')
    throw wrong('nothing may follow host and port but ?options');
  const host = decoded(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? DEFAULT_PORT[scheme] : Number(url.port);
  if (port === 0) throw wrong('port 0 cannot be connected to');
  return {
    address: { host, port },
    name: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    loopback: host.toLowerCase() === 'localhost' || isLoopback(host),
  };
}

function authOf(url: URL): (() => string) | undefined {
  if (url.username === '' && url.password === '') return undefined;
  const user = decoded(url.username);
  const password = decoded(url.password);
  if (user === '' || user.includes('\0') || password.includes('\0')) throw wrong('a login needs a user name');
  const token = Buffer.from(`\0${user}\0${password}`, 'utf8').toString('base64');
  return () => token;
}

function readCa(file: string | null): string | undefined {
  if (file === null) return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw wrong(`the file of ca, ${file}, ${fileFault(error, 'name a PEM file')}`);
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw wrong('a % must be followed by two hexadecimal digits');
  }
}

function wrong(problem: string): InvalidInput {
  return new InvalidInput('relay.url', `relay.url: ${problem}; use ${FORM}`);
}
