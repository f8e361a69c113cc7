import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR, MINUTE, formatDuration } from '../../src/kernel/time.js';
import { LEARNING_SIGNAL, formatQuietHours } from '../../src/rules/explain.js';
import { COMMON_NAME, pointsOf } from '../../src/rules/model.js';
import type { Conditions, DistinctCount, QuietHours, Rule, Score, Share } from '../../src/rules/model.js';
import type { Day } from '../../src/sending/day-summary.js';
import type { SenderFields } from '../../src/sending/events.js';
import { clientNetwork, neighbourhood, normalizeEhlo } from '../../src/sending/identity.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { ClosedDay, PlaceKind, Profile } from '../baselines/profile.js';
import { firstSeen, hourOf, isSettled, lastSeen, REMEMBERED_DAYS } from '../baselines/profile.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';

/** The input of conditions: one sender at the moment of one send. */
export interface ConditionContext {
  readonly at: Instant;
  readonly day: Day;
  readonly profile: Profile;
  /** The days before today that are not part of the profile yet, ascending. */
  readonly pending: readonly ClosedDay[];
  /** Whether the sender is known well enough to have baselines. */
  readonly learnt: boolean;
  /** Whether enough of this kind of the sender's places is known to call one new. */
  isKnownOf(kind: PlaceKind): boolean;
  /** How long Stopgap has been watching. */
  readonly watchedFor: Milliseconds;
  /** The message; undefined if the event is none. */
  readonly sender: (SenderFields & { readonly country?: string; readonly asn?: number }) | undefined;
  /** Different values within the rule's window. */
  distinct(kind: DistinctCount): number;
  /** Within the rule's window: how many failed, and how many were tried in all. */
  share(of: Share['of']): { readonly failed: number; readonly tried: number };
}

/**
 * How a condition reads before there is a message: it holds; or it depends on what is sent; or it cannot hold, with the
 * reason.
 */
type Chance =
  | { readonly kind: 'holds' | 'open'; readonly what: string }
  | { readonly kind: 'barred'; readonly what: string; readonly why: string };

/** One condition: how it is judged, and how `check` reads it. */
interface Condition<Wanted> {
  /** What was noticed, in words, empty if there is nothing to say; undefined if the condition does not hold. */
  met(this: void, wanted: Wanted, context: ConditionContext): string | undefined;
  /** @param context one without a message: `sender` is not used */
  read(this: void, wanted: Wanted, context: ConditionContext): Chance;
}

const YOUNG = `it is ${LEARNING_SIGNAL}`;

/** The names of the distinct counts. */
export const DISTINCT_NAMES: Readonly<Record<DistinctCount, string>> = {
  networks: 'networks',
  ehlos: 'EHLO names',
  returnPaths: 'return paths',
  recipientDomains: 'recipient domains',
};

/** What holds, in words; undefined if any of it does not. */
export function metConditions(
  conditions: Conditions,
  context: ConditionContext,
): readonly string[] | undefined {
  const signals: string[] = [];
  for (const key in conditions) {
    // The points of a signal are no condition.
    const condition = CONDITIONS[key as keyof Conditions];
    if (condition === undefined) continue;
    const text = condition.met(conditions[key as keyof Conditions] as never, context);
    if (text === undefined) return undefined;
    if (text !== '') signals.push(text);
  }
  return signals;
}

/** What adds up to the threshold, in words; undefined if it does not. */
export function scoreOf(
  { threshold, signals }: Score,
  context: ConditionContext,
): readonly string[] | undefined {
  const texts: string[] = [];
  /** The signals that hold or may hold. */
  let counted = signals;
  for (const signal of signals) {
    const held = metConditions(signal, context);
    if (held !== undefined) {
      texts.push(`${held.join(' and ') || 'as always'} (${signal.points})`);
      continue;
    }
    counted = counted.filter((each) => each !== signal);
    // A threshold out of reach needs no more checks.
    if (pointsOf(counted) < threshold) return undefined;
  }
  const missed = signals.filter((signal) => !counted.includes(signal));
  const unknown = new Set(missed.flatMap((signal) => unknownOf(signal, context)));
  return [...texts, ...unknown, `${pointsOf(counted)} points of ${threshold} needed`];
}

/** What could not be called new in any message, in words. */
function unknownOf(conditions: Conditions, context: ConditionContext): readonly string[] {
  const asked = (Object.keys(NOVELTY) as Novelty[]).filter((key) => conditions[key] === true);
  return asked
    .map((key) => NOVELTY[key])
    .filter(({ kind, of }) => context.learnt && of(context.sender) !== '' && !context.isKnownOf(kind))
    .map(({ many }) => `too little is known of its ${many} yet`);
}

