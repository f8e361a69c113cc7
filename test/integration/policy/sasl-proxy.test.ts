import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import net from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { SaslLogin } from '../../../src/policy/sasl-proxy.js';
import { lateness, SaslProxy } from '../../../src/policy/sasl-proxy.js';
import type { AuthenticationFailed, MessageRefused } from '../../../src/sending/events.js';
import { ManualClock } from '../../support/manual-clock.js';
import { check, FOR_DOVECOT, SERVER_TOKEN } from '../../support/policy/dovecot.js';
import { eventually } from '../../support/smtp/eventually.js';
import { startSaslProxy } from '../../support/smtp/sasl-proxy.js';
import { workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { Terminal } from '../cli-client/support.js';

const GREETING = 'VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t9\nCUID\t1\nCOOKIE\t0123\nDONE\n';

/** What one side has received. */
class Side {
  text = '';

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
    socket.on('error', () => socket.destroy());
  }

  say(text: string): void {
    this.socket.write(text, 'latin1');
  }

  async has(text: string): Promise<void> {
    await eventually(`${JSON.stringify(text)} has come`, () => this.text.includes(text));
  }
}

interface Scene {
  readonly clock: ManualClock;
  readonly asked: SaslLogin[];
  readonly listen: string;
  readonly connect: () => Promise<{ readonly server: Side; readonly dovecot: Side }>;
}

/** A proxy before a Dovecot whose part the test plays. */
async function scene(
  t: TestContext,
  blocked: (login: SaslLogin) => boolean | Promise<boolean>,
): Promise<Scene> {
  const dir = await workDir(t);
  const [listen, auth] = [path.join(dir, 'proxy'), path.join(dir, 'auth')];
  const dovecots: Socket[] = [];
  const dovecot = net.createServer((socket) => void dovecots.push(socket)).listen(auth);
  t.after(() => dovecot.close());
  const clock = new ManualClock();
  const asked: SaslLogin[] = [];
  const proxy = new SaslProxy({
    listen: { path: listen },
    auth,
    failureDelay: 2000,
    clock,
    isBlocked: async (login) => {
      asked.push(login);
      return blocked(login);
    },
  });
  await proxy.listen();
  t.after(() => proxy.close());
  const connect: Scene['connect'] = async () => {
    const socket = net.connect(listen);
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    await eventually('the proxy has connected', () => dovecots.length > 0);
    return { server: new Side(socket), dovecot: new Side(dovecots.shift()!) };
  };
  return { clock, asked, listen, connect };
}

/** A Dovecot that takes every password. Gives its socket. */
async function trustingDovecot(t: TestContext, dir: string): Promise<string> {
  const auth = path.join(dir, 'dovecot');
  const dovecot = net.createServer((socket) => {
    const side = new Side(socket);
    let answered = 0;
    side.say(GREETING);
    socket.on('data', () => {
      const lines = side.text.split('\n').slice(0, -1);
      for (const line of lines.slice(answered)) {
        const [verb, id, , ...fields] = line.split('\t');
        const resp = fields.find((field) => field.startsWith('resp='))?.slice('resp='.length) ?? '';
        const user = Buffer.from(resp, 'base64').toString().split('\0')[1] ?? '';
        if (verb === 'AUTH') side.say(`OK\t${id}\tuser=${user}\n`);
      }
      answered = lines.length;
    });
  });
  dovecot.listen(auth);
  await once(dovecot, 'listening');
  t.after(() => dovecot.close());
  return auth;
}

/** A mail server that asks a Stopgap through `stopgap sasl-proxy`. Gives how a login with the right password ends. */
async function behindProxy(
  t: TestContext,
  stopgap: Stopgap,
): Promise<(login: string, ip: string) => Promise<'OK' | 'FAIL'>> {
  const dir = await workDir(t);
  const [listen, auth] = [path.join(dir, 'proxy'), await trustingDovecot(t, dir)];
  const url = `http://127.0.0.1:${stopgap.port('HTTP')}`;
  const args = ['--url', url, '--auth', auth, '--listen', listen, '--failure-delay', '0'];
  await startSaslProxy(t, args, SERVER_TOKEN);
  const server = new Side(net.connect(listen));
  t.after(() => server.socket.destroy());
  await server.has(GREETING);
  let id = 0;
  return async (login, ip) => {
    const own = ++id;
    const resp = Buffer.from(`\0${login}\0right`).toString('base64');
    server.say(`AUTH\t${own}\tPLAIN\tservice=smtp\trip=${ip}\tresp=${resp}\n`);
    const ends = new RegExp(`^(OK|FAIL)\t${own}\t`, 'm');
    await eventually(`login ${own} has ended`, () => ends.test(server.text));
    return ends.exec(server.text)![1] as 'OK' | 'FAIL';
  };
}

