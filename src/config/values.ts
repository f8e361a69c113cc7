import path from 'node:path';
import { readFileSync } from 'node:fs';
import { fileFault } from '../accounts/private-file.js';
import type { SenderPolicy } from '../accounts/senders.js';
import { parseSenderMap } from '../accounts/senders.js';
import { InvalidInput, messageOf } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { DAY, DURATION_FORM, parseDuration } from '../kernel/time.js';
import { parseRedis } from '../redis/address.js';
import { normalizeDomain, normalizeIp } from '../sending/identity.js';
import { parseSubject } from '../sending/subjects.js';
import type { ListenAddress, PolicyAddress } from './listening.js';
import { isLocalHost } from './listening.js';
import type { RelayTarget } from '../smtp/relay/url.js';
import { parseRelayUrl } from '../smtp/relay/url.js';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** Where accepted mail goes. */
export interface RelaySettings {
  /** With absolute paths. May hold a password: not enumerable, so that no dump of the configuration shows it. */
  readonly url: string;
  readonly target: RelayTarget;
  /** Sessions with it become their client's (XCLIENT). */
  readonly xclient?: boolean;
}

export const ROLES = ['smtp', 'policy', 'detector', 'api', 'worker'] as const;
/**
 * What a process does. `smtp`: takes mail. `policy`: answers mail servers that ask. `detector`: folds sends and acts on rules. `api`: HTTP. `worker`: timed
 * work. With SQLite one process does it all, of `smtp` and `policy` at least one.
 */
export type Role = (typeof ROLES)[number];

/** A value that cannot be used; the message says what is wrong and what would be right. */
export class WrongValue extends Error {}

/**
 * Reads a value as the YAML file or the environment gave it (there all is text).
 *
 * @param base the folder that relative paths start from
 * @throws WrongValue
 */
export type Parser<T> = (raw: unknown, base: string) => T;

/** Adds values that no dump shows, because they may hold a password. */
export function hidden<Shown extends object, Secret extends object>(
  shown: Shown,
  secret: Secret,
): Shown & Secret {
  for (const [key, value] of Object.entries(secret))
    Object.defineProperty(shown, key, { value: value as unknown, enumerable: false });
  return shown as Shown & Secret;
}

