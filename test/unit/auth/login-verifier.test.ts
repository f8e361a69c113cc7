import assert from 'node:assert/strict';
import test from 'node:test';
import { hashPassword, PasswordChecker } from '../../../src/accounts/passwords.js';
import type { Check } from '../../../src/accounts/passwords.js';
import type { UserTable } from '../../../src/accounts/users.js';
import { parseUsers } from '../../../src/accounts/users.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { fileBackend, LoginVerifier } from '../../../src/smtp/auth/login-verifier.js';

const CHEAP = { ln: 4, r: 8, p: 1 };

/** A checker that counts how often the full work is done. */
class CountingChecker extends PasswordChecker {
  checks = 0;

  override verify(stored: string | undefined, password: string, how?: Check): Promise<boolean> {
    this.checks += 1;
    return super.verify(stored, password, how);
  }
}

async function users(
  passwords: Record<string, string>,
  disabled: readonly string[] = [],
): Promise<UserTable> {
  const lines = await Promise.all(
    Object.entries(passwords).map(async ([name, password]) => {
      const hash = await hashPassword(password, CHEAP);
      return `  - { name: "${name}", password: "${hash}", disabled: ${disabled.includes(name)} }`;
    }),
  );
  return parseUsers(`users:\n${lines.join('\n')}\n`, 'users.yaml');
}

async function setUp(passwords: Record<string, string>, disabled?: readonly string[]) {
  const state = { table: await users(passwords, disabled), now: 1_000_000 };
  const checker = new CountingChecker();
  const backend = fileBackend(() => state.table);
  const verifier = new LoginVerifier({ backend, checker, now: () => state.now });
  return { state, checker, verifier };
}

test('a login is right in any form of its name, and gives the account in normal form', async () => {
  const { verifier } = await setUp({ 'anna@example.com': 'sesame' });
  const right = await verifier.verify(' Anna@EXAMPLE.com. ', 'sesame');
  assert.equal(right.ok && right.account, 'anna@example.com');
  assert.deepEqual(await verifier.verify('anna@example.com', 'wrong'), { ok: false });
  assert.deepEqual(await verifier.verify('bob@example.com', 'sesame'), { ok: false });
});

test('a disabled user is wrong, after the same check', async () => {
  const { verifier, checker } = await setUp({ anna: 'sesame' }, ['anna']);
  assert.deepEqual(await verifier.verify('anna', 'sesame'), { ok: false });
  assert.equal(checker.checks, 1);
});

test('only successes are remembered, for ten minutes', async () => {
  const { state, checker, verifier } = await setUp({ anna: 'sesame' });
  for (let round = 0; round < 3; round += 1) await verifier.verify('anna', 'wrong');
  for (let round = 0; round < 3; round += 1) await verifier.verify('nobody', 'sesame');
  assert.equal(checker.checks, 6, 'each failure pays');
  for (let round = 0; round < 3; round += 1) assert.equal((await verifier.verify('anna', 'sesame')).ok, true);
  assert.equal(checker.checks, 7, 'a success pays once');
  state.now += 10 * MINUTE - 1;
  await verifier.verify('anna', 'sesame');
  assert.equal(checker.checks, 7);
  state.now += 2;
  await verifier.verify('anna', 'sesame');
  assert.equal(checker.checks, 8, 'ten minutes after it was checked it pays again');
});

test('what is remembered is the name and the password together', async () => {
  const { checker, verifier } = await setUp({ ab: 'cd', a: 'bcd' });
  assert.equal((await verifier.verify('ab', 'cd')).ok, true);
  assert.equal((await verifier.verify('a', 'bcd')).ok, true);
  assert.equal(checker.checks, 2);
  assert.equal((await verifier.verify('abc', 'd')).ok, false);
  assert.equal((await verifier.verify('ab', 'cd ')).ok, false);
});

test('two logins that read the same when strung together are two', async () => {
  const stored = await hashPassword('c', CHEAP);
  const verifier = new LoginVerifier({
    backend: { storedPassword: () => stored },
    checker: new PasswordChecker(),
  });
  assert.equal((await verifier.verify('ab', 'c')).ok, true);
  assert.equal((await verifier.verify('a', 'bc')).ok, false);
});

test('a blocked subject always pays for the full check, remembered or not', async () => {
  const { checker, verifier } = await setUp({ anna: 'sesame' });
  const blocked = { bypassMemory: true };
  await verifier.verify('anna', 'sesame');
  assert.equal((await verifier.verify('anna', 'sesame', blocked)).ok, true);
  assert.equal((await verifier.verify('anna', 'sesame', blocked)).ok, true);
  assert.deepEqual(await verifier.verify('anna', 'wrong', blocked), { ok: false });
  assert.equal(checker.checks, 4);
});

test("a blocked subject's success is not remembered", async () => {
  const { checker, verifier } = await setUp({ anna: 'sesame' });
  await verifier.verify('anna', 'sesame', { bypassMemory: true });
  await verifier.verify('anna', 'sesame');
  assert.equal(checker.checks, 2);
});

test('a changed, disabled or removed user is forgotten at once', async () => {
  const { state, verifier } = await setUp({ anna: 'sesame', bob: 'geheim' });
  const right = async (name: string, password: string): Promise<boolean> =>
    (await verifier.verify(name, password)).ok;
  assert.equal(await right('anna', 'sesame'), true);
  assert.equal(await right('bob', 'geheim'), true);
  state.table = await users({ anna: 'new' });
  assert.equal(await right('anna', 'sesame'), false);
  assert.equal(await right('anna', 'new'), true);
  assert.equal(await right('bob', 'geheim'), false);
});

test('the same login many times at once is one check, others are their own', async () => {
  const { checker, verifier } = await setUp({ anna: 'sesame' });
  const same = await Promise.all(Array.from({ length: 50 }, () => verifier.verify('anna', 'sesame')));
  assert.ok(same.every(({ ok }) => ok));
  assert.equal(checker.checks, 1);
  await Promise.all(['a', 'b', 'c'].map((password) => verifier.verify('anna', password)));
  assert.equal(checker.checks, 4);
});

test('a check that could not be made is an error, and leaves nothing in memory', async () => {
  const { state } = await setUp({ anna: 'sesame' });
  const backend = fileBackend(() => state.table);
  const full = new LoginVerifier({ backend, checker: new PasswordChecker({ concurrency: 1, queue: 0 }) });
  const [first, second] = await Promise.allSettled([
    full.verify('anna', 'sesame'),
    full.verify('anna', 'other'),
  ]);
  assert.equal(first.status, 'fulfilled');
  assert.equal(second.status, 'rejected');
  assert.equal((await full.verify('anna', 'other')).ok, false);
});
