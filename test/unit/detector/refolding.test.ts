import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { Refolding } from '../../../src/detector/refolding.js';
import { SECOND } from '../../../src/kernel/time.js';
import { LogReplaced, StoreUnavailable } from '../../../src/store/port.js';
import { Gate, settle } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';

interface World {
  readonly refolding: Refolding;
  readonly clock: ManualClock;
  readonly logged: string[];
  /** How often all was folded anew, or that was tried. */
  tries: number;
  /** What the next ones do. */
  refold: (signal: AbortSignal) => Promise<number>;
}

function world(): World {
  const clock = new ManualClock();
  const logged: string[] = [];
  const log = pino({}, { write: (line: string) => void logged.push(line) });
  const refold = (signal: AbortSignal): Promise<number> => {
    there.tries++;
    return there.refold(signal);
  };
  const refolding = new Refolding({ clock, log, refold });
  const away = (): Promise<number> => Promise.reject(new StoreUnavailable('the store is away'));
  const there: World = { refolding, clock, logged, tries: 0, refold: away };
  refolding.begin(1);
  return there;
}

describe('folding anew after somebody was forgotten', () => {
  it('rests for ten seconds after each failure, whoever else is forgotten meanwhile', async () => {
    const there = world();
    const { refolding, clock } = there;
    refolding.ifDue();
    assert.equal(there.tries, 0, 'nobody was forgotten');
    for (let failures = 1; failures <= 3; failures++) {
      for (const position of [2, 3, 4]) {
        refolding.forgot(position);
        refolding.ifDue();
        await settle();
      }
      assert.deepEqual([there.tries, there.logged.length, clock.waiting], [failures, failures, 1]);
      clock.advance(10 * SECOND);
      await settle();
    }
    assert.equal(there.tries, 4);
    there.refold = () => Promise.resolve(4);
    clock.advance(10 * SECOND);
    await settle();
    refolding.ifDue();
    assert.deepEqual([there.tries, clock.waiting], [5, 0], 'it has succeeded: nothing is left to do');
  });

  it('goes on at once after a success, if somebody was forgotten meanwhile', async () => {
    const there = world();
    const folding = new Gate();
    there.refold = async () => {
      const soundUpTo = there.tries === 1 ? 2 : 3;
      await folding.opened;
      return soundUpTo;
    };
    there.refolding.forgot(2);
    there.refolding.ifDue();
    there.refolding.forgot(3);
    there.refolding.ifDue();
    assert.equal(there.tries, 1);
    folding.open();
    await settle();
    assert.deepEqual([there.tries, there.clock.waiting], [2, 0]);
  });

  it('drops a rest and all that is due when it is stopped, and begins anew with another log', async () => {
    const there = world();
    const { refolding, clock } = there;
    refolding.forgot(2);
    refolding.ifDue();
    await settle();
    assert.equal(clock.waiting, 1);
    await refolding.stop();
    refolding.forgot(3);
    refolding.ifDue();
    assert.deepEqual([there.tries, clock.waiting], [1, 0]);
    refolding.begin(10);
    assert.equal(refolding.hasForgotten, false);
    refolding.ifDue();
    assert.equal(there.tries, 1, 'nobody was forgotten by the other log');
    refolding.forgot(11);
    refolding.ifDue();
    assert.equal(there.tries, 2);
  });

  it('ends what is under way when it is stopped, and says nothing of that', async () => {
    const there = world();
    there.refold = (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new StoreUnavailable('the log is no longer followed')));
      });
    there.refolding.forgot(2);
    there.refolding.ifDue();
    await there.refolding.stop();
    await settle();
    assert.deepEqual([there.tries, there.logged.length, there.clock.waiting], [1, 0, 0]);
  });

  it('rests without a word where another log was found, which is caught up with soon', async () => {
    const there = world();
    there.refold = () => Promise.reject(new LogReplaced('another log'));
    there.refolding.forgot(2);
    there.refolding.ifDue();
    await settle();
    assert.deepEqual([there.tries, there.logged.length, there.clock.waiting], [1, 0, 1]);
  });
});