/** Whether a URL has a password in it, or what stands for one. */
export function holdsPassword(written: unknown): boolean {
  const text = String(written);
  // A login may be an address, with an @ of its own.
  const login = /:\/\/([^/?#]*)@/.exec(text)?.[1] ?? '';
  return /:./.test(login) || /[?&]sentinelPassword=[^&]/.test(text);
}

/** Cuts what is long. Parsers of values that may hold secrets do not call it. */
function shown(raw: unknown): string {
  const text = typeof raw === 'string' ? raw : (JSON.stringify(raw) ?? String(raw));
  return `"${text.length > 80 ? `${text.slice(0, 80)}…` : text}"`;
}

export const asText: Parser<string> = (raw) => {
  if (typeof raw !== 'string' || raw.trim() === '')
    throw new WrongValue(`${shown(raw)} is no text; write one, in quotes if need be`);
  // eslint-disable-next-line no-control-regex -- control characters are just what must not pass
  if (/[\u0000-\u001f\u007f]/.test(raw))
    throw new WrongValue('holds control characters; write it in one line');
  return raw.trim();
};

export const asPath: Parser<string> = (raw, base) => path.resolve(base, asText(raw, base));

/** One path or several, as a list or with commas. */
export const asPaths: Parser<readonly string[]> = (raw, base) => {
  const list: unknown[] = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw];
  if (list.length === 0) throw new WrongValue('is an empty list; name a file, or leave it out');
  return list.map((item) => asPath(item, base));
};

export const asFlag: Parser<boolean> = (raw) => {
  if (raw === true || raw === 'true') return true;
  if (raw === false || raw === 'false') return false;
  throw new WrongValue(`${shown(raw)} is neither; use true or false`);
};

export function asChoice<const T extends string>(choices: readonly T[]): Parser<T> {
  return (raw) => {
    const choice = choices.find((known) => known === (typeof raw === 'number' ? String(raw) : raw));
    if (choice === undefined) throw new WrongValue(`${shown(raw)} is not known; use ${choices.join(', ')}`);
    return choice;
  };
}

/** A whole number from `least` to `most`. */
export function asCount(least: number, most: number): Parser<number> {
  return (raw) => {
    const count = typeof raw === 'string' && /^\d{1,15}$/.test(raw) ? Number(raw) : raw;
    if (typeof count !== 'number' || !Number.isInteger(count) || count < least || count > most) {
      throw new WrongValue(`${shown(raw)} does not fit; use a whole number from ${least} to ${most}`);
    }
    return count;
  };
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
};
const SMALLEST_SIZE = 1024;
/** What a SIZE announcement and the spool are known to carry. */
const LARGEST_SIZE = 2 ** 31 - 1;

/** A size in bytes: `50MB` (powers of 1000), `10MiB` (powers of 1024) or a number of bytes. */
export const asSize: Parser<number> = (raw) => {
  const form = 'a size such as 50MB, 10MiB, 512KB or a number of bytes';
  const match = /^(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]{0,3})$/i.exec(String(raw).trim());
  const unit = SIZE_UNITS[match?.[2]?.toUpperCase() ?? '?'];
  if (!['string', 'number'].includes(typeof raw) || match === null || unit === undefined) {
    throw new WrongValue(`${shown(raw)} is no size; use ${form}`);
  }
  const bytes = Math.round(Number(match[1]) * unit);
  if (bytes < SMALLEST_SIZE || bytes > LARGEST_SIZE) {
    throw new WrongValue(`${shown(raw)} does not fit; use 1KiB to 2047MiB`);
  }
  return bytes;
};

/** A hundred years: beyond it lie dates that Date cannot hold. */
const LONGEST: Milliseconds = 36_500 * DAY;

export const asDuration: Parser<Milliseconds> = (raw) => {
  const span = typeof raw === 'string' ? parseDuration(raw) : undefined;
  if (span === undefined) throw new WrongValue(`${shown(raw)} is no duration; use ${DURATION_FORM}`);
  if (span > LONGEST) throw new WrongValue(`${shown(raw)} is too long; use at most ${LONGEST / DAY}d`);
  return span;
};

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** A host's name in normal form: lower case, A-labels, no trailing dot. */
export const asHostName: Parser<string> = (raw, base) => {
  const name = normalizeDomain(asText(raw, base));
  if (!HOST_NAME.test(name))
    throw new WrongValue(`${shown(raw)} is no host name; use one such as mx.example.com`);
  return name;
};

export const asDomains: Parser<readonly string[]> = (raw, base) => {
  const list: unknown[] = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw];
  if (list.length === 0)
    throw new WrongValue('is an empty list; name at least one domain such as example.com');
  const names = list.map((item) => {
    const name = normalizeDomain(asText(item, base));
    if (!HOST_NAME.test(name))
      throw new WrongValue(`${shown(item)} is no domain; use one such as example.com`);
    return name;
  });
  return [...new Set(names)];
};

/** Names of protocols as Dovecot calls them, as a list or with commas. */
export const asProtocols: Parser<readonly string[]> = (raw, base) => {
  const list: unknown[] = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw];
  return list.map((item) => {
    const name = asText(item, base).toLowerCase();
    if (/^[a-z][a-z0-9-]{0,31}$/.test(name)) return name;
    throw new WrongValue(`${shown(item)} is no protocol; use those such as smtp, submission, imap`);
  });
};

const NETWORKS_FORM = 'addresses and networks such as 192.0.2.7 or 2001:db8::/32, private, or none';

