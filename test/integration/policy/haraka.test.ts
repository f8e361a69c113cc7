import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import vm from 'node:vm';
import type { MessageAccepted, MessageRefused } from '../../../src/sending/events.js';
import { tokenOf } from '../../support/policy/token.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const FILE = 'deploy/haraka/stopgap.js';
const [DENY, DENYSOFT] = [902, 903];
const LATER = '4.3.2 Service temporarily unavailable, please try again later';
const SETTINGS = { policy: { listen: '127.0.0.1:0' } };

type Next = (code?: number, text?: string) => void;
interface Plugin {
  cfg: { main: { url: string; token: string } };
  waiting: unknown[];
  config: unknown;
  logwarn: (line: string) => void;
  register(): void;
  report(): void;
  hook_rcpt(next: Next, connection: unknown, params?: unknown): void;
  hook_queue_ok(next: Next, connection: unknown, message?: string): void;
}

/** The plugin as Haraka loads it: its own `exports`, and no more globals than Haraka gives. */
function load(url: string, token: string): { readonly plugin: Plugin; readonly warnings: string[] } {
  const warnings: string[] = [];
  const main = { url, token };
  const plugin = {
    config: { get: () => ({ main }) },
    logwarn: (line: string) => void warnings.push(line),
  } as unknown as Plugin;
  const sandbox = {
    require: createRequire(import.meta.url),
    exports: plugin,
    process,
    Buffer,
    Math,
    DENY,
    DENYSOFT,
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    setImmediate,
  };
  vm.runInNewContext(readFileSync(FILE, 'utf8'), sandbox, FILE);
  plugin.register();
  return { plugin, warnings };
}

let transactions = 0;

/** What the plugin looks at of a connection of Haraka 3. */
function connectionOf(account: string | undefined, returnPath = account ?? '', recipients = ['one.test']) {
  return {
    notes: account === undefined ? {} : { auth_user: account },
    remote: { ip: '192.0.2.7' },
    hello: { host: 'pc.example.com' },
    transaction: {
      uuid: `A1B2C3.${++transactions}`,
      // A method in some versions, a property in others.
      mail_from: { address: transactions % 2 === 0 ? () => returnPath : returnPath },
      rcpt_to: recipients.map((host) => ({ host })),
      data_bytes: 1234,
    },
  };
}

const rcpt = (plugin: Plugin, connection: unknown): Promise<readonly unknown[]> =>
  new Promise((resolve) => plugin.hook_rcpt((...told) => resolve(told), connection));

async function queued(plugin: Plugin, connection: { transaction: unknown }): Promise<void> {
  await new Promise<void>((resolve) => {
    const next = (): void => {
      // Haraka ends the transaction at once.
      connection.transaction = undefined;
      resolve();
    };
    plugin.hook_queue_ok(next, connection);
  });
}

async function started(
  t: TestContext,
): Promise<{ stopgap: Stopgap; plugin: Plugin; warnings: readonly string[] }> {
  const stopgap = await Stopgap.start(t, { settings: SETTINGS });
  const token = await tokenOf(stopgap, 'haraka');
  return { stopgap, ...load(`http://127.0.0.1:${stopgap.port('HTTP')}`, token) };
}

