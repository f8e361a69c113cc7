import ipaddr from 'ipaddr.js';
import { InvalidInput } from '../kernel/errors.js';
import { LONGEST_NAME } from '../kernel/printable.js';
import {
  clientNetwork,
  domainOf,
  LONGEST_ADDRESS,
  normalizeAccount,
  normalizeAddress,
  normalizeDomain,
  normalizeEhlo,
  normalizeIp,
} from './identity.js';

export const SUBJECT_TYPES = ['account', 'address', 'domain', 'ehlo', 'ip'] as const;
export type SubjectType = (typeof SUBJECT_TYPES)[number];

/** What a block or a count is about. `value` is in normal form once it came through {@link parseSubject}. */
export interface Subject {
  readonly type: SubjectType;
  readonly value: string;
}

export const DIRECTIONS = ['outbound', 'inbound', 'all'] as const;
/** `outbound`: authenticated submission; `inbound`: mail that arrives for local users. */
export type Direction = (typeof DIRECTIONS)[number];
/** The direction of one message: never `all`. */
export type MailDirection = Exclude<Direction, 'all'>;
export const MAIL_DIRECTIONS = ['outbound', 'inbound'] as const satisfies readonly MailDirection[];

/** What a person holds comes first, and last what strangers change as they please. */
const NAMING_ORDER: readonly SubjectType[] = ['account', 'address', 'domain', 'ip', 'ehlo'];

/**
 * Sorts subjects where not all can be named or kept: strangers must not push out those who send with a password. Among those of
 * one type the order stays.
 */
export function namedFirst(a: Pick<Subject, 'type'>, b: Pick<Subject, 'type'>): number {
  return NAMING_ORDER.indexOf(a.type) - NAMING_ORDER.indexOf(b.type);
}

/** `<type>:<value>`: the key of maps and, after `block-`, the name of the subject's stream. */
export function subjectKey(subject: Subject): string {
  return `${subject.type}:${subject.value}`;
}

/** The inverse of {@link subjectKey}; undefined if the key names no type. */
export function subjectOfKey(key: string): Subject | undefined {
  const colon = key.indexOf(':');
  const type = SUBJECT_TYPES.find((known) => known === key.slice(0, colon));
  return type === undefined ? undefined : { type, value: key.slice(colon + 1) };
}

export function directionsMeet(block: Direction, mail: Direction): boolean {
  return block === 'all' || mail === 'all' || block === mail;
}

/** The mail that has tripped a rule of this direction. What arrives trips a rule of both as one of inbound mail. */
export function trippedBy(direction: Direction): MailDirection {
  return direction === 'inbound' ? 'inbound' : 'outbound';
}

export function uniteDirections(a: Direction, b: Direction): Direction {
  return a === b ? a : 'all';
}

/**
 * Checks and normalises a subject that a person wrote.
 *
 * @throws InvalidInput naming `field` and what would be right
 */
export function parseSubject(type: string, value: string, field = 'subject'): Subject {
  return parsed(type, value, field, WRITTEN, PARSERS);
}

/**
 * A subject that is asked about, or forgotten: any name that an event may hold. A mail server may report `a b@example.com` or a sender
 * without a domain, and rules act on those too.
 *
 * @throws InvalidInput
 */
export function askedSubject(type: string, value: string, field = 'subject'): Subject {
  return parsed(type, value, field, RECORDED, NORMAL);
}

interface Characters {
  readonly most: number;
  readonly bad: RegExp;
  readonly form: string;
}

/** What a person may write where something new begins: a blank is a slip there. */
const WRITTEN: Characters = {
  most: LONGEST_ADDRESS,
  // eslint-disable-next-line no-control-regex -- control characters are just what must not pass
  bad: /[\u0000-\u0020\u007f<>]/,
  form: `must be 1 to ${LONGEST_ADDRESS} characters without spaces, control characters or <>`,
};
/** What `fitName` lets into events. */
const RECORDED: Characters = {
  most: LONGEST_NAME,
  // eslint-disable-next-line no-control-regex -- control characters are just what must not pass
  bad: /[\u0000-\u001f\u007f]/,
  form: `must be 1 to ${LONGEST_NAME} characters without control characters`,
};