/** Networks in normal form, `private` among them; `none` is an empty list. */
export const asNetworks: Parser<readonly string[]> = (raw, base) => {
  const list: unknown[] = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw];
  if (list.length === 1 && list[0] === 'none') return [];
  return list.map((item) => {
    const text = asText(item, base);
    if (text === 'private') return text;
    try {
      return parseSubject('ip', text).value;
    } catch (thrown) {
      if (!(thrown instanceof InvalidInput)) throw thrown;
      throw new WrongValue(`${shown(item)} is no network; use ${NETWORKS_FORM}`);
    }
  });
};

const PORT_FORM =
  'host:port such as 127.0.0.1:2587 or "[::1]:2587", a port alone for 127.0.0.1, :port for all interfaces';
const NO_LISTEN = `is no address to listen on; use ${PORT_FORM}, or systemd:NAME`;
const NO_POLICY_LISTEN = `is no address to listen on; use ${PORT_FORM}, systemd:NAME, or unix:/run/stopgap/policy`;

/** A name that FileDescriptorName= of systemd may have. */
const PASSED = /^systemd:([!-9;-~]{1,255})$/;

/**
 * `host:port`, `[v6]:port`, `port` (on 127.0.0.1), `:port` and `*:port` (on all interfaces), `systemd:NAME` (a socket that
 * systemd passes).
 */
export const asListen: Parser<ListenAddress> = (raw) => listenAddress(raw, NO_LISTEN);

/** @param fault what is said of a value that is none, after the value */
function listenAddress(raw: unknown, fault: string): ListenAddress {
  const text = typeof raw === 'number' ? String(raw) : typeof raw === 'string' ? raw.trim() : '';
  const passed = PASSED.exec(text)?.[1];
  if (passed !== undefined) return { host: undefined, port: 0, passed };
  const match = /^(?:(\[[^\]]+\]|[^:\s[\]]*):)?(\d{1,5})$/.exec(text);
  if (match === null) throw new WrongValue(`${shown(raw)} ${fault}`);
  const port = Number(match[2]);
  if (port > 65_535) throw new WrongValue(`port ${port} does not exist; use 1 to 65535`);
  const written = match[1];
  if (written === undefined) return { host: '127.0.0.1', port };
  if (written === '' || written === '*') return { host: undefined, port };
  const bare = written.replace(/^\[|\]$/g, '');
  // normalizeIp takes more forms of IPv4 (such as 127.1) than are good here.
  const ip = written.startsWith('[') || /^\d+(\.\d+){3}$/.test(bare) ? normalizeIp(bare) : undefined;
  if (ip !== undefined && written.startsWith('[') === bare.includes(':')) return { host: ip, port };
  const name = normalizeDomain(bare);
  if (written.startsWith('[') || /^[\d.]+$/.test(bare) || !HOST_NAME.test(name)) {
    throw new WrongValue(`${shown(raw)} ${fault}`);
  }
  return { host: name, port };
}

/** Longer paths do not fit into a socket's address (sockaddr_un). */
const LONGEST_SOCKET = 107;

/** As {@link asListen}, or `unix:` and a path. */
export const asPolicyListen: Parser<PolicyAddress> = (raw, base) =>
  listenOrSocket(raw, base, NO_POLICY_LISTEN);

function listenOrSocket(raw: unknown, base: string, fault: string): PolicyAddress {
  const written = typeof raw === 'string' ? /^unix:(.+)$/.exec(raw.trim())?.[1] : undefined;
  if (written === undefined) return listenAddress(raw, fault);
  const socket = asPath(written, base);
  if (Buffer.byteLength(socket) > LONGEST_SOCKET)
    throw new WrongValue(`${shown(socket)} is too long for a socket; use at most ${LONGEST_SOCKET} bytes`);
  return { path: socket };
}

const NO_DOVECOT = 'names no server; use unix:/run/dovecot/auth-client, or host:port such as 127.0.0.1:12345';

/** Where Dovecot's auth service listens: `unix:` and a path, or host and port. */
export const asDovecot: Parser<
  { readonly path: string } | { readonly host: string; readonly port: number }
