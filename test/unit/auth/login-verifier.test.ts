import assert from 'node:assert/strict';
import test from 'node:test';
import { hashPassword, PasswordChecker } from '../../../src/accounts/passwords.js';
import type { Check } from '../../../src/accounts/passwords.js';
import type { UserTable } from '../../../src/accounts/users.js';
import { parseUsers } from '../../../src/accounts/users.js';
import { DAY, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { fileBackend } from '../../../src/smtp/auth/file.js';
import { LoginVerifier } from '../../../src/smtp/auth/login-verifier.js';
import type { AuthBackend, Login, LoginClient } from '../../../src/smtp/auth/port.js';
import { settle } from '../../support/gate.js';
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

test('a login holds while its back end says so, and for ten minutes where that cannot tell of changes', async () => {
  const backend: AuthBackend = {
    memory: MINUTE,
    pending: 0,
    dependsOn: () => '',
    close: () => undefined,
    check: ({ name }) => Promise.resolve(name),
    probe: () => Promise.resolve({ ok: true, detail: '' }),
  };
  for (const [knows, then] of [
    [undefined, false],
    [() => true, true],
  ] as const) {
    const clock = new ManualClock();
    const verifier = new Verifier({
      backend: knows === undefined ? backend : { ...backend, knows },
      clock,
    });
    const first = await verifier.verify('anna', 'sesame');
    assert.ok(first.ok);
    clock.advance(10 * MINUTE - 1);
    const second = await verifier.verify('anna', 'sesame');
    assert.ok(second.ok && verifier.holds(first, CLIENT));
    clock.advance(1);
    assert.deepEqual([verifier.holds(first, CLIENT), verifier.holds(second, CLIENT)], [then, true]);
  }
});

test('two logins that read the same when strung together are two', async () => {
  const backend: AuthBackend = {
    memory: MINUTE,
    pending: 0,
    dependsOn: () => '',
    close: () => undefined,
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

/** A back end elsewhere, which has one account, and takes different times for what it says. */
class Elsewhere implements AuthBackend {
  readonly memory = MINUTE;
  readonly pending = 0;
  readonly failsAfter = 3 * SECOND;
  nobody?: (client: LoginClient) => Login;
  readonly takes = { right: 60, wrong: 560, unknown: 1, nobody: 560 };
  /** How long a question waits for its turn. */
  waits = 0;
  checks = 0;

  constructor(readonly clock: ManualClock) {}

  async check({ name, password }: Login, begins?: () => void): Promise<string | undefined> {
    if (this.waits > 0) await this.#pass(this.waits);
    begins?.();
    this.checks++;
    const isRight = name === 'anna' && password === 'sesame';
    const what = isRight ? 'right' : name === 'anna' ? 'wrong' : name === 'nobody' ? 'nobody' : 'unknown';
    await this.#pass(this.takes[what]);
    return isRight ? 'anna@example.com' : undefined;
  }

  dependsOn = (_name: string, { ip }: { readonly ip: string }): string => ip;
  probe = () => Promise.resolve({ ok: true, detail: '' });
  close = (): void => undefined;

  #pass(span: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(span, resolve));
  }
}

const NOBODY = (client: LoginClient): Login => ({ name: 'nobody', password: 'none', client });

function elsewhere() {
  const clock = new ManualClock();
  const backend = new Elsewhere(clock);
  const verifier = new Verifier({ backend, clock });
  /** How much time passes until an answer. */
  const took = async (answer: Promise<unknown>): Promise<number> => {
    const begun = clock.monotonic();
    let isThere = false;
    void answer.then(() => (isThere = true));
    for (;;) {
      await settle(2);
      if (isThere) return clock.monotonic() - begun;
      clock.advance(10);
    }
  };
  const tried = (password: string, isBlocked = true) =>
    verifier.verify('anna', password, CLIENT, () => isBlocked);
  return { clock, backend, verifier, took, tried };
}

for (const takes of [
  { right: 60, wrong: 560, unknown: 1, nobody: 1 },
  { right: 80, wrong: 1080, unknown: 1080, nobody: 1080 },
  { right: 2990, wrong: 10, unknown: 10, nobody: 10 },
])
  test(`right takes ${takes.right} ms, wrong ${takes.wrong} and unknown ${takes.unknown}: each failure is answered after three seconds, blocked or not`, async () => {
    const { backend, verifier, took, tried } = elsewhere();
    Object.assign(backend.takes, takes);
    assert.equal(await took(tried('sesame')), 3000, 'on the first try too');
    assert.equal(await took(tried('wrong')), 3000);
    assert.equal(await took(tried('wrong', false)), 3000);
    assert.equal(await took(verifier.verify('bob', 'sesame')), 3000);
    assert.equal(await took(tried('sesame', false)), takes.right, 'a success does not wait');
  });

test('a stranger who makes unknown names fail makes no feigned failure come sooner', async () => {
  const { verifier, took, tried } = elsewhere();
  const guesses = Array.from({ length: 200 }, (_, index) => verifier.verify(`guess${index}`, 'sesame'));
  await took(Promise.all(guesses));
  assert.equal(await took(tried('sesame')), 3000);
  assert.equal(await took(tried('wrong')), 3000);
});

test('where a wrong password takes longer, all failures wait for the next whole second, for a day', async () => {
  const { clock, backend, verifier, took, tried } = elsewhere();
  backend.takes.wrong = 4200;
  assert.equal(await took(tried('wrong')), 5000);
  for (let round = 0; round < 100; round++) await took(verifier.verify('bob', 'sesame'));
  assert.equal(await took(tried('sesame')), 5000);
  assert.equal(await took(tried('wrong', false)), 5000);
  backend.takes.wrong = 560;
  clock.advance(DAY + 1);
  assert.equal(await took(tried('sesame')), 3000);
});

test('where a right password takes longer, all failures wait for the next whole second too, for a day', async () => {
  const { clock, backend, verifier, took, tried } = elsewhere();
  backend.takes.right = 3500;
  assert.equal(await took(tried('sesame', false)), 3500, 'somebody logs in');
  assert.equal(await took(tried('sesame')), 4000);
  assert.equal(await took(tried('wrong')), 4000);
  assert.equal(await took(tried('wrong', false)), 4000);
  assert.equal(await took(verifier.verify('bob', 'sesame')), 4000);
  backend.takes.right = 60;
  clock.advance(DAY + 1);
  assert.equal(await took(tried('sesame')), 3000);
  assert.equal(await took(tried('wrong')), 3000);
});

test("a blocked account's right password that takes longer makes later failures wait as long", async () => {
  const { backend, took, tried } = elsewhere();
  backend.takes.right = 3500;
  assert.equal(await took(tried('sesame')), 4000);
  assert.equal(await took(tried('wrong')), 4000);
});

test('right passwords, however many, do not tell how long a wrong one takes: one of nobody is asked about', async () => {
  const { backend, verifier, took, tried } = elsewhere();
  backend.nobody = NOBODY;
  Object.assign(backend.takes, { right: 100, wrong: 4200, nobody: 4200 });
  for (let round = 0; round < 20; round++)
    await took(verifier.verify('anna', 'sesame', { ...CLIENT, ip: `192.0.2.${round}` }));
  assert.equal(await took(tried('sesame')), 5000);
});

test('a failure is answered so long after the back end was asked, and not after the question came to wait for its turn', async () => {
  const { backend, took, tried } = elsewhere();
  backend.waits = 4000;
  assert.equal(await took(tried('sesame')), 7000);
  assert.equal(await took(tried('wrong')), 7000);
});

test('where no wrong password was seen for a day, one of nobody shows what it takes before the first is feigned', async () => {
  const { clock, backend, took, tried } = elsewhere();
  backend.nobody = NOBODY;
  Object.assign(backend.takes, { wrong: 4200, nobody: 4200 });
  for (let day = 1; day <= 2; day++) {
    assert.equal(await took(tried('sesame')), 5000);
    assert.equal(await took(tried('sesame')), 5000);
    assert.equal(backend.checks, day * 3);
    clock.advance(DAY + 1);
  }
  await took(tried('wrong', false));
  await took(tried('sesame'));
  assert.equal(backend.checks, 8, 'a wrong one of anybody shows it too');
});

test('the first feigned failure comes no later than a wrong password, however long right ones take', async () => {
  for (const [right, wrong] of [
    [100, 2950],
    [600, 2600],
    [1500, 3500],
  ] as const)
    for (const password of ['sesame', 'wrong']) {
      const { backend, took, tried } = elsewhere();
      backend.nobody = NOBODY;
      Object.assign(backend.takes, { right, wrong, nobody: wrong });
      assert.equal(await took(tried(password)), 1000 * Math.max(3, Math.ceil(wrong / 1000)), password);
    }
});

test('where the back end is away by the time that it is asked about nobody, a feigned failure takes three seconds', async () => {
  const { backend, took, tried } = elsewhere();
  backend.nobody = NOBODY;
  const check = backend.check.bind(backend);
  backend.check = (login, begins) =>
    login.name === 'nobody' ? Promise.reject(new Error('away')) : check(login, begins);
  assert.equal(await took(tried('sesame')), 3000);
});

test('the account is the one that the back end names, and a block of either name holds', async () => {
  const { backend, verifier, took } = elsewhere();
  const isBlocked = (account: string): boolean => account === 'anna@example.com';
  const signedIn = verifier.verify('anna', 'sesame');
  await took(signedIn);
  const first = await signedIn;
  assert.ok(first.ok && first.account === 'anna@example.com');
  assert.equal(verifier.accountOf('anna@example.com'), 'anna@example.com');
  assert.equal(backend.checks, 1);
  // It is remembered, but the back end is asked all the same.
  await took(verifier.verify('anna', 'sesame', CLIENT, isBlocked));
  assert.equal(backend.checks, 2);
});

test('whose login it was is known of right ones, blocked or not, and as it was last', async () => {
  const { backend, verifier, took } = elsewhere();
  await took(verifier.verify('anna', 'wrong'));
  assert.equal(verifier.accountOf('anna'), undefined);
  await took(verifier.verify('anna', 'sesame', CLIENT, blocked));
  assert.equal(verifier.accountOf('anna'), 'anna@example.com');
  backend.check = ({ name }) => Promise.resolve(name);
  await took(verifier.verify('anna', 'sesame', CLIENT, blocked));
  assert.equal(verifier.accountOf('anna'), 'anna');
});

test('under which other name an account logs in is forgotten, with what was right by that name', async () => {
  const { backend, verifier, took } = elsewhere();
  await took(verifier.verify('anna', 'sesame'));
  verifier.forgetNames();
  assert.equal(verifier.accountOf('anna'), undefined);
  assert.ok(verifier.isLogin('anna@example.com'), 'nobody else may send from the address');
  await took(verifier.verify('anna', 'sesame'));
  assert.equal(backend.checks, 2);
});

test('what is right stays in memory where all log in by the names of their accounts', async () => {
  const { backend, verifier, took } = elsewhere();
  const check = backend.check.bind(backend);
  backend.check = async (login, begins) =>
    (await check(login, begins)) === undefined ? undefined : login.name;
  await took(verifier.verify('anna', 'sesame'));
  verifier.forgetNames();
  await took(verifier.verify('anna', 'sesame'));
  assert.equal(backend.checks, 1);
});

test('what a back end elsewhere said of one address counts for no other', async () => {
  const { backend, verifier, took } = elsewhere();
  await took(verifier.verify('anna', 'sesame'));
  await took(verifier.verify('anna', 'sesame'));
  assert.equal(backend.checks, 1);
  await took(verifier.verify('anna', 'sesame', { ...CLIENT, ip: '192.0.2.8' }));
  assert.equal(backend.checks, 2);
});

test('no back end is asked about a NUL, which would end a field of the question', async () => {
  const { backend, verifier } = elsewhere();
  assert.deepEqual(await verifier.verify('x\0anna', 'sesame'), { ok: false });
  assert.deepEqual(await verifier.verify('anna', 'ses\0ame'), { ok: false });
  assert.equal(backend.checks, 0);
});