/** So few at once that a busy machine gives each verdict in time: after a second the proxy lets a login go on without one. */
async function allFail(count: number, login: (index: number) => Promise<'OK' | 'FAIL'>): Promise<void> {
  for (let from = 0; from < count; from += 10) {
    const tries = Array.from({ length: Math.min(10, count - from) }, (_, index) => login(from + index));
    assert.deepEqual(new Set(await Promise.all(tries)), new Set(['FAIL']));
  }
}

describe('a right password that fails behind `stopgap sasl-proxy`', () => {
  const OFFICE = '198.51.100.9';

  test('is no guess, however often a phone tries it: its colleagues go on logging in', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const login = await behindProxy(t, stopgap);
    await stopgap.block('account', ALICE);
    await allFail(70, () => login(ALICE, OFFICE));
    assert.equal(await login(BOB, OFFICE), 'OK');
    // What a flood has brought is written when it ends.
    await stopgap.restart();
    const failed = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
    assert.deepEqual(
      failed.map(({ data: { kind, fresh } }) => [kind, fresh]),
      failed.map(() => ['feigned', undefined]),
    );
    assert.equal(
      failed.reduce((sum, { data }) => sum + data.count, 0),
      70,
    );
    const { windows } = await check(stopgap, `ip=${OFFICE}`);
    assert.equal(windows!.find(({ rule }) => rule === 'guessing')!.observed, 0);
    assert.deepEqual((await stopgap.all('BlockImposed')).length, 1);
  });

  test('counts for no longer block of its network, and names its account in the record', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const login = await behindProxy(t, stopgap);
    await stopgap.block('ip', OFFICE);
    await allFail(70, (index) => login(index % 2 === 0 ? ALICE : BOB, OFFICE));
    await stopgap.restart();
    await stopgap.settled();
    const { windows } = await check(stopgap, `ip=${OFFICE}`);
    assert.equal(windows!.find(({ rule }) => rule === 'guessing')!.observed, 0);
    const refused = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(new Set(refused.map(({ stream }) => stream)), new Set([`send-${ALICE}`, `send-${BOB}`]));
  });
});

