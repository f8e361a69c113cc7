import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { AuthenticationFailed, MessageRefused } from '../../../src/sending/events.js';
import { check, FOR_DOVECOT, SERVER_TOKEN } from '../../support/policy/dovecot.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { dovecotMissing, RealDovecot } from '../../support/smtp/real-dovecot.js';
import { postfixMissing, RealPostfix } from '../../support/smtp/real-postfix.js';
import { startSaslProxy } from '../../support/smtp/sasl-proxy.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const USERS = Object.entries(PASSWORDS).map(([name, password]) => `${name}:{PLAIN}${password}`);

/** What docs/run/mail-servers.md has an administrator put beside dovecot.conf. */
function documented(version: string): string {
  const text = readFileSync('docs/run/mail-servers.md', 'utf8');
  const block = new RegExp(`\`\`\`ini\n# Dovecot ${version}[^\n]*\n([^\`]*)\`\`\``).exec(text);
  assert.ok(block !== null, `no recipe for Dovecot ${version}`);
  return block[1]!;
}

/** Also those that answer a challenge, of which SCRAM proves to the client that its password is right. */
const CHALLENGES = 'auth_mechanisms = plain login cram-md5 scram-sha-256\n';

/** A Dovecot that asks a Stopgap by the documented lines. */
async function dovecotAsking(t: TestContext, port: number, token = SERVER_TOKEN): Promise<RealDovecot> {
  return RealDovecot.start(t, {
    users: USERS,
    settings: (version) =>
      CHALLENGES +
      documented(version).replace('127.0.0.1:8025', `127.0.0.1:${port}`).replace('sgp_TOKEN', token),
  });
}

/** A Postfix whose users log in through that Dovecot; gives the port. */
async function postfixBehind(t: TestContext, socket: string): Promise<number> {
  const outside = await FakeUpstream.start();
  t.after(() => outside.stop());
  const postfix = await RealPostfix.start(t, {
    listeners: ['127.0.0.1:2500 inet n - n - - smtpd'],
    outside: outside.port,
    inside: outside.port,
    settings: [
      'smtpd_sasl_auth_enable = yes',
      'smtpd_sasl_type = dovecot',
      `smtpd_sasl_path = ${socket}`,
      'smtpd_client_connection_count_limit = 0',
      // Of an smtpd that finds no SASL server; a minute by default.
      'service_throttle_time = 1s',
      '',
    ].join('\n'),
  });
  return postfix.ports[0]!;
}

interface Tried {
  readonly reply: string;
  readonly ms: number;
}

/** One login from an address of its own. */
async function logIn(
  port: number,
  from: string,
  user: string,
  password: string,
  inSteps = false,
): Promise<Tried> {
  const session = await Dialogue.hello(port, { from });
  const begun = performance.now();
  const reply = await (inSteps ? session.loginInSteps(user, password) : session.login(user, password));
  const ms = performance.now() - begun;
  await session.quit();
  return { reply, ms };
}

/** The reply to one login by CRAM-MD5. */
async function answerChallenge(port: number, from: string, user: string, password: string): Promise<string> {
  const session = await Dialogue.hello(port, { from });
  const challenge = Buffer.from((await session.say('AUTH CRAM-MD5')).slice('334 '.length), 'base64');
  const digest = createHmac('md5', password).update(challenge).digest('hex');
  const reply = await session.say(Buffer.from(`${user} ${digest}`).toString('base64'));
  await session.quit();
  return reply;
}

/** A busy machine makes any of them later, and none sooner. */
const shortest = (tried: readonly Tried[]): number => Math.min(...tried.map(({ ms }) => ms));

/** Nine addresses of one network on loopback. */
const nine = (network: number): readonly string[] =>
  Array.from({ length: 9 }, (_, index) => `127.0.${network}.${index + 1}`);

/**
 * Logs the blocked account in with its right password and with a wrong one, each from nine addresses, by PLAIN and by LOGIN: all
 * have to be answered alike.
 *
 * @param networks for each of the four
 */
