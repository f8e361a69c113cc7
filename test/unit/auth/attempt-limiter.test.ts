import assert from 'node:assert/strict';
import test from 'node:test';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { FailureKind } from '../../../src/smtp/auth/attempt-limiter.js';
import { AttemptLimiter } from '../../../src/smtp/auth/attempt-limiter.js';
import { ManualClock } from '../../support/manual-clock.js';

const OFFICE = '192.0.2.7';

function setUp(attemptsPerMinute = 6, remembered?: number) {
  const clock = new ManualClock();
  const limiter = new AttemptLimiter({
    attemptsPerMinute,
    clock,
    ...(remembered === undefined ? {} : { remembered }),
  });
  const fail = (times: number, kind: FailureKind, account = 'anna', network = OFFICE): void => {
    for (let time = 0; time < times; time += 1) limiter.failed(network, account, kind);
  };
  return { clock, limiter, fail };
}

test('genuine failures close the whole network, and it opens as time passes', () => {
  const { clock, limiter, fail } = setUp();
  fail(5, 'genuine');
  assert.equal(limiter.allow(OFFICE, 'anna'), true);
  fail(1, 'genuine');
  assert.equal(limiter.allow(OFFICE, 'anna'), false);
  assert.equal(limiter.allow(OFFICE, 'bob'), false);
  assert.equal(limiter.allow('192.0.2.8', 'anna'), true, 'another network is another matter');
  clock.advance(10 * SECOND - 1);
  assert.equal(limiter.allow(OFFICE, 'anna'), false);
  clock.advance(1);
  assert.equal(limiter.allow(OFFICE, 'anna'), true, 'a sixth of a minute is one attempt of six');
});

test('feigned failures close the account at that network alone', () => {
  const { limiter, fail } = setUp();
  fail(100, 'feigned', 'anna@example.com');
  assert.equal(limiter.allow(OFFICE, 'Anna@Example.com'), false);
  assert.equal(limiter.allow(OFFICE, 'bob@example.com'), true);
  assert.equal(limiter.allow('192.0.2.8', 'anna@example.com'), true);
});

test('asking takes nothing, so that successes are never limited', () => {
  const { limiter } = setUp(1);
  for (let time = 0; time < 1000; time += 1) assert.equal(limiter.allow(OFFICE, 'anna'), true);
});

test('attempts at once beyond the limit are paid back, within ten minutes', () => {
  const { clock, limiter, fail } = setUp();
  fail(12, 'genuine');
  clock.advance(MINUTE + 9 * SECOND);
  assert.equal(limiter.allow(OFFICE, 'anna'), false);
  clock.advance(SECOND);
  assert.equal(limiter.allow(OFFICE, 'anna'), true);
  fail(100_000, 'genuine');
  clock.advance(11 * MINUTE);
  assert.equal(limiter.allow(OFFICE, 'anna'), true);
});

test('no rest makes more than the limit, and no clock that is set gives or takes any', () => {
  const { clock, limiter, fail } = setUp();
  fail(1, 'genuine');
  clock.advance(1000 * MINUTE);
  fail(5, 'genuine');
  assert.equal(limiter.allow(OFFICE, 'anna'), true);
  clock.jump(-HOUR);
  assert.equal(limiter.allow(OFFICE, 'anna'), true);
  fail(1, 'genuine');
  assert.equal(limiter.allow(OFFICE, 'anna'), false);
  clock.jump(2 * HOUR);
  assert.equal(limiter.allow(OFFICE, 'anna'), false);
  clock.jump(-HOUR);
  clock.advance(10 * SECOND);
  assert.equal(limiter.allow(OFFICE, 'anna'), true);
});

test('only so many networks are remembered, the least used are forgotten', () => {
  const { limiter, fail } = setUp(1, 2);
  fail(1, 'genuine', 'x', '192.0.2.1');
  fail(1, 'genuine', 'x', '192.0.2.2');
  fail(1, 'genuine', 'x', '192.0.2.3');
  assert.deepEqual(
    ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((network) => limiter.allow(network, 'x')),
    [true, false, false],
  );
});

test('logins of any length share what stands at their beginning', () => {
  const { limiter, fail } = setUp(1);
  fail(1, 'feigned', `${'x'.repeat(400)}1`);
  assert.equal(limiter.allow(OFFICE, `${'x'.repeat(400)}2`), false);
});
