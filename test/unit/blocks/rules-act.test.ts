import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Act, At } from '../../../src/blocks/commands.js';
import type { BlockFact } from '../../../src/blocks/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Direction } from '../../../src/sending/subjects.js';
import { ALICE, T0, at, evidence, given, terms } from '../../support/given.js';
import {
  act,
  byPerson,
  dismissed,
  expired,
  extended,
  imposed,
  imposedByRule,
  lapsed,
  proposed,
  released,
  shortened,
} from './facts.js';

const NOW = T0 + MINUTE;
const proof = evidence({ lastAt: NOW });
const NETWORK = { type: 'ip', value: '198.51.100.9' } as const;
const EARLIER = evidence({ rule: 'flood', firstPosition: 1, lastPosition: 5 });
const byRule = (more: object = {}) =>
  imposedByRule({ block: 'new', until: NOW + HOUR, evidence: proof, ...more });

describe('a rule that blocks', () => {
  test('imposes a block that runs from now', () => {
    given([]).when(act()).then([byRule()]);
  });

  test('imposes an indefinite block if it says so', () => {
    given([])
      .when(act({ terms: terms({ duration: null }) }))
      .then([byRule({ until: null })]);
  });

  test('takes over the proposal that waits: one case, one entry', () => {
    given([proposed()])
      .when(act())
      .then([byRule({ block: 'p1' })]);
  });

  test('takes over with a proposal that waits what that was about', () => {
    given([proposed({ direction: 'inbound' })])
      .when(act())
      .then([byRule({ block: 'p1', direction: 'all' })]);
    const subject = { type: 'ip', value: '198.51.100.9' } as const;
    given([proposed({ subject })])
      .when(act({ subject, terms: terms({ direction: 'inbound' }) }))
      .then([byRule({ block: 'p1', subject, direction: 'all' })]);
  });

  test('refuses no sent mail for what others may have sent, and records that nothing answers its proposal any more', () => {
    const old = evidence({ rule: 'day', firstPosition: 1, lastPosition: 5 });
    for (const direction of ['outbound', 'all'] as const)
      given([proposed({ direction, rule: 'day', evidence: old })])
        .when(act({ terms: terms({ direction: 'inbound' }) }))
        .then([
          { type: 'RuleObserved', data: { subject: ALICE, action: 'propose', direction, evidence: old } },
          byRule({ block: 'p1', direction: 'inbound' }),
        ]);
  });

  test('begins again if the proposal has lapsed, and records that', () => {
    given([proposed({ lapsesAt: NOW })])
      .when(act())
      .then([lapsed(NOW), byRule()]);
  });

  test('records the expiry that nobody recorded, dated when it fell due', () => {
    given([imposed({ until: T0 + 1000 })])
      .when(act())
      .then([expired(T0 + 1000), byRule()]);
  });

  test('never shortens a stronger block', () => {
    given([imposed({ until: T0 + DAY })])
      .when(act())
      .then([]);
    given([imposed({ until: null })])
      .when(act())
      .then([]);
  });

  test('extends a weaker block by any actor', () => {
    given([imposed({ until: NOW + MINUTE })])
      .when(act())
      .then([extended(NOW + HOUR, { evidence: proof })]);
  });

  test('an indefinite rule outlasts any block', () => {
    given([imposed({ until: T0 + DAY })])
      .when(act({ terms: terms({ duration: null }) }))
      .then([extended(null, { evidence: proof })]);
  });

  test('extends from the send that tripped, not from when the verdict came to be heard', () => {
    given([imposed({ until: T0 + 10 * MINUTE })])
      .when(act({ now: T0 + 5 * MINUTE, terms: terms({ duration: 8 * MINUTE }) }))
      .then([]);
  });

  test('directions unite, and the longer end stays', () => {
    given([imposed({ until: T0 + DAY, direction: 'inbound' })])
      .when(act())
      .then([extended(T0 + DAY, { direction: 'all', evidence: proof })]);
  });
});