function fits(text: string, { most, bad }: Characters): boolean {
  return text !== '' && text.length <= most && !bad.test(text);
}

type Parsers = Readonly<Record<SubjectType, (text: string, field: string) => string>>;

/** @throws InvalidInput */
function parsed(
  type: string,
  value: string,
  field: string,
  characters: Characters,
  parsers: Parsers,
): Subject {
  const known = SUBJECT_TYPES.find((name) => name === type);
  if (known === undefined) {
    throw new InvalidInput(`${field}.type`, `"${type}" is no subject type: use ${SUBJECT_TYPES.join(', ')}`);
  }
  const text = value.trim();
  if (!fits(text, characters)) throw new InvalidInput(`${field}.value`, characters.form);
  const normal = parsers[known](text, `${field}.value`);
  if (normal === '') throw new InvalidInput(`${field}.value`, `"${text}" names nothing`);
  return { type: known, value: normal };
}

/**
 * A subject that is to be blocked or exempted: as {@link parseSubject}, but what only looks like a pattern is refused.
 * An EHLO name and a local part may contain a question mark, so a query may name one.
 *
 * @param isSeen whether such a sender is known here: asked of a name that a person hardly means, and a slip where there is none
 * @throws InvalidInput
 */
export function parsePattern(
  type: string,
  value: string,
  field = 'subject',
  isSeen: (subject: Subject) => boolean = () => false,
): Subject {
  const text = value.trim();
  const isOdd = !fits(text, WRITTEN) && fits(text, RECORDED);
  const characters = isOdd && isSeen(askedSubject(type, text, field)) ? RECORDED : WRITTEN;
  const subject = parsed(type, text, field, characters, PARSERS);
  if ((subject.type === 'ehlo' || subject.type === 'address') && subject.value.includes('?')) {
    throw new InvalidInput(
      `${field}.value`,
      '? is no wildcard here: * is the only one, and stands for any characters',
    );
  }
  return subject;
}

const PARSERS: Parsers = {
  account(text, field) {
    if (text.includes('*')) {
      throw new InvalidInput(field, 'an account has no wildcards: use type address or domain for a pattern');
    }
    return normalizeAccount(text);
  },
  address(text, field) {
    const normal = normalizeAddress(text);
    const domain = domainOf(normal);
    if (domain === undefined || normal.startsWith('@')) {
      throw new InvalidInput(
        field,
        `"${text}" is no address: use local@domain or a pattern such as *@example.com`,
      );
    }
    if (domain.includes('*')) {
      throw new InvalidInput(
        field,
        'wildcards may stand before the @ only: use type domain for a domain with its subdomains',
      );
    }
    const plus = text.indexOf('+');
    if (plus > 0 && text.slice(0, plus).includes('*')) {
      throw new InvalidInput(
        field,
        'a +tag is dropped before addresses are compared: leave it out, or the pattern would match far more',
      );
    }
    return normal;
  },
  domain(text, field) {
    const domain = normalizeDomain(text.replace(/^@/, ''));
    if (domain.startsWith('*.')) {
      const whole = domain.slice(2);
      throw new InvalidInput(
        field,
        `"${text}" would be ${whole} too: write ${whole}, which is the domain with its subdomains; none stands for the subdomains alone`,
      );
    }
    if (domain.includes('*') || domain.includes('@') || !/^[^.\s]+(\.[^.\s]+)+$/.test(domain)) {
      throw new InvalidInput(
        field,
        `"${text}" is no domain: use a name such as example.com (its subdomains are included)`,
      );
    }
    return domain;
  },
  ehlo(text, field) {
    const normal = normalizeEhlo(text);
    if (normal.includes('*') && normal.replace(/[*.]/g, '').length < 3) {
      throw new InvalidInput(
        field,
        'a pattern needs at least three characters besides * and dots, or it would refuse nearly everyone',
      );
    }
    // eslint-disable-next-line no-control-regex -- all of ASCII is just what is meant
    if (text.split(/[.。．｡]/).some((label) => label.includes('*') && /[^\u0000-\u007f]/.test(label))) {
      throw new InvalidInput(
        field,
        'a * cannot stand in a label with letters beyond ASCII: write its A-label',
      );
    }
    return normal;
  },
  ip(text, field) {
    const slash = text.indexOf('/');
    if (slash < 0) {
      const ip = normalizeIp(text);
      if (ip === undefined)
        throw new InvalidInput(
          field,
          `"${text}" is no IP address or network: use 192.0.2.7, 192.0.2.0/24 or 2001:db8::/64`,
        );
      return ip;
    }
    return parseNetwork(text, field);
  },
};