async function assertAlike(t: TestContext, port: number, networks: readonly number[]): Promise<void> {
  for (const inSteps of [false, true]) {
    const [first, second] = inSteps ? networks.slice(2) : networks;
    // In turn, so that none of both has the earlier moments.
    const pairs = nine(first!).map(async (from, index) =>
      Promise.all([
        logIn(port, from, ALICE, PASSWORDS[ALICE]!, inSteps),
        logIn(port, nine(second!)[index]!, ALICE, WRONG, inSteps),
      ]),
    );
    const both = await Promise.all(pairs);
    const [blocked, wrong] = [both.map(([one]) => one), both.map(([, other]) => other)];
    const replies = [...new Set([...blocked, ...wrong].map(({ reply }) => reply))];
    assert.equal(replies.length, 1, replies.join('\n'));
    assert.match(replies[0]!, /^535 5\.7\.8 /);
    const [a, b] = [shortest(blocked), shortest(wrong)];
    t.diagnostic(
      `AUTH ${inSteps ? 'LOGIN' : 'PLAIN'}, shortest of 9: blocked ${a.toFixed(0)} ms, wrong ${b.toFixed(0)} ms: ${replies[0]}`,
    );
    assert.ok(Math.abs(a - b) < 1000, `${a}, ${b}`);
    assert.ok(a > 500, 'Dovecot holds failures back');
  }
}

describe(
  'a real Dovecot that asks and reports by its auth policy',
  { skip: dovecotMissing() ?? postfixMissing() },
  () => {
    test('fails the login of a blocked account at Postfix like a wrong password, byte for byte and as late', async (t) => {
      const stopgap = await Stopgap.start(t, FOR_DOVECOT);
      const dovecot = await dovecotAsking(t, stopgap.port('HTTP'));
      const port = await postfixBehind(t, dovecot.socket);
      assert.match((await logIn(port, '127.0.1.1', ALICE, PASSWORDS[ALICE]!)).reply, /^235 /);
      const block = await stopgap.block('account', ALICE);
      await assertAlike(t, port, [2, 3, 4, 5]);
      assert.match((await logIn(port, '127.0.1.2', BOB, PASSWORDS[BOB]!)).reply, /^235 /);

      const refused = await stopgap.all<MessageRefused>('MessageRefused');
      assert.ok(refused.every(({ data }) => data.block === block && data.account === ALICE));
      const failed = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
      const networks = (kind: string): readonly string[] =>
        [...new Set(failed.filter(({ data }) => data.kind === kind).map(({ data }) => data.network))].sort();
      assert.deepEqual(networks('feigned'), [...nine(2), ...nine(4)].sort());
      assert.deepEqual(networks('genuine'), [...nine(3), ...nine(5)].sort());

      assert.equal(await dovecot.passes('imap', ALICE, PASSWORDS[ALICE]!), true, 'mail can still be read');
      assert.equal(await dovecot.passes('submission', ALICE, PASSWORDS[ALICE]!), false);
      await stopgap.release('account', ALICE);
      assert.match((await logIn(port, '127.0.1.3', ALICE, PASSWORDS[ALICE]!)).reply, /^235 /);
    });

    test('does not make a colleague at the same address wait for the refusals of a blocked account', async (t) => {
      const stopgap = await Stopgap.start(t, FOR_DOVECOT);
      const dovecot = await dovecotAsking(t, stopgap.port('HTTP'));
      const port = await postfixBehind(t, dovecot.socket);
      await stopgap.block('account', ALICE);
      const office = '127.0.6.1';
      await Promise.all([1, 2, 3, 4].map(() => logIn(port, office, ALICE, PASSWORDS[ALICE]!)));
      await Promise.all([1, 2, 3, 4].map((each) => logIn(port, office, ALICE, `${WRONG}-${each}`)));
      const { reply, ms } = await logIn(port, office, BOB, PASSWORDS[BOB]!);
      assert.match(reply, /^235 /);
      t.diagnostic(`Dovecot ${dovecot.version}: the colleague waited ${ms.toFixed(0)} ms`);
      assert.ok(ms < 1500, `${ms} ms`);
    });

    test('counts each password that is guessed by CRAM-MD5, of which Dovecot knows none', async (t) => {
      const stopgap = await Stopgap.start(t, FOR_DOVECOT);
      const dovecot = await dovecotAsking(t, stopgap.port('HTTP'));
      const port = await postfixBehind(t, dovecot.socket);
      const from = '127.0.8.1';
      const guesses = Array.from({ length: 5 }, (_, index) =>
        answerChallenge(port, from, BOB, `${WRONG}-${index}`),
      );
      for (const reply of await Promise.all(guesses)) assert.match(reply, /^535 5\.7\.8 /);
      assert.match(await answerChallenge(port, from, BOB, PASSWORDS[BOB]!), /^235 /);
      // By PLAIN a repeat is known.
      const repeats = Array.from({ length: 3 }, () => logIn(port, '127.0.8.2', BOB, WRONG));
      for (const { reply } of await Promise.all(repeats)) assert.match(reply, /^535 5\.7\.8 /);
      // What a flood has brought is written when it ends.
      await stopgap.restart();
      await stopgap.settled();
      const counted = async (ip: string): Promise<number> =>
        (await check(stopgap, `ip=${ip}`)).windows!.find(({ rule }) => rule === 'guessing')!.observed;
      assert.deepEqual([await counted(from), await counted('127.0.8.2')], [5, 1]);
    });

    test('lets users log in while Stopgap is stopped, and while it hangs', async (t) => {
      const cwd = await workDir(t);
      const served = await Served.start(t, cwd);
      const dovecot = await dovecotAsking(t, served.port('HTTP'), served.told('API token'));
      const port = await postfixBehind(t, dovecot.socket);
      const asked = async (): Promise<unknown> => {
        const health = await served.api('GET', '/healthz', '');
        return ((await health.json()) as { dovecot: unknown }).dovecot;
      };
      assert.match((await logIn(port, '127.0.7.1', ALICE, PASSWORDS[ALICE]!)).reply, /^235 /);
      assert.match((await logIn(port, '127.0.7.2', ALICE, WRONG)).reply, /^535 /);
      assert.deepEqual(await asked(), { asked: 1, proxied: 0, sending: 1, succeeded: 1, failed: 1 });
      served.child.kill('SIGSTOP');
      const hung = await logIn(port, '127.0.7.3', ALICE, PASSWORDS[ALICE]!);
      assert.match(hung.reply, /^235 /);
      served.child.kill('SIGCONT');
      await served.kill();
      const stopped = await logIn(port, '127.0.7.4', ALICE, PASSWORDS[ALICE]!);
      assert.match(stopped.reply, /^235 /);
      t.diagnostic(
        `Dovecot ${dovecot.version}: a login took ${hung.ms.toFixed(0)} ms while Stopgap hung, ${stopped.ms.toFixed(0)} ms while it was stopped`,
      );
    });
  },
);

