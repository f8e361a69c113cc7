import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import type { BlockEvent } from '../../../src/blocks/events.js';
import { BLOCK_CATEGORY, blockStream, isBlockEvent } from '../../../src/blocks/events.js';
import { jobId } from '../../../src/expiry/bullmq/jobs.js';
import type { TaskRunner } from '../../../src/expiry/port.js';
import type { Instant } from '../../../src/kernel/time.js';
import { HOUR } from '../../../src/kernel/time.js';
import type { Subject } from '../../../src/sending/subjects.js';
import type { EventStore } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { planTimedWork } from '../../../src/detector/scheduled-jobs.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import type { TestRedis } from '../../support/redis.js';
import { openTestRedis, skipWithoutRedis } from '../../support/redis.js';
import { temporaryDirectory } from '../../support/store/files.js';
import type { World } from './world.js';
import { Log, openWorld } from './world.js';

const skip = await skipWithoutRedis();
if (skip !== false) process.stdout.write(`timed work and the ledger are not tested together: ${skip}\n`);

describe('timed work as the ledger sees it', { skip, timeout: 60_000 }, () => {
  let redis: TestRedis;
  let dir: string;
  let store: EventStore;
  let blockCommands: BlockCommandHandler;
  let prefix: string;
  const closers: (() => Promise<unknown>)[] = [];

  before(async () => {
    redis = await openTestRedis();
  });
  after(() => redis.close());
  beforeEach(async () => {
    prefix = redis.freshPrefix();
    dir = await temporaryDirectory();
    store = await openSqliteStore({ file: path.join(dir, 'store.db'), clock: systemClock });
    blockCommands = new BlockCommandHandler(store, systemClock);
  });
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
    await store.close();
    await rm(dir, { recursive: true, force: true });
  });

  /** What the composition root hands to `start`. */
  const execute: TaskRunner = async ({ kind, block, subject }) => {
    await blockCommands.execute(subject, { kind, block }, { by: 'system:expiry' });
  };
  const account = (name: string): Subject => ({ type: 'account', value: `${name}@example.com` });
  const admin = { by: 'admin:test' };
  const impose = async (name: string, until: Instant): Promise<void> => {
    const subject = account(name);
    const terms = { direction: 'outbound', description: 'a test', refusal: 'soft' } as const;
    await blockCommands.execute(subject, { kind: 'impose', subject, ...terms, until, newId: name }, admin);
  };
  /** What happened to a subject, in order. */
  const history = async (name: string): Promise<readonly string[]> => {
    const types: string[] = [];
    for await (const { type } of store.readStream(blockStream(account(name)))) types.push(type);
    return types;
  };
  /** A process: its ledger follows the store, and its timed work the ledger. */
  const startProcess = async (run?: TaskRunner): Promise<World & { readonly folded: Log<BlockEvent> }> => {
    const ledger = new BlockLedger();
    const folded = new Log<BlockEvent>();
    const world = await openWorld({ redis: redis.url, prefix, reconcileEvery: HOUR });
    const subscription = store.subscribe({ after: 0, categories: [BLOCK_CATEGORY] }, (event) => {
      if (!isBlockEvent(event)) return;
      ledger.apply(event);
      planTimedWork(world.work, ledger, event);
      folded.push(event);
    });
    closers.push(
      () => subscription.stop(),
      () => world.work.close(),
    );
    await subscription.caughtUp;
    if (run !== undefined) world.work.start(run);
    return { ...world, folded };
  };
  const delayed = (): Promise<string[]> => redis.client.zrange(`${prefix}:expiry:delayed`, '0', '-1');

  test('a block expires by itself', async () => {
    const { folded, done } = await startProcess(execute);
    await impose('a', Date.now() + 150);
    await folded.until((all) => all.some(({ type }) => type === 'BlockExpired'));
    await done.count(1);
    assert.deepEqual(await history('a'), ['BlockImposed', 'BlockExpired']);
  });

  test('an extension moves its job, and the block ends only then', async () => {
    const { work, folded } = await startProcess(execute);
    const [first, second] = [Date.now() + HOUR, Date.now() + 400];
    await impose('a', first);
    await folded.count(1);
    await work.settled();
    const task = { kind: 'expire', block: 'a', subject: account('a') } as const;
    assert.deepEqual(await delayed(), [jobId({ ...task, dueAt: first })]);
    await blockCommands.execute(
      account('a'),
      { kind: 'change', block: 'a', span: { until: first + HOUR } },
      admin,
    );
    await folded.count(2);
    await work.settled();
    assert.deepEqual(await delayed(), [jobId({ ...task, dueAt: first + HOUR })]);
    await blockCommands.execute(account('a'), { kind: 'change', block: 'a', span: { until: second } }, admin);
    await folded.count(4);
    assert.deepEqual(await history('a'), ['BlockImposed', 'BlockExtended', 'BlockShortened', 'BlockExpired']);
    const expired = folded.all[3]!;
    assert.ok(expired.type === 'BlockExpired' && expired.data.dueAt === second);
  });

  test('a release takes its job away', async () => {
    const { work, folded } = await startProcess();
    await impose('a', Date.now() + HOUR);
    await folded.count(1);
    await work.settled();
    assert.equal((await delayed()).length, 1);
    await blockCommands.execute(account('a'), { kind: 'release', block: 'a', falsePositive: false }, admin);
    await folded.count(2);
    await work.settled();
    assert.deepEqual(await delayed(), []);
    assert.deepEqual(await redis.client.keys(`${prefix}:expiry:expire.*`), []);
  });

  test('a finished job can still be seen after the ledgers have cancelled it', async () => {
    const { work, done } = await startProcess();
    const other = await startProcess();
    const task = { kind: 'expire', block: 'a', subject: account('a'), dueAt: Date.now() } as const;
    work.plan(task);
    other.work.plan(task);
    await Promise.all([work.settled(), other.work.settled()]);
    work.start(execute);
    await done.count(1);
    // The job ends in Redis a moment after its runner.
    while ((await work.counts()).active > 0) await work.reconcile();
    other.work.cancel('expire', 'a');
    await other.work.settled();
    assert.equal(await redis.client.zcard(`${prefix}:expiry:completed`), 1);
  });

  test('a job that is run twice, or for a block that was extended meanwhile, does nothing', async () => {
    const until = Date.now() + 500;
    await impose('a', until);
    await impose('b', until);
    await blockCommands.execute(
      account('b'),
      { kind: 'change', block: 'b', span: { until: until + HOUR } },
      admin,
    );
    const { work, done } = await startProcess();
    const stale = { kind: 'expire', block: 'b', subject: account('b'), dueAt: until } as const;
    const other = await openWorld({ redis: redis.url, prefix, reconcileEvery: HOUR });
    closers.push(() => other.work.close());
    other.work.plan(stale);
    await other.work.settled();
    work.start(async (task) => {
      await Promise.all([execute(task), execute(task), execute(task)]);
    });
    await done.count(2);
    assert.deepEqual(await history('a'), ['BlockImposed', 'BlockExpired']);
    assert.deepEqual(await history('b'), ['BlockImposed', 'BlockExtended']);
  });

  test('each of 1,000 blocks ends once with two workers', async () => {
    const names = [...Array(1000).keys()].map((n) => `block-${n}`);
    const until = Date.now() + 3000;
    await Promise.all(names.map((name) => impose(name, until)));
    assert.ok(Date.now() < until, 'the machine is too slow for this test');
    const runs: string[][] = [[], []];
    const workers = await Promise.all(
      runs.map((mine) =>
        startProcess(async (task) => {
          mine.push(task.block);
          await execute(task);
        }),
      ),
    );
    const expired = (all: readonly BlockEvent[]): number =>
      all.filter(({ type }) => type === 'BlockExpired').length;
    await Promise.all(workers.map(({ folded }) => folded.until((all) => expired(all) >= 1000)));
    const events = workers[0]!.folded.all;
    assert.equal(expired(events), 1000);
    assert.equal(events.length, 2000);
    assert.ok(
      runs.every((mine) => mine.length > 0),
      `one worker had nothing to do: ${runs.map((mine) => mine.length).join(', ')}`,
    );
    assert.deepEqual(new Set(runs.flat()), new Set(names));
  });

  test('a job that comes before its time, by a clock that is ahead, waits for our clock', async () => {
    const { work, done } = await startProcess();
    const early = { kind: 'expire', block: 'a', subject: account('a'), dueAt: Date.now() + 250 } as const;
    await impose('a', early.dueAt);
    await work.settled();
    work.start(execute);
    await work.reconcile();
    // The score says when its turn comes: now, by another host's clock.
    await redis.client.zadd(`${prefix}:expiry:delayed`, 'XX', (Date.now() - HOUR) * 0x1000, jobId(early));
    await redis.client.zadd(`${prefix}:expiry:marker`, 0, '0');
    await done.count(1);
    assert.ok(Date.now() >= early.dueAt);
    assert.deepEqual(await history('a'), ['BlockImposed', 'BlockExpired']);
  });
});
