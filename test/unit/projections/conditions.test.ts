import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClosedDay } from '../../../projections/baselines/profile.js';
import { NO_PROFILE } from '../../../projections/baselines/profile.js';
import { scoreOf, metConditions } from '../../../projections/volume/conditions.js';
import type { ConditionContext } from '../../../projections/volume/conditions.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Conditions, Score } from '../../../src/rules/model.js';
import type { SenderFields } from '../../../src/sending/events.js';
import { summary } from '../../support/days.js';
import { SENDER, TODAY, learn, moment } from '../../support/moments.js';

const from = (more: Partial<SenderFields>): Partial<ConditionContext> => ({ sender: { ...SENDER, ...more } });
const pending = (day: number, more: Partial<ClosedDay> = {}): Partial<ConditionContext> => {
  const { subject: _, ...closed } = summary(day, more);
  return { pending: [closed] };
};

/** What a condition says, and if it does not hold. */
const CASES: readonly (readonly [
  what: string,
  conditions: Conditions,
  more: Partial<ConditionContext>,
  expected: readonly string[] | undefined,
])[] = [
  ['a network that is known', { newIp: true }, {}, undefined],
  ['one beside it', { newIp: true }, from({ ip: '192.0.2.250' }), undefined],
  ['one that is new', { newIp: true }, from({ ip: '192.0.3.7' }), ['network 192.0.3.7 never seen before']],
  ['another address of a known /48', { newIp: true }, from({ ip: '2001:db8:1:ffff::9' }), undefined],
  [
    'another /48',
    { newIp: true },
    from({ ip: '2001:db8:2:2::9' }),
    ['network 2001:db8:2:2::/64 never seen before'],
  ],
  ['a mapped address', { newIp: true }, from({ ip: '::ffff:192.0.2.9' }), undefined],
  ['no address', { newIp: true }, from({ ip: '' }), undefined],
  ['nobody who sent', { newIp: true, newEhlo: true }, { sender: undefined }, undefined],
  [
    'a network that nobody has used for 391 days',
    { newIp: true },
    {
      ...from({ ip: '203.0.113.1' }),
      profile: learn(summary(TODAY - 391, { networks: ['203.0.113.1'] }), summary(TODAY - 1)),
    },
    ['network 203.0.113.1 never seen before'],
  ],
  [
    'one that was used 390 days ago',
    { newIp: true },
    {
      ...from({ ip: '203.0.113.1' }),
      profile: learn(summary(TODAY - 390, { networks: ['203.0.113.1'] }), summary(TODAY - 1)),
    },
    undefined,
  ],
  [
    'a new network of who is being learnt',
    { newIp: true },
    { ...from({ ip: '192.0.3.7' }), learnt: false },
    undefined,
  ],
  [
    'a network of a day that is not summarised',
    { newIp: true },
    { ...from({ ip: '192.0.3.7' }), ...pending(TODAY - 1, { networks: ['192.0.3.99'] }) },
    undefined,
  ],
  ['an EHLO name that is known, in other letters', { newEhlo: true }, {}, undefined],
  ['one that is new', { newEhlo: true }, from({ ehlo: 'Bot' }), ['EHLO name bot never seen before']],
  ['one that is no name', { newEhlo: true }, from({ ehlo: '..' }), ['EHLO name . never seen before']],
  ['none', { newEhlo: true }, from({ ehlo: '' }), undefined],
  ['a country that is known', { newCountry: true }, {}, undefined],
  ['one that is new', { newCountry: true }, from({ country: 'ZZ' }), ['country ZZ never seen before']],
  [
    'one of a day that is not summarised',
    { newCountry: true },
    { ...from({ country: 'ZZ' }), ...pending(TODAY - 1, { countries: ['ZZ'] }) },
    undefined,
  ],
  ['an operator that is known', { newAsn: true }, {}, undefined],
  ['one that is new', { newAsn: true }, from({ asn: 64501 }), ['autonomous system 64501 never seen before']],
  [
    'one of a day that is not summarised',
    { newAsn: true },
    { ...from({ asn: 64501 }), ...pending(TODAY - 1, { asns: [64501] }) },
    undefined,
  ],
  [
    'a network of who has shown enough EHLO names, but hardly any network',
    { newIp: true },
    { ...from({ ip: '192.0.3.7' }), isKnownOf: (kind) => kind === 'ehlos' },
    undefined,
  ],
  [
    'a name of who has hardly shown any',
    { newEhlo: true },
    { ...from({ ehlo: 'Bot' }), isKnownOf: () => false },
    undefined,
  ],
  [
    'one of who has shown enough names, but hardly any network',
    { newEhlo: true },
    { ...from({ ehlo: 'Bot' }), isKnownOf: (kind) => kind === 'ehlos' },
    ['EHLO name bot never seen before'],
  ],
  [
    'a country since nobody knows when',
    { newCountry: true },
    { ...from({ country: 'ZZ' }), isKnownOf: () => false },
    undefined,
  ],
  ['an operator likewise', { newAsn: true }, { ...from({ asn: 64501 }), isKnownOf: () => false }, undefined],
  ['a stranger', { firstSeenWithin: 7 * DAY }, { profile: NO_PROFILE }, ['first seen today']],
  [
    'who was first seen yesterday, which is not summarised',
    { firstSeenWithin: 7 * DAY },
    { profile: NO_PROFILE, ...pending(TODAY - 1) },
    ['first seen 24h ago'],
  ],
  ['who was first seen just so long ago', { firstSeenWithin: 40 * DAY }, {}, ['first seen 40d ago']],
  ['who was first seen before', { firstSeenWithin: 39 * DAY }, {}, undefined],
  ['who was silent for so many whole days', { dormantFor: 34 * DAY }, {}, ['silent for 34d before today']],
  ['who was not silent for so long', { dormantFor: 35 * DAY }, {}, undefined],
  ['who sent yesterday, which is not summarised', { dormantFor: DAY }, pending(TODAY - 1), undefined],
  [
    'whose only sign of life was a bounce',
    { dormantFor: 34 * DAY },
    pending(TODAY - 1, { messages: 0, bounces: 3 }),
    ['silent for 34d before today'],
  ],
  ['a stranger, who was never silent', { dormantFor: DAY }, { profile: NO_PROFILE }, undefined],
  ['who is known', { learning: false }, {}, []],
  ['who is known', { learning: true }, {}, undefined],
  ['who is being learnt', { learning: true }, { learnt: false }, ['still being learnt']],
  ['who is being learnt', { learning: false }, { learnt: false }, undefined],
  ['the tenth day', { installedWithin: 10 * DAY }, { watchedFor: 10 * DAY - 1 }, []],
  ['the eleventh', { installedWithin: 10 * DAY }, { watchedFor: 10 * DAY }, undefined],
  ['the tenth day', { installedFor: 10 * DAY }, { watchedFor: 10 * DAY - 1 }, undefined],
  ['the eleventh', { installedFor: 10 * DAY }, { watchedFor: 10 * DAY }, []],
  ['more different networks', { distinct: { networks: 3 } }, { distinct: () => 4 }, ['4 different networks']],
  ['as many as there may be', { distinct: { networks: 4 } }, { distinct: () => 4 }, undefined],
  [
    'too many of two kinds',
    { distinct: { returnPaths: 2, recipientDomains: 5 } },
    { distinct: (kind) => (kind === 'returnPaths' ? 3 : 6) },
    ['3 different return paths and 6 different recipient domains'],
  ],
  [
    'too many of one kind of two',
    { distinct: { ehlos: 2, recipientDomains: 6 } },
    { distinct: (kind) => (kind === 'ehlos' ? 3 : 6) },
    undefined,
  ],
  [
    'a share that is high',
    { share: { of: 'refusedRecipients', above: 0.3, least: 20 } },
    { share: () => ({ failed: 31, tried: 100 }) },
    ['31 of 100 recipients were refused'],
  ],
  [
    'a share that is as high as it may be',
    { share: { of: 'refusedRecipients', above: 0.3, least: 20 } },
    { share: () => ({ failed: 30, tried: 100 }) },
    undefined,
  ],
  [
    'a share of too few',
    { share: { of: 'bounces', above: 0.3, least: 20 } },
    { share: () => ({ failed: 19, tried: 19 }) },
    undefined,
  ],
  [
    'bounces of all',
    { share: { of: 'bounces', above: 0.3, least: 20 } },
    { share: () => ({ failed: 20, tried: 20 }) },
    ['20 of 20 recipients bounced'],
  ],
];