describe('a rule that trips again under a block', () => {
  const until = T0 + 100 * HOUR;
  /** A trip whose block would end so much later than the one in force. */
  const later = (by: number, duration: number | null, block: object = {}) => {
    const now = until + by - (duration ?? 0);
    return given([imposedByRule({ until, ...block })])
      .when(act({ now, terms: terms({ duration }), evidence: evidence({ lastAt: now }) }))
      .facts()
      .map(({ data }) => 'until' in data && data.until);
  };

  test('extends it once its end is later by half an hour, or by a tenth of what the rule asks for if that is more', () => {
    for (const [duration, step] of [
      [HOUR, 30 * MINUTE],
      [4 * HOUR, 30 * MINUTE],
      [5 * HOUR, 30 * MINUTE],
      [DAY, 2.4 * HOUR],
    ] as const) {
      assert.deepEqual(later(step - 1, duration), []);
      assert.deepEqual(later(step, duration), [until + step]);
    }
  });

  test('extends a shorter one in its second half, so that it never ends between two trips', () => {
    assert.deepEqual(later(MINUTE / 2 - 1, MINUTE), []);
    assert.deepEqual(later(MINUTE / 2, MINUTE), [until + MINUTE / 2]);
  });

  test('extends it at once where the evidence names accounts: nothing is learnt of these', () => {
    const now = until - HOUR + 1;
    const fleet = evidence({ lastAt: now, accounts: ['bob@example.net'] });
    given([imposedByRule({ until })])
      .when(act({ now, evidence: fleet }))
      .then([extended(until + 1, { evidence: fleet })]);
  });

  test('does not put off an earlier end that a person set after the trip, unless it asks for more than rules had given', () => {
    const facts = [imposedByRule({ until: T0 + HOUR }), byPerson(shortened(T0 + 10 * MINUTE))];
    const asked = (lastPosition: number, duration: number) =>
      given(facts)
        .when(
          act({
            terms: terms({ duration }),
            evidence: evidence({ firstPosition: 12, lastPosition, lastAt: NOW }),
          }),
        )
        .facts()
        .map(({ data }) => 'until' in data && data.until);
    assert.deepEqual(asked(15, HOUR), []);
    assert.deepEqual(asked(15, DAY), [NOW + DAY]);
    assert.deepEqual(asked(25, HOUR), [NOW + HOUR]);
  });

  test('does not put off that end either where it widens the block, unless the block did not stop what tripped', () => {
    const old = evidence({ rule: 'flood', firstPosition: 12, lastPosition: 19 });
    const cases = [
      ['outbound', HOUR, T0 + 10 * MINUTE],
      ['outbound', 2 * HOUR, T0 + 2 * HOUR],
      ['inbound', HOUR, NOW + HOUR],
    ] as const;
    for (const [direction, duration, until] of cases)
      given([imposedByRule({ direction, until: T0 + HOUR }), byPerson(shortened(T0 + 10 * MINUTE))])
        .when(act({ terms: terms({ duration, direction: 'all' }), evidence: old }))
        .then([extended(until, { direction: 'all', evidence: old })]);
  });

  test('makes it indefinite at once, and leaves an indefinite one as it is', () => {
    assert.deepEqual(later(-HOUR, null), [null]);
    assert.deepEqual(later(DAY, HOUR, { until: null }), []);
  });

  test('widens it at once, and then its end is the later one', () => {
    const now = until - HOUR + 1;
    given([imposedByRule({ until, direction: 'inbound', subject: NETWORK })])
      .when(act({ now, subject: NETWORK, evidence: evidence({ lastAt: now }) }))
      .then([extended(until + 1, { direction: 'all', evidence: evidence({ lastAt: now }) })]);
  });

  test('leaves it to a person to extend it by as little as they like', () => {
    given([imposedByRule({ until })])
      .when({ kind: 'change', block: 'b1', span: { until: until + 1 }, now: NOW })
      .then([extended(until + 1)]);
  });
});

