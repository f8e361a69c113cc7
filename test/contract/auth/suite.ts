import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import type { AuthenticationFailed } from '../../../src/sending/events.js';
import type { BackendAdapter, BackendInTest } from '../../support/auth/backends.js';
import { ManualClock } from '../../support/manual-clock.js';
import { check, FOR_DOVECOT } from '../../support/policy/dovecot.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const FAILED = '535 5.7.8 Authentication credentials invalid';
const LATER = '454 4.7.0 Temporary authentication failure, please try again later';
const WELCOME = /^235 /;
const NOBODY = 'nobody@example.com';
const CAROL = 'carol@example.com';
const GRETE = 'gr\u00e4te@example.com';
/** Everything that may not end a field or a line of any protocol, up to the bound. */
const ODD = `tab\tline\nreturn\rquote"\\ {"ok":true} =&% \u0001t\u00e9\u{1f511}`.padEnd(1013, 'x');

const ACCOUNTS = {
  [ALICE]: { password: PASSWORDS[ALICE]! },
  [BOB]: { password: PASSWORDS[BOB]! },
  [CAROL]: { password: 'carols-own-secret', disabled: true },
  [GRETE]: { password: ODD },
};

interface InTest {
  readonly stopgap: Stopgap;
  readonly backend: BackendInTest;
  readonly clock: ManualClock;
}

async function set(
  t: Pick<TestContext, 'after'>,
  { plug }: BackendAdapter,
  attemptsPerMinute = 1000,
): Promise<InTest> {
  const backend = await plug(t, ACCOUNTS);
  const clock = new ManualClock();
  const { auth } = backend;
  const files = { ...backend.files, ...FOR_DOVECOT.files };
  const { settings } = FOR_DOVECOT;
  const stopgap = await Stopgap.start(t, {
    clock,
    files,
    settings: settings!,
    smtp: { auth: { ...auth, attemptsPerMinute } },
  });
  return { stopgap, backend, clock };
}

/** Drives the clock until there is a reply: by so much every few milliseconds. */
async function driven(clock: ManualClock, step: number, reply: Promise<string>): Promise<string> {
  let said: string | undefined;
  void reply.then((text) => (said = text));
  await eventually('there is a reply', () => {
    if (said === undefined) clock.advance(step);
    return said !== undefined;
  });
  return said!;
}

/** Logs in as each in turn, on a connection of its own. */
async function login(stopgap: Stopgap, user: string, password: string, from = '127.0.0.1'): Promise<string> {
  const session = await stopgap.hello({ from });
  const reply = await session.loginInSteps(user, password);
  await session.quit();
  return reply;
}