describe('the SASL proxy', () => {
  test('passes all lines, however they are cut, asks for no penalty, and turns the success of a blocked account', async (t) => {
    const { connect, asked, clock } = await scene(t, ({ login }) => login === 'alice@example.com');
    const { server, dovecot } = await connect();
    for (const byte of GREETING) {
      dovecot.say(byte);
      await setImmediate();
    }
    await server.has(GREETING);
    const hello = 'VERSION\t1\t2\nCPID\t77\n';
    const first = 'AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=192.0.2.7\tresp=AGFsaWNl\n';
    server.say(hello + first.slice(0, 20));
    server.say(first.slice(20));
    // Dovecot's penalty would make only wrong passwords wait longer.
    await dovecot.has(hello + first.replace('PLAIN', 'PLAIN\tno-penalty'));
    dovecot.say('OK\t1\tuser=bob@example.com\tnologin\n');
    await server.has('OK\t1\tuser=bob@example.com\tnologin\n');

    server.say('AUTH\t2\tLOGIN\tservice=smtp\tsecured\trip=192.0.2.7\n');
    await dovecot.has('AUTH\t2\tLOGIN\tno-penalty\tservice=smtp\tsecured\trip=192.0.2.7\n');
    dovecot.say('CONT\t2\tVXNlcm5hbWU6\n');
    await server.has('CONT\t2\tVXNlcm5hbWU6\n');
    server.say('CONT\t2\tYWxpY2U=\n');
    await dovecot.has('CONT\t2\tYWxpY2U=\n');
    dovecot.say('OK\t2\tuser=alice@example.com\toriginal_user=alice\n');
    await eventually('it waits as Dovecot does', () => clock.waiting === 1);
    // Others do not wait for it.
    server.say('AUTH\t3\tPLAIN\tservice=smtp\trip=192.0.2.7\tresp=AGJvYg==\n');
    dovecot.say('FAIL\t3\tuser=bob@example.com\n');
    await server.has('FAIL\t3\tuser=bob@example.com\n');
    assert.ok(!server.text.includes('\t2\tuser='), 'nothing is said before its time');
    clock.advance(2000);
    await server.has('FAIL\t2\tuser=alice@example.com\n');
    assert.ok(!server.text.includes('OK\t2'));
    assert.ok(!server.text.includes('original_user'));
    assert.deepEqual(asked, [
      { login: 'bob@example.com', protocol: 'smtp', remote: '192.0.2.7' },
      { login: 'alice@example.com', protocol: 'smtp', remote: '192.0.2.7' },
    ]);
  });

  test('offers no mechanism by which a client knows that its password is right before Stopgap is asked', async (t) => {
    const { connect } = await scene(t, () => true);
    const mechanisms = [
      'PLAIN\tplaintext',
      'LOGIN\tplaintext',
      'SCRAM-SHA-1\tmutual-auth',
      'SCRAM-SHA-256\tmutual-auth',
      'DIGEST-MD5\tdictionary\tactive\tmutual-auth',
      'CRAM-MD5\tdictionary\tactive',
      'GSSAPI',
      'NTLM',
      'EXTERNAL',
      'XOAUTH2',
      'OAUTHBEARER',
      'SCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding',
      'NEW',
    ];
    const greeting = (offered: readonly string[]): string =>
      `VERSION\t1\t2\n${offered.map((each) => `MECH\t${each}\n`).join('')}SPID\t9\nDONE\n`;
    const { server, dovecot } = await connect();
    dovecot.say(greeting(mechanisms));
    await server.has('DONE\n');
    const kept = ['PLAIN', 'LOGIN', 'CRAM-MD5', 'EXTERNAL'];
    assert.equal(
      server.text,
      greeting(mechanisms.filter((each) => kept.includes(each.replace(/\t.*/, '')))),
      'the others are left out',
    );
  });

  test('closes both sides, as Dovecot does, where a mechanism is asked for that it does not offer', async (t) => {
    const { connect } = await scene(t, () => true);
    for (const mechanism of ['SCRAM-SHA-256', 'scram-sha-256', 'DIGEST-MD5', 'XOAUTH2', '']) {
      const { server, dovecot } = await connect();
      const closed = [server, dovecot].map(({ socket }) => once(socket.resume(), 'close'));
      server.say(`AUTH\t1\t${mechanism}\tservice=smtp\trip=192.0.2.7\n`);
      await Promise.all(closed);
      assert.equal(dovecot.text + server.text, '', mechanism);
    }
    const { server, dovecot } = await connect();
    server.say('AUTH\t1\tcram-md5\tservice=smtp\n');
    await dovecot.has('AUTH\t1\tcram-md5\tno-penalty\tservice=smtp\n');
  });

  test('asks about names as they are, and about none that Dovecot does not tell', async (t) => {
    const { connect, asked } = await scene(t, () => false);
    const { server, dovecot } = await connect();
    dovecot.say(`OK\t7\tuser=tab\x01tone\x011m\xc3\xbcller\nOK\t8\nOK\n`);
    await server.has('OK\t8\nOK\n');
    await server.has(`OK\t7\tuser=tab\x01tone\x011m\xc3\xbcller\n`);
    assert.deepEqual(asked, [{ login: 'tab\tone\x01müller', protocol: '', remote: undefined }]);
  });

  test('closes both sides where one ends, or says a line that is too long', async (t) => {
    const { connect } = await scene(t, () => true);
    const acts: readonly ((sides: { server: Side; dovecot: Side }) => void)[] = [
      ({ server }) => server.socket.destroy(),
      ({ dovecot }) => dovecot.socket.destroy(),
      ({ server }) => server.say('x'.repeat(70_000)),
      ({ dovecot }) => dovecot.say(`${'x'.repeat(70_000)}\n`),
      // Its answer comes when nobody waits for it.
      ({ dovecot }) => {
        dovecot.say('OK\t1\tuser=alice\n');
        dovecot.socket.destroy();
      },
    ];
    for (const act of acts) {
      const sides = await connect();
      const closed = [sides.server, sides.dovecot].map(({ socket }) => once(socket.resume(), 'close'));
      act(sides);
      await Promise.all(closed);
    }
  });

  test('closes the connection of a mail server while Dovecot is away', async (t) => {
    const dir = await workDir(t);
    const listen = path.join(dir, 'proxy');
    const proxy = new SaslProxy({
      listen: { path: listen },
      auth: path.join(dir, 'auth'),
      failureDelay: 2000,
      clock: new ManualClock(),
      isBlocked: () => Promise.resolve(false),
    });
    await proxy.listen();
    t.after(() => proxy.close());
    const socket = net.connect(listen).resume();
    await once(socket, 'close');
  });

  test('takes as the delay of failures what Dovecot may have, none too', async (t) => {
    const terminal = await Terminal.open({ now: () => 0 }, { STOPGAP_TOKEN: SERVER_TOKEN });
    t.after(() => terminal.close());
    const said = async (delay: string): Promise<string> =>
      (await terminal.run('sasl-proxy', '--auth', 'auth', '--failure-delay', delay)).err;
    for (const delay of ['0', '0s', '2s', '1m']) assert.match(await said(delay), /systemd passed no socket/);
    for (const delay of ['2', '61s', '100d', '-1s', '0x0'])
      assert.match(
        await said(delay),
        /--failure-delay.*is no delay of failures; use 0s to 60s, as auth_failure_delay of Dovecot has it/,
      );
  });

  test('holds a failure back as long as Dovecot does, which looks each half second at whole seconds', () => {
    const late = (fraction: number, delay = 2000): number => lateness(1_700_000_000_000 + fraction, delay);
    assert.deepEqual(
      [0, 1, 499, 500, 501, 999].map((fraction) => late(fraction)),
      [2000, 2000, 2000, 1500, 1500, 1500],
    );
    assert.equal(late(999, 1000), 500);
    assert.deepEqual(
      [0, 1, 700].map((fraction) => late(fraction, 0)),
      [500, 500, 500],
    );
  });
});
