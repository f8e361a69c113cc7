import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { mock, test } from 'node:test';
import { PasswordChecker } from '../../../src/accounts/passwords.js';
import type { UserRecord } from '../../../src/accounts/users.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { AuthenticationFailed, MessageRefused } from '../../../src/sending/events.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const FAILED = '535 5.7.8 Authentication credentials invalid';
const LATER = '454 4.7.0 Temporary authentication failure, please try again later';
const GUESSED = 'xyzzy-plugh@typed.test';

/** Enough attempts that no limit gets in the way of what is tested. */
const UNLIMITED = { auth: { users: './users.yaml', attemptsPerMinute: 1000 } };

test('a blocked account, a wrong password and an unknown user: the same bytes', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: UNLIMITED });
  await stopgap.block('account', ALICE);
  const ways = {
    PLAIN: (session: Dialogue, user: string, password: string) => session.login(user, password),
    LOGIN: (session: Dialogue, user: string, password: string) => session.loginInSteps(user, password),
  };
  for (const [way, login] of Object.entries(ways)) {
    for (const secure of [false, true]) {
      await t.test(`${way} ${secure ? 'under TLS' : 'in clear'}`, async () => {
        const session = await stopgap.hello();
        if (secure) {
          await session.startTls();
          await session.say('EHLO client.test');
        }
        assert.equal(await login(session, ALICE, PASSWORDS[ALICE]!), FAILED);
        assert.equal(await login(session, BOB, WRONG), FAILED);
        assert.equal(await login(session, GUESSED, WRONG), FAILED);
        assert.match(await login(session, BOB, PASSWORDS[BOB]!), /^235 /, 'the others go on as ever');
        await session.quit();
      });
    }
  }
});

test('what a login costs: one check of the password, unless a success is remembered', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: UNLIMITED });
  const verify = mock.method(PasswordChecker.prototype, 'verify');
  t.after(() => verify.mock.restore());
  const session = await stopgap.hello();
  const costOf = async (user: string, password: string): Promise<[string, number]> => {
    const before = verify.mock.callCount();
    const reply = await session.login(user, password);
    return [reply.slice(0, 3), verify.mock.callCount() - before];
  };
  assert.deepEqual(await costOf(GUESSED, WRONG), ['535', 1], 'unknown user');
  assert.deepEqual(await costOf(BOB, WRONG), ['535', 1], 'wrong password');
  assert.deepEqual(await costOf(BOB, WRONG), ['535', 1], 'wrong again: failures are not remembered');
  await stopgap.block('account', ALICE);
  assert.deepEqual(await costOf(ALICE, PASSWORDS[ALICE]!), ['535', 1], 'blocked, right');
  assert.deepEqual(await costOf(ALICE, PASSWORDS[ALICE]!), ['535', 1], 'blocked, right, again');
  assert.deepEqual(await costOf(ALICE, WRONG), ['535', 1], 'blocked, wrong');
  await stopgap.release('account', ALICE);

  const first = verify.mock.callCount();
  await (await stopgap.loggedIn()).quit();
  assert.equal(verify.mock.callCount() - first, 1, 'the first success');
  await (await stopgap.loggedIn()).quit();
  assert.equal(verify.mock.callCount() - first, 1, 'the second is remembered');
  await stopgap.block('account', ALICE);
  assert.deepEqual(await costOf(ALICE, PASSWORDS[ALICE]!), ['535', 1], 'blocked although remembered');
  await session.quit();
});

test('a genuine failure is recorded by network, without the login that was typed', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: UNLIMITED });
  const session = await stopgap.hello({ from: '127.0.0.7' });
  assert.equal(await session.login(GUESSED, WRONG), FAILED);
  const [event] = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
  assert.equal(event!.stream, 'auth-127.0.0.7');
  assert.deepEqual(Object.keys(event!.data).sort(), ['count', 'fresh', 'kind', 'network', 'since']);
  assert.equal(event!.data.kind, 'genuine');
  assert.ok(!JSON.stringify(await stopgap.events()).includes('plugh'));
  assert.ok(!stopgap.logs.join('').includes('plugh'));
  await session.quit();
});

