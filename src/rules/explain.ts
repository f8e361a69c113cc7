import { grouped } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { formatDuration, formatInstant } from '../kernel/time.js';
import type { Subject, SubjectType } from '../sending/subjects.js';
import type { Conditions, Count, QuietHours, Rule, RuleSet } from './model.js';
import { FAR_BEYOND, pointsOf, restsOnBounces } from './model.js';

const UNITS: Readonly<Record<Count, readonly [one: string, many: string]>> = {
  messages: ['message', 'messages'],
  recipients: ['recipient', 'recipients'],
  bytes: ['byte', 'bytes'],
  refusedRecipients: ['refused recipient', 'refused recipients'],
  bounces: ['bounce', 'bounces'],
  authFailures: ['failed login', 'failed logins'],
  networks: ['network', 'different networks'],
  ehlos: ['EHLO name', 'different EHLO names'],
  returnPaths: ['return path', 'different return paths'],
  recipientDomains: ['recipient domain', 'different recipient domains'],
  accounts: ['account that turned abnormal', 'accounts that turned abnormal'],
};

const NOUNS: Readonly<Record<SubjectType, string>> = {
  account: 'Account',
  address: 'Return path',
  domain: 'Domain',
  ehlo: 'EHLO name',
  ip: 'Network',
};

/** `101 recipients`, `1 bounce` */
export function amount(count: Count, value: number): string {
  const [one, many] = UNITS[count];
  return `${grouped(value)} ${value === 1 ? one : many}`;
}

/** `Account alice@example.com` */
export function nameOf(subject: Subject): string {
  return `${NOUNS[subject.type]} ${subject.value}`;
}

/** A sender's baseline, if it made the limit. */
export interface Habit {
  /** Median of the weekly peaks, and the highest of them. */
  readonly typical: number;
  readonly record: number;
  /** The number of weeks behind these figures. */
  readonly weeks: number;
  /** What it reached in the last four weeks, if not all of that counts yet; and the record before. */
  readonly lately?: number;
  readonly before?: number;
  /** False while it is still being learnt. */
  readonly learnt: boolean;
  /** Where the limit comes from, if not from these. */
  readonly bound?: 'floor' | 'start' | 'ceiling';
}

/** A person's last act on a block or a proposal of a subject: for an hour after it the subject's limits are tripled. */
export type Grace = 'release' | 'dismissal';

/** A limit and how it came about. */
export interface InForce {
  /** The limit in force. */
  readonly limit: number;
  /** The limit without the tripling. */
  readonly untripled: number;
  /** Why it was tripled; undefined if it was not. */
  readonly grace?: Grace | undefined;
}

/** What tripped a rule, for the sentence about it. */
export interface Seen extends InForce {
  readonly observed: number;
  /** True if refused attempts were counted. */
  readonly attempts: boolean;
  readonly habit?: Habit | undefined;
  /** The limit in words, if an override made it. */
  readonly overridden?: string | undefined;
  /** What else was noticed. */
  readonly signals?: readonly string[];
}

/** One sentence: what was seen, in which time, what is usual, what the rule allows, and which signals counted. */
export function explain(rule: Rule, subject: Subject, seen: Seen): string {
  const { observed, attempts, habit, signals = [] } = seen;
  const within = `within ${formatDuration(rule.window)}`;
  const what = attempts ? `${grouped(observed)} refused attempts` : amount(rule.count, observed);
  const without = rule.leaveOut === undefined ? '' : ` besides ${LARGEST[rule.leaveOut]}`;
  const parts = [
    `${what} ${within}${without}`,
    ...(habit === undefined ? [] : [habitOf(habit)]),
    // For a young baseline this has been said.
    ...(habit?.learnt === false ? signals.filter((signal) => signal !== LEARNING_SIGNAL) : signals),
    `rule "${rule.id}" allows ${allowed(seen)}${sumOf(rule, seen)}`,
  ];
  return `${nameOf(subject)}: ${parts.join('; ')}.`;
}

/** The sentence for a block that an open circuit breaker does not stop. */
export function despiteBreaker(sentence: string): string {
  return `${sentence.replace(/\.$/u, '')}; blocked although the circuit breaker is open: ${FAR_BEYOND} times the limit or more.`;
}

/** What a rule for senders that are still being learnt has noticed. */
export const LEARNING_SIGNAL = 'still being learnt';

const LARGEST = { 1: 'its largest message', 2: 'its two largest messages' } as const;

/** The limit that was in force, and how it came about. */
function allowed({ limit, untripled, grace, habit, overridden }: Seen): string {
  // A wide network may do more than its rule says.
  if (grace === undefined) return overridden ?? allowance(limit, habit);
  if (overridden !== undefined) return `${grouped(limit)}: ${overridden}, ${tripledAfter(grace)}`;
  return `${grouped(limit)}, ${OWN[habit?.bound ?? 'baselines']}${grouped(untripled)} ${tripledAfter(grace)}`;
}

