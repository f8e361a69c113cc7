import { formatDuration } from '../kernel/time.js';
import type { Subject, SubjectType } from '../sending/subjects.js';
import { FAR_BEYOND } from './model.js';
import type { Count, QuietHours, Rule } from './model.js';

const NUMBERS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

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
  return `${NUMBERS.format(value)} ${value === 1 ? one : many}`;
}

/** `Account alice@example.com` */
export function nameOf(subject: Subject): string {
  return `${NOUNS[subject.type]} ${subject.value}`;
}

/** What a sender usually does, where that made the limit. */
export interface Habit {
  /** Median of the weekly peaks, and the highest of them. */
  readonly typical: number;
  readonly record: number;
  /** Weeks that these rest upon. */
  readonly weeks: number;
  /** False while it is still being learnt. */
  readonly learnt: boolean;
  /** Where the limit comes from, if not from these. */
  readonly bound?: 'floor' | 'start' | 'ceiling';
}

/** What a person did last with a block or a proposal of a subject: for the hour after it the subject's limits are tripled. */
export type Grace = 'release' | 'dismissal';

/** A limit, as it was and as it came about. */
export interface InForce {
  /** What was in force. */
  readonly limit: number;
  /** What it is without the tripling. */
  readonly untripled: number;
  /** Why it was tripled; undefined where it was not. */
  readonly grace?: Grace | undefined;
}

/** What tripped a rule, for the sentence about it. */
export interface Seen extends InForce {
  readonly observed: number;
  /** Refused attempts are what was counted. */
  readonly attempts: boolean;
  readonly habit?: Habit | undefined;
  /** The limit in words, where an override made it. */
  readonly overridden?: string | undefined;
  /** What else was noticed. */
  readonly signals?: readonly string[];
}

/** One sentence: what was seen, in which time, what is usual, what the rule allows, and which signals counted. */
export function explain(rule: Rule, subject: Subject, seen: Seen): string {
  const { observed, attempts, habit, signals = [] } = seen;
  const within = `within ${formatDuration(rule.window)}`;
  const what = attempts ? `${NUMBERS.format(observed)} refused attempts` : amount(rule.count, observed);
  const without = rule.leaveOut === undefined ? '' : ` besides ${LARGEST[rule.leaveOut]}`;
  const parts = [
    `${what} ${within}${without}`,
    ...(habit === undefined ? [] : [habitOf(habit)]),
    // Of a habit that is young this has been said.
    ...(habit?.learnt === false ? signals.filter((signal) => signal !== LEARNING_SIGNAL) : signals),
    `rule "${rule.id}" allows ${allowed(seen)}`,
  ];
  return `${nameOf(subject)}: ${parts.join('; ')}.`;
}

/** Of a block that an open circuit breaker does not stop. */
export function despiteBreaker(sentence: string): string {
  return `${sentence.replace(/\.$/u, '')}; blocked although the circuit breaker is open: ${FAR_BEYOND} times the limit or more.`;
}

/** What a rule for senders who are still being learnt has noticed. */
export const LEARNING_SIGNAL = 'still being learnt';

const LARGEST = { 1: 'its largest message', 2: 'its two largest messages' } as const;

/** The limit that was in force, and how it came about. */
function allowed({ limit, untripled, grace, habit, overridden }: Seen): string {
  if (grace === undefined) return overridden ?? allowance(untripled, habit);
  if (overridden !== undefined) return `${NUMBERS.format(limit)}: ${overridden}, ${tripledAfter(grace)}`;
  return `${NUMBERS.format(limit)}, ${OWN[habit?.bound ?? 'baselines']}${NUMBERS.format(untripled)} ${tripledAfter(grace)}`;
}

function tripledAfter(grace: Grace): string {
  return `tripled for the hour after a ${grace}`;
}

/** What a limit is called that was tripled. */
const OWN = { baselines: 'its ', start: 'its ', floor: 'everybody’s ', ceiling: 'its ceiling of ' } as const;

/** How much, and who so much is allowed to where that is not a matter of baselines. */
function allowance(limit: number, habit: Habit | undefined): string {
  const number = NUMBERS.format(limit);
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

function habitOf({ typical, record, weeks, learnt }: Habit): string {
  const span = weeks === 1 ? 'one week' : `${weeks} weeks`;
  const usual = `in a week usually ${NUMBERS.format(typical)} at most, never above ${NUMBERS.format(record)} in ${span}`;
  // What was seen on days on which it was blocked is not known, and so is none.
  const known = record === 0 ? `none known in ${span}` : usual;
  const said = weeks === 0 ? 'nothing is known of it yet' : known;
  return learnt ? said : `${said}, ${LEARNING_SIGNAL}`;
}

/** What one account did that is more than usual: a part of the sentence about its domain. */
export function turnedSentence(
  { turned }: Rule,
  { observed, limit, untripled, grace, habit }: Omit<Seen, 'attempts'>,
): string {
  const within = formatDuration(turned!.window);
  const tripled = grace === undefined ? '' : ` (${NUMBERS.format(untripled)}, ${tripledAfter(grace)})`;
  const what = `${amount(turned!.count, observed)} within ${within}, more than the ${NUMBERS.format(limit)} that are its own${tripled}`;
  return habit === undefined ? what : `${what}; ${habitOf(habit)}`;
}

/** Why an account is acted on that turned abnormal together with others of its domain. */
export function outbreakSentence(
  rule: Rule,
  subject: Subject,
  own: string,
  all: { readonly domain: string; readonly count: number; readonly limit: number; readonly alarmed: boolean },
): string {
  const { domain, count, limit, alarmed } = all;
  const so = `${NUMBERS.format(limit)} such accounts within ${formatDuration(rule.window)}`;
  const others = alarmed
    ? `${amount('accounts', count)} while ${domain} is on alarm, since rule "${rule.id}" had found more than ${so}`
    : `one of ${NUMBERS.format(count)} accounts of ${domain} that turned abnormal together; rule "${rule.id}" allows ${so}`;
  return `${nameOf(subject)}: ${own}; ${others}.`;
}

/** `unusual`, or `22:00-06:00 Europe/Berlin`: as in a rules file. */
export function formatQuietHours(hours: QuietHours): string {
  if (hours.kind === 'unusual') return 'unusual';
  return `${clock(hours.from)}-${clock(hours.to)} ${hours.zone}`;
}

function clock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}