/** The port of a Postfix that asks a Dovecot through the SASL proxy. */
async function postfixBehindProxy(t: TestContext, stopgap: Stopgap): Promise<number> {
  const dovecot = await RealDovecot.start(t, { users: USERS, settings: () => CHALLENGES });
  const dir = await workDir(t);
  // Postfix runs as a user of its own.
  chmodSync(dir, 0o755);
  const socket = path.join(dir, 'auth');
  const url = `http://127.0.0.1:${stopgap.port('HTTP')}`;
  await startSaslProxy(t, ['--url', url, '--auth', dovecot.socket, '--listen', socket], SERVER_TOKEN);
  return postfixBehind(t, socket);
}

describe(
  'the SASL proxy between a real Postfix and a real Dovecot',
  { skip: dovecotMissing() ?? postfixMissing() },
  () => {
    test('fails the login of a blocked account like a wrong password, byte for byte and as late', async (t) => {
      const stopgap = await Stopgap.start(t, FOR_DOVECOT);
      const port = await postfixBehindProxy(t, stopgap);
      assert.match((await logIn(port, '127.0.1.1', ALICE, PASSWORDS[ALICE]!)).reply, /^235 /);
      await stopgap.block('account', ALICE);
      await assertAlike(t, port, [2, 3, 4, 5]);
      assert.match((await logIn(port, '127.0.1.2', BOB, PASSWORDS[BOB]!)).reply, /^235 /);
      await stopgap.release('account', ALICE);
      assert.match((await logIn(port, '127.0.1.3', ALICE, PASSWORDS[ALICE]!)).reply, /^235 /);
    });

    test('offers no mechanism that proves a password before Stopgap is asked, and fails CRAM-MD5 like a wrong password', async (t) => {
      const stopgap = await Stopgap.start(t, FOR_DOVECOT);
      const port = await postfixBehindProxy(t, stopgap);
      const session = await Dialogue.connect(port, { from: '127.0.1.1' });
      await session.reply();
      assert.match(await session.say('EHLO client.test'), /^250[ -]AUTH PLAIN LOGIN CRAM-MD5\r?$/m);
      const first = Buffer.from(`n,,n=${ALICE},r=nonce`).toString('base64');
      assert.match(await session.say(`AUTH SCRAM-SHA-256 ${first}`), /^535 5\.7\.8 /);
      await session.quit();
      assert.match(await answerChallenge(port, '127.0.1.2', ALICE, PASSWORDS[ALICE]!), /^235 /);
      await stopgap.block('account', ALICE);
      const [right, wrong] = await Promise.all([
        answerChallenge(port, '127.0.1.3', ALICE, PASSWORDS[ALICE]!),
        answerChallenge(port, '127.0.1.4', ALICE, WRONG),
      ]);
      assert.match(right, /^535 5\.7\.8 /);
      assert.equal(right, wrong);
    });

    test('fails it as late as a wrong password also when one address tries again and again', async (t) => {
      const stopgap = await Stopgap.start(t, FOR_DOVECOT);
      const port = await postfixBehindProxy(t, stopgap);
      await stopgap.block('account', ALICE);
      const thrice = async (from: string, password: string): Promise<number> => {
        let last = 0;
        for (let round = 0; round < 3; round++) {
          const { reply, ms } = await logIn(port, from, ALICE, password);
          assert.match(reply, /^535 5\.7\.8 /);
          last = ms;
        }
        return last;
      };
      const both = [thrice('127.0.1.1', PASSWORDS[ALICE]!), thrice('127.0.1.2', WRONG)];
      const [blocked, wrong] = (await Promise.all(both)) as [number, number];
      t.diagnostic(`the third try: blocked ${blocked.toFixed(0)} ms, wrong ${wrong.toFixed(0)} ms`);
      assert.ok(Math.abs(blocked - wrong) < 1500, `${blocked}, ${wrong}`);
    });

    test('takes the socket that systemd passes, goes on without Stopgap, and fails closed itself', async (t) => {
      const cwd = await workDir(t);
      const served = await Served.start(t, cwd);
      const dovecot = await RealDovecot.start(t, { users: USERS });
      chmodSync(cwd, 0o755);
      const socket = path.join(cwd, 'auth');
      const args = ['--url', `http://127.0.0.1:${served.port('HTTP')}`, '--auth', dovecot.socket];
      const token = served.told('API token');
      const first = await startSaslProxy(t, args, token, socket);
      chmodSync(socket, 0o666);
      const port = await postfixBehind(t, socket);
      const passes = async (from: string): Promise<number> => {
        const { reply, ms } = await logIn(port, from, ALICE, PASSWORDS[ALICE]!);
        assert.match(reply, /^235 /);
        return ms;
      };
      await passes('127.0.1.1');
      served.child.kill('SIGSTOP');
      const hung = await passes('127.0.1.2');
      served.child.kill('SIGCONT');
      await served.kill();
      const stopped = await passes('127.0.1.3');
      t.diagnostic(
        `a login took ${hung.toFixed(0)} ms while Stopgap hung, ${stopped.toFixed(0)} ms while it was stopped`,
      );
      await first.kill();
      const refused = await logIn(port, '127.0.1.4', ALICE, PASSWORDS[ALICE]!).then(
        ({ reply }) => reply,
        () => 'closed',
      );
      assert.doesNotMatch(refused, /^235 /);
      await startSaslProxy(t, [...args, '--listen', socket], token);
      await eventually('Postfix serves again', async () => {
        const again = await logIn(port, '127.0.1.5', ALICE, PASSWORDS[ALICE]!).catch(() => undefined);
        return again?.reply.startsWith('235 ') === true;
      });
    });
  },
);