describe('mail that arrives, by anybody who gives a name', () => {
  const arriving = (duration: number | null) => act({ terms: terms({ direction: 'inbound', duration }) });

  test('is refused too, but makes those who send wait no longer', () => {
    given([imposedByRule({ until: T0 + DAY })])
      .when(arriving(null))
      .then([extended(T0 + DAY, { direction: 'all', evidence: proof })]);
    given([imposedByRule({ until: T0 + DAY, direction: 'all' })])
      .when(arriving(null))
      .then([]);
  });

  test('has brought about a block that those who send do not inherit', () => {
    given([imposedByRule({ until: T0 + DAY, direction: 'inbound', rule: 'flood' })])
      .when(act())
      .then([
        { type: 'BlockShortened', data: { block: 'b1', until: NOW + HOUR } },
        extended(NOW + HOUR, { direction: 'all', evidence: proof }),
      ]);
    given([imposedByRule({ until: NOW + MINUTE, direction: 'inbound', rule: 'flood' })])
      .when(act())
      .then([extended(NOW + HOUR, { direction: 'all', evidence: proof })]);
    given([imposedByRule({ until: T0 + DAY, direction: 'inbound', rule: 'flood' })])
      .when(act({ terms: terms({ duration: null }) }))
      .then([extended(null, { direction: 'all', evidence: proof })]);
  });

  test('has brought about a block that ends no earlier than one of its own would, however late its sends were reported', () => {
    given([imposedByRule({ until: T0 + DAY, direction: 'inbound', rule: 'flood' })])
      .when(act({ evidence: { ...proof, lastAt: NOW - 2 * HOUR } }))
      .then([
        shortened(NOW + HOUR),
        extended(NOW + HOUR, { direction: 'all', evidence: { ...proof, lastAt: NOW - 2 * HOUR } }),
      ]);
  });

  test('has brought about no end that a person set: a rule shortens none of these', () => {
    const flood = imposedByRule({ until: T0 + DAY, direction: 'inbound', rule: 'flood' });
    const person = { by: 'admin:alice' };
    const approval: BlockFact = { type: 'ProposalApproved', data: { block: 'b1' } };
    const ends: readonly (readonly [readonly BlockFact[], number | null])[] = [
      [[flood, { ...extended(null, { direction: 'inbound' }), ...person }], null],
      [[flood, { ...shortened(T0 + 5 * HOUR), ...person }], T0 + 5 * HOUR],
      [[proposed({ block: 'b1', direction: 'inbound' }), approval, { ...flood, ...person }], T0 + DAY],
      [[imposed({ until: T0 + 2 * HOUR, direction: 'inbound' })], T0 + 2 * HOUR],
    ];
    for (const [facts, until] of ends)
      given(facts)
        .when(act())
        .then([extended(until, { direction: 'all', evidence: proof })]);
  });

  test('has brought about what is more than a person asked for: only that is taken back', () => {
    const byFlood = {
      ...extended(T0 + DAY, { direction: 'inbound', evidence: EARLIER }),
      by: 'rule:flood@1',
    };
    given([imposed({ until: T0 + 2 * HOUR, direction: 'inbound' }), byFlood])
      .when(act())
      .then([
        { type: 'BlockShortened', data: { block: 'b1', until: T0 + 2 * HOUR } },
        extended(T0 + 2 * HOUR, { direction: 'all', evidence: proof }),
      ]);
    const edited = { ...extended(T0 + DAY, { direction: 'inbound', refusal: 'defer' }), by: 'admin:alice' };
    given([imposedByRule({ until: T0 + DAY, direction: 'inbound' }), edited])
      .when(act())
      .then([shortened(NOW + HOUR), extended(NOW + HOUR, { direction: 'all', evidence: proof })]);
  });

  test('comes from an IP address that nobody can forge: its block keeps its end', () => {
    const subject = { type: 'ip', value: '198.51.100.9' } as const;
    given([imposedByRule({ subject, until: T0 + DAY, direction: 'inbound', rule: 'flood' })])
      .when(act({ subject, terms: terms({ direction: 'all' }) }))
      .then([extended(T0 + DAY, { direction: 'all', evidence: proof })]);
  });

  test('escalates its own blocks, and none of those who send', () => {
    const escalate = { factor: 4, max: 12 * HOUR, forget: 30 * DAY };
    const earlier = [
      imposedByRule({ direction: 'inbound', evidence: evidence({ firstPosition: 1, lastPosition: 2 }) }),
      expired(T0),
    ];
    given(earlier)
      .when(act({ terms: terms({ escalate }) }))
      .then([byRule({ until: NOW + HOUR })]);
    given(earlier)
      .when(act({ terms: terms({ escalate, direction: 'inbound' }) }))
      .then([byRule({ until: NOW + 4 * HOUR, direction: 'inbound' })]);
  });
});

