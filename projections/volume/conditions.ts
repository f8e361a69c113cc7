import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR, MINUTE, formatDuration } from '../../src/kernel/time.js';
import { LEARNING_SIGNAL, formatQuietHours } from '../../src/rules/explain.js';
import { pointsOf } from '../../src/rules/model.js';
import type { Conditions, DistinctCount, QuietHours, Score, Share } from '../../src/rules/model.js';
import type { Day } from '../../src/sending/day-summary.js';
import type { SenderFields } from '../../src/sending/events.js';
import { clientNetwork, normalizeEhlo } from '../../src/sending/identity.js';
import type { ClosedDay } from '../baselines/closed-days.js';
import { REMEMBERED_DAYS } from '../baselines/known-days.js';
import { firstSeen, hourOf, lastSeen } from '../baselines/profile.js';
import type { PlaceKind, Profile } from '../baselines/profile.js';

/** What conditions are asked about: one sender at the moment of one send. */
export interface ConditionContext {
  readonly at: Instant;
  readonly day: Day;
  readonly profile: Profile;
  /** The days before today that are not part of the profile yet, ascending. */
  readonly pending: readonly ClosedDay[];
  /** Whether the sender is known well enough to have baselines. */
  readonly learnt: boolean;
  /** Whether enough is known of where the sender sends from, of this kind, to call something new. */
  isKnownOf(kind: PlaceKind): boolean;
  /** How long Stopgap has been watching. */
  readonly watchedFor: Milliseconds;
  /** The message; undefined where what happened is none. */
  readonly sender: (SenderFields & { readonly country?: string; readonly asn?: number }) | undefined;
  /** Different ones within the rule's window. */
  distinct(kind: DistinctCount): number;
  /** Within the rule's window: how many failed, and how many were tried in all. */
  share(of: Share['of']): { readonly failed: number; readonly tried: number };
}

/** What different ones are called. */
export const DISTINCT_NAMES: Readonly<Record<DistinctCount, string>> = {
  networks: 'networks',
  ehlos: 'EHLO names',
  returnPaths: 'return paths',
  recipientDomains: 'recipient domains',
};

/** What holds, in words; undefined where any of it does not. */
export function metConditions(
  conditions: Conditions,
  context: ConditionContext,
): readonly string[] | undefined {
  const signals: string[] = [];
  for (const key in conditions) {
    // What else a signal has, its points, is nothing to be checked.
    const check = CHECKS[key as keyof Conditions];
    if (check === undefined) continue;
    const text = check(conditions[key as keyof Conditions] as never, context);
    if (text === undefined) return undefined;
    if (text !== '') signals.push(text);
  }
  return signals;
}

/** What adds up to the threshold, in words; undefined where it does not. */
export function scoreOf(
  { threshold, signals }: Score,
  context: ConditionContext,
): readonly string[] | undefined {
  const texts: string[] = [];
  /** Those that hold, or may. */
  let counted = signals;
  for (const signal of signals) {
    const held = metConditions(signal, context);
    if (held !== undefined) {
      texts.push(`${held.join(' and ') || 'as always'} (${signal.points})`);
      continue;
    }
    counted = counted.filter((each) => each !== signal);
    // What cannot be reached any more need not be looked for.
    if (pointsOf(counted) < threshold) return undefined;
  }
  const missed = signals.filter((signal) => !counted.includes(signal));
  const unknown = new Set(missed.flatMap((signal) => unknownOf(signal, context)));
  return [...texts, ...unknown, `${pointsOf(counted)} points of ${threshold} needed`];
}

/** What could not be called new, whatever it is, in words. */
function unknownOf(conditions: Conditions, context: ConditionContext): readonly string[] {
  const asked = (Object.keys(NOVELTY) as Novelty[]).filter((key) => conditions[key] === true);
  return asked
    .map((key) => NOVELTY[key])
    .filter(({ kind, of }) => context.learnt && of(context.sender) !== '' && !context.isKnownOf(kind))
    .map(({ many }) => `too little is known of its ${many} yet`);
}

export type Novelty = 'newIp' | 'newEhlo' | 'newCountry' | 'newAsn';

/** What can be new about where a message comes from. */
interface NoveltyKind {
  readonly kind: PlaceKind;
  readonly one: string;
  readonly many: string;
  /** Its name, of a message; empty where it is not known. */
  readonly of: (sender: ConditionContext['sender']) => string;
  /** What is the same of places that are no strangers to each other. */
  readonly near: (name: string) => string;
}

const itself = (name: string): string => name;

export const NOVELTY: Readonly<Record<Novelty, NoveltyKind>> = {
  newIp: {
    ...{ kind: 'networks', one: 'network', many: 'networks', near: neighbourhood },
    of: (sender) => (sender?.ip === undefined || sender.ip === '' ? '' : clientNetwork(sender.ip)),
  },
  newEhlo: {
    ...{ kind: 'ehlos', one: 'EHLO name', many: 'EHLO names', near: itself },
    of: (sender) => (sender?.ehlo === undefined || sender.ehlo === '' ? '' : normalizeEhlo(sender.ehlo)),
  },
  newCountry: {
    ...{ kind: 'countries', one: 'country', many: 'countries', near: itself },
    of: (sender) => sender?.country ?? '',
  },
  newAsn: {
    ...{ kind: 'asns', one: 'autonomous system', many: 'autonomous systems', near: itself },
    of: (sender) => sender?.asn?.toString() ?? '',
  },
};

