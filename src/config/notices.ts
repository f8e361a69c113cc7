import { readFileSync } from 'node:fs';
import path from 'node:path';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { fileFault } from '../accounts/private-file.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, MINUTE } from '../kernel/time.js';
import { domainOf, normalizeAccount, normalizeAddress, normalizeDomain } from '../sending/identity.js';
import type { SubjectType } from '../sending/subjects.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import type { Kind, Surroundings } from './setting.js';
import { choice, computed, kind, missing, none, setting } from './setting.js';
import * as values from './values.js';
import { WrongValue, hidden } from './values.js';

export const CHANNEL_TYPES = ['webhook', 'slack', 'teams', 'ntfy', 'matrix', 'mail'] as const;
export type ChannelType = (typeof CHANNEL_TYPES)[number];

export const NOTICE_EVENTS = [
  'proposed',
  'imposed',
  'approved',
  'dismissed',
  'released',
  'expired',
  'lapsed',
  'breaker',
] as readonly NoticeEvent[];
/** What people are told of: what happens to blocks and proposals, and the circuit breaker. */
export type NoticeEvent =
  'proposed' | 'imposed' | 'approved' | 'dismissed' | 'released' | 'expired' | 'lapsed' | 'breaker';

/** A span of each day in which little is sent, in minutes since midnight there. */
export interface QuietHours {
  readonly from: number;
  readonly to: number;
  readonly zone: string;
}

export interface Digest {
  /** From the first event to the notice that tells of it: more may come meanwhile. */
  readonly wait: Milliseconds;
  /** Between two notices. */
  readonly interval: Milliseconds;
  /** After this, what still waits for an answer is named once more. */
  readonly repeat: Milliseconds;
}

/** A text as it is written, or the content of `file:PATH`. No message repeats it. */
function secretText(raw: unknown, base: string, around: Surroundings): string | undefined {
  if (typeof raw !== 'string' || raw.trim() === '')
    throw new WrongValue(
      'is no text; write the value in quotes, or file: and the path of a file that holds it',
    );
  const named = /^file:(.+)$/.exec(raw.trim())?.[1];
  if (named === undefined) return raw.trim();
  const file = path.resolve(base, named);
  if (!around.checkFiles) return undefined;
  try {
    return readFileSync(file, 'utf8').split('\n', 1)[0]!.trim();
  } catch (thrown) {
    throw new WrongValue(`${file} ${fileFault(thrown, 'name a file whose first line is the value')}`);
  }
}

interface Secret {
  readonly secret: string;
}
const NOT_READ: Secret = hidden({}, { secret: '' });

function asTarget(raw: unknown, base: string, around: Surroundings): Secret {
  const text = secretText(raw, base, around);
  if (text === undefined) return NOT_READ;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.hash !== '')
    throw new WrongValue('is no web address; use a URL such as https://hooks.example.com/T0/B0');
  if (url.username !== '' || url.password !== '')
    throw new WrongValue('must not hold a password; put it into secret');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (ipaddr.isValid(host) && isRefusedTarget(host))
    throw new WrongValue('is a link-local, multicast or metadata address, which no notice is sent to');
  return hidden({}, { secret: url.href });
}

/** Where services of the cloud answer for the machine itself: beside the link-local addresses. */
const METADATA = ['fd00:ec2::254', '100.100.100.200', '168.63.129.16'];
const REFUSED_RANGES = ['linkLocal', 'multicast', 'broadcast', 'unspecified'];

/** Addresses that no notice is sent to: a URL in the configuration must not reach what only the machine itself may. */
export function isRefusedTarget(ip: string): boolean {
  const address = ipaddr.process(ip);
  return REFUSED_RANGES.includes(address.range()) || METADATA.includes(address.toString());
}

function asSecret(raw: unknown, base: string, around: Surroundings): Secret {
  const text = secretText(raw, base, around);
  if (text === undefined) return NOT_READ;
  if (!/^[\x21-\x7e]+$/.test(text)) throw new WrongValue('is no secret; use printable ASCII without spaces');
  return hidden({}, { secret: text });
}

const listOf = (raw: unknown): readonly string[] =>
  (Array.isArray(raw) ? (raw as unknown[]) : String(raw).split(',')).map((item) => String(item).trim());

function asAddress(text: string): string {
  if (text.length <= 320 && /^[^\s@<>,;:"()[\]\\]+@[^\s@<>,;:"()[\]\\]+$/.test(text)) return text;
  throw new WrongValue(`"${text.slice(0, 80)}" is no address; use one such as postmaster@example.com`);
}

const asAddresses = (raw: unknown): readonly string[] => listOf(raw).map(asAddress);

/** Whether mail to this address comes to who has this name: with a `+tag` it comes to who has none, too. */
export const isAtItself = (name: string, address: string): boolean =>
  name === normalizeAccount(address) || name === normalizeAddress(address);