/** Of names as they are, whatever they hold. */
const NORMAL: Parsers = {
  account: normalizeAccount,
  address: normalizeAddress,
  domain: (text) => normalizeDomain(text.replace(/^@/, '')),
  ehlo: normalizeEhlo,
  ip: PARSERS.ip,
};

/** Shorter prefixes would refuse a good part of the Internet. */
const SHORTEST_PREFIX = { ipv4: 8, ipv6: 16 } as const;

function parseNetwork(text: string, field: string): string {
  const slash = text.indexOf('/');
  const ip = normalizeIp(text.slice(0, slash));
  const written = /^\d{1,3}$/.test(text.slice(slash + 1)) ? Number(text.slice(slash + 1)) : NaN;
  // ::ffff:192.0.2.0/120 is an IPv4 network: senders from it are compared in IPv4 form.
  const length = ip !== undefined && !ip.includes(':') && text.includes(':') ? written - 96 : written;
  const widest = ip?.includes(':') === true ? 128 : 32;
  if (ip === undefined || !(length <= widest)) {
    throw new InvalidInput(
      field,
      `"${text}" is no network: use a form such as 192.0.2.0/24 or 2001:db8::/64`,
    );
  }
  const shortest = widest === 128 ? SHORTEST_PREFIX.ipv6 : SHORTEST_PREFIX.ipv4;
  if (length < shortest) {
    throw new InvalidInput(
      field,
      `/${written} is too wide: /${shortest} is the widest network that can be blocked`,
    );
  }
  if (length === widest) return ip;
  const kind = widest === 128 ? ipaddr.IPv6 : ipaddr.IPv4;
  return `${kind.networkAddressFromCIDR(`${ip}/${length}`).toString()}/${length}`;
}

/** The sender in normal form: built once for each session or message, used many times. */
export interface SenderIdentity {
  readonly account: string | undefined;
  /** The return path; empty for the null sender, undefined before MAIL FROM. */
  readonly address: string | undefined;
  readonly ehlo: string | undefined;
  readonly ip: string | undefined;
  readonly direction: MailDirection;
}

/** What {@link senderIdentity} takes: all as the client gave it. */
export interface RawIdentity {
  readonly account?: string | undefined;
  readonly returnPath?: string | undefined;
  readonly ehlo?: string | undefined;
  readonly ip?: string | undefined;
  readonly direction: MailDirection;
}

export function senderIdentity(raw: RawIdentity): SenderIdentity {
  return {
    account: raw.account === undefined || raw.account === '' ? undefined : normalizeAccount(raw.account),
    address: raw.returnPath === undefined ? undefined : normalizeAddress(raw.returnPath),
    ehlo: raw.ehlo === undefined || raw.ehlo === '' ? undefined : normalizeEhlo(raw.ehlo),
    ip: raw.ip === undefined ? undefined : (normalizeIp(raw.ip) ?? raw.ip),
    direction: raw.direction,
  };
}

/** The key of the `send-` stream: the account; without one the return path; without that the client network. */
export function sendStreamKey(identity: SenderIdentity): string {
  if (identity.account !== undefined) return identity.account;
  if (identity.address !== undefined && identity.address !== '') return identity.address;
  return identity.ip === undefined ? 'unknown' : clientNetwork(identity.ip);
}
