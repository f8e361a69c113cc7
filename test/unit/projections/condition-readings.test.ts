import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { NO_PROFILE } from '../../../projections/baselines/profile.js';
import { metConditions, readConditions, scoreOf } from '../../../projections/volume/conditions.js';
import type { ConditionContext, ConditionReading } from '../../../projections/volume/conditions.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { pointsOf } from '../../../src/rules/model.js';
import type { Conditions, Score } from '../../../src/rules/model.js';
import { summary } from '../../support/days.js';
import { KNOWN, TODAY, learn, moment } from '../../support/moments.js';

const YOUNG = { learnt: false } as const;
const NIGHT = { kind: 'fixed', from: 22 * 60, to: 6 * 60, zone: 'Europe/Berlin' } as const;

/** The conditions of a rule, the sender, and why the rule cannot trip, or what it needs. */
const CASES: readonly (readonly [
  conditions: Conditions,
  more: Partial<ConditionContext>,
  notNow: string | undefined,
  ...besides: string[],
])[] = [
  [{ learning: true }, {}, 'asks for a sender that is still being learnt: it is known'],
  [{ learning: true }, YOUNG, undefined],
  [{ learning: false }, {}, undefined],
  [{ learning: false }, YOUNG, 'asks for a sender that is known: it is still being learnt'],
  [{ installedWithin: 10 * DAY }, {}, 'asks for less than 10d of watching: Stopgap has watched for 60d'],
  [{ installedWithin: 61 * DAY }, {}, undefined],
  [
    { installedFor: 10 * DAY },
    { watchedFor: 5 * HOUR + 59_000 },
    'asks for 10d of watching: Stopgap has watched for 5h',
  ],
  [
    { installedFor: 10 * DAY },
    { watchedFor: MINUTE - 1 },
    'asks for 10d of watching: Stopgap has watched for less than a minute',
  ],
  [
    { installedFor: 10 * DAY },
    { watchedFor: 2 * MINUTE - 1 },
    'asks for 10d of watching: Stopgap has watched for 1m',
  ],
  [{ installedFor: 10 * DAY }, {}, undefined],
  [{ firstSeenWithin: 7 * DAY }, {}, 'asks for a sender first seen within 7d: it was 40 days ago'],
  [{ firstSeenWithin: 40 * DAY }, {}, undefined],
  [{ firstSeenWithin: DAY }, { profile: NO_PROFILE }, undefined],
  [{ dormantFor: 30 * DAY }, {}, undefined],
  [
    { dormantFor: 30 * DAY },
    { profile: learn(summary(TODAY - 2)) },
    'asks for 30d of silence before today: it was silent for one day',
  ],
  [
    { dormantFor: 30 * DAY },
    { profile: NO_PROFILE },
    'asks for 30d of silence before today: it has not sent on any day before',
  ],
  [{ quietHours: NIGHT }, {}, 'asks for the hours 22:00-06:00 Europe/Berlin: it is none of them now'],
  [{ quietHours: NIGHT }, { at: TODAY * DAY + 2 * HOUR }, undefined],
  [{ quietHours: { kind: 'unusual' } }, {}, undefined],
  [
    { quietHours: { kind: 'unusual' } },
    { at: TODAY * DAY + 9 * HOUR },
    'asks for an hour in which it never sends: it sent at 9:00 UTC in 1 of 2 weeks',
  ],
  [
    { quietHours: { kind: 'unusual' } },
    YOUNG,
    'asks for an hour in which it never sends: it is still being learnt',
  ],
  [
    { quietHours: { kind: 'unusual' } },
    { profile: learn(summary(TODAY - 200)) },
    'asks for an hour in which it never sends: it has not sent for half a year',
  ],
  [{ newIp: true }, {}, undefined, 'a network never seen before'],
  [{ newEhlo: true }, {}, undefined, 'an EHLO name never seen before'],
  [{ newCountry: true }, {}, undefined, 'a country never seen before'],
  [{ newAsn: true }, {}, undefined, 'an autonomous system never seen before'],
  [{ newIp: true }, YOUNG, 'asks for a network never seen before: it is still being learnt'],
  [
    { newCountry: true },
    { isKnownOf: (kind) => kind !== 'countries' },
    'asks for a country never seen before: too little is known of its countries yet',
  ],
  [
    { distinct: { networks: 4, ehlos: 2 } },
    { distinct: (kind) => (kind === 'networks' ? 1 : 0) },
    undefined,
    'more than 4 different networks (1 now) and more than 2 different EHLO names (0 now)',
  ],
  [
    { share: { of: 'refusedRecipients', above: 0.075, least: 20 } },
    { share: () => ({ failed: 3, tried: 40 }) },
    undefined,
    'at least 20 refused recipients, more than 7.5 % of all recipients (3 of 40 now)',
  ],
  [
    { share: { of: 'bounces', above: 0.3, least: 5 } },
    {},
    undefined,
    'at least 5 bounces, more than 30 % of all recipients (0 of 0 now)',
  ],
  [
    { learning: false, newIp: true, newEhlo: true },
    {},
    undefined,
    'a network never seen before',
    'an EHLO name never seen before',
  ],
  [
    { learning: true, installedWithin: 10 * DAY, newIp: true },
    {},
    'asks for a sender that is still being learnt: it is known; asks for less than 10d of watching: Stopgap has watched for 60d',
  ],
];