/** The contract of every back end. */
export function contract(adapter: BackendAdapter): void {
  const { name } = adapter;
  const isFile = name === 'file';
  // Wrong passwords that come together are answered together: a feigned one asks about nobody, and is answered with them.
  const answersTogether = name === 'dovecot' || name === 'smtp';

  describe(`logins checked by ${name}`, () => {
    it('lets the right password in, and answers a wrong one, an unknown and a disabled account alike', async (t) => {
      const { stopgap, backend } = await set(t, adapter);
      for (const [user, password] of [
        [ALICE, WRONG],
        [NOBODY, WRONG],
        [CAROL, 'carols-own-secret'],
        [ALICE, PASSWORDS[BOB]!],
        [ALICE, ''],
      ] as const) {
        const before = backend.asked();
        assert.equal(await login(stopgap, user, password), FAILED, user);
        assert.equal(backend.asked(), before + 1, `${user} costs a check`);
      }
      assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME);
      assert.match(await login(stopgap, BOB, PASSWORDS[BOB]!), WELCOME);
    });

    it('remembers a right password, and never a wrong one', async (t) => {
      const { stopgap, backend } = await set(t, adapter);
      for (let i = 0; i < 3; i++) assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME);
      assert.equal(backend.asked(), 1);
      for (let i = 0; i < 3; i++) assert.equal(await login(stopgap, ALICE, WRONG), FAILED);
      assert.equal(backend.asked(), 4);
    });

    it("answers a blocked account's right password in the bytes, and after the check, of a wrong one", async (t) => {
      const { stopgap, backend } = await set(t, adapter);
      assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME, 'it is remembered');
      assert.equal(await login(stopgap, BOB, WRONG), FAILED);
      await stopgap.block('account', ALICE);
      for (const password of [PASSWORDS[ALICE]!, PASSWORDS[ALICE]!, WRONG]) {
        const before = backend.asked();
        assert.equal(await login(stopgap, ALICE, password), FAILED);
        const isFeigned = password !== WRONG && answersTogether;
        assert.equal(backend.asked(), before + (isFeigned ? 2 : 1), 'it is asked all the same');
        if (isFeigned) assert.equal(backend.last()?.name, 'stopgap-nobody');
      }
      const kinds = (await stopgap.all<AuthenticationFailed>('AuthenticationFailed')).map(
        ({ data }) => data.kind,
      );
      assert.deepEqual(new Set(kinds), new Set(['genuine', 'feigned']));
      await stopgap.release('account', ALICE);
      assert.match(await login(stopgap, ALICE, PASSWORDS[ALICE]!), WELCOME);
    });

    it('passes on what is odd in a password, byte for byte, and takes nothing beyond the bounds', async (t) => {
      const { stopgap, backend } = await set(t, adapter);
      assert.match(await login(stopgap, GRETE, ODD), WELCOME);
      if (!isFile) assert.deepEqual(backend.last(), { name: GRETE, password: ODD });
      for (const password of [`${ODD}\n`, ODD.replace('\t', ' '), ODD.slice(0, -1), '\t', '\n'])
        assert.equal(await login(stopgap, GRETE, password), FAILED);
      const before = backend.asked();
      assert.equal(await login(stopgap, GRETE, `${ODD}${'x'.repeat(1024)}`), FAILED);
      assert.equal(await login(stopgap, `${'a'.repeat(320)}@example.com`, WRONG), FAILED);
      assert.equal(await login(stopgap, ALICE, `${PASSWORDS[ALICE]!}\0`), FAILED);
      assert.equal(await login(stopgap, ALICE, `\0${ALICE}\0${PASSWORDS[ALICE]!}`), FAILED);
      assert.equal(backend.asked(), before, 'nobody is asked about these');
      assert.equal(await login(stopgap, 'a'.repeat(320), 'p'.repeat(1024)), FAILED);
      assert.equal(backend.asked(), before + 1, 'just within the bounds');
    });

    it('checks many logins at once, each for itself', async (t) => {
      const { stopgap, backend } = await set(t, adapter);
      const sessions = await Promise.all(
        Array.from({ length: 60 }, (_, index) => stopgap.hello({ from: `127.0.1.${(index % 6) + 1}` })),
      );
      const replies = await Promise.all(
        sessions.map((session, index) =>
          session.login(
            index % 2 ? ALICE : BOB,
            index % 3 ? PASSWORDS[index % 2 ? ALICE : BOB]! : `${WRONG} ${index}`,
          ),
        ),
      );
      replies.forEach((reply, index) => {
        if (index % 3) assert.match(reply, WELCOME);
        else assert.equal(reply, FAILED);
      });
      assert.ok(backend.asked() >= 20, 'each wrong one is checked');
      await Promise.all(sessions.map((session) => session.quit()));
    });

    /** One of the ways to be away. */
    const away = (
      title: string,
      fail: (failing: NonNullable<BackendInTest['failing']>) => unknown,
      recover: (failing: NonNullable<BackendInTest['failing']>) => unknown,
    ): void => {
      it(title, { skip: isFile && 'the users file is in memory: it cannot be away' }, async (t) => {
        const { stopgap, backend, clock } = await set(t, adapter, 3);
        const failing = backend.failing!;
        const session = await stopgap.hello();
        assert.match(await login(stopgap, BOB, PASSWORDS[BOB]!), WELCOME);
        await stopgap.block('account', CAROL);
        await fail(failing);
        for (let i = 0; i < 5; i++) {
          for (const [user, password] of [
            [ALICE, PASSWORDS[ALICE]!],
            [ALICE, `${WRONG} ${i}`],
            [CAROL, WRONG],
          ] as const)
            assert.equal(await driven(clock, 500, session.login(user, password)), LATER);
          clock.advance(SECOND);
        }
        assert.deepEqual(await stopgap.all('AuthenticationFailed'), [], 'no login has failed');
        assert.equal(stopgap.logs.filter((line) => line.includes('logins are put off')).length, 1);
        const isAway = /The back end of logins \(smtp\.auth\.backend\) does not answer now/;
        assert.match((await check(stopgap, `account=${ALICE}`)).sentence, isAway);
        await recover(failing);
        assert.match(await driven(clock, 10, session.login(ALICE, PASSWORDS[ALICE]!)), WELCOME);
        assert.doesNotMatch((await check(stopgap, `account=${ALICE}`)).sentence, isAway);
        clock.advance(30 * SECOND);
        assert.equal(stopgap.logs.filter((line) => line.includes('logins are checked again')).length, 1);
        await session.quit();
      });
    };

    away(
      'puts logins off while it is gone, blocked or not, and counts none as failed',
      (failing) => failing.stop(),
      (failing) => failing.resume(),
    );
    away(
      'puts logins off while it says that it cannot tell, and counts none as failed',
      (failing) => failing.temporarily(),
      (failing) => failing.recover(),
    );
    away(
      'puts a login off after ten seconds without an answer, and counts none as failed',
      (failing) => failing.hang(),
      (failing) => failing.recover(),
    );
  });
}
