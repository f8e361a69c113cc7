import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { SECOND } from '../../../src/kernel/time.js';
import type { AuthenticationFailed } from '../../../src/sending/events.js';
import type { BackendAdapter, BackendInTest } from '../../support/auth/backends.js';
import type { Asked } from '../../support/auth/fakes.js';
import { Gate, settle } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { check, FOR_DOVECOT } from '../../support/policy/dovecot.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const FAILED = '535 5.7.8 Authentication credentials invalid';
const LATER = '454 4.7.0 Temporary authentication failure, please try again later';
const WELCOME = /^235 /;
const NOBODY = 'nobody@example.com';
const CAROL = 'carol@example.com';
/** What passes each few milliseconds while a login is under way. */
const STEP = 200;
/** When a failed login is answered, at a back end that takes different times for right and wrong passwords. */
const FAILS_AFTER = 3 * SECOND;
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
  /** Logs in on a connection of its own, and lets as much time pass as that takes. */
  readonly login: (user: string, password: string) => Promise<string>;
}

async function set(
  t: Pick<TestContext, 'after'>,
  { name, plug }: BackendAdapter,
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
  const login = async (user: string, password: string): Promise<string> => {
    const session = await stopgap.hello();
    const reply = await driven(clock, name === 'file' ? 0 : STEP, session.loginInSteps(user, password));
    await session.quit();
    return reply;
  };
  return { stopgap, backend, clock, login };
}

/** Drives the clock until there is a reply: by so much every few milliseconds. */
async function driven<T>(clock: ManualClock, step: number, reply: Promise<T>): Promise<T> {
  let said: T | undefined;
  void reply.then((what) => (said = what));
  await eventually('there is a reply', () => {
    if (said === undefined) clock.advance(step);
    return said !== undefined;
  });
  return said!;
}

/** The same where every reply is that there is none yet: the clock goes on at once. */
async function waitedOut(clock: ManualClock, reply: Promise<string>): Promise<string> {
  let isThere = false;
  const note = (): void => void (isThere = true);
  reply.then(note, note);
  while (!isThere) {
    clock.advance(500);
    await pause(2);
  }
  return reply;
}

