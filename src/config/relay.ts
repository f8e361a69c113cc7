import path from 'node:path';
import { isLoopback, normalizeDomain, normalizeIp } from '../sending/identity.js';
import type { RelayTarget, RelayTls } from './types.js';
import type { Parser } from './values.js';
import { asText, WrongValue } from './values.js';

const FORMS =
  'use smtp://host:25, smtps://user:password@host, lmtp://host:24, lmtp:///path/to/socket or maildir:directory';
const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'smtp:': 25, 'smtps:': 465, 'lmtp:': 24 };
const TLS_WORDS = ['off', 'opportunistic', 'required'] as const;

/** Reads where accepted mail goes. No message holds the URL: its password would stand in it. */
export const asRelay: Parser<RelayTarget> = (raw, base) => {
  const text = asText(raw, base);
  if (text.startsWith('maildir:')) {
    const directory = text.slice('maildir:'.length).replace(/^\/\/(?=\/)/, '');
    if (directory === '') throw new WrongValue('names no directory; use maildir:./data/mail');
    return { kind: 'maildir', directory: path.resolve(base, directory) };
  }
  if (!URL.canParse(text)) throw new WrongValue(`is no URL; ${FORMS}`);
  const url = new URL(text);
  const defaultPort = DEFAULT_PORTS[url.protocol];
  if (defaultPort === undefined) throw new WrongValue(`${url.protocol} is no scheme to relay by; ${FORMS}`);
  if (url.protocol === 'lmtp:' && url.hostname === '' && url.pathname.length > 1) {
    return { kind: 'lmtp-socket', path: decode(url.pathname) };
  }
  if (url.hostname === '') throw new WrongValue(`names no host; ${FORMS}`);
  if (!['', '/'].includes(url.pathname) || url.hash !== '') {
    throw new WrongValue(`has a path behind the host, which means nothing here; ${FORMS}`);
  }
  const host = hostOf(url.hostname);
  const user = url.username === '' ? undefined : decode(url.username);
  const password = url.password === '' ? undefined : decode(url.password);
  if ((user === undefined) !== (password === undefined)) {
    throw new WrongValue('has a user or a password alone; give both or none');
  }
  return {
    kind: url.protocol === 'lmtp:' ? 'lmtp' : 'smtp',
    host,
    port: url.port === '' ? defaultPort : Number(url.port),
    tls: tlsOf(url, user !== undefined && !isLocalHost(host)),
    user,
    password,
  };
};

/** The relay as one may print it: never with its password. */
export function formatRelay(relay: RelayTarget): string {
  switch (relay.kind) {
    case 'maildir':
      return `maildir:${relay.directory}`;
    case 'lmtp-socket':
      return `lmtp://${relay.path}`;
    case 'smtp':
    case 'lmtp': {
      const scheme = relay.tls === 'implicit' ? 'smtps' : relay.kind;
      const login = relay.user === undefined ? '' : `${encodeURIComponent(relay.user)}:***@`;
      const host = relay.host.includes(':') ? `[${relay.host}]` : relay.host;
      const query = relay.tls === 'implicit' ? '' : `?tls=${relay.tls}`;
      return `${scheme}://${login}${host}:${relay.port}${query}`;
    }
  }
}

export function isLocalHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host);
}

function hostOf(written: string): string {
  if (written.startsWith('[')) return normalizeIp(written.slice(1, -1)) ?? written;
  return normalizeDomain(decode(written));
}

function tlsOf(url: URL, secretsAtStake: boolean): RelayTls {
  const wanted = url.searchParams.get('tls');
  for (const name of url.searchParams.keys()) {
    if (name !== 'tls') throw new WrongValue(`has the unknown option "${name}"; known is tls`);
  }
  if (url.protocol === 'smtps:') {
    if (wanted !== null) throw new WrongValue('is smtps:, which always has TLS; leave tls= out');
    return 'implicit';
  }
  // A password must not go in clear because somebody on the way took STARTTLS out.
  if (wanted === null) return secretsAtStake ? 'required' : 'opportunistic';
  const tls = TLS_WORDS.find((word) => word === wanted);
  if (tls === undefined) throw new WrongValue(`has tls=${wanted}; use tls=${TLS_WORDS.join(', tls=')}`);
  if (secretsAtStake && tls !== 'required') {
    throw new WrongValue(`would send its password without certain TLS; use tls=required or smtps://`);
  }
  return tls;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new WrongValue('has a % that is followed by no two hex digits; write a % itself as %25');
  }
}
