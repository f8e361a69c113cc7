import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decide, stateOf } from '../../../src/blocks/decide.js';
import type { BlockFact, BlockImposed } from '../../../src/blocks/events.js';
import { EXPIRY } from '../../../src/blocks/events.js';
import { activeBlock, effectsOf, pendingProposal } from '../../../src/blocks/state.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Direction } from '../../../src/sending/subjects.js';
import { ALICE, T0, at, evidence, given, recorded, standing, terms } from '../../support/given.js';
import {
  act,
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

/*
 * Two writers did not see each other, and the store took what both decided. The later event means what its writer would
 * have decided, had it seen the earlier one.
 */

const NOW = T0 + MINUTE;
const FIRST = imposed({ until: T0 + HOUR });
const SECOND = imposed({ block: 'b2', until: T0 + 2 * HOUR, direction: 'inbound' });
const release = (block: string) => ({ kind: 'release', block, falsePositive: false, now: NOW }) as const;
const active = (facts: readonly BlockFact[]) => activeBlock(standing(facts), NOW);

describe('what time alone has ended', () => {
  const readAs = (facts: readonly BlockFact[], last: BlockFact): unknown[] => {
    const event = recorded([last], 1000)[0]!;
    return effectsOf(standing(facts), event).map(({ type, by }) => [type, by]);
  };

  test('is nobody’s doing, also where an older version signed it with the name of the person who decided next', () => {
    const unsigned = (fact: BlockFact): BlockFact => ({ ...fact, by: 'admin:me' });
    assert.deepEqual(readAs([FIRST], unsigned(expired(T0 + HOUR))), [['BlockExpired', EXPIRY]]);
    assert.deepEqual(readAs([proposed()], unsigned(lapsed(T0 + HOUR))), [['ProposalLapsed', EXPIRY]]);
  });

  test('is nobody’s doing where it is only seen from what came next', () => {
    const next = at(T0 + 48 * HOUR, imposed({ block: 'b9', until: null }));
    const expected = (type: string) => [
      [type, EXPIRY],
      ['BlockImposed', 'system:test'],
    ];
    assert.deepEqual(readAs([FIRST], next), expected('BlockExpired'));
    assert.deepEqual(readAs([proposed()], next), expected('ProposalLapsed'));
  });
});

describe('two blocks imposed on one subject at once', () => {
  test('are one, which ends later and refuses in both directions', () => {
    const block = active([FIRST, SECOND]);
    assert.deepEqual([block?.id, block?.until, block?.direction], ['b1', T0 + 2 * HOUR, 'all']);
  });

  test('are one that an earlier end of the second does not weaken', () => {
    const block = active([imposed({ until: null }), SECOND]);
    assert.deepEqual([block?.until, block?.direction], [null, 'all']);
  });

  for (const id of ['b1', 'b2']) {
    test(`are over once ${id} is released`, () => {
      const data = { block: 'b1', falsePositive: false, subject: ALICE };
      given([FIRST, SECOND])
        .when(release(id))
        .then([{ type: 'BlockReleased', data }]);
      assert.equal(
        active([FIRST, SECOND, { type: 'BlockReleased', data: { ...data, block: id } }]),
        undefined,
      );
    });

    test(`are over once ${id} has expired, and then its timer finds nothing to do`, () => {
      const over = [FIRST, SECOND, expired(T0 + 2 * HOUR, id)];
      assert.equal(active(over), undefined);
      for (const block of ['b1', 'b2'])
        given(over)
          .when({ kind: 'expire', block, now: T0 + 3 * HOUR })
          .then([]);
    });

    test(`end late, whichever timer rings; that of ${id} does nothing before`, () => {
      const ring = (now: number) => given([FIRST, SECOND]).when({ kind: 'expire', block: id, now });
      ring(T0 + HOUR).then([]);
      ring(T0 + 2 * HOUR).then([expired(T0 + 2 * HOUR)]);
    });

    test(`can both be changed as ${id}`, () => {
      given([FIRST, SECOND])
        .when({ kind: 'change', block: id, span: { until: T0 + 3 * HOUR }, now: NOW })
        .then([extended(T0 + 3 * HOUR, { direction: 'all' })]);
    });

    test(`tell by ${id} what has become of both`, () => {
      const stateIn = (facts: readonly BlockFact[]) => stateOf(standing(facts), id, NOW);
      assert.equal(stateIn([FIRST, SECOND]), 'active');
      assert.equal(stateIn([FIRST, SECOND, released()]), 'released');
      given([FIRST, SECOND, released()]).when(release(id)).thenError('conflict', 'released');
    });
  }

  test('count once for escalation', () => {
    const facts = [imposedByRule(), imposedByRule({ block: 'b2' })];
    assert.equal(standing(facts).strikes.length, 1);
  });

  test('are refused the next one: it makes the one in force stronger', () => {
    given([FIRST, SECOND])
      .when(act({ terms: { ...terms(), duration: null } }))
      .then([extended(null, { direction: 'all', evidence: evidence({ lastAt: T0 + MINUTE }) })]);
  });

  test('of which the first ended before the second began are two', () => {
    const facts = [imposed({ until: T0 + MINUTE }), at(T0 + HOUR, imposed({ block: 'b2', until: null }))];
    const now = standing(facts);
    assert.deepEqual([now.block?.id, [...now.ended]], ['b2', [['b1', 'expired']]]);
  });
});

describe('a block whose end was changed after a second one came', () => {
  test('is not weakened by a writer that extended the first alone', () => {
    const block = active([FIRST, SECOND, extended(T0 + HOUR + MINUTE)]);
    assert.deepEqual([block?.until, block?.direction], [T0 + 2 * HOUR, 'all']);
  });

  test('is shortened for a person who asks for it, by either id', () => {
    assert.equal(active([FIRST, SECOND, byPerson(shortened(NOW + 1))])?.until, NOW + 1);
    const second = byPerson({ type: 'BlockShortened', data: { block: 'b2', until: NOW + 1 } });
    assert.equal(active([FIRST, SECOND, second])?.until, NOW + 1);
  });
});

describe('a rule that did not see what somebody else had just made of a block', () => {
  const ofArriving = imposedByRule({ direction: 'inbound', until: T0 + 8 * HOUR });

  test('shortens it to the end that a person has asked for, and no further', () => {
    const asked = byPerson(extended(T0 + 6 * HOUR, { direction: 'inbound' }));
    const [until, later] = [T0 + 10 * HOUR, byPerson(extended(T0 + 10 * HOUR, { direction: 'inbound' }))];
    assert.equal(active([ofArriving, shortened(T0 + HOUR)])?.until, T0 + HOUR);
    assert.equal(active([ofArriving, later, shortened(T0 + HOUR)])?.until, until);
    const renewed = extended(T0 + 9 * HOUR, { direction: 'inbound' });
    const shorter = imposedByRule({ direction: 'inbound', until: T0 + 2 * HOUR });
    assert.equal(active([shorter, asked, renewed, shortened(T0 + HOUR)])?.until, T0 + 6 * HOUR);
  });

  test('shortens none that refuses what the sender submits by now', () => {
    const forBoth = byPerson(extended(T0 + 8 * HOUR, { direction: 'all' }));
    assert.equal(active([ofArriving, forBoth, shortened(T0 + HOUR)])?.until, T0 + 8 * HOUR);
    const byRule = extended(T0 + 8 * HOUR, { direction: 'all' });
    assert.equal(active([ofArriving, byRule, shortened(T0 + HOUR)])?.until, T0 + 8 * HOUR);
  });

  test('makes nobody who sends wait longer for the mail that has arrived under that name', () => {
    const flood = extended(T0 + 20 * HOUR, { direction: 'inbound' });
    assert.equal(active([FIRST, flood])?.until, T0 + HOUR);
    const block = active([FIRST, imposedByRule({ block: 'b2', direction: 'inbound', until: null })]);
    assert.deepEqual([block?.until, block?.direction], [T0 + HOUR, 'all']);
    assert.equal(active([FIRST, byPerson(flood)])?.until, T0 + 20 * HOUR);
  });
});

describe('a block that a rule imposed while another process proposed one', () => {
  const directionOf = (waiting: Direction, asked: Direction, more: Partial<BlockImposed> = {}) =>
    active([proposed({ direction: waiting }), imposedByRule({ block: 'b2', direction: asked, ...more })])
      ?.direction;

  test('refuses what was proposed too, unless forged mail would have that of those who send refused', () => {
    assert.equal(directionOf('inbound', 'outbound'), 'all');
    assert.equal(directionOf('outbound', 'inbound'), 'inbound');
    assert.equal(directionOf('inbound', 'outbound', { block: 'p1' }), 'outbound', 'its writer knew of it');
    assert.equal(
      directionOf('inbound', 'outbound', { origin: 'admin' }),
      'outbound',
      'a person asked for it',
    );
  });
});

describe('two proposals made at once', () => {
  const TWO = [
    proposed({ duration: 2 * HOUR, description: 'long', rule: 'day' }),
    proposed({ block: 'p2', direction: 'inbound', lapsesAt: T0 + 48 * HOUR }),
  ];

  test('are one, with the terms of the longer one', () => {
    const { id, duration, direction, lapsesAt, description, rule } = pendingProposal(standing(TWO), NOW)!;
    assert.deepEqual([id, duration, direction], ['p1', 2 * HOUR, 'all']);
    assert.deepEqual([lapsesAt, description, rule], [T0 + 48 * HOUR, 'long', 'day']);
  });

  for (const block of ['p1', 'p2']) {
    test(`can be approved as ${block}`, () => {
      const facts = given(TWO).when({ kind: 'approve', block, now: NOW }).facts();
      const [approval, imposition] = facts;
      assert.deepEqual(approval, { type: 'ProposalApproved', data: { block: 'p1' } });
      assert.deepEqual(
        [imposition?.type, imposition?.data],
        ['BlockImposed', { ...(imposition?.data as object), block: 'p1', until: NOW + 2 * HOUR }],
      );
      const after = standing([...TWO, ...facts]);
      assert.deepEqual([after.block?.id, after.proposal], ['p1', undefined]);
    });

    test(`can be dismissed as ${block}`, () => {
      const facts = given(TWO).when({ kind: 'dismiss', block, now: NOW }).facts();
      const after = standing([...TWO, ...facts]);
      assert.deepEqual([...after.ended], [['p1', 'dismissed']]);
      assert.equal(stateOf(after, 'p2', NOW), 'dismissed');
    });
  }
});

describe('a proposal and a block made at once', () => {
  test('are one block, whichever came first', () => {
    const later = standing([proposed(), imposed({ until: null })]);
    assert.deepEqual([later.block?.id, later.block?.until, later.proposal], ['p1', null, undefined]);
    assert.equal(stateOf(later, 'b1', NOW), 'active');
    const earlier = standing([imposed(), proposed()]);
    assert.deepEqual([earlier.block?.id, earlier.proposal], ['b1', undefined]);
    assert.equal(stateOf(earlier, 'p1', NOW), 'active');
  });

  test('leave nothing to approve', () => {
    given([imposed(), proposed()])
      .when({ kind: 'approve', block: 'p1', now: NOW })
      .thenError('conflict', 'active');
  });

  test('are let go together', () => {
    assert.equal(active([imposed(), proposed(), released()]), undefined);
    const facts = [proposed(), imposed()];
    assert.equal(active([...facts, ...decide(release('b1'), standing(facts))]), undefined);
  });
});

describe('what has ended', () => {
  test('does not come back by what somebody else decided meanwhile', () => {
    for (const late of [FIRST, extended(null), proposed({ block: 'b1' })]) {
      const after = standing([FIRST, released(), late]);
      assert.deepEqual(
        [after.block, after.proposal, [...after.ended]],
        [undefined, undefined, [['b1', 'released']]],
      );
    }
    const dismissal = standing([proposed(), dismissed, approved, imposedByRule({ block: 'p1' })]);
    assert.deepEqual([dismissal.block, [...dismissal.ended]], [undefined, [['p1', 'dismissed']]]);
  });

  test('stays ended in one way', () => {
    const after = standing([FIRST, SECOND, released(), expired(T0 + 2 * HOUR, 'b2')]);
    assert.deepEqual([...after.ended], [['b1', 'released']]);
  });
});

describe('two exemptions granted at once', () => {
  test('leave the later one in force, which can be revoked', () => {
    const grant = (exemption: string): BlockFact => ({
      type: 'ExemptionGranted',
      data: { exemption, subject: ALICE, until: null, reason: exemption },
    });
    given([grant('x1'), grant('x2')])
      .when({ kind: 'revoke', exemption: 'x2', now: NOW })
      .then([{ type: 'ExemptionRevoked', data: { exemption: 'x2' } }]);
    given([grant('x1'), grant('x2')])
      .when({ kind: 'revoke', exemption: 'x1', now: NOW })
      .thenError('not-found');
  });
});