const expected = (notNow: string | undefined, besides: readonly string[]): ConditionReading =>
  notNow === undefined ? { besides } : { notNow, besides: [] };

describe('what a rule asks for, before there is a message', () => {
  for (const [when, more, notNow, ...besides] of CASES) {
    test(`${JSON.stringify(when)}: ${notNow ?? (besides.join(', ') || 'nothing')}`, () => {
      assert.deepEqual(
        readConditions({ when }, moment({ ...more, sender: undefined })),
        expected(notNow, besides),
      );
    });
  }

  test('is nothing if it asks for nothing', () => {
    assert.deepEqual(readConditions({}, moment()), { besides: [] });
  });
});

describe('what a score asks for', () => {
  const score = (threshold: number): Score => ({
    threshold,
    signals: [
      { points: 1, newIp: true },
      { points: 1, newEhlo: true, learning: false },
      { points: 1, dormantFor: 30 * DAY },
    ],
  });
  const of = (threshold: number, more: Partial<ConditionContext> = {}): ConditionReading =>
    readConditions({ score: score(threshold) }, moment({ ...more, sender: undefined }));
  const awake = { profile: learn(summary(TODAY - 1)) };

  test('are points of the signals that can hold, those that do among them', () => {
    assert.deepEqual(of(2), {
      besides: [
        '2 points of a network never seen before (1), an EHLO name never seen before (1), silent for 34d before today (1)',
      ],
    });
    assert.deepEqual(of(2, awake), {
      besides: ['2 points of a network never seen before (1), an EHLO name never seen before (1)'],
    });
  });

  test('is nothing more if it has come together by itself', () => {
    assert.deepEqual(of(1), { besides: [] });
    assert.deepEqual(of(1, awake), {
      besides: ['1 point of a network never seen before (1), an EHLO name never seen before (1)'],
    });
  });

  test('cannot come together where too many signals cannot hold, and why', () => {
    assert.deepEqual(of(3, awake), {
      notNow:
        'asks for 3 points, and 2 can come together now: not 30d of silence before today (it was silent for 0 days)',
      besides: [],
    });
    assert.deepEqual(
      of(2, { ...awake, isKnownOf: (kind) => kind === 'ehlos' }).notNow,
      [
        'asks for 2 points, and 1 can come together now: not a network never seen before (too little is known of its networks yet)',
        'nor 30d of silence before today (it was silent for 0 days)',
      ].join(', '),
    );
  });

  test('comes after what the rule asks for as a whole', () => {
    const when = { learning: true } as const;
    assert.deepEqual(
      readConditions({ when, score: score(3) }, moment({ ...YOUNG, sender: undefined })).notNow,
      [
        'asks for 3 points, and 1 can come together now: not a network never seen before (it is still being learnt)',
        'nor an EHLO name never seen before (it is still being learnt)',
        'nor a sender that is known (it is still being learnt)',
      ].join(', '),
    );
    assert.deepEqual(readConditions({ when, score: score(2) }, moment({ sender: undefined })), {
      notNow: 'asks for a sender that is still being learnt: it is known',
      besides: [],
    });
  });
});