/** A rule's conditions beside its limit, as far as they can be read before there is a message. */
export interface ConditionReading {
  /** Why the rule cannot trip now, for any message; absent if it can. */
  readonly notNow?: string;
  /** What must also hold of the message, or of the content of the rule's window: in words. */
  readonly besides: readonly string[];
}

/**
 * How `check` reads a rule's conditions.
 *
 * @param context one without a message: `sender` is not used
 */
export function readConditions(
  { when, score }: Pick<Rule, 'when' | 'score'>,
  context: ConditionContext,
): ConditionReading {
  const chances = when === undefined ? [] : chancesOf(when, context);
  const reasons = barsOf(chances).map(({ what, why }) => `asks for ${what}: ${why}`);
  const besides = wordsOf(chances.filter(({ kind }) => kind === 'open'));
  const scored = score === undefined ? {} : ofScore(score, context);
  if (scored.notNow !== undefined) reasons.push(scored.notNow);
  if (scored.besides !== undefined) besides.push(scored.besides);
  return reasons.length > 0 ? { notNow: reasons.join('; '), besides: [] } : { besides };
}

function ofScore(
  { threshold, signals }: Score,
  context: ConditionContext,
): { readonly notNow?: string; readonly besides?: string } {
  const each = signals.map((signal) => ({ signal, chances: chancesOf(signal, context) }));
  const possible = each.filter(({ chances }) => barsOf(chances).length === 0);
  const points = pointsOf(possible.map(({ signal }) => signal));
  const needed = `${threshold} ${threshold === 1 ? 'point' : 'points'}`;
  if (points < threshold) {
    const why = each.flatMap(({ chances }) => barsOf(chances)).map((bar) => `${bar.what} (${bar.why})`);
    return { notNow: `asks for ${needed}, and ${points} can come together now: not ${why.join(', nor ')}` };
  }
  const sure = possible.filter(({ chances }) => chances.every(({ kind }) => kind === 'holds'));
  if (pointsOf(sure.map(({ signal }) => signal)) >= threshold) return {};
  const texts = possible.map(
    ({ signal, chances }) => `${wordsOf(chances).join(' and ') || 'as always'} (${signal.points})`,
  );
  return { besides: `${needed} of ${texts.join(', ')}` };
}

function chancesOf(conditions: Conditions, context: ConditionContext): readonly Chance[] {
  return (Object.keys(conditions) as (keyof Conditions)[]).flatMap((key) => {
    const condition = CONDITIONS[key];
    return condition === undefined ? [] : [condition.read(conditions[key] as never, context)];
  });
}

function barsOf(chances: readonly Chance[]): readonly (Chance & { readonly kind: 'barred' })[] {
  return chances.filter((chance) => chance.kind === 'barred');
}

function wordsOf(chances: readonly Chance[]): string[] {
  return chances.map(({ what }) => what).filter((what) => what !== '');
}

type Novelty = 'newIp' | 'newEhlo' | 'newCountry' | 'newAsn';

/** A property of a message's place that can be new. */
interface NoveltyKind {
  readonly kind: PlaceKind;
  readonly one: string;
  readonly many: string;
  /** Its name in a message; empty if it is not known. */
  readonly of: (sender: ConditionContext['sender']) => string;
  /** What related places have in common. */
  readonly near: (name: string) => string;
}

const itself = (name: string): string => name;

const NOVELTY: Readonly<Record<Novelty, NoveltyKind>> = {
  newIp: {
    kind: 'networks',
    one: 'network',
    many: 'networks',
    near: neighbourhood,
    of: (sender) => (sender?.ip === undefined || sender.ip === '' ? '' : clientNetwork(sender.ip)),
  },
  newEhlo: {
    kind: 'ehlos',
    one: 'EHLO name',
    many: 'EHLO names',
    near: itself,
    of: (sender) => (sender?.ehlo === undefined || sender.ehlo === '' ? '' : normalizeEhlo(sender.ehlo)),
  },
  newCountry: {
    kind: 'countries',
    one: 'country',
    many: 'countries',
    near: itself,
    of: (sender) => sender?.country ?? '',
  },
  newAsn: {
    kind: 'asns',
    one: 'autonomous system',
    many: 'autonomous systems',
    near: itself,
    of: (sender) => sender?.asn?.toString() ?? '',
  },
};

type ConditionTable = {
  readonly [Key in keyof Conditions]-?: Condition<NonNullable<Conditions[Key]>>;
};

