import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../src/backtest/world.js';

test('a clock that events drive rings on the way, each alarm at its own time and in order', () => {
  const clock = new VirtualClock(100);
  const rung: string[] = [];
  const note = (name: string) => (): void => void rung.push(`${name} at ${clock.now()}`);
  assert.equal(clock.next, Infinity);
  clock.wakeAt(300, note('late'));
  clock.wakeAt(200, () => {
    note('first')();
    clock.wakeAt(250, note('set on the way'));
    clock.wakeAt(50, note('overdue'));
  });
  clock.wakeAt(300, note('later'));
  const takeBack = clock.wakeAt(260, note('never'));
  takeBack();
  assert.equal(clock.next, 200);
  clock.advance(299);
  assert.deepEqual(rung.splice(0), ['first at 200', 'overdue at 200', 'set on the way at 250']);
  assert.equal(clock.now(), 299);
  clock.advance(300);
  assert.deepEqual(rung, ['late at 300', 'later at 300'], 'also at the very instant');
  clock.advance(10);
  assert.equal(clock.now(), 300, 'it never goes back');
});