function tripledAfter(grace: Grace): string {
  return `tripled for the hour after a ${grace}`;
}

/** The words before a tripled limit. */
const OWN = { baselines: 'its ', start: 'its ', floor: 'everybody’s ', ceiling: 'its ceiling of ' } as const;

/** How much is allowed, and to whom if baselines do not decide. */
function allowance(limit: number, habit: Habit | undefined): string {
  const number = grouped(limit);
  switch (habit?.bound) {
    case 'floor':
      return `everybody ${number}`;
    case 'start':
      return `such a sender ${number}`;
    case 'ceiling':
      return `nobody more than ${number}`;
    case undefined:
      return number;
  }
}

/** How a limit with a `plus` came about, if a multiple made it. */
function sumOf({ baseline }: Rule, { untripled, habit, overridden }: Seen): string {
  if (baseline?.plus === undefined || habit === undefined || overridden !== undefined) return '';
  const { typical, record, plus } = baseline;
  const parts = [
    [record, habit.record],
    [typical, habit.typical],
  ] as const;
  const made = parts.find(([times, peak]) => peak > 0 && Math.floor(times * peak + plus) === untripled);
  return made === undefined ? '' : ` (${made[0]} × ${grouped(made[1])} + ${grouped(plus)})`;
}

function habitOf({ typical, record, weeks, learnt, lately, before = 0 }: Habit): string {
  const span = weeks === 1 ? 'one week' : `${weeks} weeks`;
  const most = `never above ${grouped(lately === undefined ? record : before)} in ${span}`;
  const risen =
    lately === undefined ? '' : ` but the last four, whose ${grouped(lately)} count as ${grouped(record)}`;
  const usual = `in a week usually ${grouped(typical)} at most, ${most}${risen}`;
  // What happens on blocked days is not known, and so counts as none.
  const known = record === 0 ? `none known in ${span}` : usual;
  const said = weeks === 0 ? 'nothing is known of it yet' : known;
  return learnt ? said : `${said}, ${LEARNING_SIGNAL}`;
}

/** What one account did above its baseline: a part of the sentence about its domain. */
export function turnedSentence(
  { turned }: Rule,
  {
    observed,
    limit,
    untripled,
    grace,
    habit,
    isKnownPlace,
  }: Omit<Seen, 'attempts'> & { readonly isKnownPlace: boolean },
): string {
  const within = formatDuration(turned!.window);
  const tripled = grace === undefined ? '' : ` (${grouped(untripled)}, ${tripledAfter(grace)})`;
  const own = `more than ${isKnownPlace ? 'twice ' : ''}the ${grouped(limit)} that are its own${tripled}`;
  const from = isKnownPlace ? ', from where it was before' : '';
  const what = `${amount(turned!.count, observed)} within ${within}, ${own}${from}`;
  return habit === undefined ? what : `${what}; ${habitOf(habit)}`;
}

/** Why a rule acts on an account that turned abnormal together with others of its domain. */
export function outbreakSentence(
  rule: Rule,
  subject: Subject,
  own: string,
  all: {
    readonly domain: string;
    readonly count: number;
    readonly limit: number;
    readonly alarmed: boolean;
    readonly begun: number;
  },
): string {
  const { domain, count, limit, alarmed, begun } = all;
  const so = (number: number): string =>
    `${grouped(number)} such accounts within ${formatDuration(rule.window)}`;
  const others = alarmed
    ? `${amount('accounts', count)} while ${domain} is on alarm, since rule "${rule.id}" had found ${so(begun)}`
    : `one of ${grouped(count)} accounts of ${domain} that turned abnormal together; rule "${rule.id}" allows ${so(limit)}`;
  return `${nameOf(subject)}: ${own}; ${others}.`;
}

/** Why a rule acts on a place to which accounts came that never were there. */
export function newcomersSentence(
  { id, window }: Rule,
  subject: Subject,
  seen: InForce & { readonly observed: number; readonly domains: number },
): string {
  const { observed, domains } = seen;
  const where = subject.type === 'ip' ? 'was there before' : 'used it before';
  const who = `${grouped(observed)} accounts of ${grouped(domains)} domains`;
  const what = `${who} within ${formatDuration(window)}, none of which ${where}`;
  return `${nameOf(subject)}: ${what}; rule "${id}" allows ${allowed({ ...seen, attempts: false })}.`;
}

/** `unusual`, or `22:00-06:00 Europe/Berlin`: as in a rules file. */
export function formatQuietHours(hours: QuietHours): string {
  if (hours.kind === 'unusual') return 'unusual';
  return `${clock(hours.from)}-${clock(hours.to)} ${hours.zone}`;
}

function clock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}

/**
 * The rules with which a stranger can get somebody else refused, and those that cannot block because a stranger could:
 * each as a sentence for a person.
 */
