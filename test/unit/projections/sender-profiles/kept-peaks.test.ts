import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KeptPeaks } from '../../../../projections/baselines/open-days.js';
import { PEAKS_KEPT } from '../../../../src/sending/day-summary.js';

const many = (count: number, first = 0): readonly string[] =>
  Array.from({ length: count }, (_, index) => `messages/${first + index + 1}m`);

describe('windows whose peaks are kept', () => {
  test('have numbers that stay while they are watched', () => {
    const kept = new KeptPeaks();
    assert.deepEqual(kept.watch(['a', 'b'], 100), []);
    assert.deepEqual([kept.numberOf('a'), kept.numberOf('b'), kept.numberOf('c')], [0, 1, 2]);
    assert.deepEqual(kept.watch(['b', 'c', 'c'], 101), []);
    assert.deepEqual(kept.names, ['a', 'b', 'c']);
    assert.equal(kept.since(2), 101);
    assert.equal(kept.since(3), Infinity, 'of what is not kept nothing is known');
  });

  test('are known since they were first watched, or since history tells of them', () => {
    const kept = new KeptPeaks();
    kept.watch(['a'], 100);
    kept.seen(['a', 'b'], 90);
    kept.seen(['a', 'b'], 95);
    assert.deepEqual([kept.since(0), kept.since(1)], [90, 90]);
    kept.watch(['a', 'b'], 100);
    assert.deepEqual([kept.since(0), kept.since(1)], [90, 90]);
  });

  test('are still known after a week in no rule, and are learnt again after more', () => {
    for (const [missed, since] of [
      [1, 100],
      [7, 100],
      [8, 158],
    ] as const) {
      const kept = new KeptPeaks();
      kept.watch(['a'], 100);
      kept.watch([], 150);
      kept.watch([], 150 + missed - 1);
      kept.watch(['a'], 150 + missed);
      assert.equal(kept.since(0), since, `${missed} days`);
    }
  });

  test('that only history told of are known to its last day', () => {
    const kept = new KeptPeaks();
    kept.seen(['a'], 100);
    kept.seen(['a'], 130);
    kept.seen(['a'], 120);
    kept.watch(['a'], 137);
    assert.equal(kept.since(0), 100);
  });

  test('are twenty-four: the first of those that are asked for', () => {
    const kept = new KeptPeaks();
    assert.deepEqual(kept.watch(many(30), 100), []);
    assert.deepEqual(kept.names, many(30).slice(0, PEAKS_KEPT));
    assert.equal(kept.numberOf('messages/25m'), PEAKS_KEPT);
    kept.seen(['other'], 101);
    assert.equal(kept.names.length, PEAKS_KEPT, 'history finds no room either');
  });

  test('make room once no rule looks at them, those first that were given up first', () => {
    const kept = new KeptPeaks();
    kept.watch(many(24), 100);
    kept.watch(many(24).slice(0, 20), 110);
    kept.watch(many(24).slice(0, 22), 111);
    kept.watch(many(22).slice(0, 18), 112);
    // 23 and 24 have been in no rule since day 110; 19 to 22 since day 112.
    assert.deepEqual(kept.watch([...many(18), 'x', 'y', 'z'], 113), [22, 23, 18]);
    assert.deepEqual([kept.numberOf('x'), kept.numberOf('messages/23m')], [22, PEAKS_KEPT]);
    assert.equal(kept.since(22), 113);
  });

  test('are the same once restored', () => {
    const step = fc.record({
      names: fc.uniqueArray(fc.constantFrom(...many(40)), { maxLength: 30 }),
      pause: fc.nat(12),
      watch: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.nat(12), (steps, cut) => {
        const run = (kept: KeptPeaks, part: typeof steps, first: number): number =>
          part.reduce((day, { names, pause, watch }) => {
            if (watch) {
              const taken = kept.watch(names, day + pause);
              const before = names.filter((name) => kept.numberOf(name) < PEAKS_KEPT);
              assert.ok(before.length === Math.min(names.length, PEAKS_KEPT), 'as many as there is room for');
              assert.ok(taken.every((number) => names.includes(kept.names[number]!)));
            } else kept.seen(names, day + pause);
            return day + pause;
          }, first);
        const [whole, first, second] = [new KeptPeaks(), new KeptPeaks(), new KeptPeaks()];
        run(whole, steps, 1000);
        const day = run(first, steps.slice(0, cut), 1000);
        second.watch(['left behind'], 5);
        second.restore(first.dump());
        run(second, steps.slice(cut), day);
        assert.deepEqual(second.dump(), whole.dump());
        assert.deepEqual(second.names, whole.names);
        for (const name of many(40)) assert.equal(second.numberOf(name), whole.numberOf(name));
        assert.ok(whole.names.length <= PEAKS_KEPT);
        assert.equal(new Set(whole.names).size, whole.names.length);
      }),
    );
  });
});