> = (raw, base) => {
  const address = listenOrSocket(raw, base, NO_DOVECOT);
  if ('path' in address) return address;
  const { host, port } = address;
  if (host === undefined || port === 0) throw new WrongValue(`${shown(raw)} ${NO_DOVECOT}`);
  return { host, port };
};

export const NOT_IN_CLEAR = 'use https://, or http:// on loopback';

/** Whether somebody on the way may read what is sent there. */
export function isInClear({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !isLocalHost(hostname.replace(/^\[|\]$/g, ''));
}

/** A service that is given passwords: by https, or on this machine. Secrets belong in a token, because a URL is shown. */
export const asPasswordUrl: Parser<string> = (raw, base) => {
  const url = new URL(asHttpUrl(raw, base));
  if (isInClear(url)) throw new WrongValue(`would give passwords in clear text; ${NOT_IN_CLEAR}`);
  return url.href;
};

/** A secret of printable ASCII, as a header takes it. Errors never repeat it. */
export const asToken: Parser<{ readonly secret: string }> = (raw, base) => {
  const secret = asText(raw, base);
  if (!/^[\x21-\x7e]+$/.test(secret)) throw new WrongValue('is no token; use printable ASCII without spaces');
  return hidden({}, { secret });
};

export const asHttpUrl: Parser<string> = (raw) => {
  const right = 'use a URL such as https://stopgap.example.com';
  const url = typeof raw === 'string' && URL.canParse(raw) ? new URL(raw) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new WrongValue(`${shown(raw)} is no web address; ${right}`);
  }
  if (url.username !== '' || url.password !== '') throw new WrongValue(`must not hold a password; ${right}`);
  if (url.search !== '' || url.hash !== '')
    throw new WrongValue(`must have no query and no fragment; ${right}`);
  return url.href.replace(/(?<!\/)\/+$/, '');
};

/** What is called when something is to be done in a mail server's queue. */
export type HookTarget =
  { readonly url: string } | { readonly command: readonly [file: string, ...args: string[]] };

/** A URL, or the absolute path of a program with its arguments; there is no shell, so no quotes. */
export const asHook: Parser<HookTarget> = (raw, base) => {
  if (Array.isArray(raw))
    throw new WrongValue(
      'is a list; write the program and its arguments in one line, with spaces between them',
    );
  const text = asText(raw, base);
  if (/^https?:/i.test(text)) return { url: asHttpUrl(text, base) };
  const [file, ...args] = text.split(/ +/) as [string, ...string[]];
  if (!path.isAbsolute(file))
    throw new WrongValue(
      `${shown(file)} is no absolute path; use one such as /usr/local/lib/stopgap/hold, arguments after it, or a URL`,
    );
  return { command: [file, ...args] };
};

export function formatHook(target: HookTarget): string {
  return 'url' in target ? target.url : target.command.join(' ');
}

/** The path of traces in OTLP over HTTP, below the URL of the collector. */
export const TRACES_PATH = '/v1/traces';
const ENDPOINT_FORM = 'use a URL such as http://127.0.0.1:4318/v1/traces';