test('a feigned failure tells the administrator which block it was', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: UNLIMITED });
  const block = await stopgap.block('account', ALICE);
  const session = await stopgap.hello({ from: '127.0.0.8', ehlo: 'laptop.test' });
  assert.equal(await session.login(ALICE, PASSWORDS[ALICE]!), FAILED);
  const [failure] = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
  assert.equal(failure!.stream, 'auth-127.0.0.8');
  const { kind, block: by, account, count } = failure!.data;
  assert.deepEqual({ kind, by, account, count }, { kind: 'feigned', by: block, account: ALICE, count: 1 });
  const [refusal] = await stopgap.all<MessageRefused>('MessageRefused');
  assert.equal(refusal!.stream, `send-${ALICE}`);
  const { since: _, ...data } = refusal!.data;
  assert.deepEqual(data, {
    direction: 'outbound',
    account: ALICE,
    ehlo: 'laptop.test',
    ip: '127.0.0.8',
    stage: 'auth',
    block,
    reply: FAILED,
    count: 1,
  });

  await t.test('a wrong password on a blocked account stays a genuine failure', async () => {
    assert.equal(await session.login(ALICE, WRONG), FAILED);
    const failures = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
    assert.deepEqual(
      failures.map(({ data: { kind } }) => kind),
      ['feigned', 'genuine'],
    );
  });
  await session.quit();
});

test('failed logins are limited by network, be they genuine or feigned; the same credentials count once', async (t) => {
  const clock = new ManualClock();
  const smtp = { auth: { users: './users.yaml', attemptsPerMinute: 3 } };
  const stopgap = await Stopgap.start(t, { clock, smtp });
  const attempt = async (session: Dialogue, user: string, password: string): Promise<string> =>
    session.login(user, password);

  await t.test('genuine failures close the door for the whole network, for a while', async () => {
    const guesser = await stopgap.hello({ from: '127.0.0.20' });
    for (let i = 0; i < 3; i++) assert.equal(await attempt(guesser, BOB, `${WRONG} ${i}`), FAILED);
    assert.equal(await attempt(guesser, BOB, WRONG), LATER);
    assert.equal(await attempt(guesser, ALICE, PASSWORDS[ALICE]!), LATER);
    const elsewhere = await stopgap.hello({ from: '127.0.0.21' });
    assert.match(await attempt(elsewhere, BOB, PASSWORDS[BOB]!), /^235 /);
    clock.advance(MINUTE);
    assert.match(await attempt(guesser, ALICE, PASSWORDS[ALICE]!), /^235 /);
    await Promise.all([guesser.quit(), elsewhere.quit()]);
  });

  await t.test('the phone of a blocked account does not lock its office out', async () => {
    await stopgap.block('account', ALICE);
    const office = await stopgap.hello({ from: '127.0.0.22' });
    for (let i = 0; i < 4; i++) assert.equal(await attempt(office, ALICE, PASSWORDS[ALICE]!), FAILED);
    assert.equal(await attempt(office, ALICE, PASSWORDS[ALICE]!), LATER);
    assert.match(await attempt(office, BOB, PASSWORDS[BOB]!), /^235 /);
    await office.quit();
  });

  await t.test('the right password of a blocked account drains just what a wrong one does', async () => {
    const drained = async (from: string, password: string): Promise<readonly string[]> => {
      const session = await stopgap.hello({ from });
      const replies: string[] = [];
      // The first time, as a repeat, and what is left then for others.
      for (const [user, given] of [
        [ALICE, password],
        [ALICE, password],
        [BOB, `${WRONG} 1`],
        [BOB, `${WRONG} 2`],
        [BOB, `${WRONG} 3`],
        [ALICE, password],
      ] as const)
        replies.push(await attempt(session, user, given));
      await session.quit();
      return replies;
    };
    const right = await drained('127.0.0.23', PASSWORDS[ALICE]!);
    assert.deepEqual(right, [FAILED, FAILED, FAILED, FAILED, LATER, LATER]);
    assert.deepEqual(await drained('127.0.0.24', WRONG), right);
  });
});

