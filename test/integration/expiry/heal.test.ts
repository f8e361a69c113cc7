import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import { jobId } from '../../../src/expiry/bullmq/jobs.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { TestRedis } from '../../support/redis.js';
import { openTestRedis, skipWithoutRedis } from '../../support/redis.js';
import type { World } from './world.js';
import { doNothing, openWorld, taskFor } from './world.js';

const skip = await skipWithoutRedis();
if (skip !== false) process.stdout.write(`the healing of timed work is not tested: ${skip}\n`);

describe('reconciliation', { skip, timeout: 30_000 }, () => {
  let redis: TestRedis;
  let prefix: string;
  const open: World[] = [];
  before(async () => {
    redis = await openTestRedis();
  });
  after(() => redis.close());
  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ work }) => work.close()));
  });
  const world = async (options: Partial<Parameters<typeof openWorld>[0]> = {}): Promise<World> => {
    const made = await openWorld({ redis: redis.url, prefix, reconcileEvery: HOUR, ...options });
    open.push(made);
    return made;
  };
  const key = (rest: string): string => `${prefix}:expiry:${rest}`;
  const delayed = (): Promise<string[]> => redis.client.zrange(key('delayed'), '0', '-1');
  /** What is left of a queue that was thrown away: FLUSHALL, but for what else lives in a shared Redis. */
  const throwAway = async (): Promise<void> => {
    const keys = await redis.client.keys(`${prefix}:*`);
    assert.ok(keys.length > 0, 'there was nothing to throw away');
    await redis.client.del(keys);
  };

  before(() => {
    prefix = redis.freshPrefix();
  });
  afterEach(() => {
    prefix = redis.freshPrefix();
  });

  test('puts everything back after the queue was thrown away, and runs each once', async () => {
    const { work, done, healed } = await world();
    work.start(doNothing);
    await work.reconcile();
    const now = Date.now();
    const tasks = [...Array(60).keys()].map((n) => taskFor(`block-${n}`, now + (n < 30 ? 500 : HOUR)));
    for (const task of tasks) work.plan(task);
    await work.settled();
    await throwAway();
    await work.reconcile();
    assert.equal(healed.all.at(-1)?.added, 60);
    await done.count(30);
    assert.equal(new Set(done.all.map(({ block }) => block)).size, 30);
    assert.equal(done.all.length, 30);
    assert.equal((await delayed()).length, 30);
    assert.equal(work.size, 30);
  });

  test('repeats by itself', async () => {
    const { work, done } = await world({ reconcileEvery: 100 });
    work.start(doNothing);
    work.plan(taskFor('a', Date.now() + 600));
    await work.settled();
    await throwAway();
    await done.count(1);
    assert.deepEqual(
      done.all.map(({ block }) => block),
      ['a'],
    );
  });

  test('runs each where somebody has put something else in the place of a job', async () => {
    const { work, done } = await world({ reconcileEvery: 100 });
    const tasks = ['a', 'b', 'c'].map((block) => taskFor(block, Date.now() + 600));
    for (const task of tasks) work.plan(task);
    await work.settled();
    await redis.client.set(key(jobId(tasks[0]!)), 'no job');
    work.start(doNothing);
    await done.count(3);
    assert.deepEqual(done.all.map(({ block }) => block).sort(), ['a', 'b', 'c']);
  });

  test('heals the others where somebody has spoilt what a job says', async () => {
    const { work, healed } = await world();
    work.start(doNothing);
    await work.reconcile();
    for (const block of ['a', 'b']) work.plan(taskFor(block, Date.now() + HOUR));
    await work.settled();
    const [spoilt] = await delayed();
    await redis.client.hset(key(spoilt!), 'data', '{no JSON');
    await redis.client.del(key('delayed'));
    await work.reconcile();
    assert.equal(healed.all.at(-1)?.added, 2);
    assert.equal((await delayed()).length, 2);
    assert.match((await redis.client.hget(key(spoilt!), 'data'))!, /^\{"/);
  });

  test('adds a job that was removed by hand, although its remains occupy the id', async () => {
    const { work, done, healed } = await world();
    work.start(doNothing);
    await work.reconcile();
    const task = taskFor('a', Date.now() + 300);
    work.plan(task);
    await work.settled();
    assert.equal(await redis.client.zrem(key('delayed'), jobId(task)), 1);
    assert.equal(await redis.client.exists(key(jobId(task))), 1);
    await work.reconcile();
    assert.deepEqual(healed.all.at(-1), { added: 1, moved: 0, removed: 0, tasks: 1 });
    await done.count(1);
  });

  test('runs a task again that is kept as finished while the ledger still has it', async () => {
    const task = taskFor('a', Date.now() - 60 * SECOND);
    const first = await world({ planned: () => [] });
    first.work.plan(task);
    first.work.start(doNothing);
    await first.done.count(1);
    await first.work.close();
    // As if it had been done long ago and nothing had come of it.
    assert.equal(await redis.client.hset(key(jobId(task)), 'finishedOn', String(Date.now() - HOUR)), 0);
    const second = await world({ planned: () => [task] });
    second.work.start(doNothing);
    await second.done.count(1);
    assert.deepEqual(second.done.all, [task]);
  });

  test('leaves a job alone that has only just finished: the ledger is about to hear of it', async () => {
    const task = taskFor('a', Date.now() - SECOND);
    const { work, done, healed } = await world({ planned: () => [task] });
    work.start(doNothing);
    await done.count(1);
    // The job is finished in Redis a moment after its runner was.
    while ((await work.counts()).active > 0) await work.reconcile();
    await work.reconcile();
    await work.reconcile();
    assert.equal(done.all.length, 1);
    assert.equal(healed.all.filter(({ added }) => added > 0).length, 1);
  });

  test('brings forward a job that was put off', async () => {
    const { work, done, healed } = await world();
    work.start(doNothing);
    await work.reconcile();
    const task = taskFor('a', Date.now() + 200);
    work.plan(task);
    await work.settled();
    await redis.client.zadd(key('delayed'), (Date.now() + HOUR) * 0x1000, jobId(task));
    await work.reconcile();
    assert.equal(healed.all.at(-1)?.moved, 1);
    await done.count(1);
  });

  for (const [how, hinder] of [
    ['pauses it by hand', () => redis.client.hset(key('meta'), 'paused', 1)],
    ['limits it to no job at a time', (queue: Queue) => queue.setGlobalConcurrency(0)],
    ['clicks on pause', (queue: Queue) => queue.pause()],
  ] as const) {
    test(`resumes the queue after somebody ${how}, and tells of it`, async () => {
      const { work, done, notices } = await world();
      work.start(doNothing);
      await work.reconcile();
      const queue = new Queue('expiry', { connection: { url: redis.url }, prefix });
      await hinder(queue);
      await queue.close();
      for (const block of ['a', 'b']) work.plan(taskFor(block, Date.now()));
      await work.settled();
      await work.reconcile();
      await done.count(2);
      assert.match(notices.all.join('\n'), /paused or limited: resumed\. See who else may write there/);
    });
  }

  test('takes away a limit of jobs in a span that somebody has set, and what was counted by it', async () => {
    const { work } = await world();
    const queue = new Queue('expiry', { connection: { url: redis.url }, prefix });
    await queue.setGlobalRateLimit(1, HOUR);
    await queue.rateLimit(HOUR);
    work.start(doNothing);
    await work.reconcile();
    assert.equal(await queue.getGlobalRateLimit(), null);
    assert.equal(await redis.client.exists(key('limiter')), 0);
    await queue.close();
  });

  test('replaces a job that somebody keeps under way by a lock without an end', async () => {
    const first = await world();
    const task = taskFor('a', Date.now() + HOUR);
    first.work.plan(task);
    await first.work.settled();
    const id = jobId(task);
    await redis.client.zrem(key('delayed'), id);
    await redis.client.lpush(key('active'), id);
    await redis.client.set(key(`${id}:lock`), 'mine');
    const { work, healed } = await world({ planned: () => [task] });
    work.start(doNothing);
    await work.reconcile();
    assert.equal(healed.all[0]?.moved, 1);
    assert.deepEqual(await delayed(), [id]);
    assert.equal(await redis.client.exists(key(`${id}:lock`)), 0);
  });

  test('replaces a job that somebody has put aside once it is overdue by more than two minutes', async () => {
    const first = await world();
    const tasks = [taskFor('long', Date.now() - 3 * MINUTE), taskFor('just', Date.now() - MINUTE)];
    for (const task of tasks) first.work.plan(task);
    await first.work.settled();
    for (const id of tasks.map(jobId)) {
      await redis.client.zrem(key('delayed'), id);
      await redis.client.zadd(key('waiting-children'), 1, id);
    }
    const { work, done } = await world({ planned: () => tasks });
    work.start(doNothing);
    await done.count(1);
    await work.reconcile();
    assert.deepEqual(
      done.all.map(({ block }) => block),
      ['long'],
    );
    assert.deepEqual(await redis.client.zrange(key('waiting-children'), '0', '-1'), [jobId(tasks[1]!)]);
  });

  test('removes a stray, but only once it was seen twice', async () => {
    const { work, healed } = await world();
    const other = await world();
    const stray = taskFor('stray', Date.now() + HOUR);
    other.work.plan(stray);
    await other.work.settled();
    work.start(doNothing);
    await work.reconcile();
    await work.reconcile();
    await work.reconcile();
    assert.deepEqual(healed.all, [{ added: 0, moved: 0, removed: 1, tasks: 0 }]);
    assert.deepEqual(await delayed(), []);
  });

  test('removes nothing while the ledger lags, and sends nothing', async () => {
    let caughtUp = false;
    const other = await world();
    other.work.plan(taskFor('known-to-others', Date.now() + HOUR));
    await other.work.settled();
    const { work, healed } = await world({ caughtUp: () => caughtUp });
    const replayed = taskFor('replayed', Date.now() + HOUR);
    work.plan(replayed);
    assert.equal(work.status.unsent, 0);
    work.start(doNothing);
    for (let pass = 0; pass < 4; pass++) await work.reconcile();
    assert.equal((await delayed()).length, 2);
    caughtUp = true;
    for (let pass = 0; pass < 2; pass++) await work.reconcile();
    assert.deepEqual(await delayed(), [jobId(replayed)]);
    assert.equal(
      healed.all.reduce((sum, { removed }) => sum + removed, 0),
      1,
    );
  });

  test('does nothing in a process that only plans', async () => {
    const { work, healed } = await world({ reconcileEvery: 50 });
    work.plan(taskFor('a', Date.now() + HOUR));
    await work.settled();
    await throwAway();
    const worker = await world({ planned: () => [taskFor('b', Date.now() + 200)] });
    worker.work.start(doNothing);
    await worker.done.count(1);
    assert.deepEqual(healed.all, []);
    assert.equal(work.status.reconciledAt, undefined);
  });
});