describe('escalation', () => {
  const escalate = { factor: 4, max: 12 * HOUR, forget: 30 * DAY };
  const strike = (number: number, rule = 'burst') => {
    const position = number * 2;
    const block = `b${number}`;
    return [
      imposedByRule({ block, rule, evidence: evidence({ rule, firstPosition: 1, lastPosition: position }) }),
      expired(T0, block),
    ];
  };
  const ends = (facts: Parameters<typeof given>[0], until: number, more: object = {}) =>
    given(facts)
      .when(act({ terms: terms({ escalate }), ...more }))
      .then([byRule({ until })]);

  test('the first block lasts as long as the rule says', () => ends([], NOW + HOUR));
  test('each earlier one multiplies it', () => {
    ends(strike(1), NOW + 4 * HOUR);
  });
  test('up to the most', () => {
    ends([...strike(1), ...strike(2)], NOW + 12 * HOUR);
    ends([...strike(1), ...strike(2), ...strike(3)], NOW + 12 * HOUR);
  });
  test('another rule’s blocks do not count', () => ends(strike(1, 'other'), NOW + HOUR));
  test('an administrator’s own block is no strike', () => ends([imposed(), expired(T0)], NOW + HOUR));
  test('what is old is forgotten, just when it is that old', () => {
    const old = (age: number) => [at(NOW - age, imposedByRule()), expired(T0)];
    ends(old(30 * DAY), NOW + HOUR);
    ends(old(30 * DAY - 1), NOW + 4 * HOUR);
  });
  test('a released block is a strike; one that was a false positive is none', () => {
    const more = { evidence: proof };
    ends([imposedByRule(), released(false)], NOW + 4 * HOUR, more);
    ends([imposedByRule(), released(true)], NOW + HOUR, more);
  });
  test('a proposal that a person approved is a strike', () => {
    given([
      proposed(),
      { type: 'ProposalApproved', data: { block: 'p1' } },
      imposedByRule({ block: 'p1' }),
      expired(T0, 'p1'),
    ])
      .when(act({ terms: terms({ escalate }) }))
      .then([byRule({ until: NOW + 4 * HOUR })]);
  });
  test('the block in force is the same incident, no earlier one', () => {
    given([imposedByRule({ until: NOW + MINUTE })])
      .when(act({ terms: terms({ escalate }) }))
      .then([extended(NOW + HOUR, { evidence: proof })]);
  });
  test('proposals escalate too', () => {
    given(strike(1))
      .when(act({ action: 'propose', terms: terms({ escalate }) }))
      .then([proposed({ block: 'new', duration: 4 * HOUR, lapsesAt: NOW + DAY, evidence: proof })]);
  });
});

