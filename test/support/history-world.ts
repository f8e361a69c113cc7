import type { OverrideSubject, Terms } from '../../src/overrides/model.js';
import type { Subject } from '../../src/sending/subjects.js';
import { summary } from './days.js';

/* What the small systems of history.ts have: rules, subjects, what is bought, and damage. */

export const START = Date.UTC(2026, 0, 1);

export const RULES = `version: 1
learning: { days: 2, age: 2d, installation: 3d }
exempt:
  - { subject: { type: account, value: user3@example.com }, reason: newsletter }
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 20, then: block, for: 30m, escalate: { factor: 2, max: 2h }, renewWhileTrying: true }
  - { id: hour,  per: account, count: messages,   window: 1h,  limit: 6,  then: propose, for: 10m, lapse: 1h }
  - { id: size,  per: address, count: bytes,      window: 20m, limit: 9kB, then: block, for: 5m }
  - { id: site,  per: domain,  count: recipients, window: 1h,  limit: 40, then: propose, for: 4h, lapse: 30m }
  - { id: fails, per: ip,      count: authFailures, window: 1h, limit: 5, then: block, for: 1h }
  - { id: back,  per: account, count: bounces,    window: 1h,  limit: 3,  then: observe }
  - { id: usual, per: account, count: messages,   window: 20m, limit: { baseline: 2x, record: 1.5x, floor: 2, start: 4, ceiling: 9 }, then: block, for: 30m }
  - { id: wide,  per: account, count: recipients, leaveOut: 2, window: 10m, limit: { baseline: 2x, largest: 1x, floor: 6 }, then: block, for: 20m }
  - { id: nets,  per: account, count: networks,   window: 2h,  limit: 2,  then: propose, for: 10m }
  - { id: all,   per: domain,  count: accounts,   window: 1h,  limit: 2,  turned: { count: recipients, window: 20m, limit: { baseline: 0.5x, floor: 3 }, alarm: 30m, after: 1d }, then: block, for: 15m }
  - { id: odd,   per: account, count: messages,   window: 10m, limit: { baseline: 1x, floor: 1 }, then: propose, for: 5m, score: { threshold: 2, signals: [{ newIp: true, points: 1 }, { newEhlo: true, points: 1 }, { dormantFor: 2d, points: 1 }, { quietHours: unusual, points: 1 }, { distinct: { ehlos: 1, recipientDomains: 2 }, points: 2 }] } }
  - { id: quiet, per: account, count: refusedRecipients, window: 1h, limit: 2, when: { share: { of: refusedRecipients, above: 0.2, least: 3 } }, then: observe }
`;
export const OTHER = RULES.replace('limit: 20', 'limit: 10').replace('window: 20m', 'window: 30m');
export const STRICTER = OTHER.replace('limit: 6,  then: propose', 'limit: 2,  then: block')
  .replace('limit: 9kB, then: block', 'limit: 2kB, then: propose')
  .replace('burst, per: account', 'burst, per: address')
  .replace('window: 20m, limit: { baseline: 2x', 'window: 30m, limit: { baseline: 1x')
  .replace('leaveOut: 2', 'leaveOut: 1')
  .replace('user3', 'user2');

/** Subjects that people block and exempt: exact ones, and several patterns that match the same address. */
export const SUBJECTS: readonly Subject[] = [
  ...[0, 1, 2, 3].map((user) => ({ type: 'account' as const, value: `user${user}@example.com` })),
  { type: 'address', value: 'user0@example.com' },
  { type: 'address', value: 'user*@example.com' },
  { type: 'address', value: '*0@example.com' },
  { type: 'address', value: '*@example.com' },
  { type: 'domain', value: 'example.com' },
  { type: 'ehlo', value: '*.example.net' },
  { type: 'ehlo', value: 'pc1.*' },
  { type: 'ip', value: '192.0.2.1' },
  { type: 'ip', value: '192.0.2.0/24' },
];

/** What customers buy, and cancel. */
export const OVERRIDES: readonly (readonly [OverrideSubject, Terms])[] = [
  [{ type: 'account', value: 'user0@example.com' }, { limits: { burst: 60, hour: 'off' } }],
  [
    { type: 'account', value: 'user1@example.com' },
    { factor: 2, plan: 'double' },
  ],
  [
    { type: 'domain', value: 'example.com' },
    { factor: 0.5, total: { limits: { site: 9 } } },
  ],
  [
    { type: 'account', value: 'user0@example.com' },
    { limits: { burst: 30 }, factor: 3 },
  ],
];

/** What nobody can read, or only in part. */
export const POISON: readonly (readonly [type: string, data: unknown])[] = [
  ['MessageAccepted', null],
  ['BlockImposed', { block: 'x' }],
  ['RulesChanged', { version: 9, rules: 7 }],
  ['FromTheFuture', {}],
  ['BounceReceived', { address: 7 }],
  ['OverrideSet', { subject: { type: 'account', value: 'user0@example.com' }, origin: 'api', until: 'soon' }],
  ['ShadowRulesChanged', { version: 9, source: '', rules: { rules: [], exempt: [7] } }],
  ['ShadowRulesRemoved', { version: 'all' }],
  ['SenderDaySummarised', { day: 7, subject: { type: 'account', value: 'user0@example.com' } }],
  ['SenderDaySummarised', summary(1_000_000, { subject: { type: 'account', value: 'user0@example.com' } })],
];