/** The contract of every back end. */
export function contract(adapter: BackendAdapter): void {
  const { name } = adapter;
  const isFile = name === 'file';
  const isEven = isFile && 'right and wrong passwords take the same work';

  describe(`logins checked by ${name}`, () => {
    it('tells administrators of wrong passwords, also of an account that has not logged in since the start', async (t) => {
      const { login, stopgap } = await set(t, adapter);
      assert.equal(await login(ALICE, WRONG), FAILED);
      const told = async (account: string) => check(stopgap, `account=${account}&said=${FAILED}`);
      const { said, failedLogins } = await told(ALICE);
      assert.deepEqual([said?.cause, failedLogins?.failed], ['password', 1]);
      const orNone = isFile ? '' : ', or there is no such account';
      assert.ok(
        said!.sentence.startsWith(`Its password was wrong${orNone}: its login failed`),
        said!.sentence,
      );
      assert.doesNotMatch((await told(BOB)).sentence, /Nothing here/);
    });

    it('lets the right password in, and answers a wrong one, an unknown and a disabled account alike', async (t) => {
      const { login, backend } = await set(t, adapter);
      for (const [user, password] of [
        [ALICE, WRONG],
        [NOBODY, WRONG],
        [CAROL, 'carols-own-secret'],
        [ALICE, PASSWORDS[BOB]!],
        [ALICE, ''],
      ] as const) {
        const before = backend.asked();
        assert.equal(await login(user, password), FAILED, user);
        assert.equal(backend.asked(), before + 1, `${user} costs a check`);
      }
      assert.match(await login(ALICE, PASSWORDS[ALICE]!), WELCOME);
      assert.match(await login(BOB, PASSWORDS[BOB]!), WELCOME);
    });

    it('remembers a right password, and never a wrong one', async (t) => {
      const { login, backend } = await set(t, adapter);
      for (let i = 0; i < 3; i++) assert.match(await login(ALICE, PASSWORDS[ALICE]!), WELCOME);
      assert.equal(backend.asked(), 1);
      for (let i = 0; i < 3; i++) assert.equal(await login(ALICE, WRONG), FAILED);
      assert.equal(backend.asked(), 4);
    });

    it("answers a blocked account's right password in the bytes, and after the check, of a wrong one", async (t) => {
      const { stopgap, login, backend } = await set(t, adapter);
      assert.match(await login(ALICE, PASSWORDS[ALICE]!), WELCOME, 'it is remembered');
      assert.equal(await login(BOB, WRONG), FAILED);
      await stopgap.block('account', ALICE);
      for (const password of [PASSWORDS[ALICE]!, PASSWORDS[ALICE]!, WRONG]) {
        const before = backend.asked();
        assert.equal(await login(ALICE, password), FAILED);
        assert.equal(backend.asked(), before + 1, 'it is asked all the same');
      }
      const kinds = (await stopgap.all<AuthenticationFailed>('AuthenticationFailed')).map(
        ({ data }) => data.kind,
      );
      assert.deepEqual(new Set(kinds), new Set(['genuine', 'feigned']));
      await stopgap.release('account', ALICE);
      assert.match(await login(ALICE, PASSWORDS[ALICE]!), WELCOME);
    });

    for (const { blocked, right, wrong, unknown } of [
      { blocked: ['account', ALICE], right: 60, wrong: 560, unknown: 1 },
      { blocked: ['account', ALICE], right: 2900, wrong: 1, unknown: 1 },
      { blocked: ['domain', 'example.com'], right: 80, wrong: 1080, unknown: 1080 },
    ] as const)
      it(
        `answers all failures at one moment where right takes ${right} ms, wrong ${wrong}, unknown ${unknown}, and a block is on the ${blocked[0]}`,
        {
          skip: isEven,
        },
        async (t) => {
          const { stopgap, backend, clock, login } = await set(t, adapter);
          assert.equal(await login(NOBODY, WRONG), FAILED, 'a first one has shown what failures take');
          await stopgap.block(blocked[0], blocked[1]);
          const takes = ({ name: user, password }: Asked): number => {
            if (user === NOBODY) return unknown;
            return password === PASSWORDS[user] ? right : wrong;
          };
          backend.slow((asked) => new Promise((resolve) => void clock.after(takes(asked), resolve)));
          clock.advance(137.5); // nothing else rings at the moment that counts
          const tried = [
            [ALICE, PASSWORDS[ALICE]!],
            [ALICE, WRONG],
            [BOB, WRONG],
            [CAROL, 'carols-own-secret'],
            [NOBODY, WRONG],
          ] as const;
          const before = backend.asked();
          const replies: string[] = [];
          const sessions = await Promise.all(tried.map(() => stopgap.hello()));
          const all = tried.map(async ([user, password], index) => {
            replies.push(await sessions[index]!.login(user, password));
          });
          await eventually('all are asked about', () => backend.asked() === before + tried.length);
          clock.advance(2950);
          const left = FAILS_AFTER - 2950;
          await eventually('all wait for one moment', () => clock.waitingFor(left) === tried.length);
          clock.advance(left - 1);
          await settle();
          assert.deepEqual(replies, []);
          clock.advance(1);
          await Promise.all(all);
          assert.deepEqual(new Set(replies), new Set([FAILED]));
        },
      );

    it(
      'asks about nobody before it feigns the first failure, where that shows what a failure takes',
      {
        skip: isEven,
      },
      async (t) => {
        const { stopgap, login, backend } = await set(t, adapter);
        await stopgap.block('account', ALICE);
        for (let i = 0; i < 3; i++) assert.equal(await login(ALICE, PASSWORDS[ALICE]!), FAILED);
        const asksNobody = name === 'dovecot' || name === 'smtp';
        assert.equal(backend.asked(), asksNobody ? 4 : 3);
      },
    );

    it(
      'feigns the failure of an account that is blocked while its password is checked',
      {
        skip: isFile && 'it cannot be made slow',
      },
      async (t) => {
        const { stopgap, backend, clock } = await set(t, adapter);
        const gate = new Gate();
        backend.slow(() => gate.opened);
        const session = await stopgap.hello();
        const reply = session.login(ALICE, PASSWORDS[ALICE]!);
        await eventually('it is asked about', () => backend.asked() === 1);
        await stopgap.block('account', ALICE);
        gate.open();
        assert.equal(await driven(clock, STEP, reply), FAILED);
      },
    );

    it('checks the password of a login that acts for somebody else, though it is remembered and fails', async (t) => {
      const { stopgap, login, backend, clock } = await set(t, adapter);
      assert.match(await login(ALICE, PASSWORDS[ALICE]!), WELCOME);
      const session = await stopgap.hello();
      for (const password of [PASSWORDS[ALICE]!, WRONG]) {
        const before = backend.asked();
        assert.equal(await driven(clock, STEP, session.login(ALICE, password, BOB)), FAILED);
        assert.ok(backend.asked() > before);
      }
    });

    it('passes on what is odd in a password, byte for byte, and takes nothing beyond the bounds', async (t) => {
      const { login, backend } = await set(t, adapter);
      assert.match(await login(GRETE, ODD), WELCOME);
      if (!isFile) assert.deepEqual(backend.last(), { name: GRETE, password: ODD });
      for (const password of [`${ODD}\n`, ODD.replace('\t', ' '), ODD.slice(0, -1), '\t', '\n'])
        assert.equal(await login(GRETE, password), FAILED);
      const before = backend.asked();
      assert.equal(await login(GRETE, `${ODD}${'x'.repeat(1024)}`), FAILED);
      assert.equal(await login(`${'a'.repeat(320)}@example.com`, WRONG), FAILED);
      assert.equal(await login(ALICE, `${PASSWORDS[ALICE]!}\0`), FAILED);
      assert.equal(await login(ALICE, `\0${ALICE}\0${PASSWORDS[ALICE]!}`), FAILED);
      assert.equal(backend.asked(), before, 'nobody is asked about these');
      assert.equal(await login('a'.repeat(320), 'p'.repeat(1024)), FAILED);
      assert.equal(backend.asked(), before + 1, 'just within the bounds');
    });

    it('checks many logins at once, each for itself', async (t) => {
      const { stopgap, backend, clock } = await set(t, adapter);
      const sessions = await Promise.all(
        Array.from({ length: 60 }, (_, index) => stopgap.hello({ from: `127.0.1.${(index % 6) + 1}` })),
      );
      const all = sessions.map((session, index) =>
        session.login(
          index % 2 ? ALICE : BOB,
          index % 3 ? PASSWORDS[index % 2 ? ALICE : BOB]! : `${WRONG} ${index}`,
        ),
      );
      const replies = await driven(clock, STEP, Promise.all(all));
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
        const { stopgap, login, backend, clock } = await set(t, adapter, 3);
        const failing = backend.failing!;
        const session = await stopgap.hello();
        assert.match(await login(BOB, PASSWORDS[BOB]!), WELCOME);
        await stopgap.block('account', GRETE);
        await fail(failing);
        for (let i = 0; i < 5; i++) {
          for (const [user, password] of [
            [ALICE, PASSWORDS[ALICE]!],
            [ALICE, `${WRONG} ${i}`],
            [GRETE, ODD],
            [GRETE, WRONG],
          ] as const)
            assert.equal(await waitedOut(clock, session.login(user, password)), LATER);
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