describe('a rule that proposes', () => {
  const propose = (more: object = {}) => act({ action: 'propose', ...more });
  const fresh = (more: object = {}) =>
    proposed({ block: 'new', lapsesAt: NOW + DAY, evidence: proof, ...more });

  test('proposes', () => given([]).when(propose()).then([fresh()]));
  test('holds back if a block contains the subject already', () => {
    given([imposed()]).when(propose()).then([]);
  });
  test('proposes nothing under a block of the other direction, and records that it tripped', () => {
    const asked = (direction: Direction) => propose({ terms: terms({ direction }) });
    const unanswered = (direction: Direction): BlockFact => ({
      type: 'RuleObserved',
      data: { subject: ALICE, action: 'propose', direction, evidence: proof },
    });
    const cases: readonly (readonly [block: Direction, rule: Direction, isContained: boolean])[] = [
      ['inbound', 'outbound', false],
      // Of mail of both directions, what arrives trips a rule of inbound mail.
      ['inbound', 'all', false],
      ['inbound', 'inbound', true],
      ['outbound', 'inbound', false],
      ['outbound', 'all', true],
      ['all', 'inbound', true],
    ];
    for (const [direction, rule, isContained] of cases)
      given([imposed({ direction })])
        .when(asked(rule))
        .then(isContained ? [] : [unanswered(rule)]);
    given([imposed({ direction: 'inbound' }), unanswered('outbound')])
      .when(asked('outbound'))
      .then([]);
  });
  test('proposes again once the block is over or the proposal has lapsed', () => {
    given([imposed({ until: NOW })])
      .when(propose())
      .then([expired(NOW), fresh()]);
    given([proposed({ lapsesAt: NOW })])
      .when(propose())
      .then([lapsed(NOW), fresh()]);
  });
  test('adds nothing to a proposal that is as strong', () => {
    given([proposed()]).when(propose()).then([]);
    given([proposed({ duration: null })])
      .when(propose())
      .then([]);
  });
  test('strengthens the one that waits, under its id', () => {
    given([proposed({ duration: MINUTE })])
      .when(propose())
      .then([fresh({ block: 'p1', lapsesAt: T0 + DAY + MINUTE })]);
  });
  test('a shorter one that looks the other way widens it and leaves the rest as it is', () => {
    const waiting = { duration: DAY, refusal: 'honest', rule: 'day', description: 'a day' } as const;
    given([proposed(waiting)])
      .when(propose({ terms: terms({ direction: 'inbound' }) }))
      .then([fresh({ ...waiting, block: 'p1', direction: 'all', lapsesAt: NOW + DAY })]);
  });
  test('never brings the lapse forward', () => {
    given([proposed({ duration: MINUTE, lapsesAt: T0 + 9 * DAY })])
      .when(propose())
      .then([fresh({ block: 'p1', lapsesAt: T0 + 9 * DAY })]);
  });
});