/** `account=address` or `domain=address`, several. */
function asOwners(raw: unknown): Readonly<Record<string, string>> {
  const owners: Record<string, string> = {};
  for (const entry of listOf(raw)) {
    const equals = entry.lastIndexOf('=');
    if (equals < 1)
      throw new WrongValue(
        `"${entry.slice(0, 80)}" names nobody; use account=address or domain=address, several with commas`,
      );
    const key = entry.slice(0, equals).trim();
    const address = asAddress(entry.slice(equals + 1).trim());
    const name = key.includes('@') ? normalizeAccount(key) : normalizeDomain(key);
    if (isAtItself(name, address))
      throw new WrongValue(
        `"${name}" would be told at its own address, which may be the thief's; name another`,
      );
    if (Object.hasOwn(owners, name)) throw new WrongValue(`"${name}" has two owners; keep one`);
    owners[name] = address;
  }
  return owners;
}

function someOf<T extends string>(known: readonly T[]): (raw: unknown) => readonly T[] {
  return (raw) =>
    listOf(raw).map((item) => {
      const found = known.find((one) => one === item);
      if (found === undefined)
        throw new WrongValue(`"${item.slice(0, 80)}" is not known; use ${known.join(', ')}`);
      return found;
    });
}

const QUIET_FORM = 'use a form such as 22:00-07:00 or "22:00-07:00 Europe/Berlin"';

function asQuietHours(raw: unknown): QuietHours {
  const match = /^(\d{2}):(\d{2})-(\d{2}):(\d{2})(?: (\S+))?$/.exec(String(raw).trim());
  const [h1, m1, h2, m2] = (match ?? []).slice(1, 5).map(Number);
  const zone = match?.[5] ?? 'UTC';
  const fits = match !== null && h1! < 24 && h2! < 24 && m1! < 60 && m2! < 60;
  if (!fits) throw new WrongValue(`"${String(raw).slice(0, 80)}" are no hours; ${QUIET_FORM}`);
  if (!isZone(zone)) throw new WrongValue(`the time zone "${zone.slice(0, 80)}" is not known; ${QUIET_FORM}`);
  const [from, to] = [60 * h1! + m1!, 60 * h2! + m2!];
  if (from === to) throw new WrongValue(`would be the whole day; ${QUIET_FORM}`);
  return { from, to, zone };
}

