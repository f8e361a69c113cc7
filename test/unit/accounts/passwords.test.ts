import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import test from 'node:test';
import {
  hashPassword,
  LONGEST_PASSWORD,
  PasswordChecker,
  passwordCost,
} from '../../../src/accounts/passwords.js';
import { InvalidInput, StopgapError } from '../../../src/kernel/errors.js';

/** So cheap that a test need not wait; never for real use. */
const CHEAP = { ln: 4, r: 8, p: 1 };
/** A check makes up for what a hash is cheaper than this. Without it the cost is that of real use. */
const LITTLE = { cost: passwordCost(await hashPassword('any', CHEAP)) };

test('a password is right, another is wrong', async () => {
  const checker = new PasswordChecker();
  const stored = await hashPassword('sesame', CHEAP);
  assert.equal(await checker.verify(stored, 'sesame', LITTLE), true);
  assert.equal(await checker.verify(stored, 'Sesame', LITTLE), false);
  assert.equal(await checker.verify(stored, '', LITTLE), false);
});

test('the stored form is a PHC string of scrypt with N = 2^15, r = 8, p = 1 and a fresh salt', async () => {
  const stored = await hashPassword('sesame');
  const match = /^\$scrypt\$ln=15,r=8,p=1\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/.exec(stored);
  assert.ok(match !== null, 'form');
  const salt = Buffer.from(match[1]!, 'base64');
  const wanted = scryptSync('sesame', salt, 32, { N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26 });
  assert.deepEqual(Buffer.from(match[2]!, 'base64'), wanted);
  assert.notEqual(await hashPassword('a', CHEAP), await hashPassword('a', CHEAP));
});

test('composed and decomposed letters are the same password', async () => {
  const stored = await hashPassword('Bl\u00fcte', CHEAP);
  assert.equal(await new PasswordChecker().verify(stored, 'Blu\u0308te', LITTLE), true);
});

test('passwords at the bound work, longer ones never match', async () => {
  const checker = new PasswordChecker();
  const longest = 'x'.repeat(LONGEST_PASSWORD);
  const stored = await hashPassword(longest, CHEAP);
  assert.equal(await checker.verify(stored, longest, LITTLE), true);
  assert.equal(await checker.verify(stored, `${longest}y`, LITTLE), false);
  await assert.rejects(hashPassword(`${longest}y`, CHEAP), InvalidInput);
  await assert.rejects(hashPassword('', CHEAP), InvalidInput);
});

test('an unknown user and an unreadable hash are wrong, for any password', async () => {
  const checker = new PasswordChecker();
  for (const stored of [undefined, 'plain', '', '$scrypt$ln=4,r=8,p=1$$']) {
    assert.equal(await checker.verify(stored, 'plain', LITTLE), false);
  }
});

test('an unknown user costs about as much as a known one', async () => {
  const checker = new PasswordChecker();
  const stored = await hashPassword('sesame');
  const cost = async (record: string | undefined, password: string): Promise<number> => {
    let best = Infinity;
    for (let round = 0; round < 3; round += 1) {
      // Time of the processor: what else the machine does is not in it.
      const before = process.cpuUsage();
      await checker.verify(record, password);
      const { user, system } = process.cpuUsage(before);
      best = Math.min(best, user + system);
    }
    return best;
  };
  const known = await cost(stored, 'wrong');
  for (const [name, other] of [
    ['unknown user', await cost(undefined, 'wrong')],
    ['far too long password', await cost(stored, 'x'.repeat(1_000_000))],
  ] as const) {
    // Without the same hash the ratio would be near zero.
    assert.ok(other / known > 0.4 && other / known < 2.5, `${name}: ${other / known}`);
  }
});

test('hashes that would cost too much memory are not taken', async () => {
  const tail = '$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
  for (const parameters of [
    'ln=21,r=8,p=1',
    'ln=20,r=32,p=1',
    'ln=15,r=8,p=99',
    'ln=0,r=8,p=1',
    'ln=15,r=0,p=1',
  ]) {
    assert.equal(passwordCost(`$scrypt$${parameters}${tail}`), 0, parameters);
  }
  assert.ok(passwordCost(`$scrypt$ln=15,r=8,p=1${tail}`) > 0);
});

test('a cheap hash and no hash at all cost as much as the most expensive hash of the file', async () => {
  const checker = new PasswordChecker();
  const dear = await hashPassword('sesame', { ln: 14, r: 8, p: 1 });
  const cost = passwordCost(dear);
  const cheap = await hashPassword('sesame', { ln: 13, r: 8, p: 1 });
  const work = async (stored: string | undefined): Promise<number> => {
    const begun = process.cpuUsage();
    for (let round = 0; round < 4; round++) await checker.verify(stored, 'wrong', { cost });
    const { user, system } = process.cpuUsage(begun);
    return user + system;
  };
  const works = [await work(dear), await work(cheap), await work(undefined)];
  assert.ok(Math.max(...works) < 1.6 * Math.min(...works), works.join(' '));
});

test('networks take turns where checks wait, and one that takes all places gives some up', async () => {
  const checker = new PasswordChecker({ concurrency: 1, queue: 10 });
  const stored = await hashPassword('sesame', CHEAP);
  const order: string[] = [];
  const check = (network: string): Promise<unknown> =>
    checker.verify(stored, 'x', { network, cost: 0 }).then(
      () => order.push(network),
      () => order.push(`${network} refused`),
    );
  const flood = Array.from({ length: 11 }, () => check('flood'));
  const others = [check('office'), check('office'), check('phone')];
  await Promise.all([...flood, ...others]);
  const served = order.filter((one) => !one.endsWith('refused'));
  assert.deepEqual(served.slice(0, 6), ['flood', 'flood', 'office', 'phone', 'flood', 'office']);
  assert.equal(order.filter((one) => one === 'flood refused').length, 3);
});

test('a few checks run at a time, a bounded number waits, the rest is refused', async () => {
  const checker = new PasswordChecker({ concurrency: 2, queue: 3 });
  const stored = await hashPassword('sesame', CHEAP);
  const checks = Array.from({ length: 7 }, () => checker.verify(stored, 'sesame', LITTLE));
  assert.equal(checker.pending, 5);
  const results = await Promise.allSettled(checks);
  assert.deepEqual(
    results.map(({ status }) => status),
    [...Array<string>(5).fill('fulfilled'), ...Array<string>(2).fill('rejected')],
  );
  for (const result of results.slice(5)) {
    assert.ok(result.status === 'rejected' && result.reason instanceof StopgapError);
    assert.equal(result.reason.code, 'unavailable');
  }
  assert.equal(checker.pending, 0);
  assert.equal(await checker.verify(stored, 'sesame', LITTLE), true, 'works again afterwards');
});