test('a flood of refused logins becomes a few events, whose counts add up', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock, smtp: UNLIMITED });
  const block = await stopgap.block('account', ALICE);
  const session = await stopgap.hello();
  for (let i = 0; i < 50; i++) assert.equal(await session.login(ALICE, PASSWORDS[ALICE]!), FAILED);
  clock.advance(10 * SECOND);
  for (let i = 0; i < 50; i++) assert.equal(await session.login(ALICE, PASSWORDS[ALICE]!), FAILED);
  clock.advance(10 * SECOND);
  for (const type of ['MessageRefused', 'AuthenticationFailed']) {
    const events = await stopgap.all<MessageRefused | AuthenticationFailed>(type);
    assert.equal(
      events.reduce((sum, { data }) => sum + data.count, 0),
      100,
    );
    // Of failures the first is told apart: repeats of the same credentials count once.
    const most = type === 'MessageRefused' ? 3 : 4;
    assert.ok(events.length <= most, `${type}: ${events.length} events`);
    assert.ok(events.every(({ data }) => data.block === block));
  }
  await session.quit();
});

test('an account acts for nobody else', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: UNLIMITED });
  const session = await stopgap.hello();
  assert.equal(await session.login(ALICE, PASSWORDS[ALICE]!, BOB), FAILED);
  // A name is the same in any case.
  assert.match(await session.login(ALICE, PASSWORDS[ALICE]!, ALICE.toUpperCase()), /^235 /);
  assert.match(await session.login(BOB, PASSWORDS[BOB]!), /^503 /, 'one login a session');
  await session.quit();
});

test('clients on IPv6, and on IPv4 at a listener for both', async (t) => {
  const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === '::1'),
  );
  if (!hasIpv6) return t.skip('this machine has no IPv6 loopback');
  const stopgap = await Stopgap.start(t, {
    smtp: { submission: [{ listen: '[::1]:0' }, { listen: '*:0', allowInsecureAuth: true }] },
  });
  for (const [index, host, stream] of [
    [0, '::1', 'auth-::/64'],
    [1, '::1', 'auth-::/64'],
    [1, '127.0.0.1', 'auth-127.0.0.1'],
  ] as const) {
    const session = await Dialogue.hello(stopgap.port('submission', index), { host });
    assert.equal(await session.login(BOB, WRONG), FAILED);
    await session.quit();
    const failures = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
    assert.ok(
      failures.some((failure) => failure.stream === stream),
      `${host} at ${index}`,
    );
  }
  await stopgap.block('ip', '127.0.0.0/8');
  const mapped = await Dialogue.hello(stopgap.port('submission', 1), { host: '127.0.0.1' });
  assert.equal(await mapped.login(ALICE, PASSWORDS[ALICE]!), FAILED);
  const other = await Dialogue.hello(stopgap.port('submission', 1), { host: '::1' });
  assert.match(await other.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
  assert.match(await other.send(ALICE, ['a@x.test']), /^250 /);
  assert.match(
    stopgap.upstream.messages[0]!.content.toString(),
    /^Received: from client\.test \(\[IPv6:::1\]\)/,
  );
  await Promise.all([mapped.quit(), other.quit()]);
});

test('an administrator is told of the wrong passwords of an account, and of logins where there is none', async (t) => {
  const token = 'sgp_told-of-wrong-passwords';
  const hash = `sha256:${createHash('sha256').update(token).digest('hex')}`;
  const stopgap = await Stopgap.start(t, {
    smtp: { auth: { users: './users.yaml', attemptsPerMinute: 2 } },
    settings: { api: { listen: '127.0.0.1:0', tokens: './tokens.yaml' } },
    files: { 'tokens.yaml': JSON.stringify({ tokens: [{ name: 'me', role: 'viewer', hash }] }) },
  });
  interface Told {
    readonly refused: boolean;
    readonly sentence: string;
    readonly failedLogins: {
      readonly failed: number;
      readonly putOff: number;
      readonly network: string;
    } | null;
  }
  const check = async (query: string): Promise<Told> => {
    const url = `http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/check?${query}`;
    return (await (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).json()) as Told;
  };
  const session = await stopgap.hello({ from: '127.0.0.9' });
  assert.equal(await session.login(ALICE, WRONG), FAILED);
  assert.equal(await session.login(GUESSED, WRONG), FAILED);
  assert.equal(await session.login(ALICE, `${WRONG}-2`), LATER);
  const { refused, sentence, failedLogins } = await check(`account=${ALICE}`);
  assert.equal(refused, false);
  assert.match(
    sentence,
    /^This sender is not refused: .* 1 login of it failed with a wrong password, at .*, and 1 login of it got 454/,
  );
  assert.deepEqual([failedLogins?.failed, failedLogins?.putOff, failedLogins?.network], [1, 1, '127.0.0.9']);
  const guessed = await check(`account=${GUESSED}`);
  assert.equal(guessed.failedLogins?.failed, 1);
  assert.match(guessed.sentence, /^There is no such account: .* since there was no such account then/);
  const foreign = await check(`account=${ALICE}&returnPath=${BOB}`);
  assert.match(
    foreign.sentence,
    /^The account alice@example\.com may not use the return path bob@example\.com/,
  );
  await session.quit();
});

