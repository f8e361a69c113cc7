import { openBullWork } from '../../../src/expiry/bullmq/work.js';
import { systemClock } from '../../../src/runtime/clock.js';

/*
 * A worker that begins a job and never ends it: for a test to kill in the middle.
 *
 *   node crash-child.js <redis url> <prefix> <lock in milliseconds>
 */
const [url, prefix, lock] = process.argv.slice(2);
const work = await openBullWork({
  redis: url!,
  prefix: prefix!,
  lock: Number(lock),
  clock: systemClock,
  caughtUp: () => false,
});
work.start(async ({ block }) => {
  process.send!(block);
  await new Promise<never>(() => undefined);
});
