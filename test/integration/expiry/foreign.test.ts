import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { systemClock } from '../../../src/runtime/clock.js';
import type { TestRedis } from '../../support/redis.js';
import { openTestRedis, skipWithoutRedis } from '../../support/redis.js';
import type { World } from './world.js';
import { doNothing, openWorld, taskFor } from './world.js';

const skip = await skipWithoutRedis();
if (skip !== false) process.stdout.write(`jobs that others put in Redis are not tested: ${skip}\n`);

/** A clock by which nothing ends that would wait for five seconds. */
const patient = {
  ...systemClock,
  after: (span: number, callback: () => void) =>
    span === 5 * SECOND ? () => undefined : systemClock.after(span, callback),
};

describe('jobs that somebody else has put in Redis', { skip, timeout: 20_000 }, () => {
  let redis: TestRedis;
  let world: World;
  before(async () => {
    redis = await openTestRedis();
  });
  after(async () => {
    await world.work.close();
    await redis.close();
  });

  test('keep no task from its turn that is due, and are told of in one sentence', async () => {
    const prefix = redis.freshPrefix();
    const queue = new Queue('expiry', { connection: { url: redis.url }, prefix });
    const jobAt = (dueAt: number, block: string) => {
      const { kind: name, ...data } = taskFor(block, dueAt);
      return { name, data };
    };
    // They wait in front of the task.
    await queue.addBulk([
      ...Array.from({ length: 40 }, (_, n) => jobAt(n % 2 === 0 ? 1e300 : -1e300, `absurd-${n}`)),
      ...Array.from({ length: 20 }, (_, n) => jobAt(Date.now() + HOUR, `early-${n}`)),
    ]);
    world = await openWorld({
      redis: redis.url,
      prefix,
      clock: patient,
      reconcileEvery: HOUR,
      concurrency: 2,
    });
    const { work, done, notices } = world;
    work.plan(taskFor('a', Date.now() - SECOND));
    await work.settled();
    work.start(doNothing);
    await done.count(1);
    assert.deepEqual(
      done.all.map(({ block }) => block),
      ['a'],
    );
    // What came before its time waits for it as any other.
    while ((await queue.getDelayedCount()) < 20 || (await queue.getFailedCount()) < 40)
      await queue.getJobCounts();
    await work.close();
    await queue.close();
    const told = notices.all.filter((notice) => notice.includes('cannot have planned'));
    assert.match(told[0]!, /^Redis at \S+ held a timed job that Stopgap cannot have planned: dropped/);
    assert.match(told[1]!, /held 39 timed jobs that/);
    assert.equal(told.length, 2);
  });
});
