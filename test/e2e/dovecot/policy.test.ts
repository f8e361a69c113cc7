import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { AuthenticationFailed, MessageRefused } from '../../../src/sending/events.js';
import { FOR_DOVECOT, SERVER_TOKEN } from '../../support/policy/dovecot.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { dovecotMissing, RealDovecot } from '../../support/smtp/real-dovecot.js';
import { postfixMissing, RealPostfix } from '../../support/smtp/real-postfix.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

/** What docs/run/mail-servers.md has an administrator put beside dovecot.conf. */
function documented(version: string): string {
  const text = readFileSync('docs/run/mail-servers.md', 'utf8');
  const block = new RegExp(`\`\`\`ini\n# Dovecot ${version}[^\n]*\n([^\`]*)\`\`\``).exec(text);
  assert.ok(block !== null, `no recipe for Dovecot ${version}`);
  return block[1]!;
}

/** A Dovecot that asks a Stopgap by the documented lines. */
async function dovecotAsking(t: TestContext, port: number, token = SERVER_TOKEN): Promise<RealDovecot> {
  return RealDovecot.start(t, {
    passwords: PASSWORDS,
    settings: (version) =>
      documented(version).replace('127.0.0.1:8025', `127.0.0.1:${port}`).replace('sgp_TOKEN', token),
  });
}

/** A Postfix whose users log in through that Dovecot; gives the port. */
async function postfixBehind(t: TestContext, socket: string): Promise<number> {
  const outside = await FakeUpstream.start();
  t.after(() => outside.stop());
  const postfix = await RealPostfix.start(t, {
    listeners: ['127.0.0.1:2500 inet n - n - - smtpd'],
    ...{ outside: outside.port, inside: outside.port },
    settings: [
      'smtpd_sasl_auth_enable = yes',
      'smtpd_sasl_type = dovecot',
      `smtpd_sasl_path = ${socket}`,
      'smtpd_client_connection_count_limit = 0',
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

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

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
      for (const inSteps of [false, true]) {
        const tries = async (password: string, network: number): Promise<readonly Tried[]> =>
          Promise.all(
            Array.from({ length: 9 }, (_, index) =>
              logIn(port, `127.0.${network}.${index + 1}`, ALICE, password, inSteps),
            ),
          );
        const [blocked, wrong] = await Promise.all([
          tries(PASSWORDS[ALICE]!, inSteps ? 4 : 2),
          tries(WRONG, inSteps ? 5 : 3),
        ]);
        const replies = new Set([...blocked, ...wrong].map(({ reply }) => reply));
        assert.equal(replies.size, 1, [...replies].join('\n'));
        assert.match([...replies][0]!, /^535 5\.7\.8 /);
        const medians = [blocked, wrong].map((all) => median(all.map(({ ms }) => ms)));
        t.diagnostic(
          `Dovecot ${dovecot.version}, AUTH ${inSteps ? 'LOGIN' : 'PLAIN'}, median of 9: blocked ${medians[0]!.toFixed(0)} ms, wrong ${medians[1]!.toFixed(0)} ms: ${[...replies][0]}`,
        );
        assert.ok(Math.abs(medians[0]! - medians[1]!) < 1000, medians.join(', '));
        assert.ok(medians[0]! > 500, 'Dovecot holds failures back');
      }
      assert.match((await logIn(port, '127.0.1.2', BOB, PASSWORDS[BOB]!)).reply, /^235 /);

      const refused = await stopgap.all<MessageRefused>('MessageRefused');
      assert.ok(refused.every(({ data }) => data.block === block && data.account === ALICE));
      const failed = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
      const networks = (kind: string): readonly string[] =>
        [...new Set(failed.filter(({ data }) => data.kind === kind).map(({ data }) => data.network))].sort();
      const nine = (network: number): readonly string[] =>
        Array.from({ length: 9 }, (_, index) => `127.0.${network}.${index + 1}`);
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
      assert.deepEqual(await asked(), { asked: 1, sending: 1, succeeded: 1, failed: 1 });
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