describe('the plugin for Haraka', () => {
  test('has a flood contained, its client told to try again later, and mail flow after the release', async (t) => {
    const { stopgap, plugin, warnings } = await started(t);
    const many = Array.from({ length: 40 }, (_, index) => `d${index % 3}.test`);
    for (let message = 0; message < 3; message++) {
      const connection = connectionOf(ALICE, ALICE, many);
      assert.deepEqual(await rcpt(plugin, connection), []);
      await queued(plugin, connection);
    }
    await stopgap.event(({ type }) => type === 'BlockImposed');
    await stopgap.settled();
    assert.deepEqual(await rcpt(plugin, connectionOf(ALICE)), [DENYSOFT, LATER]);
    assert.deepEqual(await rcpt(plugin, connectionOf(BOB)), []);
    await stopgap.release('account', ALICE);
    assert.deepEqual(await rcpt(plugin, connectionOf(ALICE)), []);
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ by, data }) => [by, data.account, data.recipients, data.recipientDomains, data.size]),
      new Array(3).fill(['server:haraka', ALICE, 40, ['d0.test', 'd1.test', 'd2.test'], 1234]),
    );
    assert.deepEqual(warnings, []);
  });

  test('refuses for good where a block is honest, and judges mail without a login', async (t) => {
    const { stopgap, plugin } = await started(t);
    await stopgap.block('account', ALICE, { refusal: 'honest' });
    await stopgap.block('ip', '192.0.2.7', { direction: 'inbound' });
    const [code, text] = await rcpt(plugin, connectionOf(ALICE));
    assert.equal(code, DENY);
    assert.match(text as string, /^5\.7\.1 Sending is blocked/);
    assert.equal((await rcpt(plugin, connectionOf(undefined, 'x@elsewhere.test')))[0], DENYSOFT);
  });

  test('refuses mail that is to be held, since Haraka cannot hold it, and the record says so', async (t) => {
    const { stopgap, plugin } = await started(t);
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    const [code, text] = await rcpt(plugin, connectionOf(ALICE));
    assert.deepEqual([code, text], [DENYSOFT, LATER]);
    const [refused] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refused!.data.reply, `451 ${LATER}`);
  });

  test('lets mail go on while Stopgap is away, hangs or refuses the token, and says so', async (t) => {
    const hung = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => hung.once('listening', resolve));
    t.after(() => hung.close());
    const { port } = hung.address() as net.AddressInfo;
    const stopgap = await Stopgap.start(t, { settings: SETTINGS });
    for (const url of [
      'http://127.0.0.1:1',
      `http://127.0.0.1:${port}`,
      `http://127.0.0.1:${stopgap.port('HTTP')}`,
    ]) {
      const { plugin, warnings } = load(url, 'sgp_nobody');
      assert.deepEqual(await rcpt(plugin, connectionOf(ALICE)), []);
      assert.equal(warnings.length, 1, url);
    }
  });

  test('reports what was queued while Stopgap was away once it is back, once', async (t) => {
    const { stopgap, plugin } = await started(t);
    const { url } = plugin.cfg.main;
    plugin.cfg.main.url = 'http://127.0.0.1:1';
    for (let message = 0; message < 5; message++) await queued(plugin, connectionOf(ALICE));
    assert.equal(plugin.waiting.length, 5);
    plugin.cfg.main.url = url;
    await eventually('the first attempt has failed', () => {
      plugin.report();
      return plugin.waiting.length === 0;
    });
    assert.equal((await stopgap.all('MessageAccepted')).length, 5);
  });

  test('reports all that waits, however much a thief has put into it', async (t) => {
    const { stopgap, plugin, warnings } = await started(t);
    const { url } = plugin.cfg.main;
    plugin.cfg.main.url = 'http://127.0.0.1:1';
    const label = 'x'.repeat(60);
    const domains = Array.from({ length: 20 }, (_, index) => [label, label, label, index, 'test'].join('.'));
    for (let message = 0; message < 280; message++) await queued(plugin, connectionOf(ALICE, ALICE, domains));
    const endless = ['"'.repeat(40_000), 'elsewhere.test'];
    await queued(plugin, connectionOf(ALICE, '"'.repeat(40_000), endless));
    plugin.cfg.main.url = url;
    await eventually('nothing waits any more', () => {
      plugin.report();
      return plugin.waiting.length === 0;
    });
    assert.equal((await stopgap.all('MessageAccepted')).length, 281);
    assert.ok(
      warnings.every((line) => line.includes('ECONNREFUSED')),
      warnings.at(-1),
    );
  });

  test('waits for no answer before it lets Haraka go on, and remembers only so much', async () => {
    const { plugin } = load('http://127.0.0.1:1', 'x');
    plugin.waiting = new Array(10_000).fill('{}');
    await queued(plugin, connectionOf(ALICE));
    assert.equal(plugin.waiting.length, 10_000);
  });
});