describe('a condition', () => {
  for (const [what, conditions, more, expected] of CASES) {
    test(`${JSON.stringify(conditions)}: ${what}`, () => {
      assert.deepEqual(metConditions(conditions, moment(more)), expected);
    });
  }

  test('asks each kind of different ones for its own number', () => {
    const asked: string[] = [];
    const distinct = (kind: string): number => asked.push(kind) + 9;
    metConditions(
      { distinct: { networks: 1, ehlos: 1, returnPaths: 1, recipientDomains: 1 } },
      moment({ distinct }),
    );
    assert.deepEqual(asked, ['networks', 'ehlos', 'returnPaths', 'recipientDomains']);
  });

  test('is one of all that must hold', () => {
    const both: Conditions = { newEhlo: true, learning: false, newIp: true };
    const strange = moment(from({ ip: '192.0.3.7', ehlo: 'bot' }));
    assert.deepEqual(metConditions(both, strange), [
      'EHLO name bot never seen before',
      'network 192.0.3.7 never seen before',
    ]);
    assert.equal(metConditions(both, moment(from({ ip: '192.0.3.7' }))), undefined);
  });
});

describe('quiet hours', () => {
  const at = (hour: number, minute = 0): Partial<ConditionContext> => ({
    at: TODAY * DAY + hour * HOUR + minute * MINUTE,
  });
  const quiet = (
    quietHours: Conditions['quietHours'],
    more: Partial<ConditionContext>,
  ): readonly string[] | undefined => metConditions({ quietHours: quietHours! }, moment(more));

  test('that are fixed begin with their first minute and end before their last', () => {
    const lunch = { kind: 'fixed', from: 12 * 60, to: 13 * 60 + 30, zone: 'UTC' } as const;
    assert.equal(quiet(lunch, at(11, 59)), undefined);
    assert.deepEqual(quiet(lunch, at(12)), ['in the quiet hours 12:00-13:30 UTC']);
    assert.deepEqual(quiet(lunch, at(13, 29)), ['in the quiet hours 12:00-13:30 UTC']);
    assert.equal(quiet(lunch, at(13, 30)), undefined);
  });

  test('may go on after midnight', () => {
    const night = { kind: 'fixed', from: 22 * 60, to: 6 * 60 + 5, zone: 'UTC' } as const;
    assert.deepEqual(
      [21, 22, 23, 0, 3, 6, 7].map((hour) => quiet(night, at(hour)) !== undefined),
      [false, true, true, true, true, true, false],
    );
    assert.deepEqual(quiet(night, at(3)), ['in the quiet hours 22:00-06:05 UTC']);
  });

  test('go by the clocks of a zone, summer and winter', () => {
    const night = { kind: 'fixed', from: 22 * 60, to: 6 * 60, zone: 'Europe/Berlin' } as const;
    // 20:30 UTC is 21:30 in winter and 22:30 in summer.
    const winter = Date.UTC(2026, 0, 15, 20, 30);
    const summer = Date.UTC(2026, 6, 15, 20, 30);
    assert.equal(quiet(night, { at: winter }), undefined);
    assert.deepEqual(quiet(night, { at: summer }), ['in the quiet hours 22:00-06:00 Europe/Berlin']);
    const kathmandu = { kind: 'fixed', from: 15, to: 16, zone: 'Asia/Kathmandu' } as const;
    assert.ok(quiet(kathmandu, { at: Date.UTC(2026, 0, 15, 18, 30) }) !== undefined, '00:15 there');
  });

  test('hold also of who is being learnt', () => {
    const all = { kind: 'fixed', from: 0, to: 1439, zone: 'UTC' } as const;
    assert.ok(quiet(all, { ...at(10), learnt: false }) !== undefined);
  });

  test('that are unusual are those in which it sent in no week', () => {
    const unusual = { kind: 'unusual' } as const;
    assert.deepEqual(quiet(unusual, at(3)), ['at an hour (3:00 UTC) in which it never sent in 2 weeks']);
    for (const hour of [8, 9, 17]) assert.equal(quiet(unusual, at(hour, 59)), undefined);
    assert.equal(quiet(unusual, { ...at(3), learnt: false }), undefined);
    assert.equal(quiet(unusual, { ...at(3), profile: NO_PROFILE }), undefined);
  });
});

