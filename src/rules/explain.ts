import { formatDuration } from '../kernel/time.js';
import type { Subject, SubjectType } from '../sending/subjects.js';
import type { Count, Rule } from './model.js';

const NUMBERS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

const UNITS: Readonly<Record<Count, readonly [one: string, many: string]>> = {
  messages: ['message', 'messages'],
  recipients: ['recipient', 'recipients'],
  bytes: ['byte', 'bytes'],
  refusedRecipients: ['refused recipient', 'refused recipients'],
  bounces: ['bounce', 'bounces'],
  authFailures: ['failed login', 'failed logins'],
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

/** One sentence: what was seen, in which time, and what the rule allows. */
export function explain(
  rule: Rule,
  subject: Subject,
  observed: number,
  limit: number,
  attempts: boolean,
): string {
  const seen = attempts ? `${NUMBERS.format(observed)} refused attempts` : amount(rule.count, observed);
  const allowed =
    limit === rule.limit
      ? NUMBERS.format(limit)
      : `${NUMBERS.format(limit)}, its ${NUMBERS.format(rule.limit)} tripled for the hour after a release`;
  return `${nameOf(subject)}: ${seen} within ${formatDuration(rule.window)}; rule "${rule.id}" allows ${allowed}.`;
}
