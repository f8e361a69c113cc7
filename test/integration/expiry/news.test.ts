import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { News } from '../../../src/expiry/bullmq/news.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { leavesReplica } from '../../../src/redis/connection.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('the news of Redis', () => {
  const setUp = (): { clock: ManualClock; told: string[]; news: News } => {
    const [clock, told] = [new ManualClock(), [] as string[]];
    return { clock, told, news: new News(clock, (text) => told.push(text)) };
  };

  test('tells a fault once, however long it goes on and whatever comes between', () => {
    const { clock, told, news } = setUp();
    for (let n = 0; n < 1000; n++) {
      news.fault('a', `a ${n}`);
      news.fault('b', `b ${n}`);
      clock.advance(SECOND);
    }
    assert.deepEqual(told, ['a 0', 'b 0']);
  });

  test('tells a fault again that comes back after a long time', () => {
    const { clock, told, news } = setUp();
    news.fault('a', 'a');
    clock.advance(10 * MINUTE);
    news.fault('a', 'a');
    assert.deepEqual(told, ['a', 'a']);
  });

  test('tells that a fault is over, and a fault after that', () => {
    const { told, news } = setUp();
    news.well();
    news.broke('fine');
    news.fault('a', 'a');
    news.well();
    news.well();
    news.broke('fine');
    news.fault('a', 'a');
    assert.deepEqual(told, ['a', 'fine', 'a']);
  });

  test('tells of what breaks and mends all the time little, and how it is in the end', () => {
    const { clock, told, news } = setUp();
    for (let n = 0; n < 590; n++) {
      news.broke('fine');
      news.fault('a', 'a');
      news.well();
      clock.advance(100);
    }
    assert.deepEqual(told, ['a', 'fine', 'a']);
    clock.advance(SECOND);
    news.well();
    assert.deepEqual(told, ['a', 'fine', 'a', 'fine']);
  });

  test('keeps no more than a hundred kinds in mind', () => {
    const { told, news } = setUp();
    for (let n = 0; n < 101; n++) news.fault(`job ${n}`, 'x');
    news.fault('job 0', 'again');
    assert.equal(told.at(-1), 'again');
  });
});

test('a Redis that says it is a replica is left at once, and then every two seconds at most', () => {
  const clock = new ManualClock();
  const leaves = leavesReplica(clock);
  const readOnly = new Error("READONLY You can't write against a read only replica.");
  assert.equal(leaves(new Error('OOM command not allowed')), false);
  const left = Array.from({ length: 100 }, () => {
    clock.advance(SECOND / 10);
    return leaves(readOnly);
  });
  assert.equal(left[0], true);
  assert.equal(left.filter((one) => one).length, 5);
});