/** All conditions: the one table for judging and for `check`. */
const CONDITIONS: ConditionTable = {
  newIp: novelty(NOVELTY.newIp),
  newEhlo: novelty(NOVELTY.newEhlo),
  newCountry: novelty(NOVELTY.newCountry),
  newAsn: novelty(NOVELTY.newAsn),
  firstSeenWithin: settled(
    (span, context) => {
      const ago = seenFor(context);
      if (ago === undefined) return 'first seen today';
      return ago <= span ? `first seen ${formatDuration(ago)} ago` : undefined;
    },
    (span, context) => [
      `a sender first seen within ${formatDuration(span)}`,
      `it was ${days(seenFor(context) ?? 0)} ago`,
    ],
  ),
  dormantFor: settled(
    (span, context) => {
      const idle = silentFor(context);
      return idle !== undefined && idle >= span
        ? `silent for ${formatDuration(idle)} before today`
        : undefined;
    },
    (span, context) => {
      const idle = silentFor(context);
      const why =
        idle === undefined ? 'it has not sent on any day before' : `it was silent for ${days(idle)}`;
      return [`${formatDuration(span)} of silence before today`, why];
    },
  ),
  learning: settled(
    (wanted, { learnt }) => {
      if (wanted === learnt) return undefined;
      return learnt ? '' : LEARNING_SIGNAL;
    },
    (wanted) =>
      wanted ? ['a sender that is still being learnt', 'it is known'] : ['a sender that is known', YOUNG],
  ),
  installedWithin: settled(
    (span, { watchedFor }) => (watchedFor < span ? '' : undefined),
    (span, context) => [`less than ${formatDuration(span)} of watching`, watched(context)],
  ),
  installedFor: settled(
    (span, { watchedFor }) => (watchedFor >= span ? '' : undefined),
    (span, context) => [`${formatDuration(span)} of watching`, watched(context)],
  ),
  quietHours: settled(quiet, (hours, context) =>
    hours.kind === 'unusual'
      ? ['an hour in which it never sends', usedHour(context)]
      : [`the hours ${formatQuietHours(hours)}`, 'it is none of them now'],
  ),
  distinct: {
    met(most, context) {
      const texts: string[] = [];
      for (const [kind, above] of Object.entries(most) as [DistinctCount, number][]) {
        const count = context.distinct(kind);
        if (count <= above) return undefined;
        texts.push(`${count} different ${DISTINCT_NAMES[kind]}`);
      }
      return texts.join(' and ');
    },
    read(most, context) {
      const texts = (Object.entries(most) as [DistinctCount, number][]).map(
        ([kind, above]) =>
          `more than ${above} different ${DISTINCT_NAMES[kind]} (${context.distinct(kind)} now)`,
      );
      return { kind: 'open', what: texts.join(' and ') };
    },
  },
  share: {
    met({ of, above, least }, context) {
      const { failed, tried } = context.share(of);
      // If more failed than were tried, the failures belong to something else: to earlier mail, or to mail of others in
      // its name.
      if (failed > tried || failed < least || failed <= above * tried) return undefined;
      const what = of === 'bounces' ? 'bounced' : 'were refused';
      return `${failed} of ${tried} recipients ${what}`;
    },
    read({ of, above, least }, context) {
      const { failed, tried } = context.share(of);
      const what = of === 'bounces' ? 'bounces' : 'refused recipients';
      const percent = Math.round(above * 1e4) / 100;
      return {
        kind: 'open',
        what: `at least ${least} ${what}, more than ${percent} % of all recipients (${failed} of ${tried} now)`,
      };
    },
  },
};

/**
 * A condition that no message changes: it holds, or it cannot hold now. @param bar what it requires, and why that does
 * not hold
 */
function settled<Wanted>(
  met: Condition<Wanted>['met'],
  bar: (wanted: Wanted, context: ConditionContext) => readonly [what: string, why: string],
): Condition<Wanted> {
  return {
    met,
    read(wanted, context) {
      const held = met(wanted, context);
      if (held !== undefined) return { kind: 'holds', what: held };
      const [what, why] = bar(wanted, context);
      return { kind: 'barred', what, why };
    },
  };
}

/** Something about a message's place is new: this depends on the message. */
function novelty(about: NoveltyKind): Condition<true> {
  const { kind, one, many } = about;
  const what = `${/^[aE]/.test(one) ? 'an' : 'a'} ${one} never seen before`;
  return {
    met: (_, context) => isNew(context, about),
    read(_, context) {
      if (!context.learnt) return { kind: 'barred', what, why: YOUNG };
      if (context.isKnownOf(kind)) return { kind: 'open', what };
      return { kind: 'barred', what, why: `too little is known of its ${many} yet` };
    },
  };
}