/** Where traces go. Without a path the usual one is added. Secrets belong in headers, because a URL is shown. */
export const asTracesEndpoint: Parser<string> = (raw) => {
  const url = typeof raw === 'string' && URL.canParse(raw) ? new URL(raw) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new WrongValue(`${shown(raw)} is no place for traces; ${ENDPOINT_FORM}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new WrongValue('must not hold a password; put it into tracing.headers');
  }
  if (url.search !== '' || url.hash !== '') {
    throw new WrongValue(`must have no query and no fragment; ${ENDPOINT_FORM}`);
  }
  if (url.pathname === '/') url.pathname = TRACES_PATH;
  return url.href;
};

/** A share from 0 (nothing) to 1 (everything). */
export const asShare: Parser<number> = (raw) => {
  const share = typeof raw === 'string' && /^(?:\d+|\d*\.\d+)$/.test(raw) ? Number(raw) : raw;
  if (typeof share !== 'number' || !(share >= 0 && share <= 1)) {
    throw new WrongValue(`${shown(raw)} is no share; use a number from 0 to 1 such as 0.01`);
  }
  return share;
};

/** RFC 9110 section 5.6.2. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x20-\x7e]+)$/;

/** `name=value`, several with commas, as OTEL_EXPORTER_OTLP_HEADERS has them. Errors never repeat a value. */
export const asHeaders: Parser<Readonly<Record<string, string>>> = (raw, base) => {
  const headers: Record<string, string> = {};
  for (const entry of asText(raw, base).split(',')) {
    const [, name, value] = HEADER.exec(entry.trim()) ?? [];
    if (name === undefined || value === undefined) {
      throw new WrongValue('is no list of headers; use name=value, several with commas');
    }
    headers[name.toLowerCase()] = value.trim();
  }
  return headers;
};

/** The name of a header field (RFC 9110, 5.1). */
export const asHeaderName: Parser<string> = (raw, base) => {
  const name = asText(raw, base);
  if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/.test(name)) return name;
  throw new WrongValue(`${shown(raw)} is no name of a header`);
};

/** `group=role`, several with commas; `none` is none. */
const groupRoles =
  <const R extends string>(...roles: readonly R[]): Parser<Readonly<Record<string, R>>> =>
  (raw) => {
    const form = `group=role with ${roles.join(', ')}, several with commas, or none`;
    if (raw === 'none') return {};
    if (typeof raw !== 'string') throw new WrongValue(`is no list of groups; use ${form}`);
    const pairs = raw.split(',').map((pair): readonly [string, R] => {
      const at = pair.lastIndexOf('=');
      const group = pair.slice(0, at).trim();
      const role = roles.find((known) => known === pair.slice(at + 1).trim());
      if (at < 0 || role === undefined || group === '')
        throw new WrongValue(`${shown(pair)} is no group with its role; use ${form}`);
      return [group, role];
    });
    return Object.fromEntries(pairs);
  };
export const asGroupRoles = groupRoles('viewer', 'operator', 'admin');
/** A provider can name domains too. */
export const asOpenIdRoles = groupRoles('viewer', 'operator', 'admin', 'domain');

/** The issuer as the provider writes it, with its last slash if it has one. */
export const asIssuer: Parser<string> = (raw, base) => {
  asPasswordUrl(raw, base);
  return new URL(raw as string).href;
};

export const asScopes: Parser<string> = (raw, base) => {
  const scopes = asText(raw, base).trim();
  if (
    /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(scopes) &&
    scopes.split(' ').includes('openid')
  )
    return scopes;
  throw new WrongValue(`${shown(raw)} is no list of scopes; use openid and others, with spaces`);
};

const STORE_FORM = 'sqlite, or a URL such as kurrentdb://host:2113?tls=false or kurrentdb+discover://name';

/** `sqlite`, or where a KurrentDB (EventStoreDB) is. Errors never repeat the URL. */
export const asStore: Parser<
  { readonly kind: 'sqlite' } | { readonly kind: 'kurrentdb'; readonly url: string }
> = (raw, base) => {
  const text = asText(raw, base);
  if (text === 'sqlite') return { kind: 'sqlite' };
  if (!/^(kurrentdb|kdb|esdb)(\+discover)?:\/\/[^/\s]+/.test(text))
    throw new WrongValue(`is no event store; use ${STORE_FORM}`);
  return hidden({ kind: 'kurrentdb' as const }, { url: text });
};

/** Where Redis is. Errors never repeat the URL. */
export const asRedis: Parser<{ readonly url: string }> = (raw, base) => {
  const text = asText(raw, base);
  try {
    parseRedis(text);
  } catch (error) {
    throw new WrongValue(messageOf(error));
  }
  return hidden({}, { url: text });
};

/** One role or several, as a list or with commas. */
export const asRoles: Parser<readonly Role[]> = (raw) => {
  const list: unknown[] = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw];
  const roles = list.map((item) => {
    const role = ROLES.find((known) => known === (typeof item === 'string' ? item.trim() : item));
    if (role === undefined)
      throw new WrongValue(`${JSON.stringify(item)} is no role; use ${ROLES.join(', ')}`);
    return role;
  });
  if (roles.length === 0) throw new WrongValue(`is an empty list; name at least one of ${ROLES.join(', ')}`);
  return ROLES.filter((role) => roles.includes(role));
};

/** Reads where accepted mail goes. No message repeats the URL, because it may hold a password. */
export const asRelay: Parser<RelaySettings> = (raw, base) => {
  const text = typeof raw === 'string' ? asText(raw, base) : undefined;
  if (text === undefined) throw new WrongValue('is no text; use a URL such as smtp://127.0.0.1:25');
  const url = absolute(text, base);
  try {
    return relaySettings(url, parseRelayUrl(url));
  } catch (thrown) {
    if (thrown instanceof InvalidInput) throw new WrongValue(thrown.message.replace(/^relay\.url: /, ''));
    throw thrown;
  }
};

/** A mail server that logins are tried at: as {@link asRelay}, by SMTP and without a login of ours. */
export const asLoginServer: Parser<RelaySettings> = (raw, base) => {
  const right = 'use a URL such as smtp://127.0.0.1:587 or smtps://mail.example.com';
  const server = asRelay(raw, base);
  if ('maildir' in server.target || server.target.protocol !== 'smtp')
    throw new WrongValue(`names no SMTP server; ${right}`);
  if (server.target.authPlain !== undefined)
    throw new WrongValue(`must not hold a login: those of clients are tried there; ${right}`);
  return server;
};

/** A Maildir as relay: `directory` is absolute. */
export function maildirRelay(directory: string): RelaySettings {
  return relaySettings(`maildir:${directory}`, { maildir: directory });
}

/** The relay without its login, so that it can be printed. */
export function formatRelay({ target }: RelaySettings): string {
  if ('maildir' in target) return `maildir:${target.maildir}`;
  const scheme = target.implicitTls ? 'smtps' : target.protocol;
  const login = target.authPlain === undefined ? '' : '***@';
  return `${scheme}://${login}${target.name}?tls=${target.tls}`;
}

function relaySettings(url: string, target: RelayTarget): RelaySettings {
  return hidden({ target }, { url });
}

export function withXclient(relay: RelaySettings, xclient: boolean): RelaySettings {
  return xclient ? hidden({ target: relay.target, xclient }, { url: relay.url }) : relay;
}

/** Makes the paths in a relay's URL absolute: they are relative to the file that names them. */
function absolute(text: string, base: string): string {
  const maildir = /^maildir:(.+)$/i.exec(text)?.[1];
  if (maildir !== undefined) return `maildir:${path.resolve(base, maildir.replace(/^\/\/(?=\/)/, ''))}`;
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  const ca = url.searchParams.get('ca');
  if (ca === null) return text;
  url.searchParams.set('ca', path.resolve(base, ca));
  return url.href;
}

/** What else the parser of `smtp.senders` needs. */
interface FileReading {
  readonly checkFiles: boolean;
  /** How messages name a file. */
  readonly display: (file: string) => string;
}

export function asSenders(raw: unknown, base: string, around: FileReading): SenderPolicy {
  if (raw === 'own' || raw === 'domain' || raw === 'any') return { kind: raw };
  const file = typeof raw === 'string' ? /^map:(.+)$/.exec(raw)?.[1]?.trim() : undefined;
  if (file === undefined) throw new WrongValue('is not known; use own, domain, any or map:FILE');
  const absolute = path.resolve(base, file);
  if (!around.checkFiles) return { kind: 'map', file: absolute, map: new Map() };
  let text: string;
  try {
    text = readFileSync(absolute, 'utf8');
  } catch (thrown) {
    throw new WrongValue(`${absolute} ${fileFault(thrown, 'name a YAML file of account to return paths')}`);
  }
  return { kind: 'map', file: absolute, map: parseSenderMap(text, around.display(absolute)) };
}
