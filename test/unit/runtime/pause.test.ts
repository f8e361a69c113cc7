import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { pauseUnless } from '../../../src/runtime/clock.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('a pause that a signal ends', () => {
  const clock = new ManualClock();

  test('leaves no listener on the signal, however many pauses are over', async () => {
    const { signal } = new AbortController();
    for (let turn = 0; turn < 3; turn++) {
      const pause = pauseUnless(signal, clock, SECOND);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      clock.advance(SECOND);
      await pause;
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }
  });

  test('is over at once when the signal is aborted, and its alarm is taken back', async () => {
    const controller = new AbortController();
    const pause = pauseUnless(controller.signal, clock, SECOND);
    assert.equal(clock.waiting, 1);
    controller.abort();
    await pause;
    assert.equal(clock.waiting, 0);
    await pauseUnless(controller.signal, clock, SECOND);
    assert.equal(clock.waiting, 0);
  });
});
