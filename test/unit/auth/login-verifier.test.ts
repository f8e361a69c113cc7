import assert from 'node:assert/strict';
import test from 'node:test';
import { hashPassword, PasswordChecker } from '../../../src/accounts/passwords.js';
import type { Check } from '../../../src/accounts/passwords.js';
import type { UserTable } from '../../../src/accounts/users.js';
import { parseUsers } from '../../../src/accounts/users.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { fileBackend } from '../../../src/smtp/auth/file.js';
import { LoginVerifier } from '../../../src/smtp/auth/login-verifier.js';
import type { AuthBackend } from '../../../src/smtp/auth/port.js';
import { ManualClock } from '../../support/manual-clock.js';

const CHEAP = { ln: 4, r: 8, p: 1 };
const CLIENT = { ip: '192.0.2.7', network: '192.0.2.7', localIp: '192.0.2.1', secure: true };
const blocked = (): boolean => true;

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
  const state = { table: await users(passwords, disabled) };
  const clock = new ManualClock();
  const checker = new CountingChecker();
  const verifier = new Verifier({ backend: fileBackend(() => state.table, checker), clock });
  return { state, clock, checker, verifier };
}

/** With one client, unless a test names another. */
class Verifier extends LoginVerifier {
  override verify(name: string, password: string, client = CLIENT, isBlocked?: (account: string) => boolean) {
    return super.verify(name, password, client, isBlocked);
  }
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
  const { clock, checker, verifier } = await setUp({ anna: 'sesame' });
  for (let round = 0; round < 3; round += 1) await verifier.verify('anna', 'wrong');
  for (let round = 0; round < 3; round += 1) await verifier.verify('nobody', 'sesame');
  assert.equal(checker.checks, 6, 'each failure pays');
  for (let round = 0; round < 3; round += 1) assert.equal((await verifier.verify('anna', 'sesame')).ok, true);
  assert.equal(checker.checks, 7, 'a success pays once');
  clock.advance(10 * MINUTE - 1);
  await verifier.verify('anna', 'sesame');
  assert.equal(checker.checks, 7);
  clock.advance(2);
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
  const backend: AuthBackend = {
    ...{ memory: MINUTE, pending: 0, dependsOn: () => '', close: () => undefined },
    check: ({ name, password }) => Promise.resolve(password === 'c' ? name : undefined),
    probe: () => Promise.resolve({ ok: true, detail: '' }),
  };
  const verifier = new Verifier({ backend, clock: new ManualClock() });
  assert.equal((await verifier.verify('ab', 'c')).ok, true);
  assert.equal((await verifier.verify('a', 'bc')).ok, false);
});

test('a blocked subject always pays for the full check, remembered or not', async () => {
  const { checker, verifier } = await setUp({ anna: 'sesame' });
  await verifier.verify('anna', 'sesame');
  assert.equal((await verifier.verify('anna', 'sesame', CLIENT, blocked)).ok, true);
  assert.equal((await verifier.verify('anna', 'sesame', CLIENT, blocked)).ok, true);
  assert.deepEqual(await verifier.verify('anna', 'wrong', CLIENT, blocked), { ok: false });
  assert.equal(checker.checks, 4);
});

test("a blocked subject's success is not remembered", async () => {
  const { checker, verifier } = await setUp({ anna: 'sesame' });
  await verifier.verify('anna', 'sesame', CLIENT, blocked);
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
  const backend = fileBackend(() => state.table, new PasswordChecker({ concurrency: 1, queue: 0 }));
  const full = new Verifier({ backend, clock: new ManualClock() });
  const [first, second] = await Promise.allSettled([
    full.verify('anna', 'sesame'),
    full.verify('anna', 'other'),
  ]);
  assert.equal(first.status, 'fulfilled');
  assert.equal(second.status, 'rejected');
  assert.equal((await full.verify('anna', 'other')).ok, false);
});

/** A back end elsewhere, which has one account and takes longer for a wrong password, as a rule. */
class Elsewhere implements AuthBackend {
  readonly memory = MINUTE;
  readonly pending = 0;
  readonly wrongTakes = 2 * SECOND;
  readonly takes = { right: 0, wrong: 1500 };
  checks = 0;

  constructor(readonly clock: ManualClock) {}

  async check({ password }: { readonly password: string }): Promise<string | undefined> {
    this.checks++;
    const isRight = password === 'sesame';
    const takes = isRight ? this.takes.right : this.takes.wrong;
    if (takes > 0) await new Promise<void>((resolve) => this.clock.after(takes, resolve));
    return isRight ? 'anna@example.com' : undefined;
  }

  dependsOn = (_name: string, { ip }: { readonly ip: string }): string => ip;
  probe = () => Promise.resolve({ ok: true, detail: '' });
  close = (): void => undefined;
}