describe('a score', () => {
  const score = (threshold: number, ...points: readonly number[]): Score => ({
    threshold,
    signals: [
      { points: points[0]!, newIp: true },
      { points: points[1]!, newEhlo: true, newCountry: true },
      { points: points[2]!, learning: false },
    ],
  });
  const strange = moment(from({ ip: '192.0.3.7', ehlo: 'bot', country: 'ZZ' }));

  test('adds up what holds, and tells of each', () => {
    assert.deepEqual(scoreOf(score(6, 1, 2, 3), strange), [
      'network 192.0.3.7 never seen before (1)',
      'EHLO name bot never seen before and country ZZ never seen before (2)',
      'as always (3)',
      '6 points of 6 needed',
    ]);
  });

  test('leaves out signals of which not all holds', () => {
    const half = moment(from({ ip: '192.0.3.7', ehlo: 'bot' }));
    assert.deepEqual(scoreOf(score(4, 1, 2, 3), half), [
      'network 192.0.3.7 never seen before (1)',
      'as always (3)',
      '4 points of 4 needed',
    ]);
    assert.equal(scoreOf(score(5, 1, 2, 3), half), undefined);
  });

  test('tells what could not be called new, if it is reached without', () => {
    const known = (...kinds: readonly string[]): ConditionContext => ({
      ...strange,
      isKnownOf: (kind) => kinds.includes(kind),
    });
    assert.deepEqual(scoreOf(score(4, 1, 2, 3), known('networks', 'ehlos')), [
      'network 192.0.3.7 never seen before (1)',
      'as always (3)',
      'too little is known of its countries yet',
      '4 points of 4 needed',
    ]);
    assert.deepEqual(scoreOf(score(3, 1, 2, 3), known()), [
      'as always (3)',
      'too little is known of its networks yet',
      'too little is known of its EHLO names yet',
      'too little is known of its countries yet',
      '3 points of 3 needed',
    ]);
    assert.equal(scoreOf(score(4, 1, 2, 3), known()), undefined);
    const plain = { ...moment({ sender: { direction: 'outbound' } }), isKnownOf: () => false };
    assert.deepEqual(scoreOf(score(3, 1, 2, 3), plain), ['as always (3)', '3 points of 3 needed']);
  });

  test('is exact in tenths', () => {
    assert.ok(scoreOf(score(0.8, 0.7, 1, 0.1), moment(from({ ip: '192.0.3.7' }))) !== undefined);
    assert.equal(
      scoreOf(score(0.8, 0.7, 1, 0.1), moment(from({ ip: '192.0.3.7' })))?.at(-1),
      '0.8 points of 0.8 needed',
    );
  });
});