for (const change of ['given another password', 'disabled', 'removed']) {
  test(`an account is ${change}: sessions that are logged in send no further message`, async (t) => {
    const stopgap = await Stopgap.start(t);
    const file = path.join(stopgap.dir, 'users.yaml');
    const { users } = JSON.parse(await readFile(file, 'utf8')) as { users: UserRecord[] };
    const [alice, bob] = users as [UserRecord, UserRecord];
    const [waiting, sending, other] = [
      await stopgap.loggedIn(),
      await stopgap.loggedIn(),
      await stopgap.loggedIn(BOB),
    ];
    await sending.sayAll([`MAIL FROM:<${ALICE}>`, 'RCPT TO:<one@elsewhere.test>', 'DATA']);
    const changed = {
      'given another password': [{ ...alice, password: bob.password }, bob],
      disabled: [{ ...alice, disabled: true }, bob],
      removed: [bob],
    }[change];
    await writeFile(file, JSON.stringify({ users: changed }));
    await stopgap.app.reload();
    assert.match(await sending.say('.'), /^250 /, 'what is under way goes through');
    for (const session of [waiting, sending]) {
      assert.equal(await session.say(`MAIL FROM:<${ALICE}>`), '421 4.7.0 Please log in again');
      await session.closed;
    }
    assert.match(await other.send(BOB, ['two@elsewhere.test']), /^250 /);
    await other.quit();
  });
}

test('a block of an account has ended: a session from before it sends no further message, nor one that it had begun', async (t) => {
  const stopgap = await Stopgap.start(t);
  const [waiting, sending, other] = [
    await stopgap.loggedIn(),
    await stopgap.loggedIn(),
    await stopgap.loggedIn(BOB),
  ];
  await sending.sayAll([`MAIL FROM:<${ALICE}>`, 'RCPT TO:<one@elsewhere.test>', 'DATA']);
  await stopgap.block('account', ALICE);
  await stopgap.release('account', ALICE);
  for (const [session, command] of [
    [sending, '.'],
    [waiting, `MAIL FROM:<${ALICE}>`],
  ] as const) {
    assert.equal(await session.say(command), '421 4.7.0 Please log in again');
    await session.closed;
  }
  assert.equal(stopgap.upstream.messages.length, 0);
  const again = await stopgap.loggedIn();
  assert.match(await again.send(ALICE, ['two@elsewhere.test']), /^250 /);
  assert.match(await again.send(ALICE, ['three@elsewhere.test']), /^250 /);
  assert.match(await other.send(BOB, ['four@elsewhere.test']), /^250 /);
  await again.quit();
  await other.quit();
});

test('a block has ended that began before another one, which had ended by the login: the session logs in again', async (t) => {
  const stopgap = await Stopgap.start(t);
  // An honest block lets the login pass.
  await stopgap.block('account', ALICE, { refusal: 'honest' });
  await stopgap.block('domain', 'example.com', { refusal: 'honest' });
  await stopgap.release('domain', 'example.com');
  const session = await stopgap.loggedIn();
  await stopgap.release('account', ALICE);
  assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^421 /);
  await session.closed;
});

test('a session from before a block logs in again under whatever EHLO name it goes on', async (t) => {
  const stopgap = await Stopgap.start(t);
  await stopgap.block('ehlo', 'odd.test');
  await stopgap.release('ehlo', 'odd.test');
  const session = await stopgap.loggedIn(ALICE, { ehlo: 'odd.test' });
  await stopgap.block('account', ALICE);
  await stopgap.release('account', ALICE);
  assert.match(await session.say('EHLO other.test'), /^250/);
  assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^421 /);
  await session.closed;
});
