import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { DAY, HOUR, MINUTE, formatDuration } from '../src/kernel/time.js';
import { LEARNING_SIGNAL, formatQuietHours } from '../src/rules/explain.js';
import { pointsOf } from '../src/rules/model.js';
import type { Conditions, Diversity, QuietHours, Score, Share } from '../src/rules/model.js';
import type { Day } from '../src/sending/day-summary.js';
import type { SenderFields } from '../src/sending/events.js';
import { clientNetwork, normalizeEhlo } from '../src/sending/identity.js';
import type { ClosedDay } from './sender-profiles/closed-days.js';
import { REMEMBERED_DAYS, firstSeen, hourOf, lastSeen } from './sender-profiles/profile.js';
import type { Profile } from './sender-profiles/profile.js';

/** What conditions are asked about: one sender at the moment of one send. */
export interface Moment {
  readonly at: Instant;
  readonly day: Day;
  readonly profile: Profile;
  /** The days before today that are not part of the profile yet, ascending. */
  readonly pending: readonly ClosedDay[];
  /** Whether the sender is known well enough to have habits. */
  readonly learnt: boolean;
  /** How long Stopgap has been watching. */
  readonly watchedFor: Milliseconds;
  /** The message; undefined where what happened is none. */
  readonly sender: (SenderFields & { readonly country?: string; readonly asn?: number }) | undefined;
  /** Different ones within the rule's window. */
  distinct(kind: Diversity): number;
  /** Within the rule's window: how many failed, and how many were tried in all. */
  share(of: Share['of']): { readonly failed: number; readonly tried: number };
}

const NAMES: Readonly<Record<Diversity, string>> = {
  networks: 'networks',
  ehlos: 'EHLO names',
  returnPaths: 'return paths',
  recipientDomains: 'recipient domains',
};

/** What holds, in words; undefined where any of it does not. */
export function signalsOf(conditions: Conditions, moment: Moment): readonly string[] | undefined {
  const signals: string[] = [];
  for (const key in conditions) {
    // What else a signal has, its points, is nothing to be checked.
    const check = CHECKS[key as keyof Conditions];
    if (check === undefined) continue;
    const text = check(conditions[key as keyof Conditions] as never, moment);
    if (text === undefined) return undefined;
    if (text !== '') signals.push(text);
  }
  return signals;
}

/** What adds up to the threshold, in words; undefined where it does not. */
export function scoreOf({ threshold, signals }: Score, moment: Moment): readonly string[] | undefined {
  const texts: string[] = [];
  /** Those that hold, or may. */
  let counted = signals;
  for (const signal of signals) {
    const held = signalsOf(signal, moment);
    if (held !== undefined) {
      texts.push(`${held.join(' and ') || 'as always'} (${signal.points})`);
      continue;
    }
    counted = counted.filter((each) => each !== signal);
    // What cannot be reached any more need not be looked for.
    if (pointsOf(counted) < threshold) return undefined;
  }
  return [...texts, `${pointsOf(counted)} points of ${threshold} needed`];
}

type Checks = {
  readonly [Key in keyof Conditions]-?: (
    wanted: NonNullable<Conditions[Key]>,
    moment: Moment,
  ) => string | undefined;
};

