import path from 'node:path';
import { DAY, DURATION_FORM, parseDuration } from '../kernel/time.js';
import type { Milliseconds } from '../kernel/time.js';
import { InvalidInput } from '../kernel/errors.js';
import { normalizeDomain, normalizeIp } from '../sending/identity.js';
import { parseSubject } from '../sending/subjects.js';
import type { ListenAddress } from './types.js';

/** A value that cannot be used; the message says what is wrong and what would be right. */
export class WrongValue extends Error {}

/**
 * Reads a value as the YAML file or the environment gave it (there all is text).
 *
 * @param base the folder that relative paths start from
 * @throws WrongValue
 */
export type Parser<T> = (raw: unknown, base: string) => T;

/** Values that may hold secrets are never shown; the rest is cut where it is long. */
export function shown(raw: unknown): string {
  const text = typeof raw === 'string' ? raw : (JSON.stringify(raw) ?? String(raw));
  return `"${text.length > 80 ? `${text.slice(0, 80)}…` : text}"`;
}

export const asText: Parser<string> = (raw) => {
  if (typeof raw !== 'string' || raw.trim() === '') throw new WrongValue(`${shown(raw)} is no text`);
  // eslint-disable-next-line no-control-regex -- control characters are just what must not pass
  if (/[\u0000-\u001f\u007f]/.test(raw))
    throw new WrongValue('holds control characters; write it in one line');
  return raw.trim();
};

export const asPath: Parser<string> = (raw, base) => path.resolve(base, asText(raw, base));

export const asFlag: Parser<boolean> = (raw) => {
  if (raw === true || raw === 'true') return true;
  if (raw === false || raw === 'false') return false;
  throw new WrongValue(`${shown(raw)} is neither; use true or false`);
};

export function asChoice<const T extends string>(choices: readonly T[]): Parser<T> {
  return (raw) => {
    const choice = choices.find((known) => known === raw);
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
    throw new WrongValue(`${shown(raw)} does not fit; use 1KiB to 2GiB`);
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

const LISTEN_FORM =
  'host:port such as 127.0.0.1:2587 or "[::1]:2587", a port alone for 127.0.0.1, or :port for all interfaces';

/** `host:port`, `[v6]:port`, `port` (on 127.0.0.1), `:port` and `*:port` (on all interfaces). */
export const asListen: Parser<ListenAddress> = (raw) => {
  const text = typeof raw === 'number' ? String(raw) : typeof raw === 'string' ? raw.trim() : '';
  const match = /^(?:(\[[^\]]+\]|[^:\s[\]]*):)?(\d{1,5})$/.exec(text);
  if (match === null) throw new WrongValue(`${shown(raw)} is no address to listen on; use ${LISTEN_FORM}`);
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
    throw new WrongValue(`${shown(raw)} is no address to listen on; use ${LISTEN_FORM}`);
  }
  return { host: name, port };
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
