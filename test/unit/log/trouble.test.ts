import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { Trouble } from '../../../src/log/trouble.js';
import { ManualClock } from '../../support/manual-clock.js';

function troubled() {
  const clock = new ManualClock();
  const told: unknown[] = [];
  const trouble = new Trouble(clock, {
    began: (reason) => told.push(reason),
    over: (count, spanMs) => told.push([count, spanMs]),
  });
  return { clock, told, trouble };
}

test('a trouble is told when it begins, and when it has worked and not failed for ten seconds', () => {
  const { clock, told, trouble } = troubled();
  for (let n = 0; n < 1000; n++) {
    trouble.failed(`full ${n}`);
    trouble.worked();
    clock.advance(SECOND / 10);
  }
  assert.deepEqual(told, ['full 0'], 'also while it fails only now and then');
  assert.ok(trouble.on);
  clock.advance(20 * SECOND);
  assert.deepEqual(told.slice(1), [[1000, 99_900]]);
  assert.ok(!trouble.on);
  trouble.failed('again');
  assert.equal(told.at(-1), 'again');
});

test('a trouble is not over as long as nobody has tried since', () => {
  const { clock, told, trouble } = troubled();
  trouble.failed('full');
  clock.advance(HOUR);
  assert.deepEqual(told, ['full']);
  trouble.worked();
  clock.advance(10 * SECOND);
  assert.deepEqual(told, ['full', [1, 0]]);
  clock.advance(HOUR);
  assert.equal(clock.waiting, 0, 'and then nothing is looked for any more');
});

test('what works costs and tells nothing', () => {
  const { clock, told, trouble } = troubled();
  trouble.worked();
  clock.advance(HOUR);
  assert.deepEqual(told, []);
  assert.equal(clock.waiting, 0);
});
