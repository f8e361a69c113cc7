import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { Admission } from '../../../src/smtp/admission.js';
import type { MailServerOptions } from '../../../src/smtp/server.js';
import { MailServer } from '../../../src/smtp/server.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';

interface Running {
  readonly server: MailServer;
  readonly port: number;
  /** Why connections were turned away or cut, in order. */
  readonly turnedAway: string[];
  /** Sweeps as if so much time had gone by. */
  readonly later: (by: number) => void;
}

const UNLIMITED = { connections: 1000, perNetwork: 1000, newPerMinute: 1000 };

/** A server that takes every login and message. */
async function start(t: TestContext, options: Partial<MailServerOptions> = {}): Promise<Running> {
  const turnedAway: string[] = [];
  const server = new MailServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    logger: false,
    disableReverseLookup: true,
    size: 10_000_000,
    onAuth: (auth, _session, done) => done(null, { user: auth.username }),
    onMailFrom: (_address, _session, done) => done(),
    onRcptTo: (_address, _session, done) => done(),
    onData: (stream, _session, done) => stream.on('end', () => done(null, 'taken')).resume(),
    admission: new Admission(UNLIMITED),
    deadlines: { login: MINUTE, command: 5 * MINUTE },
    isExempt: () => false,
    isProxy: () => false,
    onArrived: () => undefined,
    offers: () => ({ eightBit: true, utf8: true, dsn: true }),
    onTurnedAway: (why, network) => turnedAway.push(`${why} ${network}`),
    ...options,
  });
  server.on('error', () => undefined); // clients that are cut break off
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  t.after(() => new Promise<void>((resolve) => server.close(resolve)));
  const { port } = server.server.address() as AddressInfo;
  return { server, port, turnedAway, later: (by) => server.sweep(performance.now() + by) };
}

async function loggedIn(port: number): Promise<Dialogue> {
  const session = await Dialogue.hello(port);
  assert.match(await session.login('alice@example.com', 'x'), /^235 /);
  return session;
}

const LATE = /^421 4\.4\.2 /;

describe('a client that connects', () => {
  test('is told before anything else if its network has had its share', async (t) => {
    const admission = new Admission({ ...UNLIMITED, perNetwork: 2 });
    const { port, turnedAway } = await start(t, { admission });
    const from = '127.0.0.50';
    const held = await Promise.all([1, 2].map(() => Dialogue.hello(port, { from })));
    const third = await Dialogue.connect(port, { from });
    assert.equal(
      await third.reply(),
      '421 4.7.0 Too many connections from your network, please try again later',
    );
    await third.closed;
    assert.deepEqual(turnedAway, [`network ${from}`]);
    await (await Dialogue.hello(port, { from: '127.0.0.51' })).quit();
    await held[0]!.quit();
    await (await Dialogue.hello(port, { from })).quit();
    await held[1]!.quit();
  });

  test('is told so if it comes too often, or all room is taken', async (t) => {
    const admission = new Admission({ connections: 2, perNetwork: 10, newPerMinute: 3 });
    const { port, turnedAway } = await start(t, { admission });
    const two = await Promise.all([1, 2].map(() => Dialogue.hello(port)));
    assert.match(await (await Dialogue.connect(port)).reply(), /^421 4\.3\.2 Too many connections, /);
    await Promise.all(two.map((session) => session.quit()));
    await (await Dialogue.hello(port)).quit();
    assert.match(await (await Dialogue.connect(port)).reply(), /^421 4\.7\.0 /, 'the fourth within a minute');
    assert.deepEqual(turnedAway, ['full 127.0.0.1', 'rate 127.0.0.1']);
  });

  describe('gives its place back when it goes', () => {
    const ends: readonly (readonly [what: string, end: (session: Dialogue) => Promise<void>])[] = [
      ['in clear', (session) => session.quit()],
      [
        'after STARTTLS, with QUIT',
        async (session) => {
          await session.startTls();
          assert.match(await session.say('EHLO client.test'), /^250-/);
          await session.quit();
        },
      ],
      [
        'after STARTTLS, without a word',
        async (session) => {
          (await session.startTls()).destroy();
        },
      ],
      [
        'before the handshake that it has asked for',
        async (session) => {
          await session.say('STARTTLS');
          session.socket.resetAndDestroy();
        },
      ],
      [
        'in the middle of the handshake',
        async (session) => {
          await session.say('STARTTLS');
          session.socket.write(Buffer.from('16030100', 'hex'));
          session.socket.resetAndDestroy();
        },
      ],
      [
        'with what is no handshake',
        async (session) => {
          await session.say('STARTTLS');
          session.write('EHLO client.test\r\n');
          await session.closed;
        },
      ],
    ];
    for (const [what, end] of ends) {
      test(what, async (t) => {
        const admission = new Admission({ ...UNLIMITED, connections: 1 });
        const { server, port } = await start(t, { admission, disabledCommands: [] });
        await end(await Dialogue.hello(port));
        await eventually('there is room for another', () => [...server.sockets].length === 0);
        await (await Dialogue.hello(port)).quit();
      });
    }

    test('in the middle of a handshake that comes first', async (t) => {
      const admission = new Admission({ ...UNLIMITED, connections: 1 });
      const { server, port } = await start(t, { admission, secure: true });
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.write(Buffer.from('16030100', 'hex'));
      await eventually('it has come', () => [...server.sockets].length === 1);
      socket.resetAndDestroy();
      await eventually('there is room for another', () => [...server.sockets].length === 0);
      await (await Dialogue.hello(port, { implicitTls: true })).quit();
    });
  });

  test('has no limits of its own if its network is spared', async (t) => {
    const admission = new Admission({ ...UNLIMITED, perNetwork: 1 });
    const { port } = await start(t, { admission, isExempt: (ip) => ip === '127.0.0.1' });
    const three = await Promise.all([1, 2, 3].map(() => Dialogue.hello(port)));
    await Promise.all(three.map((session) => session.quit()));
  });
});

