import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { jobId, newJob, taskOfJob } from '../../../src/expiry/bullmq/jobs.js';
import type { Change } from '../../../src/expiry/bullmq/outbox.js';
import { Outbox } from '../../../src/expiry/bullmq/outbox.js';
import { DAY, HOUR, SECOND } from '../../../src/kernel/time.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { taskFor } from './world.js';

/** What a queue holds after it was sent these changes, half of a batch that fails included. */
class FakeQueue {
  readonly jobs = new Set<string>();
  readonly batches: number[] = [];
  failing: 'no' | 'before' | 'after' = 'no';
  canSend = true;
  failures = 0;

  readonly send = async (changes: readonly Change[]): Promise<void> => {
    this.batches.push(changes.length);
    await turn();
    if (this.failing === 'before') throw new Error('not reached');
    for (const { add } of changes) if (add !== undefined) this.jobs.add(jobId(add));
    if (this.failing === 'after') throw new Error('no answer');
    for (const { remove } of changes) for (const id of remove) this.jobs.delete(id);
  };
}

function setUp(): { clock: ManualClock; queue: FakeQueue; outbox: Outbox } {
  const clock = new ManualClock();
  const queue = new FakeQueue();
  const outbox = new Outbox({
    clock,
    send: queue.send,
    canSend: () => queue.canSend,
    onFailed: () => queue.failures++,
  });
  return { clock, queue, outbox };
}

async function turns(): Promise<void> {
  for (let n = 0; n < 8; n++) await turn();
}

const first = taskFor('a', NOON + HOUR);
const second = taskFor('a', NOON + 2 * HOUR);
const third = taskFor('a', NOON + 3 * HOUR);

describe('changes on their way to the queue', () => {
  test('of one turn go as one, and only the last of each task', async () => {
    const { queue, outbox } = setUp();
    outbox.put('a', first, undefined);
    outbox.put('a', second, first);
    outbox.put('b', taskFor('b', NOON), undefined);
    outbox.put('c', taskFor('c', NOON), undefined);
    outbox.put('c', undefined, taskFor('c', NOON));
    assert.equal(outbox.size, 3);
    await outbox.settled();
    assert.deepEqual(queue.batches, [3]);
    assert.deepEqual([...queue.jobs], [jobId(second), jobId(taskFor('b', NOON))]);
    assert.equal(outbox.size, 0);
  });

  test('take the old job away, also after there and back', async () => {
    const { queue, outbox } = setUp();
    outbox.put('a', first, undefined);
    await outbox.settled();
    outbox.put('a', second, first);
    outbox.put('a', first, second);
    await outbox.settled();
    assert.deepEqual([...queue.jobs], [jobId(first)]);
    outbox.put('a', second, first);
    await outbox.settled();
    assert.deepEqual([...queue.jobs], [jobId(second)]);
  });

  test('that come while a batch is under way go after it', async () => {
    const { queue, outbox } = setUp();
    outbox.put('a', first, undefined);
    await turn();
    assert.deepEqual(queue.batches, [1]);
    outbox.put('a', second, first);
    await outbox.settled();
    assert.deepEqual([...queue.jobs], [jobId(second)]);
  });

  for (const failing of ['before', 'after'] as const) {
    test(`are sent again after a failure ${failing} they arrived, and nothing stale stays`, async () => {
      const { clock, queue, outbox } = setUp();
      outbox.put('a', first, undefined);
      await outbox.settled();
      queue.failing = failing;
      outbox.put('a', second, first);
      await turn();
      // While the batch that fails is under way.
      outbox.put('a', third, second);
      await turns();
      for (let n = 0; n < 6; n++) {
        clock.advance(10 * SECOND);
        await turns();
      }
      assert.ok(queue.batches.length >= 6);
      assert.equal(queue.failures, 1, 'a failure is told once, not with every try');
      assert.equal(outbox.size, 1);
      queue.failing = 'no';
      clock.advance(10 * SECOND);
      await outbox.settled();
      assert.deepEqual([...queue.jobs], [jobId(third)]);
    });
  }

  test('wait while there is no use in sending, however many they are', async () => {
    const { queue, outbox } = setUp();
    queue.canSend = false;
    for (let n = 0; n < 3000; n++)
      outbox.put(`key-${n % 1200}`, taskFor(`block-${n % 1200}`, NOON + n), undefined);
    await turns();
    assert.deepEqual(queue.batches, []);
    assert.equal(outbox.size, 1200);
    queue.canSend = true;
    outbox.flush();
    await outbox.settled();
    assert.deepEqual(queue.batches, [500, 500, 200]);
    assert.equal(queue.jobs.size, 1200);
  });
});

describe('a job', () => {
  test('names its due time, whatever the delay', () => {
    for (const dueAt of [NOON - DAY, NOON, NOON + 1, NOON + 400 * DAY]) {
      const { opts } = newJob(taskFor('a', dueAt), NOON);
      assert.equal(opts.timestamp + opts.delay, dueAt);
      assert.ok(opts.delay >= 1);
    }
  });

  test('has an id without a colon, and another for each block, kind and time', () => {
    const tasks = [first, second, taskFor('a', first.dueAt, 'lapse'), taskFor('a:b', first.dueAt)];
    const ids = tasks.map(jobId);
    assert.equal(new Set(ids).size, tasks.length);
    assert.ok(ids.every((id) => !id.includes(':')));
  });

  test('gives its task back, and none where it is damaged', () => {
    const { name, data } = newJob(first, NOON);
    assert.deepEqual(taskOfJob(name, data), first);
    for (const damaged of [
      null,
      'x',
      {},
      { ...data, dueAt: '1' },
      { ...data, subject: { type: 'x', value: 'y' } },
    ])
      assert.equal(taskOfJob(name, damaged), undefined);
    assert.equal(taskOfJob('other', data), undefined);
  });
});
