import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BlockFact, BlockProposed } from '../../../src/blocks/events.js';
import { activeBlock, isOver } from '../../../src/blocks/state.js';
import { stateOf } from '../../../src/blocks/decide.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { ALICE, T0, evidence, given, standing } from '../../support/given.js';
import {
  ATTEMPTS,
  ATTEMPTS_OF_0_2,
  approved,
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

describe('imposing', () => {
  const command = {
    kind: 'impose',
    subject: ALICE,
    direction: 'outbound',
    description: 'by hand',
    refusal: 'soft',
    until: NOW + HOUR,
    newId: 'new',
    now: NOW,
  } as const;
  const fresh = (more: object = {}) => imposed({ block: 'new', until: NOW + HOUR, ...more });

  test('a new block', () => given([]).when(command).then([fresh()]));
  test('an indefinite one', () => {
    given([])
      .when({ ...command, until: null })
      .then([fresh({ until: null })]);
  });
  test('takes over the proposal that waits', () => {
    given([proposed()])
      .when(command)
      .then([fresh({ block: 'p1' })]);
  });
  test('records what fell due before', () => {
    given([imposed({ until: T0 })])
      .when(command)
      .then([expired(T0), fresh()]);
    given([proposed({ lapsesAt: T0 })])
      .when(command)
      .then([lapsed(T0), fresh()]);
  });
  test('a longer one extends the block in force', () => {
    given([imposed({ until: NOW + 1 })])
      .when(command)
      .then([extended(NOW + HOUR)]);
  });
  test('an indefinite one outlasts the block in force', () => {
    given([imposed()])
      .when({ ...command, until: null })
      .then([extended(null)]);
  });
  test('one with another description or refusal changes those of the block in force', () => {
    const there = imposed({ until: NOW + HOUR });
    const asked = { description: 'phished', refusal: 'honest' } as const;
    given([there])
      .when({ ...command, ...asked })
      .then([extended(NOW + HOUR, asked)]);
    const { block } = standing([there, extended(NOW + HOUR, asked)]);
    assert.deepEqual([block?.description, block?.refusal], ['phished', 'honest']);
  });
  test('one that says nothing of description and refusal leaves those of the block in force', () => {
    const { description: _, refusal: __, ...bare } = command;
    given([imposed({ until: NOW + 1, description: 'phished', refusal: 'defer' })])
      .when(bare)
      .then([extended(NOW + HOUR)]);
    given([])
      .when(bare)
      .then([fresh({ description: '', refusal: 'soft' })]);
  });
  test('the same again changes nothing, also if the ends lie a moment apart', () => {
    for (const later of [0, 1, MINUTE])
      given([imposed({ until: NOW + HOUR + later })])
        .when(command)
        .then([]);
  });
  test('one that was to end earlier is refused as a whole: half of it would not hold', () => {
    for (const until of [null, NOW + HOUR + MINUTE + 1])
      given([imposed({ until })])
        .when({ ...command, direction: 'all', description: 'phished' })
        .thenError('conflict', 'active');
  });
  test('takes the place of a proposal, and records what that was about if it is other mail', () => {
    const { evidence: proof } = proposed().data as BlockProposed;
    given([proposed()])
      .when({ ...command, direction: 'inbound' })
      .then([
        {
          type: 'RuleObserved',
          data: { subject: ALICE, action: 'propose', direction: 'outbound', evidence: proof },
        },
        fresh({ block: 'p1', direction: 'inbound' }),
      ]);
  });
  test('is told which mail the block refuses that ends later, if that is not what was asked for', () => {
    const told = (direction: 'inbound' | 'all'): string => {
      try {
        given([imposed({ until: null, direction })])
          .when({ ...command, direction: 'outbound' })
          .facts();
      } catch (error) {
        return (error as Error).message;
      }
      return 'nothing';
    };
    assert.match(
      told('inbound'),
      /^block b1 is in force until it is released, and refuses inbound mail only:/,
    );
    assert.match(told('all'), /^block b1 is in force until it is released, which is later:/);
  });
  test('a duration counts from the decision', () => {
    const { until: _, ...rest } = command;
    given([])
      .when({ ...rest, duration: HOUR, now: NOW + DAY })
      .then([fresh({ until: NOW + DAY + HOUR })]);
  });
  test('directions unite', () => {
    given([imposed({ until: null, direction: 'inbound' })])
      .when({ ...command, until: null })
      .then([extended(null, { direction: 'all' })]);
  });
  test('refuses a time that has passed', () => {
    given([])
      .when({ ...command, until: NOW })
      .thenError('invalid-input');
  });
  test('no exemption hinders a person', () => {
    given([{ type: 'ExemptionGranted', data: { exemption: 'x', subject: ALICE, until: null, reason: 'r' } }])
      .when(command)
      .then([fresh()]);
  });
});

describe('approving and dismissing', () => {
  const approve = { kind: 'approve', block: 'p1', now: NOW } as const;
  const dismiss = { kind: 'dismiss', block: 'p1', now: NOW } as const;
  const block = (more: object = {}) => imposedByRule({ block: 'p1', until: NOW + HOUR, ...more });

  test('the block runs from the approval', () => given([proposed()]).when(approve).then([approved, block()]));
  test('an indefinite proposal becomes an indefinite block', () => {
    given([proposed({ duration: null })])
      .when(approve)
      .then([approved, block({ until: null })]);
  });
  test('the block lasts as long as the approval says where it says so', () => {
    const said = (until: number | null): BlockFact => ({
      type: 'ProposalApproved',
      data: { block: 'p1', until },
    });
    for (const [span, until] of [
      [{ duration: DAY }, NOW + DAY],
      [{ until: NOW + MINUTE }, NOW + MINUTE],
      [{ until: null }, null],
    ] as const)
      given([proposed()])
        .when({ ...approve, span })
        .then([said(until), block({ until })]);
    given([proposed()])
      .when({ ...approve, span: { until: NOW } })
      .thenError('invalid-input');
  });
  test('a note is kept, an empty one is not', () => {
    given([proposed()])
      .when({ ...approve, note: 'seen' })
      .then([{ type: 'ProposalApproved', data: { block: 'p1', note: 'seen' } }, block()]);
    given([proposed()])
      .when({ ...dismiss, note: '' })
      .then([dismissed]);
  });
  test('dismisses', () => given([proposed()]).when(dismiss).then([dismissed]));
  test('a dismissal says that the rule was wrong if it does', () => {
    const data = { block: 'p1', falsePositive: true, subject: ALICE, rule: 'burst', note: 'newsletter' };
    given([proposed()])
      .when({ ...dismiss, falsePositive: true, note: 'newsletter' })
      .then([
        {
          type: 'ProposalDismissed',
          data: { ...data, evidence: evidence({ firstPosition: 1, lastPosition: 5 }) },
        },
      ]);
    given([proposed()])
      .when({ ...dismiss, falsePositive: false })
      .then([dismissed]);
  });
  for (const [name, facts, code, state] of [
    ['an unknown one', [], 'not-found', undefined],
    ['one dismissed', [proposed(), dismissed], 'conflict', 'dismissed'],
    ['one lapsed', [proposed(), lapsed(T0)], 'conflict', 'lapsed'],
    ['one whose lapse nobody recorded yet', [proposed({ lapsesAt: NOW })], 'conflict', 'lapsed'],
    ['one approved', [proposed(), approved, block()], 'conflict', 'active'],
    [
      'one whose block is released',
      [proposed(), block(), { type: 'BlockReleased', data: { block: 'p1', falsePositive: false } }],
      'conflict',
      'released',
    ],
    ['one whose block is over', [proposed(), block({ until: NOW })], 'conflict', 'expired'],
  ] as const satisfies readonly (readonly [
    string,
    readonly BlockFact[],
    'not-found' | 'conflict',
    string | undefined,
  ])[]) {
    test(`is impossible for ${name}`, () => {
      given(facts).when(approve).thenError(code, state);
      given(facts).when(dismiss).thenError(code, state);
    });
  }
});

describe('releasing and changing the end', () => {
  const release = { kind: 'release', block: 'b1', falsePositive: true, note: 'cleaned', now: NOW } as const;
  const change = (until: number | null) =>
    ({ kind: 'change', block: 'b1', span: { until }, now: NOW }) as const;

  test('releases, with who was right and why', () => {
    const data = { block: 'b1', falsePositive: true, subject: ALICE, note: 'cleaned' };
    given([imposed()])
      .when(release)
      .then([{ type: 'BlockReleased', data }]);
  });
  test('says what a release judges: the rule, and its newest evidence', () => {
    const data = { block: 'b1', falsePositive: true, subject: ALICE, rule: 'burst', note: 'cleaned' };
    const [first, newer] = [evidence({ firstPosition: 1, lastPosition: 5 }), evidence({ lastPosition: 300 })];
    given([imposedByRule({ until: NOW + HOUR })])
      .when(release)
      .then([{ type: 'BlockReleased', data: { ...data, evidence: first } }]);
    given([imposedByRule({ until: NOW + HOUR }), extended(NOW + 2 * HOUR, { evidence: newer })])
      .when(release)
      .then([{ type: 'BlockReleased', data: { ...data, evidence: newer } }]);
  });
  test('judges what was sent: refused attempts that prolonged the block since do not take its place', () => {
    const tripped = evidence({ firstPosition: 1, lastPosition: 5 });
    const data = { block: 'b1', falsePositive: true, subject: ALICE, rule: 'burst', note: 'cleaned' };
    for (const tried of [ATTEMPTS, ATTEMPTS_OF_0_2])
      given([imposedByRule({ until: NOW + HOUR }), extended(NOW + 2 * HOUR, { evidence: tried })])
        .when(release)
        .then([{ type: 'BlockReleased', data: { ...data, evidence: tripped } }]);
  });
  test('says what was withheld if the rule was wrong, and only then', () => {
    const data = { block: 'b1', subject: ALICE, note: 'cleaned' };
    for (const [falsePositive, withheld, more] of [
      [true, 59, { withheld: 59 }],
      [true, 0, {}],
      [false, 59, {}],
    ] as const) {
      given([imposed()])
        .when({ ...release, falsePositive, withheld })
        .then([{ type: 'BlockReleased', data: { ...data, falsePositive, ...more } }]);
    }
  });
  test('extends, shortens, makes indefinite and definite again', () => {
    given([imposed()])
      .when(change(T0 + DAY))
      .then([extended(T0 + DAY)]);
    given([imposed()])
      .when(change(null))
      .then([extended(null)]);
    given([imposed()])
      .when(change(NOW + 1))
      .then([shortened(NOW + 1)]);
    given([imposed({ until: null })])
      .when(change(NOW + 1))
      .then([shortened(NOW + 1)]);
  });
  test('the same end again changes nothing', () => {
    given([imposed()])
      .when(change(T0 + HOUR))
      .then([]);
    given([imposed({ until: null })])
      .when(change(null))
      .then([]);
  });
  test('refuses an end that has passed', () =>
    given([imposed()]).when(change(NOW)).thenError('invalid-input'));
  for (const [name, facts, code, state] of [
    ['an unknown one', [], 'not-found', undefined],
    ['one released', [imposed(), released()], 'conflict', 'released'],
    ['one expired', [imposed(), expired(T0)], 'conflict', 'expired'],
    ['one whose expiry nobody recorded yet', [imposed({ until: NOW })], 'conflict', 'expired'],
    ['one only proposed', [proposed({ block: 'b1' })], 'conflict', 'proposed'],
    [
      'one whose subject is blocked under another id',
      [imposed(), released(), imposed({ block: 'b2' })],
      'conflict',
      'released',
    ],
  ] as const satisfies readonly (readonly [
    string,
    readonly BlockFact[],
    'not-found' | 'conflict',
    string | undefined,
  ])[]) {
    test(`is impossible for ${name}`, () => {
      given(facts).when(release).thenError(code, state);
      given(facts)
        .when(change(T0 + DAY))
        .thenError(code, state);
    });
  }
});

describe('a change of what a block says', () => {
  const change = { kind: 'change', block: 'b1', now: NOW } as const;
  const blocked = imposed({ until: T0 + HOUR });

  test('leaves all that it does not name, the end included', () => {
    given([blocked])
      .when({ ...change, description: 'ticket 4711', note: 'as told' })
      .then([extended(T0 + HOUR, { description: 'ticket 4711', note: 'as told' })]);
    given([blocked])
      .when({ ...change, description: 'by hand', refusal: 'soft' })
      .then([]);
  });

  test('goes with an earlier end in one', () => {
    given([blocked])
      .when({ ...change, span: { until: NOW + MINUTE }, refusal: 'defer' })
      .then([shortened(NOW + MINUTE), extended(NOW + MINUTE, { refusal: 'defer' })]);
  });

  test('is no end that a person set', () => {
    const facts = [imposedByRule({ until: T0 + HOUR }), byPerson(extended(T0 + HOUR, { refusal: 'defer' }))];
    assert.equal(standing(facts).block?.asked, undefined);
  });
});

describe('the timers’ commands', () => {
  const expire = (now: number, block = 'b1') => ({ kind: 'expire', block, now }) as const;
  const lapse = (now: number, block = 'p1') => ({ kind: 'lapse', block, now }) as const;

  test('expiry is dated when it fell due, however late it comes', () => {
    given([imposed()])
      .when(expire(T0 + HOUR))
      .then([expired(T0 + HOUR)]);
    given([imposed()])
      .when(expire(T0 + 9 * DAY))
      .then([expired(T0 + HOUR)]);
  });
  test('expiry is harmless early, twice, for strangers and for the indefinite', () => {
    given([imposed()])
      .when(expire(T0 + HOUR - 1))
      .then([]);
    given([imposed(), expired(T0 + HOUR)])
      .when(expire(T0 + HOUR))
      .then([]);
    given([imposed(), released()])
      .when(expire(T0 + HOUR))
      .then([]);
    given([imposed()])
      .when(expire(T0 + HOUR, 'b2'))
      .then([]);
    given([imposed({ until: null })])
      .when(expire(T0 + 999 * DAY))
      .then([]);
    given([]).when(expire(T0)).then([]);
  });
  test('expiry follows a changed end', () => {
    given([imposed(), extended(T0 + DAY)])
      .when(expire(T0 + HOUR))
      .then([]);
    given([imposed(), byPerson(shortened(T0 + MINUTE))])
      .when(expire(NOW))
      .then([expired(T0 + MINUTE)]);
  });
  test('a lapse is dated when it fell due', () => {
    given([proposed()])
      .when(lapse(T0 + 3 * DAY))
      .then([lapsed(T0 + DAY)]);
  });
  test('a lapse is harmless early, twice, and for what became a block', () => {
    given([proposed()])
      .when(lapse(T0 + DAY - 1))
      .then([]);
    given([proposed(), lapsed(T0 + DAY)])
      .when(lapse(T0 + DAY))
      .then([]);
    given([proposed(), dismissed])
      .when(lapse(T0 + DAY))
      .then([]);
    given([proposed(), approved, imposed({ block: 'p1' })])
      .when(lapse(T0 + DAY))
      .then([]);
  });
});

describe('exemptions', () => {
  const grant = {
    kind: 'grant',
    subject: ALICE,
    until: NOW + DAY,
    reason: 'list',
    newId: 'x',
    now: NOW,
  } as const;
  const granted = (more: object = {}): BlockFact => ({
    type: 'ExemptionGranted',
    data: { exemption: 'x', subject: ALICE, until: NOW + DAY, reason: 'list', ...more },
  });
  const revoke = { kind: 'revoke', exemption: 'x', now: NOW } as const;

  test('is granted, once', () => {
    given([]).when(grant).then([granted()]);
    given([granted()])
      .when({ ...grant, newId: 'y' })
      .then([]);
  });
  test('is replaced by one that says something else, or once it is over', () => {
    given([granted()])
      .when({ ...grant, newId: 'y', reason: 'other' })
      .then([granted({ exemption: 'y', reason: 'other' })]);
    given([granted({ until: NOW })])
      .when(grant)
      .then([granted()]);
  });
  test('cannot end in the past', () =>
    given([])
      .when({ ...grant, until: NOW })
      .thenError('invalid-input'));
  test('dismisses the proposal that waits, and says why', () => {
    const proof = evidence({ firstPosition: 1, lastPosition: 5 });
    const judged = { subject: ALICE, rule: 'burst', evidence: proof };
    const gone: BlockFact = {
      type: 'ProposalDismissed',
      data: { block: 'p1', ...judged, note: 'exempt: list' },
    };
    given([proposed()]).when(grant).then([gone, granted()]);
    given([granted(), proposed()]).when(grant).then([gone]);
    given([proposed({ lapsesAt: NOW })])
      .when(grant)
      .then([granted()]);
  });
  test('leaves a block in force as it is', () => {
    given([imposed()]).when(grant).then([granted()]);
  });
  test('is revoked, once', () => {
    const gone: BlockFact = { type: 'ExemptionRevoked', data: { exemption: 'x' } };
    given([granted()]).when(revoke).then([gone]);
    given([granted(), gone]).when(revoke).thenError('not-found');
    given([granted({ until: NOW })])
      .when(revoke)
      .thenError('not-found');
    given([granted({ exemption: 'y' })])
      .when(revoke)
      .thenError('not-found');
  });
});

describe('folding', () => {
  test('an event of an unknown id leaves the standing as it is', () => {
    const before = [imposed(), proposed()];
    const strangers: readonly BlockFact[] = [
      { type: 'BlockReleased', data: { block: 'zz', falsePositive: true } },
      { type: 'BlockExpired', data: { block: 'zz', dueAt: T0 } },
      { type: 'BlockExtended', data: { block: 'zz', until: null, direction: 'all', evidence: evidence() } },
      { type: 'BlockShortened', data: { block: 'zz', until: T0 } },
      { type: 'ProposalDismissed', data: { block: 'zz' } },
      { type: 'ProposalLapsed', data: { block: 'zz' } },
      { type: 'ExemptionRevoked', data: { exemption: 'zz' } },
    ];
    for (const stranger of strangers) {
      assert.deepEqual(standing([...before, stranger]), standing(before), stranger.type);
    }
  });

  test('a block ends at its until, to the millisecond, even without a record', () => {
    const folded = standing([imposed()]);
    assert.equal(activeBlock(folded, T0 + HOUR - 1)?.id, 'b1');
    assert.equal(activeBlock(folded, T0 + HOUR), undefined);
    assert.equal(stateOf(folded, 'b1', T0 + HOUR), 'expired');
    assert.equal(stateOf(folded, 'zz', T0), undefined);
    assert.equal(isOver(null, Infinity), false);
  });
});
