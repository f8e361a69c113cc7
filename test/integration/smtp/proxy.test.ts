import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { Admission } from '../../../src/smtp/admission.js';
import type { MailServerOptions } from '../../../src/smtp/server.js';
import { MailServer } from '../../../src/smtp/server.js';
import { selfSigned } from '../../support/relay/helpers.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';

const LIMITS = { connections: 3, perNetwork: 2, newPerMinute: 1000 };
/** Where the proxy connects from. */
const from = '127.0.0.60';

interface Running {
  readonly server: MailServer;
  readonly port: number;
  readonly turnedAway: string[];
  /** Who was greeted. */
  readonly clients: string[];
}

async function start(t: TestContext, options: Partial<MailServerOptions> = {}): Promise<Running> {
  const turnedAway: string[] = [];
  const clients: string[] = [];
  const server = new MailServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    authOptional: true,
    logger: false,
    disableReverseLookup: true,
    size: 1_000_000,
    onConnect: ({ remoteAddress, remotePort }, done) => {
      clients.push(`${remoteAddress} ${remotePort}`);
      done();
    },
    admission: new Admission(LIMITS),
    deadlines: { login: MINUTE, command: 5 * MINUTE },
    isExempt: () => false,
    isProxy: (ip) => ip === from,
    onArrived: () => undefined,
    offers: () => ({ eightBit: true, utf8: true, dsn: true }),
    onTurnedAway: (why, network) => turnedAway.push(`${why} ${network}`),
    ...options,
  });
  server.on('error', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  t.after(() => new Promise<void>((resolve) => server.close(resolve)));
  const { port } = server.server.address() as AddressInfo;
  return { server, port, turnedAway, clients };
}

const line = (ip: string): string => `PROXY TCP4 ${ip} 198.51.100.1 4711 587\r\n`;

/** Through the proxy, for this client; the greeting is the first reply. */
async function through(port: number, ip: string): Promise<Dialogue> {
  const session = await Dialogue.connect(port, { from });
  session.write(line(ip));
  return session;
}

describe('a connection from a proxy', () => {
  test('is one of the client that its header names, whatever the version and however the bytes come', async (t) => {
    const { port, clients } = await start(t);
    const binary = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000208c63364011267024b', 'hex');
    for (const header of [Buffer.from(line('192.0.2.7')), binary]) {
      const whole = await Dialogue.connect(port, { from });
      whole.write(header);
      assert.match(await whole.reply(), /^220 /);
      assert.match(await whole.say('EHLO client.test'), /^250-/);
      await whole.quit();
      const split = await Dialogue.connect(port, { from });
      for (const byte of header) {
        split.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      assert.match(await split.reply(), /^220 /);
      await split.quit();
    }
    assert.deepEqual(clients, ['192.0.2.7 4711', '192.0.2.7 4711', '192.0.2.8 4711', '192.0.2.8 4711']);
  });

  test('counts for the network of its client, and gives that place back', async (t) => {
    const { port, turnedAway } = await start(t);
    const held = await Promise.all([1, 2].map(() => through(port, '192.0.2.7')));
    for (const session of held) assert.match(await session.reply(), /^220 /);
    const third = await through(port, '192.0.2.7');
    assert.match(await third.reply(), /^421 4\.7\.0 Too many connections from your network/);
    await third.closed;
    const other = await through(port, '192.0.2.8');
    assert.match(await other.reply(), /^220 /);
    const fourth = await Dialogue.connect(port, { from });
    assert.match(await fourth.reply(), /^421 4\.3\.2 /, 'all room is taken: no header is waited for');
    assert.deepEqual(turnedAway, ['network 192.0.2.7', `full ${from}`]);
    for (const session of [...held, other]) await session.quit();
    const next = await Promise.all(['192.0.2.7', '192.0.2.7', '192.0.2.8'].map((ip) => through(port, ip)));
    for (const session of next) assert.match(await session.reply(), /^220 /);
    for (const session of next) await session.quit();
  });

  test("is the proxy's own if the header says so", async (t) => {
    const { port, clients } = await start(t);
    for (const header of ['PROXY UNKNOWN\r\n', '\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00']) {
      const session = await Dialogue.connect(port, { from });
      session.write(Buffer.from(header, 'latin1'));
      assert.match(await session.reply(), /^220 /);
      await session.quit();
    }
    for (const client of clients) assert.match(client, /^127\.0\.0\.60 \d+$/);
  });

  test('is cut without a word if it begins with anything else, or with nothing for five seconds', async (t) => {
    const { server, port, turnedAway, clients } = await start(t);
    const talking = await Dialogue.connect(port, { from });
    talking.write('EHLO client.test\r\n');
    await talking.closed;
    assert.equal(talking.unread, '');
    const silent = await Dialogue.connect(port, { from });
    silent.write('PROXY TCP4 ');
    await eventually('it has arrived', () => [...server.sockets].length === 1);
    server.sweep(performance.now() + 4 * SECOND);
    assert.equal([...server.sockets].length, 1);
    server.sweep(performance.now() + 5 * SECOND);
    await silent.closed;
    assert.deepEqual(turnedAway, [`proxy ${from}`, `proxy ${from}`]);
    assert.deepEqual(clients, []);
  });

  test('may close before its header, as a health check does, and gives its place back', async (t) => {
    const { server, port, turnedAway } = await start(t);
    for (let check = 0; check < 5; check++) {
      const session = await Dialogue.connect(port, { from });
      if (check % 2 === 0) session.vanish();
      else session.socket.end();
      await session.closed;
    }
    await eventually('all are gone', () => [...server.sockets].length === 0);
    assert.deepEqual(turnedAway, []);
    const client = await through(port, '192.0.2.7');
    assert.match(await client.reply(), /^220 /);
    await client.quit();
  });

  test('may bring a TLS handshake in one piece with the header', async (t) => {
    const { port, clients } = await start(t, { secure: true, ...(await selfSigned()) });
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: from });
    await once(socket, 'connect');
    let first = Buffer.from(line('192.0.2.7'));
    const joined = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        socket.write(Buffer.concat([first, chunk]), done);
        first = Buffer.alloc(0);
      },
    });
    socket.on('data', (chunk: Buffer) => joined.push(chunk));
    const secure = tls.connect({ socket: joined, rejectUnauthorized: false });
    const [greeting] = (await once(secure, 'data')) as [Buffer];
    assert.match(greeting.toString(), /^220 /);
    assert.deepEqual(clients, ['192.0.2.7 4711']);
    secure.destroy();
    socket.destroy();
  });
});

describe('a connection from elsewhere', () => {
  test('cannot name another client', async (t) => {
    const { port, clients } = await start(t);
    const session = await Dialogue.connect(port, { from: '127.0.0.61' });
    assert.match(await session.reply(), /^220 /);
    assert.match(await session.say(line('192.0.2.7').trimEnd()), /^5\d\d /);
    await session.quit();
    assert.match(clients[0]!, /^127\.0\.0\.61 /);
  });
});
