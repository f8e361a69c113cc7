import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { FakeService } from '../../support/auth/fakes.js';
import { check, FOR_DOVECOT, forget } from '../../support/policy/dovecot.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const RIGHT = PASSWORDS[ALICE]!;

/** A web service to which `alice` is `alice@example.com`, and a Stopgap that asks it. */
async function setUp(t: TestContext) {
  const service = new FakeService(({ password }) => (password === RIGHT ? 'right' : 'wrong'));
  service.answer = (response) => {
    const { name, password } = service.asked.at(-1)!;
    if (password !== RIGHT) return false;
    const account = name === 'alice' ? ALICE : name;
    response.end(JSON.stringify({ ok: true, account }));
    return true;
  };
  await service.resume();
  t.after(() => service.stop());
  const auth = { backend: 'http', http: `http://127.0.0.1:${service.port}/login` };
  const stopgap = await Stopgap.start(t, { ...FOR_DOVECOT, smtp: { auth } });
  const login = async (name: string, password = RIGHT): Promise<string> => {
    const session = await stopgap.hello();
    const reply = await session.login(name, password);
    await session.quit();
    return reply;
  };
  return { stopgap, login, service };
}

describe('a login that counts for an account of another name', () => {
  test('is said to be refused, by either name, where the account is blocked', async (t) => {
    const { stopgap, login } = await setUp(t);
    assert.match(await login('alice', WRONG), /^535 /);
    // Given: nobody knows yet whose login it is.
    assert.match(
      (await check(stopgap, 'account=alice')).sentence,
      /may count under another name, such as with its domain: ask for that name too/,
    );
    const id = await stopgap.block('account', ALICE);
    // When: the right password fails for the block.
    const reply = await login('alice');
    assert.match(reply, /^535 /);
    await stopgap.settled();
    // Then
    const said = `&said=${encodeURIComponent(reply)}`;
    const [typed, account] = [
      await check(stopgap, `account=alice${said}`),
      await check(stopgap, `account=${ALICE}${said}`),
    ];
    for (const found of [typed, account]) {
      assert.deepEqual([found.refused, found.block?.id, found.said!.cause], [true, id, 'block']);
      assert.deepEqual(
        [found.auth.outcome, found.auth.block, found.rcpt.outcome],
        ['refused', id, 'refused'],
      );
      assert.equal(found.sender.account, ALICE);
      assert.equal(found.refusals!.length, 1);
      assert.doesNotMatch(found.sentence, /may count under another name/);
    }
    assert.match(typed.sentence, / Logins of alice count for the account alice@example\.com: /);
    assert.doesNotMatch(account.sentence, /count for/);
    assert.equal(typed.failedLogins!.failed, 1);
    assert.doesNotMatch(typed.sentence, /there is no such account/);
  });

  test('is refused where the name that is typed is blocked, also in an open session, and the account sends', async (t) => {
    const { stopgap, login } = await setUp(t);
    const session = await stopgap.hello();
    assert.match(await session.login('alice', RIGHT), /^235 /);
    const id = await stopgap.block('account', 'alice');
    await session.say(`MAIL FROM:<${ALICE}>`);
    assert.match(await session.say('RCPT TO:<one@elsewhere.test>'), /^451 /);
    await session.say('RSET');
    assert.match(await login('alice'), /^535 /);
    const typed = await check(stopgap, 'account=alice');
    assert.deepEqual([typed.auth.outcome, typed.auth.block, typed.rcpt.outcome], ['refused', id, 'refused']);
    assert.deepEqual(
      typed.matching.map((block) => block.id),
      [id],
    );
    const account = await check(stopgap, `account=${ALICE}`);
    assert.deepEqual([account.auth.outcome, account.rcpt.outcome], ['passes', 'passes']);
    await stopgap.release('account', 'alice');
    assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^421 /);
    await session.closed;
  });

  test('is let in from memory no more once a block of its account has ended', async (t) => {
    const { stopgap, login, service } = await setUp(t);
    assert.match(await login('alice'), /^235 /);
    assert.match(await login('alice'), /^235 /);
    assert.equal(service.asked.length, 1);
    await stopgap.block('account', ALICE);
    await stopgap.release('account', ALICE);
    assert.match(await login('alice'), /^235 /);
    assert.equal(service.asked.length, 2);
  });

  test('is known no more once its account is forgotten, and is let in from memory no more', async (t) => {
    const { stopgap, login, service } = await setUp(t);
    assert.match(await login('alice'), /^235 /);
    await stopgap.block('account', ALICE);
    await stopgap.release('account', ALICE);
    const sentence = async (): Promise<string> => (await check(stopgap, 'account=alice')).sentence;
    assert.match(await sentence(), /Logins of alice count for the account alice@example\.com/);
    await forget(stopgap, ALICE);
    await eventually('the name is gone', async () => !(await sentence()).includes(ALICE));
    const asked = service.asked.length;
    assert.match(await login('alice'), /^235 /);
    assert.equal(service.asked.length, asked + 1);
  });

  test('fails where one of both names is blocked softly, and the other honestly', async (t) => {
    const { stopgap, login } = await setUp(t);
    assert.match(await login('alice'), /^235 /);
    await stopgap.block('account', 'alice', { refusal: 'honest' });
    await stopgap.block('account', ALICE);
    assert.match(await login('alice'), /^535 /);
    assert.equal((await check(stopgap, 'account=alice')).auth.outcome, 'refused');
  });

  test('fails for a block that ends before the failure is told: its password may be another one by then', async (t) => {
    const { stopgap, login, service } = await setUp(t);
    await stopgap.block('account', ALICE);
    const tried = login(ALICE);
    await eventually('the back end is asked', () => service.asked.length === 1);
    await stopgap.release('account', ALICE);
    assert.match(await tried, /^535 /);
  });

  test('is told of itself where it counts under the name that is typed', async (t) => {
    const { stopgap, login } = await setUp(t);
    assert.match(await login('carol'), /^235 /);
    const { sentence, sender, auth } = await check(stopgap, 'account=Carol');
    assert.deepEqual([sender.account, auth.outcome], ['carol', 'passes']);
    assert.doesNotMatch(sentence, /count for|another name/);
  });
});