function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** When the quiet hours that hold at this instant end, to the minute; undefined if none hold. */
export function quietUntil(hours: QuietHours | undefined, now: Instant): Instant | undefined {
  if (hours === undefined) return undefined;
  const { from, to, zone } = hours;
  const clock = new Intl.DateTimeFormat('en', {
    timeZone: zone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const minuteAt = (at: Instant): number => {
    const parts = clock.formatToParts(at);
    const of = (type: string): number => Number(parts.find((part) => part.type === type)!.value);
    return 60 * of('hour') + of('minute');
  };
  const isQuiet = (minute: number): boolean =>
    from < to ? minute >= from && minute < to : minute >= from || minute < to;
  const minute = minuteAt(now);
  if (!isQuiet(minute)) return undefined;
  let end = Math.floor(now / MINUTE) * MINUTE + ((to - minute + 1440) % 1440) * MINUTE;
  // The clocks may change before.
  const moved = end + (((to - minuteAt(end) + 2160) % 1440) - 720) * MINUTE;
  if (minuteAt(moved) === to) return moved;
  // They leave the end out: the hours are over when the clocks change.
  while (!isQuiet(minuteAt(end - MINUTE))) end -= MINUTE;
  return end;
}

function asDigest(raw: unknown, base: string): Digest {
  const spans = listOf(raw).map((text) => values.asDuration(text, base));
  const [wait, interval, repeat] = spans;
  if (spans.length !== 3 || repeat! < 5 * MINUTE || wait! > HOUR || interval! > DAY)
    throw new WrongValue('must be three durations such as 30s, 5m, 4h: at most 1h, at most 24h, at least 5m');
  return { wait: wait!, interval: interval!, repeat: repeat! };
}

/** What a text of a channel can name of what happened. */
const PLACEHOLDERS = ['subject', 'rule', 'sentence', 'until', 'link', 'by', 'note'] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];
export const PLACEHOLDER = /\{([^{}]*)\}/g;

/** What a channel says in place of the built-in lines. */
export type Texts = Readonly<Partial<Record<NoticeEvent, string>>>;
const LONGEST_TEXT = 2000;

/** `event=text`, several as a list: a text has commas of its own. */
function asTexts(raw: unknown): Texts {
  const texts: Partial<Record<NoticeEvent, string>> = {};
  for (const entry of Array.isArray(raw) ? (raw as unknown[]) : [raw]) {
    const [, name, text = ''] = /^\s*(\w+)\s*=([^]*)$/.exec(String(entry)) ?? [];
    const event = NOTICE_EVENTS.find((one) => one === name);
    if (event === undefined)
      throw new WrongValue(
        `"${String(entry).slice(0, 80)}" does not begin with an event and =; use ${NOTICE_EVENTS.join(', ')}`,
      );
    if (texts[event] !== undefined) throw new WrongValue(`${event} has two texts; keep one`);
    if (text.trim() === '' || text.length > LONGEST_TEXT)
      throw new WrongValue(`the text of ${event} must have 1 to ${LONGEST_TEXT} characters`);
    for (const [place, name] of text.matchAll(PLACEHOLDER))
      if (!PLACEHOLDERS.some((one) => one === name))
        throw new WrongValue(
          `${place.slice(0, 80)} is no placeholder; use ${PLACEHOLDERS.map((one) => `{${one}}`).join(', ')}`,
        );
    texts[event] = text.trim();
  }
  return texts;
}

const relay: Kind<values.RelaySettings> = {
  ...kind('URL', values.asRelay),
  show: values.formatRelay,
  holdsSecret: values.holdsPassword,
};
const secret = (type: string, parse: Kind<Secret>['parse']): Kind<Secret> => ({
  ...kind(type, parse),
  show: () => '***',
  holdsSecret: (written) => !/^\s*file:/.test(String(written)),
});

/** One channel that notices are sent to. */
export const CHANNEL = z.object({
  name: setting(
    kind('text', (raw: unknown): string => {
      if (typeof raw === 'string' && /^[a-z0-9][a-z0-9-]{0,31}$/.test(raw)) return raw;
      throw new WrongValue('must be 1 to 32 of a-z, 0-9 and -');
    }),
    computed(undefined, () => missing('name: operators')),
    'The name of the channel and its history.',
  ),
  type: setting(
    choice(...CHANNEL_TYPES),
    computed(undefined, () => missing('type: webhook')),
    'How notices are sent there.',
  ),
  url: setting(
    secret('URL | file:PATH', asTarget),
    none,
    'Where notices are sent, unless by mail. Never shown.',
  ),
  secret: setting(
    secret('text | file:PATH', asSecret),
    none,
    'Webhook: the key that signs (whsec_…; two with a comma while one replaces the other). ntfy, Matrix: the access token.',
  ),
  to: setting(kind('list of addresses', asAddresses), none, 'By mail: the administrators.'),
  from: setting(
    kind('address', (raw: unknown) => asAddress(String(raw).trim())),
    none,
    'By mail: the sender, if not stopgap at smtp.hostname.',
  ),
  smtp: setting(relay, none, 'By mail: the mail server, if not smtp.relay.url.'),
  owners: setting(
    kind('name=address list', asOwners),
    none,
    "By mail: who is told of one account's or domain's blocks only, at another address: alice@example.com=alice@home.example.",
  ),
  texts: setting(
    kind('list of event=text', asTexts),
    none,
    'What a notice to people says of an event, with placeholders such as {subject}.',
  ),
  events: setting(
    kind(`list of ${NOTICE_EVENTS.join(', ')}`, someOf(NOTICE_EVENTS)),
    'proposed,imposed,breaker',
    'What is told; breaker: a circuit breaker is open.',
  ),
  types: setting(
    kind(`list of ${SUBJECT_TYPES.join(', ')}`, someOf<SubjectType>(SUBJECT_TYPES)),
    SUBJECT_TYPES.join(','),
    'Only blocks of these types of subject.',
  ),
  domains: setting(
    kind('list of domains', values.asDomains),
    none,
    'Only blocks of accounts, addresses and domains in these domains and below them.',
  ),
  quietHours: setting(
    kind('HH:MM-HH:MM with a time zone', asQuietHours),
    none,
    'When only the circuit breaker is told, the rest afterwards. UTC unless a zone is named.',
  ),
  digest: setting(
    { ...kind('three durations', asDigest), asWritten: true },
    '30s, 5m, 4h',
    'How long the first event waits for others, the pause between notices, and after what time open proposals are named again.',
  ),
});

/** Whether such a subject can be somebody's, by its name: an EHLO name is what a stranger says, and `a@example.com` may be one. */
export const isOwned = ({ type }: { readonly type: string }): boolean => type !== 'ehlo' && type !== 'ip';

/** Whether a subject is of one of these domains or of one below. */
export function isInDomains(domains: readonly string[], subject: { type: string; value: string }): boolean {
  if (!isOwned(subject)) return false;
  const domain = subject.type === 'domain' ? subject.value : domainOf(subject.value);
  return domain !== undefined && domains.some((one) => domain === one || domain.endsWith(`.${one}`));
}
