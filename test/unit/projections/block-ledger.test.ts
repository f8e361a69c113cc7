import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BlockLedger, OBSERVATIONS_KEPT } from '../../../projections/blocks/block-ledger.js';
import type { Followed } from '../../../projections/blocks/block-entry.js';
import { blockView, blockViewAt, evidenceView } from '../../../src/api/block-view.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { T0, evidence } from '../../support/given.js';
import { blockEvent } from '../../support/sends.js';
import {
  ATTEMPTS,
  ATTEMPTS_OF_0_2,
  dismissed,
  expired,
  extended,
  imposed,
  imposedByRule,
  proposed,
  released,
} from '../blocks/facts.js';

const BOB = { type: 'account', value: 'bob@example.com' } as const;

/** What the ledger says that the last of these began right after. */
function followed(...facts: readonly (readonly [at: number, fact: BlockFact])[]): Followed | undefined {
  const ledger = new BlockLedger();
  facts.forEach(([at, fact], index) => ledger.apply(blockEvent(fact, at, index + 1) as BlockEvent));
  const restored = new BlockLedger();
  restored.restore(ledger.dump());
  const entries = (of: BlockLedger) => [...of.kept()].sort((a, b) => a.version - b.version);
  assert.deepEqual(entries(restored), entries(ledger));
  return entries(ledger).at(-1)!.follows;
}

test('of what rules only observed the newest are kept, also by a dump', () => {
  const ledger = new BlockLedger();
  const subject = BOB;
  for (let position = 1; position <= OBSERVATIONS_KEPT + 2; position++) {
    const data = { subject, action: 'propose', evidence: evidence() } as const;
    ledger.apply(blockEvent({ type: 'RuleObserved', data }, T0 + position, position) as BlockEvent);
  }
  const restored = new BlockLedger();
  restored.restore(ledger.dump());
  for (const { observed } of [ledger, restored]) {
    const newest = observed.newest();
    assert.deepEqual(
      [newest.length, newest[0]!.position, newest.at(-1)!.position],
      [OBSERVATIONS_KEPT, OBSERVATIONS_KEPT + 2, 3],
    );
    assert.deepEqual(newest[0], {
      position: OBSERVATIONS_KEPT + 2,
      at: T0 + OBSERVATIONS_KEPT + 2,
      subject,
      action: 'propose',
      evidence: evidence(),
    });
  }
});

test('observations of what strangers change as they please push none of an account out', () => {
  const ledger = new BlockLedger();
  const types = ['account', 'ip', 'ehlo'] as const;
  let position = 0;
  const observe = (type: (typeof types)[number], count: number): void => {
    for (let n = 0; n < count; n++) {
      const data = { subject: { type, value: `${n}` }, action: 'block', evidence: evidence() } as const;
      ledger.apply(blockEvent({ type: 'RuleObserved', data }, T0, ++position) as BlockEvent);
    }
  };
  observe('account', 100);
  observe('ip', 2 * OBSERVATIONS_KEPT);
  const restored = new BlockLedger();
  restored.restore(ledger.dump());
  for (const { observed } of [ledger, restored]) {
    const newest = observed.newest();
    const positions = newest.map((one) => one.position);
    assert.deepEqual(
      positions,
      positions.toSorted((a, b) => b - a),
    );
    const kept = types.map((type) => newest.filter(({ subject }) => subject.type === type).length);
    assert.deepEqual(kept, [100, OBSERVATIONS_KEPT - 100, 0]);
  }
  observe('ehlo', 2 * OBSERVATIONS_KEPT);
  observe('account', 2 * OBSERVATIONS_KEPT);
  const kept = types.map(
    (type) => ledger.observed.newest().filter(({ subject }) => subject.type === type).length,
  );
  assert.deepEqual(kept.toSorted(), [333, 333, 334]);
});

test('a block keeps the evidence that it rests upon where refused attempts prolong it, and its history tells these', () => {
  const tripped = evidence({ firstPosition: 1, lastPosition: 5 });
  for (const tried of [ATTEMPTS, ATTEMPTS_OF_0_2]) {
    const ledger = new BlockLedger();
    const facts = [imposedByRule(), extended(T0 + 2 * HOUR, { evidence: tried })];
    facts.forEach((fact, index) =>
      ledger.apply(blockEvent(fact, T0 + index * MINUTE, index + 1) as BlockEvent),
    );
    const entry = ledger.get('b1')!;
    const shown = evidenceView(tripped);
    assert.deepEqual(entry.evidence, tripped);
    assert.deepEqual(blockView(entry, T0 + HOUR, () => true).evidence, shown);
    const past = blockViewAt(entry, T0 + HOUR, () => true);
    assert.deepEqual(past.evidence, shown);
    assert.deepEqual(
      past.history.map((item) => item.evidence),
      [shown, evidenceView(tried)],
    );
  }
  assert.deepEqual([evidenceView(ATTEMPTS).attempts, evidenceView(tripped).attempts], [true, undefined]);
});

describe('a block or proposal right after a person has let go of the subject', () => {
  const by = 'smtp:test';
  const again = imposedByRule({ block: 'b2' });

  test('says who released what, when, and whether as a false positive', () => {
    const follows = followed([T0, imposedByRule()], [T0 + MINUTE, released(true)], [T0 + HOUR, again]);
    assert.deepEqual(follows, { block: 'b1', state: 'released', at: T0 + MINUTE, by, falsePositive: true });
  });

  test('says who dismissed what, and keeps it when it is approved or changed', () => {
    const next = proposed({ block: 'p2' });
    const follows = followed(
      [T0, proposed()],
      [T0 + MINUTE, { ...dismissed, data: { ...dismissed.data, note: 'ours' } } as BlockFact],
      [T0 + 2 * MINUTE, next],
      [T0 + 3 * HOUR, imposedByRule({ block: 'p2' })],
    );
    assert.deepEqual(follows, {
      block: 'p1',
      state: 'dismissed',
      at: T0 + MINUTE,
      by,
      falsePositive: false,
      note: 'ours',
    });
  });

  for (const [what, facts] of [
    ['the first of all', [[T0, imposed()]]],
    [
      'what came more than an hour later',
      [
        [T0, imposed()],
        [T0, released()],
        [T0 + HOUR + 1, again],
      ],
    ],
    [
      'another subject',
      [
        [T0, imposed()],
        [T0, released()],
        [T0, imposedByRule({ block: 'b2', subject: BOB })],
      ],
    ],
    [
      'what ran out',
      [
        [T0, imposed()],
        [T0 + HOUR, expired(T0 + HOUR)],
        [T0 + HOUR, again],
      ],
    ],
  ] as const satisfies readonly (readonly [string, readonly (readonly [number, BlockFact])[]])[])
    test(`not ${what}`, () => assert.equal(followed(...facts), undefined));
});
