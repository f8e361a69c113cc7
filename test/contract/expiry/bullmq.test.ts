import { after, before } from 'node:test';
import { openBullWork } from '../../../src/expiry/bullmq/work.js';
import { systemClock } from '../../../src/runtime/clock.js';
import type { TestRedis } from '../../support/redis.js';
import { openTestRedis, skipWithoutRedis } from '../../support/redis.js';
import type { WorkUnderTest } from './suite.js';
import { expiryContract } from './suite.js';

const skip = await skipWithoutRedis();
if (skip !== false) process.stdout.write(`timed work on BullMQ is not tested: ${skip}\n`);

let redis: TestRedis | undefined;
before(async () => {
  if (skip === false) redis = await openTestRedis();
});
after(() => redis?.close());

expiryContract('BullMQ on Redis', {
  skip,
  moment: 40,
  retryPause: 60,
  open: async () => {
    const done: WorkUnderTest['done'][number][] = [];
    const failed: WorkUnderTest['failed'][number][] = [];
    /** Tasks of the harness's own, by which it sees that a time has come and all before it has run. */
    const witnesses = new Map<string, () => void>();
    const work = await openBullWork({
      redis: redis!.url,
      prefix: redis!.freshPrefix(),
      clock: systemClock,
      // One at a time, so that the order of the runs is that of the jobs.
      concurrency: 1,
      retries: { attempts: 5, firstPause: 40 },
      onDone: (task, lateness) => {
        if (!witnesses.has(task.block)) done.push({ task, lateness });
      },
      onFailed: (task, error) => failed.push({ task, error }),
    });
    const start = work.start.bind(work);
    work.start = (run) =>
      start(async (task) => {
        const seen = witnesses.get(task.block);
        if (seen === undefined) await run(task);
        else seen();
      });
    return {
      work,
      now: () => Date.now(),
      advance: () => work.settled(),
      quiet: async (span) => {
        const block = `witness-${witnesses.size}`;
        const seen = new Promise<void>((resolve) => witnesses.set(block, resolve));
        work.plan({
          kind: 'lapse',
          block,
          subject: { type: 'ehlo', value: block },
          dueAt: Date.now() + span,
        });
        await seen;
        work.cancel('lapse', block);
      },
      done,
      failed,
      destroy: () => work.close(),
    };
  },
});