/** Each gives what it noticed in words, nothing to say, or undefined where it does not hold. */
const CHECKS: Checks = {
  newIp: (_, moment) => {
    const ip = moment.sender?.ip;
    if (ip === undefined || ip === '') return undefined;
    const from = clientNetwork(ip);
    const near = neighbourhood(from);
    return isNew(moment, 'networks', from, 'network', (known) => neighbourhood(known) === near);
  },
  newEhlo: (_, moment) => {
    const ehlo = moment.sender?.ehlo;
    return isNew(moment, 'ehlos', ehlo && normalizeEhlo(ehlo), 'EHLO name');
  },
  newCountry: (_, moment) => isNew(moment, 'countries', moment.sender?.country, 'country'),
  newAsn: (_, moment) => isNew(moment, 'asns', moment.sender?.asn?.toString(), 'autonomous system'),
  firstSeenWithin: (span, { profile, pending, day }) => {
    const known = firstSeen(profile, day);
    const first = known < 0 ? pending.find(({ messages }) => messages > 0)?.day : known;
    if (first === undefined) return 'first seen today';
    const ago = (day - first) * DAY;
    return ago <= span ? `first seen ${formatDuration(ago)} ago` : undefined;
  },
  dormantFor: (span, { profile, pending, day }) => {
    const last = pending.findLast(({ messages }) => messages > 0)?.day ?? lastSeen(profile);
    // Whole days between the last on which it sent and today.
    const idle = (day - last - 1) * DAY;
    return last >= 0 && idle >= span ? `silent for ${formatDuration(idle)} before today` : undefined;
  },
  learning: (wanted, { learnt }) => {
    if (wanted === learnt) return undefined;
    return learnt ? '' : LEARNING_SIGNAL;
  },
  installedWithin: (span, { watchedFor }) => (watchedFor < span ? '' : undefined),
  installedFor: (span, { watchedFor }) => (watchedFor >= span ? '' : undefined),
  quietHours: (hours, moment) => quiet(hours, moment),
  distinct: (most, moment) => {
    const texts: string[] = [];
    for (const [kind, above] of Object.entries(most) as [Diversity, number][]) {
      const count = moment.distinct(kind);
      if (count <= above) return undefined;
      texts.push(`${count} different ${NAMES[kind]}`);
    }
    return texts.join(' and ');
  },
  share: ({ of, above, least }, moment) => {
    const { failed, tried } = moment.share(of);
    // More than were tried are of something else: of what was sent before, or by others in its name.
    if (failed > tried || failed < least || failed <= above * tried) return undefined;
    const what = of === 'bounces' ? 'bounced' : 'were refused';
    return `${failed} of ${tried} recipients ${what}`;
  },
};

/** Novelty says something only of who has habits. */
function isNew(
  { learnt, profile, pending, day }: Moment,
  kind: 'networks' | 'ehlos' | 'countries' | 'asns',
  name: string | undefined,
  what: string,
  isKnown = (known: string): boolean => known === name,
): string | undefined {
  if (!learnt || name === undefined || name === '') return undefined;
  const oldest = day - REMEMBERED_DAYS;
  if (profile[kind].some((place) => place.day >= oldest && isKnown(place.name))) return undefined;
  if (pending.some((each) => each[kind]?.some((known) => isKnown(String(known))))) return undefined;
  return `${what} ${name} never seen before`;
}

/** The /24 of an IPv4 address or the /48 of an IPv6 network: who is handed another address there is no stranger. */
function neighbourhood(network: string): string {
  return network.includes(':')
    ? network.split(':').slice(0, 3).join(':')
    : network.slice(0, network.lastIndexOf('.'));
}

function quiet(hours: QuietHours, { at, day, profile, learnt }: Moment): string | undefined {
  if (hours.kind === 'unusual') {
    const hour = Math.floor((at % DAY) / HOUR);
    const { used, weeks } = hourOf(profile, hour, day);
    if (!learnt || used > 0 || weeks === 0) return undefined;
    return `at an hour (${hour}:00 UTC) in which it never sent in ${weeks} weeks`;
  }
  const { from, to, zone } = hours;
  const minute = minuteOf(at, zone);
  const within = from < to ? minute >= from && minute < to : minute >= from || minute < to;
  return within ? `in the quiet hours ${formatQuietHours(hours)}` : undefined;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** The minute of the day that a zone's clocks show. */
function minuteOf(at: Instant, zone: string): number {
  if (zone === 'UTC') return Math.floor((at % DAY) / MINUTE);
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone,
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    formats.set(zone, format);
  }
  const [hour, minute] = format.format(at).split(':');
  return Number(hour) * 60 + Number(minute);
}
