import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { FailedLoginsByAccount } from '../../../src/accounts/users.js';

const NOON = Date.parse('2026-06-01T12:00:00Z');

test('failed logins are counted by account, in any spelling, until an hour has passed without one', () => {
  const failed = new FailedLoginsByAccount((account) => account === 'a@example.com');
  failed.note('A@Example.com', 'failed', '192.0.2.7', NOON);
  failed.note('a@example.com', 'putOff', '192.0.2.8', NOON + 50 * MINUTE);
  const later = NOON + 50 * MINUTE + HOUR;
  assert.deepEqual(failed.of('a@example.com', later), {
    ...{ failed: 1, putOff: 1, since: NOON, at: NOON + 50 * MINUTE, network: '192.0.2.8' },
    isKnown: true,
  });
  assert.equal(failed.of('a@example.com', later + 1), undefined);
  failed.note('a@example.com', 'failed', '192.0.2.7', later + 1);
  assert.deepEqual(failed.of('a@example.com', later + 1), {
    ...{ failed: 1, putOff: 0, since: later + 1, at: later + 1, network: '192.0.2.7' },
    isKnown: true,
  });
});

test('what is typed as a login and is no account is kept nowhere', () => {
  const asked: string[] = [];
  const failed = new FailedLoginsByAccount((account) => {
    asked.push(account);
    return false;
  });
  failed.note('my-secret-password', 'failed', '192.0.2.7', NOON);
  assert.equal(failed.of('my-secret-password', NOON), undefined);
  failed.note('x'.repeat(100_000), 'putOff', '192.0.2.7', NOON);
  assert.deepEqual(asked, ['my-secret-password'], 'what is too long for an account is not looked at');
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
    ...{ failed: 2, putOff: 0, since: NOON, at: NOON, network: '192.0.2.7', isKnown: true },
  });
  failed.note('c@example.com', 'failed', '192.0.2.7', NOON);
  for (let n = 0; n < 10_000; n++) failed.note(`guessed-${n}`, 'failed', '192.0.2.7', NOON);
  assert.equal(failed.of('c@example.com', NOON), undefined);
  assert.equal(failed.of('a@example.com', NOON)?.failed, 1);
});

test('what is told of an account is the newest, though it is not known any more that there is one', () => {
  let known: boolean | undefined = true;
  const failed = new FailedLoginsByAccount(() => known);
  failed.note('a@example.com', 'failed', '192.0.2.7', NOON);
  known = undefined;
  failed.note('a@example.com', 'failed', '192.0.2.8', NOON + 2 * HOUR);
  failed.note('a@example.com', 'putOff', '192.0.2.9', NOON + 2 * HOUR + MINUTE);
  for (let n = 0; n < 10_000; n++) failed.note(`guessed-${n}`, 'failed', '192.0.2.7', NOON);
  const counted = { failed: 1, putOff: 1, since: NOON + 2 * HOUR, at: NOON + 2 * HOUR + MINUTE };
  assert.deepEqual(failed.of('a@example.com', NOON + 2 * HOUR + MINUTE), {
    ...{ ...counted, network: '192.0.2.9', isKnown: false },
  });
});
