import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { AuthenticationFailed } from '../../../src/sending/events.js';
import { SECOND } from '../../../src/kernel/time.js';
import { eventually } from '../../support/smtp/eventually.js';
import { dovecotHash, dovecotMissing, RealDovecot } from '../../support/smtp/real-dovecot.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const FAILED = '535 5.7.8 Authentication credentials invalid';
const LATER = '454 4.7.0 Temporary authentication failure, please try again later';
const WELCOME = /^235 /;
const CAROL = 'carol@example.com';
const GRETE = 'gr\u00e4te@example.com';
// Dovecot itself takes no control characters.
const ODD = `:quote" {\\} \u00e9\u{1f511}`.padEnd(1000, 'x');

const USERS = (): readonly string[] => [
  `${ALICE}:${dovecotHash('SHA512-CRYPT', PASSWORDS[ALICE]!)}::::::`,
  `${BOB}:${dovecotHash('BLF-CRYPT', PASSWORDS[BOB]!)}::::::`,
  `${CAROL}:${dovecotHash('SSHA256', 'carols-own-secret')}::::::nologin reason=gone`,
  `${GRETE}:${dovecotHash('SSHA512', ODD)}::::::`,
];

async function set(
  t: Pick<TestContext, 'after'>,
  by: 'socket' | 'port' = 'socket',
): Promise<{ stopgap: Stopgap; dovecot: RealDovecot }> {
  const dovecot = await RealDovecot.start(t, { users: USERS() });
  const address = by === 'socket' ? `unix:${dovecot.socket}` : `127.0.0.1:${dovecot.port}`;
  const auth = { backend: 'dovecot', dovecot: address, attemptsPerMinute: 1000 };
  return { stopgap: await Stopgap.start(t, { smtp: { auth } }), dovecot };
}

async function login(stopgap: Stopgap, user: string, password: string, from?: string): Promise<string> {
  const session = await stopgap.hello(from === undefined ? {} : { from });
  const reply = await session.loginInSteps(user, password);
  await session.quit();
  return reply;
}

const missing = dovecotMissing();

describe('with a real Dovecot as back end', { skip: missing }, () => {
  for (const by of ['socket', 'port'] as const)
    test(`who may log in there may log in here, by its ${by}`, async (t) => {
      const { stopgap, dovecot } = await set(t, by);
      assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!, '127.0.0.9'), WELCOME);
      assert.match(await login(stopgap, BOB, PASSWORDS[BOB]!), WELCOME);
      assert.match(await login(stopgap, GRETE, ODD), WELCOME);
      const replies = await Promise.all([
        login(stopgap, ALICE, WRONG),
        login(stopgap, 'nobody@example.com', WRONG),
        login(stopgap, ALICE, ''),
        login(stopgap, CAROL, 'carols-own-secret'),
        login(stopgap, GRETE, `${ODD}\t`),
      ]);
      assert.deepEqual(new Set(replies), new Set([FAILED]));
      assert.match(
        dovecot.log,
        /client in: AUTH\t\d+\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsession=stopgap-\S+\tlip=127\.0\.0\.1\trip=127\.0\.0\.9/,
      );
      assert.ok(!dovecot.log.includes('error'), dovecot.log);
    });

  test("a blocked account's right password has the bytes and the time of a wrong one, and Dovecot is asked", async (t) => {
    const { stopgap, dovecot } = await set(t);
    assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME);
    const asked = (): number => dovecot.log.split('client in: AUTH').length;
    await stopgap.block('account', ALICE);
    const before = asked();
    const tried: (readonly [string, string])[] = [
      [ALICE, PASSWORDS[ALICE]!],
      [ALICE, WRONG],
      [BOB, WRONG],
      ['nobody@example.com', WRONG],
      [CAROL, 'carols-own-secret'],
    ];
    const sessions = await Promise.all(tried.map(() => stopgap.hello()));
    const timed = async ([user, password]: readonly [string, string], index: number): Promise<number> => {
      const begun = performance.now();
      assert.equal(await sessions[index]!.login(user, password), FAILED);
      return performance.now() - begun;
    };
    const took = await Promise.all(tried.map(timed));
    // Once about a password of nobody too, which shows what a wrong one takes.
    assert.ok(asked() - before >= tried.length && asked() - before <= tried.length + 1);
    const [least, most] = [Math.min(...took), Math.max(...took)];
    assert.ok(least >= 3 * SECOND, `${least}: all are as late as Dovecot is at most`);
    assert.ok(most - least < 500, took.join(', '));
    const kinds = (await stopgap.all<AuthenticationFailed>('AuthenticationFailed')).map(
      ({ data }) => data.kind,
    );
    assert.ok(kinds.includes('feigned'));
  });

  test('while Dovecot is gone logins are put off, and go on by themselves when it is back', async (t) => {
    const { stopgap, dovecot } = await set(t);
    assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME);
    await dovecot.stop();
    assert.equal(await login(stopgap, BOB, PASSWORDS[BOB]!), LATER);
    assert.equal(await login(stopgap, BOB, WRONG), LATER);
    assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME, 'it is remembered');
    await dovecot.resume();
    assert.match(await login(stopgap, BOB, PASSWORDS[BOB]!), WELCOME);
    assert.deepEqual(await stopgap.all('AuthenticationFailed'), []);
  });

  test('a restart of Dovecot under load tells no right password that it is wrong', async (t) => {
    const { stopgap, dovecot } = await set(t);
    const replies: string[] = [];
    let isOver = false;
    const client = async (number: number): Promise<void> => {
      // Each from an address of its own: what is remembered holds for one address.
      for (let i = 0; !isOver; i++)
        replies.push(
          (await login(stopgap, ALICE, PASSWORDS[ALICE]!, `127.${number}.${i >> 8}.${i & 255 || 1}`)).slice(
            0,
            3,
          ),
        );
    };
    const clients = Array.from({ length: 8 }, (_, index) => client(index + 1));
    await eventually('logins go on', () => replies.length > 20);
    await dovecot.stop();
    await dovecot.resume();
    const { length } = replies;
    await eventually(
      'logins go on again',
      () => replies.slice(length).filter((code) => code === '235').length > 40,
    );
    isOver = true;
    await Promise.all(clients);
    assert.ok(!replies.includes('535'), 'no right password was wrong');
    assert.deepEqual(await stopgap.all('AuthenticationFailed'), []);
  });
});
