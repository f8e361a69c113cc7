import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { TrustedTime } from '../../../src/runtime/trusted-time.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';

describe('the time that is trusted', () => {
  test('is that of the clock, which may be slewed and may lag', () => {
    const clock = new ManualClock();
    const time = new TrustedTime(clock, NOON - 30 * DAY);
    for (let count = 0; count < 10; count++) {
      clock.skip(DAY);
      clock.jump(30 * MINUTE);
      assert.equal(time.now(), clock.now());
    }
    clock.jump(-300 * DAY);
    assert.equal(time.now(), clock.now());
    clock.jump(300 * DAY);
    assert.equal(time.now(), clock.now(), 'it was put right');
  });

  for (const [ahead, days] of [
    [2 * HOUR, 1],
    [40 * DAY, 7],
  ] as const) {
    test(`goes on from where it was until a clock that leapt by ${ahead / HOUR} hours has stood for ${days} days`, () => {
      const clock = new ManualClock();
      const time = new TrustedTime(clock, 0);
      clock.jump(ahead);
      assert.equal(time.now(), NOON);
      clock.skip(days * DAY - 1);
      assert.equal(time.now(), NOON + days * DAY - 1);
      clock.jump(-ahead);
      assert.equal(time.now(), clock.now());
      clock.jump(ahead);
      assert.equal(time.now(), NOON + days * DAY - 1, 'another leap, another span');
      clock.skip(days * DAY);
      assert.equal(time.now(), clock.now());
    });
  }

  for (const [what, latest, expected] of [
    ['nothing was recorded before', 0, NOON],
    ['a machine was off for a month', NOON - 31 * DAY, NOON],
    ['the last event is older', NOON - 32 * DAY, NOON - 32 * DAY],
    ['the last event is of the future', NOON + DAY, NOON],
  ] as const) {
    test(`begins with the likelier one if ${what}`, () => {
      assert.equal(new TrustedTime(new ManualClock(), latest).now(), expected);
    });
  }

  test('is not held back where a clock that was behind at the start is put right', () => {
    const clock = new ManualClock(NOON - 700 * DAY);
    const time = new TrustedTime(clock, NOON - MINUTE);
    clock.jump(700 * DAY);
    assert.equal(time.now(), NOON);
  });
});