describe('what is said before a message', () => {
  const span = fc.constantFrom(DAY, 7 * DAY, 34 * DAY, 35 * DAY, 60 * DAY, 90 * DAY);
  const one: fc.Arbitrary<Conditions> = fc.oneof(
    fc.constantFrom<Conditions>({ newIp: true }, { newEhlo: true }, { newCountry: true }, { newAsn: true }),
    span.map((firstSeenWithin) => ({ firstSeenWithin })),
    span.map((dormantFor) => ({ dormantFor })),
    fc.boolean().map((learning) => ({ learning })),
    span.map((installedWithin) => ({ installedWithin })),
    span.map((installedFor) => ({ installedFor })),
    fc.constantFrom<Conditions>({ quietHours: { kind: 'unusual' } }, { quietHours: NIGHT }),
    fc.constantFrom({ networks: 2 }, { ehlos: 3, recipientDomains: 1 }).map((distinct) => ({ distinct })),
    fc.constant<Conditions>({ share: { of: 'bounces', above: 0.3, least: 5 } }),
  );
  const conditions = fc
    .array(one, { minLength: 1, maxLength: 3 })
    .map((parts) => parts.reduce<Conditions>((all, part) => ({ ...all, ...part }), {}));
  const rules = fc.record(
    {
      when: conditions,
      score: fc
        .record({
          wanted: fc.integer({ min: 1, max: 4 }),
          signals: fc.array(
            fc
              .tuple(conditions, fc.integer({ min: 1, max: 2 }))
              .map(([each, points]) => ({ ...each, points })),
            { minLength: 1, maxLength: 3 },
          ),
        })
        // A threshold that all signals together do not reach is refused.
        .map(({ wanted, signals }) => ({ threshold: Math.min(wanted, pointsOf(signals)), signals })),
    },
    { requiredKeys: [] },
  );
  const moments = fc
    .record({
      at: fc.nat(23).map((hour) => TODAY * DAY + hour * HOUR),
      profile: fc.constantFrom(KNOWN, NO_PROFILE, learn(summary(TODAY - 1)), learn(summary(TODAY - 200))),
      learnt: fc.boolean(),
      watchedFor: fc.nat(100).map((each) => each * DAY),
      known: fc.subarray(['networks', 'ehlos', 'countries', 'asns'] as const),
    })
    .map(({ known, ...each }) =>
      moment({ ...each, isKnownOf: (kind) => known.includes(kind), sender: undefined }),
    );
  /** Strange in every way, and as much of it as any rule could ask for. */
  const STRANGE: Partial<ConditionContext> = {
    sender: { direction: 'outbound', ip: '203.0.113.9', ehlo: 'bot', country: 'ZZ', asn: 7 },
    distinct: () => 9,
    share: () => ({ failed: 9, tried: 9 }),
  };
  const trips = ({ when, score }: { when?: Conditions; score?: Score }, at: ConditionContext): boolean =>
    (when === undefined || metConditions(when, at) !== undefined) &&
    (score === undefined || scoreOf(score, at) !== undefined);

  test('holds for any message: what cannot trip does not, and what can does with the strangest one', () => {
    const seen = { trips: 0, not: 0, asked: 0 };
    fc.assert(
      fc.property(rules, moments, (rule, now) => {
        const { notNow, besides } = readConditions(rule, now);
        assert.equal(trips(rule, { ...now, ...STRANGE }), notNow === undefined);
        // If nothing is asked for, the dullest one does as well.
        if (notNow === undefined && besides.length === 0) assert.ok(trips(rule, now));
        if (notNow === undefined && besides.length > 0) assert.ok(!trips(rule, now));
        seen[notNow !== undefined ? 'not' : besides.length > 0 ? 'asked' : 'trips']++;
      }),
      { numRuns: 2000 },
    );
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 50, `only ${count} ${what}`);
  });
});