describe('evidence that is stale', () => {
  const cases = (name: string, facts: Parameters<typeof given>[0], first: number, last: number) => {
    test(name, () => {
      const seen = (firstPosition: number, lastPosition: number) =>
        evidence({ firstPosition, lastPosition, lastAt: NOW });
      const block = (firstPosition: number, lastPosition: number) =>
        given(facts)
          .when(act({ evidence: seen(firstPosition, lastPosition), now: NOW }))
          .facts();
      if (block(first, last).length > 0) throw new Error('the stale evidence was acted upon');
      if (block(first + 1, last + 1).length === 0) throw new Error('fresh evidence was not acted upon');
    });
  };

  cases('was judged by a release (position 20)', [imposedByRule(), released()], 20, 40);
  cases('was judged by a dismissal (position 20)', [proposed(), dismissed], 20, 40);
  const handled = evidence({ firstPosition: 1, lastPosition: 300 });
  cases(
    'was acted upon by a block',
    [imposedByRule({ evidence: handled, until: T0 }), expired(T0)],
    100,
    300,
  );
  cases(
    'was acted upon by an extension',
    [imposed({ until: T0 + 1 }), extended(T0, { evidence: handled })],
    100,
    300,
  );
  cases(
    'was answered by an exemption',
    [
      {
        type: 'ExemptionApplied',
        data: { exemption: 'x', reason: 'list', action: 'block', evidence: handled },
      },
    ],
    100,
    300,
  );
  cases(
    'was observed',
    [{ type: 'RuleObserved', data: { subject: ALICE, action: 'observe', evidence: handled } }],
    100,
    300,
  );
  cases('was contained by a block that ran out (position 20)', [imposed(), expired(T0)], 5, 20);

  const END = T0 + 30_000;
  const trippedAt = (lastAt: number, more: Partial<At<Act>> = {}) =>
    act({ evidence: evidence({ rule: 'day', lastAt }), ...more });
  const typesAfter = (facts: readonly BlockFact[], command: At<Act>) =>
    given(facts)
      .when(command)
      .facts()
      .map(({ type }) => type);

  test('was contained by a block that is over, though nobody has recorded its end', () => {
    const brief = { terms: terms({ duration: 30_000 }) };
    const cases = [
      { facts: [imposedByRule({ until: END })], at: T0 + 1000, lastPosition: 200 },
      // Before the person did so.
      { facts: [imposedByRule({ until: T0 + DAY }), byPerson(shortened(END))], at: END - 1, lastPosition: 1 },
    ];
    for (const { facts, at, lastPosition } of cases) {
      const old = evidence({ rule: 'day', lastAt: at, firstPosition: 1, lastPosition });
      const { subject, now } = trippedAt(at);
      for (const action of ['block', 'propose'] as const)
        given(facts)
          .when(act({ evidence: old, action, ...brief }))
          .then([]);
      given(facts).when({ kind: 'observe', subject, action: 'block', evidence: old, now }).then([]);
      assert.deepEqual(typesAfter(facts, trippedAt(END)), ['BlockExpired', 'BlockImposed']);
    }
    const arriving = [imposed({ direction: 'inbound', until: END })];
    assert.deepEqual(typesAfter(arriving, trippedAt(END - 1)), ['BlockExpired', 'BlockImposed']);
  });

  test('asked for more than a block that is over, and was never carried out', () => {
    const facts = [imposedByRule({ until: END })];
    for (const duration of [30_000, HOUR, null])
      assert.deepEqual(typesAfter(facts, trippedAt(END - 1, { terms: terms({ duration }) })), [
        'BlockExpired',
        'BlockImposed',
      ]);
  });

  test('asked for a longer block than a proposal that is over', () => {
    const facts = [proposed({ lapsesAt: END })];
    const longer = trippedAt(END - 1, { action: 'propose', terms: terms({ duration: null }) });
    assert.deepEqual(typesAfter(facts, longer), ['ProposalLapsed', 'BlockProposed']);
  });

  test('could only propose, and the proposal that stood then is over, though nobody has recorded that', () => {
    const facts = [proposed({ lapsesAt: END })];
    assert.deepEqual(typesAfter(facts, trippedAt(END - 1, { action: 'propose' })), []);
    assert.deepEqual(typesAfter(facts, trippedAt(END, { action: 'propose' })), [
      'ProposalLapsed',
      'BlockProposed',
    ]);
    assert.deepEqual(typesAfter(facts, trippedAt(END - 1)), ['ProposalLapsed', 'BlockImposed']);
  });

  test('was contained by no block of the other direction that ran out', () => {
    const before = evidence({ firstPosition: 5, lastPosition: 15 });
    given([imposed({ direction: 'inbound' }), expired(T0)])
      .when(act({ evidence: before }))
      .then([byRule({ evidence: before })]);
    given([imposed({ direction: 'inbound' }), expired(T0)])
      .when(act({ evidence: before, terms: terms({ direction: 'inbound' }) }))
      .then([]);
  });

  test('could only propose, and the proposal that stood then has lapsed (position 20)', () => {
    const facts = [proposed({ evidence: evidence({ lastPosition: 5 }), lapsesAt: T0 }), lapsed(T0)];
    const other = evidence({ rule: 'day', lastPosition: 20 });
    given(facts)
      .when(act({ action: 'propose', evidence: other }))
      .then([]);
    given(facts)
      .when(act({ action: 'block', evidence: other }))
      .then([byRule({ rule: 'day', evidence: other })]);
  });

  test('another rule’s evidence is its own', () => {
    const day = evidence({ rule: 'day', lastPosition: 200 });
    given([imposedByRule({ evidence: evidence({ lastPosition: 300 }), until: NOW + MINUTE })])
      .when(act({ evidence: day }))
      .then([extended(T0 + HOUR, { evidence: day })]);
  });
});