describe('a client that keeps a connection waiting', () => {
  test('without a login is cut when the time for it is over, even if it talks meanwhile', async (t) => {
    const { port, later, turnedAway } = await start(t);
    const patient = await loggedIn(port);
    const idle = await Dialogue.hello(port);
    await idle.say('NOOP');
    later(MINUTE - 5 * SECOND);
    assert.match(await idle.say('NOOP'), /^250 /, 'not yet');
    idle.write('NOO');
    later(MINUTE);
    assert.match(await idle.reply(), LATE);
    await idle.closed;
    assert.deepEqual(turnedAway, ['login 127.0.0.1']);
    assert.match(await patient.say('NOOP'), /^250 /);
    await patient.quit();
  });

  test('is cut when the next command is not complete in time: single bytes do not count', async (t) => {
    const { port, later, turnedAway } = await start(t);
    const session = await loggedIn(port);
    session.write('MAIL FR');
    later(5 * MINUTE - 5 * SECOND);
    session.write('OM:<');
    later(5 * MINUTE);
    assert.match(await session.reply(), LATE);
    assert.deepEqual(turnedAway, ['command 127.0.0.1']);
  });

  test('is not cut while it is we who owe an answer', async (t) => {
    let answer: (() => void) | undefined;
    const { port, later, turnedAway } = await start(t, {
      onRcptTo: (_address, _session, done) => (answer = () => done()),
    });
    const session = await loggedIn(port);
    await session.say('MAIL FROM:<a@x.test>');
    const asked = session.say('RCPT TO:<b@x.test>');
    await eventually('the recipient is asked about', () => answer !== undefined);
    later(20 * MINUTE);
    answer!();
    assert.match(await asked, /^250 /);
    assert.deepEqual(turnedAway, []);
    await session.quit();
  });

  test('is cut in the middle of a message that comes too slowly, and not before', async (t) => {
    const { server, port, later, turnedAway } = await start(t);
    const session = await loggedIn(port);
    await session.sayAll(['MAIL FROM:<a@x.test>', 'RCPT TO:<b@x.test>', 'DATA']);
    const minutes = 4;
    const line = `${'x'.repeat(1022)}\r\n`;
    session.write(line.repeat(60 * minutes));
    await eventually('it has arrived', () =>
      [...server.connections].some(({ _parser: parser }) => parser !== false && parser.dataBytes > 230_000),
    );
    later((5 + minutes) * MINUTE - 10 * SECOND);
    assert.deepEqual(turnedAway, []);
    later((5 + minutes) * MINUTE);
    assert.match(await session.reply(), LATE);
    assert.deepEqual(turnedAway, ['message 127.0.0.1']);
  });

  test('is cut if it does not read what it is told', async (t) => {
    const { server, port, later, turnedAway } = await start(t);
    const session = await loggedIn(port);
    session.socket.pause();
    const flood = 'HELP\r\n'.repeat(10_000);
    while (![...server.connections].some((each) => each._socket.writableLength > 0)) {
      session.write(flood);
      await new Promise((resolve) => setImmediate(resolve));
    }
    server.sweep(performance.now());
    later(MINUTE);
    assert.deepEqual(turnedAway, ['reader 127.0.0.1']);
    session.socket.resume();
    await session.closed;
  });

  test('is cut after half an hour in which no message has come about, however busy it was', async (t) => {
    const { port, later, turnedAway } = await start(t, {
      deadlines: { login: MINUTE, command: 60 * MINUTE },
    });
    const session = await loggedIn(port);
    later(30 * MINUTE - 5 * SECOND);
    assert.match(await session.say('NOOP'), /^250 /);
    later(30 * MINUTE);
    assert.match(await session.reply(), LATE);
    assert.deepEqual(turnedAway, ['session 127.0.0.1']);
  });

  test('is cut before the greeting if it does not go on with TLS', async (t) => {
    const { port, later, turnedAway, server } = await start(t, { secure: true });
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    await eventually('it is waited for', () =>
      [...server._pendingSockets.values()].some((top) => top instanceof TLSSocket),
    );
    later(MINUTE);
    await once(socket, 'close');
    assert.deepEqual(turnedAway, ['login 127.0.0.1']);
  });
});