function elsewhere() {
  const clock = new ManualClock();
  const backend = new Elsewhere(clock);
  const verifier = new Verifier({ backend, clock });
  /** How much time passes until an answer, in steps of a tenth of a second. */
  const took = async (answer: Promise<unknown>): Promise<number> => {
    let isThere = false;
    void answer.then(() => (isThere = true));
    for (let passed = 0; ; passed += 100) {
      await new Promise(setImmediate);
      if (isThere) return passed;
      clock.advance(100);
    }
  };
  return { clock, backend, verifier, took };
}

test("a blocked account's right password takes as long as the back end takes for a wrong one", async () => {
  const { verifier, took } = elsewhere();
  assert.equal(await took(verifier.verify('anna', 'sesame')), 0);
  assert.equal(
    await took(verifier.verify('anna', 'sesame', CLIENT, blocked)),
    2000,
    'no wrong one was seen yet',
  );
  assert.equal(await took(verifier.verify('anna', 'wrong')), 1500);
  assert.equal(await took(verifier.verify('anna', 'sesame', CLIENT, blocked)), 1500);
});

test('a feigned failure is answered when the back end answers a wrong password beside it, with all that have gathered', async () => {
  const { clock, backend, verifier } = elsewhere();
  const gathered: (() => void)[] = [];
  const asked: string[] = [];
  const wrong = (ip: string): Promise<undefined> => {
    asked.push(ip);
    return new Promise((resolve) => gathered.push(() => resolve(undefined)));
  };
  const check = backend.check.bind(backend);
  Object.assign(backend, {
    check: (login: { readonly password: string; readonly client: typeof CLIENT }) =>
      login.password === 'sesame' ? check(login) : wrong(login.client.ip),
    fail: ({ ip }: typeof CLIENT) => wrong(`nobody beside ${ip}`),
  });
  const answered: string[] = [];
  const tried = (password: string) =>
    verifier.verify('anna', password, CLIENT, blocked).then(() => answered.push(password));
  const all = Promise.all([tried('wrong'), tried('sesame')]);
  for (let round = 0; round < 5; round++) {
    await new Promise(setImmediate);
    clock.advance(10 * SECOND);
  }
  assert.deepEqual(answered, []);
  for (const answer of gathered) answer();
  await all;
  assert.deepEqual(asked, ['192.0.2.7', 'nobody beside 192.0.2.7']);
});

test('where the back end is away by then, a feigned failure takes a time of our own', async () => {
  const { backend, verifier, took } = elsewhere();
  Object.assign(backend, { fail: () => Promise.reject(new Error('away')) });
  assert.equal(await took(verifier.verify('anna', 'wrong')), 1500);
  assert.equal(await took(verifier.verify('anna', 'sesame', CLIENT, blocked)), 1500);
});

test('where right and wrong passwords take the same time, now more and now less, a feigned one takes no more', async () => {
  const { backend, verifier, took } = elsewhere();
  const spans = Array.from({ length: 32 }, (_, index) => (index + 1) * 100);
  for (const span of spans) {
    Object.assign(backend.takes, { right: span, wrong: span });
    assert.equal(await took(verifier.verify('anna', `wrong${span}`)), span);
    await took(verifier.verify('anna', 'sesame', CLIENT, blocked));
  }
  for (const span of [100, 400, 1600, 3200]) {
    backend.takes.right = span;
    const feigned = await took(verifier.verify('anna', 'sesame', CLIENT, blocked));
    assert.ok(feigned >= span && feigned <= span + 200, `${feigned} in place of ${span}`);
  }
});

test('the account is the one that the back end names, and a block of either name holds', async () => {
  const { backend, verifier, took } = elsewhere();
  const isBlocked = (account: string): boolean => account === 'anna@example.com';
  const first = await verifier.verify('anna', 'sesame');
  assert.ok(first.ok && first.account === 'anna@example.com');
  assert.equal(verifier.hasSeen('anna@example.com'), true);
  assert.equal(backend.checks, 1);
  // It is remembered, but the back end is asked all the same.
  await took(verifier.verify('anna', 'sesame', CLIENT, isBlocked));
  assert.equal(backend.checks, 2);
});

test('what a back end elsewhere said of one address counts for no other', async () => {
  const { backend, verifier } = elsewhere();
  await verifier.verify('anna', 'sesame');
  await verifier.verify('anna', 'sesame');
  assert.equal(backend.checks, 1);
  await verifier.verify('anna', 'sesame', { ...CLIENT, ip: '192.0.2.8' });
  assert.equal(backend.checks, 2);
});

test('no back end is asked about a NUL, which would end a field of the question', async () => {
  const { backend, verifier } = elsewhere();
  assert.deepEqual(await verifier.verify('x\0anna', 'sesame'), { ok: false });
  assert.deepEqual(await verifier.verify('anna', 'ses\0ame'), { ok: false });
  assert.equal(backend.checks, 0);
});