describe('an exemption', () => {
  const granted = (until: number | null) =>
    ({ type: 'ExemptionGranted', data: { exemption: 'x', subject: ALICE, until, reason: 'list' } }) as const;
  const spared = {
    type: 'ExemptionApplied',
    data: { exemption: 'x', reason: 'list', action: 'block', evidence: proof },
  };

  test('spares the subject, and is shown where it did', () => {
    given([granted(null)])
      .when(act())
      .then([spared as never]);
    given([granted(NOW + 1)])
      .when(act())
      .then([spared as never]);
  });
  test('that is over spares nobody', () => {
    given([granted(NOW)])
      .when(act())
      .then([byRule()]);
  });
  test('from elsewhere spares too', () => {
    given([])
      .when(act({ exemptedBy: { id: 'built-in', reason: 'postmaster' } }))
      .then([
        {
          type: 'ExemptionApplied',
          data: { exemption: 'built-in', reason: 'postmaster', action: 'block', evidence: proof },
        },
      ]);
  });
});

describe('a rule that observes', () => {
  const observe = { kind: 'observe', subject: ALICE, action: 'block', evidence: proof, now: NOW } as const;
  test('records what it saw, once', () => {
    const fact = {
      type: 'RuleObserved',
      data: { subject: ALICE, action: 'block', evidence: proof },
    } as const;
    given([]).when(observe).then([fact]);
    given([fact]).when(observe).then([]);
  });
});