/** How long ago the sender was first seen, by days; undefined if that is today. */
function seenFor({ profile, pending, day }: ConditionContext): Milliseconds | undefined {
  const known = firstSeen(profile, day);
  const first = known < 0 ? pending.find(({ messages }) => messages > 0)?.day : known;
  return first === undefined ? undefined : (day - first) * DAY;
}

/** Whole days between the last on which the sender sent and today; undefined if there is none. */
function silentFor({ profile, pending, day }: ConditionContext): Milliseconds | undefined {
  const last = pending.findLast(({ messages }) => messages > 0)?.day ?? lastSeen(profile);
  return last < 0 ? undefined : (day - last - 1) * DAY;
}

type Past = Pick<ConditionContext, 'profile' | 'pending' | 'day'>;

/** Whether a place was used on a day before. */
function hasUsed({ kind, near }: NoveltyKind, name: string, { profile, pending, day }: Past): boolean {
  const here = near(name);
  const oldest = day - REMEMBERED_DAYS;
  return (
    profile[kind].some((place) => place.day >= oldest && near(place.name) === here) ||
    pending.some((each) => each[kind]?.some((known) => near(String(known)) === here))
  );
}

/** Whether any of these places was used on no day before. */
export function anyNew(
  novelty: keyof typeof NOVELTY,
  names: readonly string[],
  past: Pick<Past, 'profile' | 'day'>,
): boolean {
  return names.some((name) => !hasUsed(NOVELTY[novelty], name, { ...past, pending: [] }));
}

/** Whether an account has used this network, or this EHLO name, for four weeks. */
export function isOwnPlace(sender: SenderFields, profile: Profile, day: Day): boolean {
  return [NOVELTY.newIp, NOVELTY.newEhlo].some(({ kind, of, near }) => {
    const name = of(sender);
    return name !== '' && isSettled(profile[kind], name, near, day);
  });
}

/** Whether an account used the network or the EHLO name of a message on a day before that had no block. */
export function isKnownPlace(sender: SenderFields, { profile, pending, day }: Past): boolean {
  const past = { profile, day, pending: pending.filter(({ contained }) => contained.length === 0) };
  return [NOVELTY.newIp, NOVELTY.newEhlo].some((about) => {
    const name = about.of(sender);
    return name !== '' && hasUsed(about, name, past);
  });
}

/** Whether both the network and the EHLO name of a message are there and new to an account. */
export function isNewPlace(sender: SenderFields, past: Past): boolean {
  const isThere = [NOVELTY.newIp, NOVELTY.newEhlo].every((about) => about.of(sender) !== '');
  return isThere && !isKnownPlace(sender, past);
}

/** Why no rule blocks this EHLO name, in words: many use it. Undefined for a name that few use, and for what is no name. */
export function commonName({ type, value }: Subject, profiles: SenderProfiles): string | undefined {
  const users = type === 'ehlo' ? profiles.baselines.usersOf(value) : 0;
  return users < COMMON_NAME
    ? undefined
    : `${users} accounts used this name on days before: no rule blocks it`;
}

/**
 * Novelty means something only for a sender with baselines of this kind: if no EHLO names, or no countries, were
 * recorded until today, the first one is not odd.
 */
function isNew(context: ConditionContext, about: NoveltyKind): string | undefined {
  const { kind, one, of } = about;
  const name = context.learnt ? of(context.sender) : '';
  if (name === '' || hasUsed(about, name, context)) return undefined;
  return context.isKnownOf(kind) ? `${one} ${name} never seen before` : undefined;
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

/** In UTC, from 0 to 23. */
function hourOfDay(at: Instant): number {
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

function watched({ watchedFor }: ConditionContext): string {
  if (watchedFor < MINUTE) return 'Stopgap has watched for less than a minute';
  const unit = watchedFor >= 2 * DAY ? DAY : watchedFor >= HOUR ? HOUR : MINUTE;
  return `Stopgap has watched for ${formatDuration(Math.floor(watchedFor / unit) * unit)}`;
}

function usedHour(context: ConditionContext): string {
  if (!context.learnt) return YOUNG;
  const hour = hourOfDay(context.at);
  const { used, weeks } = hourOf(context.profile, hour, context.day);
  return weeks === 0
    ? 'it has not sent for half a year'
    : `it sent at ${hour}:00 UTC in ${used} of ${weeks} weeks`;
}

function days(span: Milliseconds): string {
  const count = Math.round(span / DAY);
  return count === 1 ? 'one day' : `${count} days`;
}
