import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Held } from '../../../src/import/postfix-log/message-in-queue.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';

interface Item {
  readonly at: number;
  settled: boolean;
  readonly isUncounted?: boolean;
}

const item = (at: number, settled = true): Item => ({ at, settled });

function released(held: Held<Item>, now: number, most?: number): number[] {
  const gone: number[] = [];
  held.release(now, ({ at }) => gone.push(at), most);
  return gone;
}

describe('what is held back', () => {
  test('goes in the order of time, though it came a little out of order', () => {
    const held = new Held<Item>();
    for (const at of [1000, 3000, 2000, 4000]) held.add(item(at));
    assert.deepEqual(released(held, 1000 + 5 * SECOND - 1), []);
    assert.deepEqual(released(held, 2000 + 5 * SECOND), [1000, 2000]);
    held.add(item(3500));
    assert.deepEqual(released(held, Infinity), [3000, 3500, 4000]);
  });

  test('waits for what may still be learnt of it, and for those before it, but not for ever', () => {
    const held = new Held<Item>();
    const open = item(0, false);
    held.add(open);
    held.add(item(1000));
    assert.deepEqual(released(held, 5 * MINUTE - 1), []);
    assert.deepEqual(released(held, 5 * MINUTE), [0, 1000]);
    const settling = item(0, false);
    held.add(settling);
    settling.settled = true;
    assert.deepEqual(released(held, 5 * SECOND), [0]);
  });

  test('waits apart and for longer where it is not counted, if so wanted, and goes once it is settled', () => {
    const held = new Held<Item>({ disorder: 0, patience: SECOND, patienceUncounted: MINUTE });
    const open = [0, 1].map((at) => ({ at, settled: false, isUncounted: true }));
    for (const one of open) held.add(one);
    held.add(item(2, false));
    assert.deepEqual([held.size, [...held.items()].length], [3, 3]);
    assert.deepEqual(released(held, MINUTE - 1), [2]);
    open[1]!.settled = true;
    held.settled(open[1]!);
    assert.deepEqual(released(held, MINUTE - 1), [1]);
    assert.deepEqual(released(held, MINUTE), [0]);
    for (let at = 0; at < 100_010; at++) held.add({ at, settled: false, isUncounted: true });
    assert.equal(released(held, SECOND + 9).length, 10, 'memory has its limit');
    assert.equal(released(held, Infinity).length, 100_000);
    assert.equal(held.size, 0);
  });

  test('is never more than memory allows', () => {
    const held = new Held<Item>();
    let most = 0;
    let gone = 0;
    for (let at = 0; at < 130_000; at++) {
      held.add(item(0, false));
      held.release(0, () => gone++);
      most = Math.max(most, held.size);
    }
    assert.equal(most, 100_000);
    assert.equal(gone, 30_000);
    assert.equal(released(held, Infinity, 10).length, 10);
    assert.equal(held.size, 99_990);
  });
});