export function forgeable({ rules }: Pick<RuleSet, 'rules'>): readonly string[] {
  return rules.flatMap((rule) => {
    if (rule.then !== 'block') return [];
    if (restsOnBounces(rule))
      return [
        `rule "${rule.id}" looks at bounces, which anybody may send to anybody: it proposes, and blocks nobody`,
      ];
    const why = whyForgeable(rule);
    return why === undefined ? [] : [`rule "${rule.id}" ${why}; let it propose, or count per ip`];
  });
}

function whyForgeable({ per, direction }: Rule): string | undefined {
  const arriving = direction !== 'outbound';
  switch (per) {
    case 'ehlo':
      return arriving
        ? 'blocks an EHLO name, which every client chooses: a stranger who takes that of a customer gets its mail refused'
        : 'blocks an EHLO name, which every client chooses: one account that takes that of a customer gets it refused';
    case 'address':
    case 'domain':
      return arriving
        ? `blocks ${per === 'domain' ? 'the domain of ' : ''}a return path of mail that arrives, which anybody can write there: the mail of its owner is refused with it`
        : undefined;
    case 'account':
    case 'ip':
      return undefined;
  }
}

/**
 * What stands in rules and never does anything, each as a sentence for a person. It is no fault: an earlier version has taken
 * such rules.
 */
export function idle({ rules, exempt }: Pick<RuleSet, 'rules' | 'exempt'>, now: Instant): readonly string[] {
  const ended = exempt.filter(({ until }) => until !== null && until <= now);
  return [
    ...rules.flatMap((rule) => {
      const why = [idleRenewal(rule), idleEscalation(rule)].filter((each) => each !== undefined);
      return why.map((each) => `rule "${rule.id}": ${each}`);
    }),
    ...ended.map(
      ({ subject: { type, value }, until }) =>
        `the exemption of ${type} ${value} ended at ${formatInstant(until!)}: take it out, or give it a later until`,
    ),
  ];
}

function idleRenewal({ renewWhileTrying, count }: Rule): string | undefined {
  if (renewWhileTrying && count === 'bytes')
    return 'renewWhileTrying does nothing at a count of bytes: refused attempts are counted, not their bytes; leave it out';
  return undefined;
}

function idleEscalation({ escalate, for: span, then }: Rule): string | undefined {
  if (escalate === undefined) return undefined;
  if (span === null)
    return then === 'observe' ? undefined : 'escalate does nothing with for: indefinite; leave it out';
  if (escalate.forget <= span)
    return `escalate never makes a block longer, since a block counts from its beginning and is forgotten (${formatDuration(escalate.forget)}) before it has run out; let forget be longer than for (${formatDuration(span)})`;
  if (escalate.factor === 1 || escalate.max === span)
    return 'escalate never makes a block longer: give it a factor above 1, and a max that is longer than for';
  return undefined;
}

/** Whether a database gives the place of clients: without one a message has no place. */
export interface GeoData {
  readonly country: boolean;
  readonly asn: boolean;
}

type GeoKind = keyof GeoData;

const GEO_NOUNS: Readonly<Record<GeoKind, string>> = {
  country: 'the country',
  asn: 'the network operator (AS number)',
};

/** A rule with a condition on data that is missing here. */
interface WithoutGeoData {
  readonly rule: string;
  /** The setting that would name a database. */
  readonly setting: `geoip.${GeoKind}`;
  /** False if the rule can trip without it, by other points of its score. */
  readonly never: boolean;
  /** A sentence for a person. */
  readonly sentence: string;
}

/** The rules that need the place of clients although no database gives it: such a condition never holds. */
export function withoutGeoData({ rules }: Pick<RuleSet, 'rules'>, known: GeoData): readonly WithoutGeoData[] {
  return rules.flatMap(({ id, when = {}, score }) => {
    const required = missingOf(when, known);
    const lost = (score?.signals ?? []).filter((signal) => missingOf(signal, known).length > 0);
    const rest = (score?.signals ?? []).filter((signal) => !lost.includes(signal));
    const outOfReach = score !== undefined && pointsOf(rest) < score.threshold;
    const missing = new Set([...required, ...lost.flatMap((signal) => missingOf(signal, known))]);
    return [...missing].map((place) => {
      const never = required.length > 0 || outOfReach;
      const effect = never ? 'it never trips' : 'it trips by its other points alone';
      const setting = `geoip.${place}` as const;
      const sentence = `rule "${id}" asks for ${GEO_NOUNS[place]} of clients, but ${setting} is not configured: ${effect}`;
      return { rule: id, setting, never, sentence };
    });
  });
}

function missingOf({ newCountry, newAsn }: Conditions, known: GeoData): readonly GeoKind[] {
  return [
    ...(newCountry === true && !known.country ? (['country'] as const) : []),
    ...(newAsn === true && !known.asn ? (['asn'] as const) : []),
  ];
}
