import assert from 'node:assert/strict';
import test from 'node:test';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { AttemptLimiter } from '../../../src/accounts/attempt-limiter.js';
import { ManualClock } from '../../support/manual-clock.js';

const OFFICE = '192.0.2.7';

function setUp(attemptsPerMinute = 6, remembered?: number) {
  const clock = new ManualClock();
  const limiter = new AttemptLimiter({
    attemptsPerMinute,
    clock,
    ...(remembered === undefined ? {} : { remembered }),
  });
  let passwords = 0;
  const fresh = (): string => `guess ${++passwords}`;
  /** Whether a login may be tried; one that may be is told to have failed, or not. */
  const attempt = async (
    what: 'fails' | 'succeeds',
    { account = 'anna', password = fresh(), network = OFFICE } = {},
  ): Promise<boolean> => {
    const begun = await limiter.begin(network, account, password);
    if (what === 'fails') begun?.failed();
    begun?.end();
    return begun !== undefined;
  };
  const fail = async (times: number, how: { password?: string; network?: string } = {}): Promise<void> => {
    for (let time = 0; time < times; time += 1) await attempt('fails', how);
  };
  const isOpen = (how: { account?: string; password?: string; network?: string } = {}): Promise<boolean> =>
    attempt('succeeds', how);
  return { clock, limiter, fail, isOpen, attempt };
}

test('failures close the whole network, and it opens as time passes', async () => {
  const { clock, fail, isOpen } = setUp();
  await fail(5);
  assert.equal(await isOpen(), true);
  await fail(1);
  assert.equal(await isOpen(), false);
  assert.equal(await isOpen({ account: 'bob' }), false);
  assert.equal(await isOpen({ network: '192.0.2.8' }), true, 'another network is another matter');
  clock.advance(10 * SECOND - 1);
  assert.equal(await isOpen(), false);
  clock.advance(1);
  assert.equal(await isOpen(), true, 'a sixth of a minute is one attempt of six');
});

test('the same credentials that fail again and again count once for their network', async () => {
  const { clock, fail, isOpen, attempt } = setUp();
  const phone = { account: 'Anna@Example.com', password: 'of long ago' };
  for (let minute = 0; minute < 200; minute++) {
    assert.equal(await attempt('fails', phone), true);
    assert.equal(await attempt('fails', { ...phone, account: 'anna@example.com' }), true);
    clock.advance(20 * SECOND);
  }
  await fail(5);
  assert.equal(await isOpen(), true, 'the office goes on');
});

test('repeats have a limit of their own, which stops nothing but repeats', async () => {
  const { attempt, isOpen } = setUp();
  const phone = { password: 'of long ago' };
  for (let time = 0; time < 7; time++) assert.equal(await attempt('fails', phone), true, String(time));
  assert.equal(await attempt('fails', phone), false);
  assert.equal(await isOpen({ account: 'bob' }), true);
});

test('credentials that failed more than an hour ago count again', async () => {
  const { clock, attempt, isOpen } = setUp(1);
  const phone = { password: 'of long ago' };
  await attempt('fails', phone);
  clock.advance(HOUR + 1);
  await attempt('fails', phone);
  assert.equal(await isOpen({ account: 'bob' }), false);
});

test('a repeat that succeeds takes nothing', async () => {
  const { clock, attempt } = setUp(1);
  const phone = { password: 'right, but the account was blocked' };
  await attempt('fails', phone);
  clock.advance(MINUTE);
  for (let time = 0; time < 10; time++) assert.equal(await attempt('succeeds', phone), true);
});

test('successes are never limited, however many at once', async () => {
  const { attempt } = setUp(2);
  const all = await Promise.all(Array.from({ length: 400 }, () => attempt('succeeds')));
  assert.deepEqual(new Set(all), new Set([true]));
});

test('attempts at once are no more than may fail: the others wait for what comes of those', async () => {
  const { limiter } = setUp(3);
  const all = Array.from({ length: 20 }, (_, index) => limiter.begin(OFFICE, 'anna', `p${index}`));
  let begun = 0;
  for (const one of all) void one.then((attempt) => (begun += attempt === undefined ? 0 : 1));
  const first = await Promise.all(all.slice(0, 3));
  assert.equal(begun, 3);
  for (const attempt of first) {
    attempt!.failed();
    attempt!.end();
  }
  assert.deepEqual(new Set(await Promise.all(all.slice(3))), new Set([undefined]));
});

test('no rest makes more than the limit, and no clock that is set gives or takes any', async () => {
  const { clock, fail, isOpen } = setUp();
  await fail(1);
  clock.advance(1000 * MINUTE);
  await fail(5);
  assert.equal(await isOpen(), true);
  clock.jump(-HOUR);
  assert.equal(await isOpen(), true);
  await fail(1);
  assert.equal(await isOpen(), false);
  clock.jump(2 * HOUR);
  assert.equal(await isOpen(), false);
  clock.jump(-HOUR);
  clock.advance(10 * SECOND);
  assert.equal(await isOpen(), true);
});

test('an IPv6 site has twice as many failures in its /56 and four times as many in its /48', async () => {
  const of = (index: number): string => `2001:db8:7:${index.toString(16)}::/64`;
  const narrow = setUp();
  for (let index = 0; index < 12; index++) await narrow.fail(1, { network: of(index) });
  assert.equal(await narrow.isOpen({ network: of(0xff) }), false);
  assert.equal(await narrow.isOpen({ network: of(0x100) }), true);
  const wide = setUp();
  for (let index = 0; index < 24; index++) await wide.fail(1, { network: of(index << 8) });
  assert.equal(await wide.isOpen({ network: of(0xff00) }), false);
  assert.equal(await wide.isOpen({ network: '2001:db8:8::/64' }), true);
});

test('only so many networks are remembered, the least used are forgotten', async () => {
  const { fail, isOpen } = setUp(1, 2);
  const networks = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
  for (const network of networks) await fail(1, { network });
  const open = await Promise.all(networks.map((network) => isOpen({ network })));
  assert.deepEqual(open, [true, false, false]);
});

test('logins that begin alike share a bucket, at any length', async () => {
  const { attempt } = setUp(2);
  const login = (end: number) => ({ account: `${'x'.repeat(400)}${end}`, password: 'same' });
  assert.deepEqual([await attempt('fails', login(1)), await attempt('fails', login(2))], [true, true]);
  assert.equal(await attempt('fails', { password: 'second' }), true, 'the second was a repeat');
  assert.equal(await attempt('fails', { password: 'third' }), false);
});
