import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ShadowRules } from '../../../projections/blocks/shadow.js';
import { WindowTable } from '../../../projections/volume/window-table.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { START, folding, histories, logOf } from '../../support/history.js';
import { observables, throughFrames } from '../../support/restored.js';
import { blockEvent } from '../../support/sends.js';

describe('read models that were dumped and restored', () => {
  test('go on like those that folded everything, at any cut', () => {
    const shown = { verdicts: 0, blocks: 0, exemptions: 0, events: 0, compared: 0, judged: 0 };
    fc.assert(
      fc.property(
        histories,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(2 * HOUR),
        (history, where, later) => {
          const log = logOf(history);
          const cut = Math.floor(where * log.length);
          const whole = folding();
          for (const event of log.slice(0, cut)) whole.models.apply(event);
          whole.verdicts.length = 0;
          const dump = whole.models.dump();
          const early = throughFrames(dump);
          for (const event of log.slice(cut)) whole.models.apply(event);
          // Written late, after all of the rest was folded: what was dumped must not have moved.
          assert.deepEqual(throughFrames(dump), early);

          const restored = folding();
          restored.models.restore(early);
          assert.deepEqual(restored.models.dump(), early);
          for (const event of log.slice(cut)) restored.models.apply(event);

          assert.deepEqual(restored.verdicts, whole.verdicts);
          assert.deepEqual(restored.models.dump(), throughFrames(whole.models.dump()));
          const now = (log.at(-1)?.recordedAt ?? 0) + later;
          assert.deepEqual(observables(restored.models, now), observables(whole.models, now));
          shown.verdicts += whole.verdicts.length;
          shown.blocks += whole.models.ledger.size;
          shown.exemptions += whole.models.exemptions.list(now).length;
          shown.events += log.length - cut;
          shown.compared += compared(whole.models.shadow);
          shown.judged += whole.models.rulePrecision.all().filter((each) => each.confirmed > 0).length;
        },
      ),
      { numRuns: 50 },
    );
    for (const [what, count] of Object.entries(shown)) assert.ok(count > 40, `only ${count} ${what}`);
  });

  test('differ if one event of the rest is missing', () => {
    const log = logOf(
      Array.from({ length: 9 }, () => [MINUTE, { kind: 'send', user: 1, recipients: 1, skew: 0 }]),
    );
    const [whole, restored] = [folding().models, folding().models];
    for (const event of log) whole.apply(event);
    for (const event of log.slice(0, -1)) restored.apply(event);
    const again = folding().models;
    again.restore(throughFrames(restored.dump()));
    assert.notDeepEqual(again.dump(), whole.dump());
  });
});

/** Cases of the shadow rules, agreed and not, open and settled. */
function compared({ comparison }: ShadowRules): number {
  const settled = [...(comparison?.tallies().values() ?? [])].flatMap((tally) => Object.values(tally));
  return settled.reduce((sum, count) => sum + count, comparison?.open ?? 0);
}

describe('of several patterns that match the same sender', () => {
  const patterns = ['user*@example.com', '*0@example.com', '*@example.com'];
  const sender = {
    account: undefined,
    address: 'user0@example.com',
    ehlo: undefined,
    ip: undefined,
  } as const;

  /** What answers, after these patterns came in this order. */
  function answers(order: readonly string[]): unknown {
    const { models } = folding();
    order.forEach((value, index) => {
      const subject: Subject = { type: 'address', value };
      const id = `b${patterns.indexOf(value)}`;
      const terms = { subject, direction: 'all', description: '', refusal: 'soft', until: null } as const;
      const block = { ...terms, block: id, origin: 'admin', renewWhileTrying: false } as const;
      models.apply(blockEvent({ type: 'BlockImposed', data: block }, START, 2 * index + 1));
      const exemption = { exemption: id, subject, until: null, reason: value };
      models.apply(blockEvent({ type: 'ExemptionGranted', data: exemption }, START, 2 * index + 2));
    });
    return {
      block: models.activeBlocks.find({ ...sender, direction: 'outbound' }, START)?.id,
      past: models.ledger.rows.inForce({ ...sender, direction: 'outbound' }, START),
      exemption: models.exemptions.covering({ type: 'address', value: 'user0@example.com' }, START)?.id,
    };
  }

  test('the answer does not depend on which came first, and so not on how an index was filled', () => {
    const expected = { block: 'b0', past: ['b0', 'b1', 'b2'], exemption: 'b2' };
    assert.deepEqual(answers(patterns), expected);
    assert.deepEqual(answers(patterns.toReversed()), expected);
  });
});

describe('a dump of a window table', () => {
  const columns = [
    { window: 10 * MINUTE, wide: false },
    { window: HOUR, wide: true },
  ];
  const AT = Date.UTC(2026, 0, 1);

  function add(table: WindowTable, key: string, at: number): void {
    const row = table.row(key, at, () => undefined);
    table.add(row, 0, at, 1);
    table.add(row, 1, at, 1000);
  }

  test('does not change while the table goes on, over many pages, evictions and clearings', () => {
    const table = new WindowTable(columns);
    for (let key = 0; key < 1500; key++) add(table, `k${key}`, AT);
    for (let key = 0; key < 300; key++) add(table, `later${key}`, AT + 3 * HOUR);
    const dump = table.dump();
    const before = structuredClone(dump);
    assert.ok(before.free.length > 0 && before.pages.length > 3 && before.sweep > 0, 'it shows enough');
    for (let key = 0; key < 1500; key += 7) {
      const row = table.rows.find(`k${key}`);
      if (row !== undefined) table.clear(row);
    }
    for (let key = 0; key < 2000; key++) add(table, `new${key}`, AT + 5 * HOUR);
    assert.deepEqual(dump, before);

    const [one, other] = [new WindowTable(columns), new WindowTable(columns)];
    for (const restored of [one, other]) restored.restore(before);
    for (let key = 0; key < 700; key++) add(one, `more${key}`, AT + 6 * HOUR);
    assert.deepEqual(other.dump(), before, 'two that were restored from the same share nothing');
    for (let key = 0; key < 700; key++) add(other, `more${key}`, AT + 6 * HOUR);
    assert.deepEqual(other.dump(), one.dump());
    assert.deepEqual([...other.rows.entries()], [...one.rows.entries()]);
  });

  test('of other columns is refused', () => {
    const table = new WindowTable(columns);
    add(table, 'a', AT);
    assert.throws(() => new WindowTable(columns.slice(1)).restore(table.dump()), /another size/);
  });
});
