import { setImmediate as turn } from 'node:timers/promises';
import { Timers } from '../../../src/expiry/timers.js';
import { SECOND } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import type { WorkUnderTest } from './suite.js';
import { expiryContract } from './suite.js';

expiryContract('timers in the process', {
  skip: false,
  moment: SECOND,
  retryPause: SECOND,
  open: async () => {
    const clock = new ManualClock();
    const done: WorkUnderTest['done'][number][] = [];
    const failed: WorkUnderTest['failed'][number][] = [];
    const work = new Timers({
      clock,
      onDone: (task, lateness) => done.push({ task, lateness }),
      onFailed: (task, error) => failed.push({ task, error }),
    });
    // In steps, with a turn of the loop after each: runs are asynchronous, and set the next alarm when they end.
    const advance = async (span: number): Promise<void> => {
      await turn();
      for (let passed = 0; passed < span; passed += SECOND / 2) {
        clock.advance(SECOND / 2);
        await turn();
      }
    };
    return {
      work,
      now: () => clock.now(),
      advance,
      quiet: advance,
      done,
      failed,
      destroy: () => work.close(),
    };
  },
});