type Checks = {
  readonly [Key in keyof Conditions]-?: (
    wanted: NonNullable<Conditions[Key]>,
    context: ConditionContext,
  ) => string | undefined;
};

/** Each gives what it noticed in words, nothing to say, or undefined where it does not hold. */
const CHECKS: Checks = {
  newIp: (_, context) => isNew(context, NOVELTY.newIp),
  newEhlo: (_, context) => isNew(context, NOVELTY.newEhlo),
  newCountry: (_, context) => isNew(context, NOVELTY.newCountry),
  newAsn: (_, context) => isNew(context, NOVELTY.newAsn),
  firstSeenWithin: (span, context) => {
    const ago = seenFor(context);
    if (ago === undefined) return 'first seen today';
    return ago <= span ? `first seen ${formatDuration(ago)} ago` : undefined;
  },
  dormantFor: (span, context) => {
    const idle = silentFor(context);
    return idle !== undefined && idle >= span ? `silent for ${formatDuration(idle)} before today` : undefined;
  },
  learning: (wanted, { learnt }) => {
    if (wanted === learnt) return undefined;
    return learnt ? '' : LEARNING_SIGNAL;
  },
  installedWithin: (span, { watchedFor }) => (watchedFor < span ? '' : undefined),
  installedFor: (span, { watchedFor }) => (watchedFor >= span ? '' : undefined),
  quietHours: (hours, context) => quiet(hours, context),
  distinct: (most, context) => {
    const texts: string[] = [];
    for (const [kind, above] of Object.entries(most) as [DistinctCount, number][]) {
      const count = context.distinct(kind);
      if (count <= above) return undefined;
      texts.push(`${count} different ${DISTINCT_NAMES[kind]}`);
    }
    return texts.join(' and ');
  },
  share: ({ of, above, least }, context) => {
    const { failed, tried } = context.share(of);
    // More than were tried are of something else: of what was sent before, or by others in its name.
    if (failed > tried || failed < least || failed <= above * tried) return undefined;
    const what = of === 'bounces' ? 'bounced' : 'were refused';
    return `${failed} of ${tried} recipients ${what}`;
  },
};

/** How long ago the sender was first seen, by days; undefined where that is today. */
export function seenFor({ profile, pending, day }: ConditionContext): Milliseconds | undefined {
  const known = firstSeen(profile, day);
  const first = known < 0 ? pending.find(({ messages }) => messages > 0)?.day : known;
  return first === undefined ? undefined : (day - first) * DAY;
}

/** Whole days between the last on which the sender sent and today; undefined where there is none. */
export function silentFor({ profile, pending, day }: ConditionContext): Milliseconds | undefined {
  const last = pending.findLast(({ messages }) => messages > 0)?.day ?? lastSeen(profile);
  return last < 0 ? undefined : (day - last - 1) * DAY;
}

/**
 * Novelty says something only of who has baselines, and has them of this very kind: where no EHLO names were recorded, or no
 * countries until today, the first one is nobody's oddity.
 */
function isNew(context: ConditionContext, { kind, one, of, near }: NoveltyKind): string | undefined {
  const name = context.learnt ? of(context.sender) : '';
  if (name === '') return undefined;
  const here = near(name);
  const oldest = context.day - REMEMBERED_DAYS;
  if (context.profile[kind].some((place) => place.day >= oldest && near(place.name) === here))
    return undefined;
  if (context.pending.some((each) => each[kind]?.some((known) => near(String(known)) === here)))
    return undefined;
  return context.isKnownOf(kind) ? `${one} ${name} never seen before` : undefined;
}

/** The /24 of an IPv4 address or the /48 of an IPv6 network: who is handed another address there is no stranger. */
function neighbourhood(network: string): string {
  return network.includes(':')
    ? network.split(':').slice(0, 3).join(':')
    : network.slice(0, network.lastIndexOf('.'));
}

function quiet(hours: QuietHours, { at, day, profile, learnt }: ConditionContext): string | undefined {
  if (hours.kind === 'unusual') {
    const hour = hourOfDay(at);
    const { used, weeks } = hourOf(profile, hour, day);
    if (!learnt || used > 0 || weeks === 0) return undefined;
    return `at an hour (${hour}:00 UTC) in which it never sent in ${weeks} weeks`;
  }
  const { from, to, zone } = hours;
  const minute = minuteOf(at, zone);
  const within = from < to ? minute >= from && minute < to : minute >= from || minute < to;
  return within ? `in the quiet hours ${formatQuietHours(hours)}` : undefined;
}

/** By UTC, from 0 to 23. */
export function hourOfDay(at: Instant): number {
  return Math.floor((at % DAY) / HOUR);
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
