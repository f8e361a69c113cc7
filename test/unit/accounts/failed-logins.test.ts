import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiDependencies } from '../../../src/api/dependencies.js';
import { failuresKnownSince } from '../../../src/api/check-findings.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { FailedLoginsByAccount } from '../../../src/accounts/users.js';

const NOON = Date.parse('2026-06-01T12:00:00Z');

const once = (network: string, at: number, count = 1) => ({ count, at, network });

test('failed logins are counted by account, in any spelling, until an hour has passed without one', () => {
  const failed = new FailedLoginsByAccount((account) => account === 'a@example.com');
  failed.note('A@Example.com', 'failed', '192.0.2.7', NOON);
  failed.note('a@example.com', 'putOff', '192.0.2.8', NOON + 50 * MINUTE);
  const later = NOON + 50 * MINUTE + HOUR;
  assert.deepEqual(failed.of('a@example.com', later), {
    failed: once('192.0.2.7', NOON),
    putOff: once('192.0.2.8', NOON + 50 * MINUTE),
    since: NOON,
    isKnown: true,
    wasNone: false,
  });
  assert.equal(failed.of('a@example.com', later + 1), undefined);
  failed.note('a@example.com', 'failed', '192.0.2.7', later + 1);
  assert.deepEqual(failed.of('a@example.com', later + 1), {
    failed: once('192.0.2.7', later + 1),
    putOff: undefined,
    since: later + 1,
    isKnown: true,
    wasNone: false,
  });
});

test('what is reported late counts by when it was, and not at all where it was counted before', () => {
  const failed = new FailedLoginsByAccount(() => true);
  failed.note('a@example.com', 'failed', '192.0.2.7', NOON);
  failed.note('a@example.com', 'failed', '192.0.2.8', NOON - 30 * MINUTE, 5);
  failed.note('a@example.com', 'failed', '192.0.2.9', NOON - 2 * HOUR);
  assert.deepEqual(failed.of('a@example.com', NOON), {
    failed: once('192.0.2.7', NOON, 6),
    putOff: undefined,
    since: NOON - 30 * MINUTE,
    isKnown: true,
    wasNone: false,
  });
});

test('a login of an account that is missing or disabled is no sure sign of a wrong password, also once it may log in', () => {
  let mayLogIn = false;
  const failed = new FailedLoginsByAccount(() => mayLogIn);
  failed.note('late@example.com', 'failed', '192.0.2.7', NOON);
  mayLogIn = true;
  failed.note('late@example.com', 'failed', '192.0.2.7', NOON);
  const { isKnown, wasNone } = failed.of('late@example.com', NOON)!;
  assert.deepEqual([isKnown, wasNone], [false, true]);
});

test('what is too long for an account is not looked at', () => {
  const failed = new FailedLoginsByAccount(() => assert.fail('looked at'));
  failed.note('x'.repeat(100_000), 'putOff', '192.0.2.7', NOON);
});

test('a name that may be no account is counted apart: a flood of guessed ones pushes out no account', () => {
  let known: string | undefined = 'a@example.com';
  const failed = new FailedLoginsByAccount((account) => (account === known ? true : undefined));
  failed.note('a@example.com', 'failed', '192.0.2.7', NOON);
  failed.note('b@example.com', 'failed', '192.0.2.7', NOON);
  assert.deepEqual(
    [failed.of('a@example.com', NOON)?.isKnown, failed.of('b@example.com', NOON)?.isKnown],
    [true, false],
  );
  known = 'b@example.com';
  failed.note('b@example.com', 'failed', '192.0.2.7', NOON);
  assert.deepEqual(failed.of('b@example.com', NOON), {
    failed: once('192.0.2.7', NOON, 2),
    putOff: undefined,
    since: NOON,
    isKnown: true,
    wasNone: false,
  });
  failed.note('c@example.com', 'failed', '192.0.2.7', NOON);
  for (let n = 0; n < 10_000; n++) failed.note(`guessed-${n}`, 'failed', '192.0.2.7', NOON);
  assert.equal(failed.of('c@example.com', NOON), undefined);
  assert.equal(failed.of('a@example.com', NOON)?.failed?.count, 1);
});

test('what is told of an account is the newest, though it is not known any more that there is one', () => {
  let known: boolean | undefined = true;
  const failed = new FailedLoginsByAccount(() => known);
  failed.note('a@example.com', 'failed', '192.0.2.7', NOON);
  known = undefined;
  failed.note('a@example.com', 'failed', '192.0.2.8', NOON + 2 * HOUR);
  failed.note('a@example.com', 'putOff', '192.0.2.9', NOON + 2 * HOUR + MINUTE);
  for (let n = 0; n < 10_000; n++) failed.note(`guessed-${n}`, 'failed', '192.0.2.7', NOON);
  assert.deepEqual(failed.of('a@example.com', NOON + 2 * HOUR + MINUTE), {
    failed: once('192.0.2.8', NOON + 2 * HOUR),
    putOff: once('192.0.2.9', NOON + 2 * HOUR + MINUTE),
    since: NOON + 2 * HOUR,
    isKnown: false,
    wasNone: false,
  });
});

test('it is known when the last login was that guesses of other names had forgotten', () => {
  const failed = new FailedLoginsByAccount(() => undefined);
  failed.note('a@example.com', 'failed', '192.0.2.7', NOON);
  const guess = (n: number): void =>
    failed.note(`guessed-${n}@example.com`, 'failed', '192.0.2.7', NOON + n * SECOND);
  for (let n = 1; n < 10_000; n++) guess(n);
  assert.equal(failed.forgottenAt, -Infinity);
  guess(10_000);
  assert.equal(failed.forgottenAt, NOON);
  guess(10_001);
  assert.equal(failed.forgottenAt, NOON + SECOND);
});

test('nothing is said of logins that did not fail for an hour after the last one that is forgotten', () => {
  const known = (now: number, forgottenAt: number): number | undefined =>
    failuresKnownSince(
      {
        putOffs: () => [],
        startedAt: NOON,
        failuresForgottenAt: () => forgottenAt,
      } as unknown as ApiDependencies,
      now,
    );
  assert.equal(known(NOON + 2 * HOUR, -Infinity), NOON + HOUR);
  assert.equal(known(NOON + 2 * HOUR, NOON + HOUR), undefined);
  assert.equal(known(NOON + 2 * HOUR + 1, NOON + HOUR), NOON + HOUR + 1);
});