describe('renewal', () => {
  const LATE = T0 + 40 * MINUTE;
  const tries = evidence({ lastAt: LATE });
  const trying = imposedByRule({ renewWhileTrying: true });
  const renew = { kind: 'renew', duration: HOUR, direction: 'outbound', evidence: tries, now: LATE } as const;
  test('keeps the block up while attempts go on', () => {
    given([trying])
      .when(renew)
      .then([extended(LATE + HOUR, { evidence: tries })]);
  });
  test('extends it by a tenth of what the rule asks for or more: the attempts before that need no event', () => {
    const renewed = (pause: number) =>
      given([trying])
        .when({ ...renew, now: T0 + pause, evidence: evidence({ lastAt: T0 + pause }) })
        .facts().length;
    assert.deepEqual([6 * MINUTE - 1, 6 * MINUTE].map(renewed), [0, 1]);
  });
  test('leaves alone a block that does not ask for it, or is another rule’s', () => {
    given([imposedByRule()]).when(renew).then([]);
    given([imposedByRule({ renewWhileTrying: true, rule: 'day' })])
      .when(renew)
      .then([]);
  });
  test('by mail that arrives keeps up no block of those who send', () => {
    const arriving = { ...renew, direction: 'inbound' } as const;
    for (const direction of ['outbound', 'all'] as const)
      given([imposedByRule({ renewWhileTrying: true, direction })])
        .when(arriving)
        .then([]);
    given([imposedByRule({ renewWhileTrying: true, direction: 'inbound' })])
      .when(arriving)
      .then([extended(LATE + HOUR, { direction: 'inbound', evidence: tries })]);
  });
  test('is kept back by an exemption: the block ends when it was to end', () => {
    const exempt = { id: 'x1', reason: 'a weekly list' };
    const applied = (exemption: string): BlockFact => ({
      type: 'ExemptionApplied',
      data: { exemption, reason: 'a weekly list', action: 'block', evidence: tries },
    });
    given([trying])
      .when({ ...renew, exemptedBy: exempt })
      .then([applied('x1')]);
    const granted: BlockFact = {
      type: 'ExemptionGranted',
      data: { exemption: 'x2', subject: ALICE, until: null, reason: 'a weekly list' },
    };
    given([trying, granted])
      .when(renew)
      .then([applied('x2')]);
    given([imposedByRule()])
      .when({ ...renew, exemptedBy: exempt })
      .then([]);
  });
  test('does not put off an earlier end that a person has set', () => {
    const sooner = shortened(T0 + 50 * MINUTE);
    given([trying, byPerson(sooner)])
      .when(renew)
      .then([]);
    for (const back of [
      [sooner, extended(T0 + HOUR)],
      [extended(T0 + DAY), shortened(T0 + HOUR)],
    ])
      given([trying, ...back.map(byPerson)])
        .when(renew)
        .then([extended(LATE + HOUR, { evidence: tries })]);
    const arriving = imposedByRule({ renewWhileTrying: true, direction: 'inbound' });
    given([arriving, sooner])
      .when({ ...renew, direction: 'inbound' })
      .then([extended(LATE + HOUR, { direction: 'inbound', evidence: tries })]);
  });
  test('does not put off that end either once another rule has added to the block', () => {
    const sooner = byPerson(shortened(T0 + 50 * MINUTE));
    const widened = extended(T0 + 50 * MINUTE, { direction: 'all', evidence: EARLIER });
    given([trying, sooner, widened]).when(renew).then([]);
    const longer = extended(T0 + 55 * MINUTE, { direction: 'all', evidence: EARLIER });
    given([trying, sooner, longer])
      .when(renew)
      .then([extended(LATE + HOUR, { direction: 'all', evidence: tries })]);
  });
  test('does not put off the end that an approval has given, which is sooner than what was proposed', () => {
    for (const [until, renewed] of [
      [T0 + 50 * MINUTE, []],
      [T0 + HOUR, [extended(LATE + HOUR, { evidence: tries })]],
      [T0 + HOUR + 1, [extended(LATE + HOUR, { evidence: tries })]],
    ] as const)
      given([proposed(), byPerson(imposedByRule({ block: 'p1', until, renewWhileTrying: true }))])
        .when(renew)
        .then(renewed.map((fact) => ({ ...fact, data: { ...fact.data, block: 'p1' } })) as BlockFact[]);
  });
  test('cannot bring back a block that is over', () => {
    given([imposedByRule({ renewWhileTrying: true, until: LATE })])
      .when(renew)
      .then([]);
    given([]).when(renew).then([]);
  });
  test('never shortens', () => {
    given([imposedByRule({ renewWhileTrying: true, until: T0 + DAY })])
      .when(renew)
      .then([]);
  });
  test('uses evidence once', () => {
    given([trying, extended(LATE + 1, { evidence: tries })])
      .when(renew)
      .then([]);
  });
});

describe('a rule whose sender has gone on far beyond its limit', () => {
  test('makes the proposal that waits a block, under the id of the proposal', () => {
    given([proposed()])
      .when(act({ onlyPending: true }))
      .then([byRule({ block: 'p1' })]);
  });

  test('does nothing if no proposal waits, or the one that did has lapsed', () => {
    given([])
      .when(act({ onlyPending: true }))
      .then([]);
    given([proposed({ lapsesAt: NOW })])
      .when(act({ onlyPending: true }))
      .then([]);
  });

  test('does nothing if a block is in force: it was contained when the rule tripped', () => {
    given([imposed({ until: NOW + MINUTE })])
      .when(act({ onlyPending: true }))
      .then([]);
  });

  test('widens a block of the other direction, which stood in the way of a proposal', () => {
    const other = imposed({ until: T0 + DAY, direction: 'inbound' });
    given([other])
      .when(act({ onlyPending: true }))
      .then([extended(T0 + DAY, { direction: 'all', evidence: proof })]);
    given([other])
      .when(act({ onlyPending: true, action: 'propose' }))
      .then([]);
  });

  test('does nothing to a sender whose proposal a person has dismissed, or who is exempt', () => {
    given([proposed(), dismissed])
      .when(act({ onlyPending: true }))
      .then([]);
    given([])
      .when(act({ onlyPending: true, exemptedBy: { id: 'e1', reason: 'a newsletter' } }))
      .then([]);
  });
});
