import { messageOf } from '../kernel/errors.js';
import { parseRedis } from '../redis/address.js';
import type { Role, StoreSettings } from './types.js';
import { ROLES } from './types.js';
import type { Parser } from './values.js';
import { asText, WrongValue } from './values.js';

const STORE_FORM = 'sqlite, or a URL such as kurrentdb://host:2113?tls=false or kurrentdb+discover://name';

/** Gives an object a URL that no dump shows: it may hold a password. */
function withUrl<Rest extends object>(rest: Rest, url: string): Rest & { readonly url: string } {
  return Object.defineProperty(rest, 'url', { value: url, enumerable: false }) as Rest & {
    readonly url: string;
  };
}

/** `sqlite`, or where a KurrentDB (EventStoreDB) is. Errors never repeat the URL. */
export function asStore(file: string): Parser<StoreSettings> {
  return (raw, base) => {
    const text = asText(raw, base);
    if (text === 'sqlite') return { kind: 'sqlite', file };
    if (!/^(kurrentdb|kdb|esdb)(\+discover)?:\/\/[^/\s]+/.test(text))
      throw new WrongValue(`is no event store; use ${STORE_FORM}`);
    return withUrl({ kind: 'kurrentdb' as const }, text);
  };
}

/** Where Redis is. Errors never repeat the URL. */
export const asRedis: Parser<{ readonly url: string }> = (raw, base) => {
  const text = asText(raw, base);
  try {
    parseRedis(text);
  } catch (error) {
    throw new WrongValue(messageOf(error));
  }
  return withUrl({}, text);
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
