import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { PASSWORD, USER } from '../smtp/processes.js';
import type { Attack, Target } from './target.js';

/*
 * What strangers, and thieves with a password, may say at the SMTP ports: stage by stage, at the limits that hold there
 * (a line of 4,096 octets, an address of 320, a name of 255, a login of 320, a password of 1,024, a message of 50 MB).
 */

/** A client that says it all at once and waits for so many replies, or for the end. */
class Client {
  readonly #socket: net.Socket;
  #replies = 0;
  #text = '';
  #closed = false;
  #changed: (() => void) | undefined;

  private constructor(port: number, from: string) {
    this.#socket = net.connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true });
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.#closed = true;
      this.#changed?.();
    });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#text = `${this.#text}${chunk.toString('latin1')}`;
      const lines = this.#text.split('\r\n');
      this.#text = lines.pop()!;
      this.#replies += lines.filter((line) => line[3] !== '-').length;
      this.#changed?.();
    });
  }

  static async greeted(port: number, from: string): Promise<Client> {
    const client = new Client(port, from);
    await client.replied(1);
    await client.say(['EHLO bench.test']);
    return client;
  }

  async replied(count: number): Promise<void> {
    this.#replies -= count;
    while (this.#replies < 0 && !this.#closed)
      await new Promise<void>((resolve) => (this.#changed = resolve));
    this.#changed = undefined;
  }

  async say(lines: readonly string[]): Promise<void> {
    this.write(`${lines.join('\r\n')}\r\n`);
    await this.replied(lines.length);
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  async flushed(): Promise<void> {
    if (this.#socket.writableNeedDrain) await Promise.race([once(this.#socket, 'drain'), pause(2000)]);
  }

  leave(): void {
    this.#socket.destroy();
  }
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
const plain = (user: string, password: string): string => `AUTH PLAIN ${base64(`\0${user}\0${password}`)}`;
/** So many octets: a text again and again, cut. */
const octets = (count: number, text: string): string =>
  Buffer.from(text.repeat(Math.ceil(count / Buffer.byteLength(text))))
    .subarray(0, count)
    .toString('utf8')
    .replaceAll('\ufffd', '');
/** Combining marks in the order that costs most to put right. */
const marks = (count: number): string => `a${'\u0300'.repeat(count / 4)}${'\u0316'.repeat(count / 4)}`;

async function logins(target: Target, user: string, password: string): Promise<void> {
  for (let session = 0; session < 5; session++) {
    const client = await Client.greeted(target.submission, target.from);
    await client.say(Array.from({ length: 25 }, () => plain(user, password)));
    client.leave();
  }
}

async function commands({ inbound, from }: Target, lines: readonly string[]): Promise<void> {
  const client = await Client.greeted(inbound, from);
  await client.say(lines);
  client.leave();
}

/** One message at the inbound port, written piece by piece. */
async function message(target: Target, pieces: Iterable<string | Buffer>): Promise<void> {
  const client = await Client.greeted(target.inbound, target.from);
  await client.say(['MAIL FROM:<a@far.test>', 'RCPT TO:<b@example.com>', 'DATA']);
  for (const piece of pieces) {
    client.write(piece);
    await client.flushed();
  }
  client.write('\r\n.\r\n');
  await client.replied(1);
  client.leave();
}

const MEGABYTES = 8;
const PIECE = 64 * 1024;
function* pieces(text: string): Generator<Buffer> {
  const piece = Buffer.from(octets(PIECE, text), 'latin1');
  for (let n = 0; n < (MEGABYTES * 1024 * 1024) / PIECE; n++) yield piece;
}

async function unread(target: Target, line: string): Promise<void> {
  const client = await Client.greeted(target.submission, target.from);
  client.pause();
  const flood = Buffer.from(`${line}\r\n`.repeat(Math.floor(PIECE / (line.length + 2))));
  for (let n = 0; n < 100; n++) client.write(flood);
  await pause(1500);
  client.leave();
}

async function connects(target: Target, then: 'leave' | 'quit'): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const sockets = Array.from({ length: 200 }, () =>
      net.connect({ port: target.inbound, host: '127.0.0.1', localAddress: target.from }),
    );
    await Promise.all(
      sockets.map(async (socket) => {
        socket.on('error', () => socket.destroy());
        await once(socket, then === 'leave' ? 'connect' : 'data').catch(() => undefined);
        if (then === 'leave') socket.resetAndDestroy();
        else socket.end('QUIT\r\n');
      }),
    );
  }
}

const transaction = (from: string, to: readonly string[], parameters = ''): readonly string[] => [
  `MAIL FROM:<${from}>${parameters}`,
  ...to.map((address) => `RCPT TO:<${address}>`),
  'RSET',
];
const many = <Item>(count: number, make: (n: number) => Item): readonly Item[] =>
  Array.from({ length: count }, (_, n) => make(n));

const LONG = octets(250, 'xn--a-');
const ORDINARY_MAIL = `Subject: hello\r\n\r\n${'an ordinary line of text\r\n'.repeat(10)}`;

export const SMTP: readonly Attack[] = [
  {
    door: 'SMTP, connection',
    worst: '1,000 that break off at once',
    attack: (target) => connects(target, 'leave'),
    ordinary: (target) => connects(target, 'quit'),
  },
  {
    door: 'SMTP, EHLO',
    worst: '2,000 names of 255 octets',
    attack: (target) =>
      commands(
        target,
        many(2000, (n) => `EHLO ${octets(250, n % 2 ? '.' : 'ß.')}a`),
      ),
    ordinary: (target) =>
      commands(
        target,
        many(2000, () => 'EHLO mail.example.test'),
      ),
  },
  {
    door: 'SMTP, EHLO',
    worst: '500 lines of 4,096 octets that look like HTTP',
    attack: (target) =>
      commands(
        target,
        many(500, () => octets(4000, 'GE T / HTTP/1.')),
      ),
    ordinary: (target) =>
      commands(
        target,
        many(500, () => 'NOOP'),
      ),
  },
  {
    door: 'SMTP, AUTH',
    worst: '125 logins full of spaces and dots',
    attack: (target) => logins(target, octets(320, ` .`) + 'x', 'wrong'),
    ordinary: (target) => logins(target, USER, 'wrong'),
  },
  {
    door: 'SMTP, AUTH',
    worst: '125 logins and passwords of combining marks',
    attack: (target) => logins(target, `${marks(300)}@x`, marks(1000)),
    ordinary: (target) => logins(target, USER, 'wrong'),
  },
  {
    door: 'SMTP, AUTH',
    worst: '125 lines of 4,096 octets',
    attack: (target) => logins(target, ' '.repeat(1400), '.'.repeat(1400)),
    ordinary: (target) => logins(target, USER, 'wrong'),
  },
  {
    door: 'SMTP, MAIL',
    worst: '2,000 addresses of 320 octets, marks and A-labels',
    attack: (target) =>
      commands(
        target,
        many(1000, (n) =>
          n % 2
            ? transaction(`${marks(60)}@${LONG}.test`, [], ' SMTPUTF8')
            : transaction(`"${octets(60, '\\a')}"@${LONG}.test`, []),
        ).flat(),
      ),
    ordinary: (target) => commands(target, many(1000, () => transaction('a@far.test', [])).flat()),
  },
  {
    door: 'SMTP, MAIL',
    worst: '500 lines full of parameters',
    attack: (target) =>
      commands(
        target,
        many(500, () => `MAIL FROM:<a@far.test> ${octets(3900, 'SIZE=1 ')}`),
      ),
    ordinary: (target) =>
      commands(
        target,
        many(500, () => 'MAIL FROM:<a@far.test> X=1'),
      ),
  },
  {
    door: 'SMTP, RCPT',
    worst: '2,000 recipients that are refused, in one session',
    attack: (target) =>
      commands(
        target,
        transaction(
          'a@far.test',
          many(2000, (n) => `"${octets(60, '\\"')}"@${n}.${LONG}`),
        ),
      ),
    ordinary: (target) =>
      commands(
        target,
        transaction(
          'a@far.test',
          many(2000, (n) => `a${n}@else.test`),
        ),
      ),
  },
  {
    door: 'SMTP, RCPT',
    worst: '1,000 recipients that are taken',
    attack: (target) =>
      commands(
        target,
        transaction(
          'a@far.test',
          many(1000, (n) => `${octets(200, 'x')}${n}@example.com`),
        ),
      ),
    ordinary: (target) =>
      commands(
        target,
        transaction(
          'a@far.test',
          many(1000, (n) => `a${n}@example.com`),
        ),
      ),
  },
  ...(
    [
      ['lines that begin with dots', '..\r\n'],
      ['bare carriage returns', '\r'],
      ['bare line feeds', '\n'],
      ['nothing but dots', '.'],
      ['the end, nearly', '\r\n.\r'],
    ] as const
  ).map(([worst, text]) => ({
    door: 'SMTP, message',
    worst: `${MEGABYTES} MB: ${worst}`,
    attack: (target: Target) => message(target, pieces(text)),
    ordinary: (target: Target) => message(target, pieces('an ordinary line of text\r\n')),
  })),
  {
    door: 'SMTP, message',
    worst: '100,000 octets one by one',
    attack: (target) => message(target, octets(100_000, 'a\r\n')),
    ordinary: (target) => message(target, [octets(100_000, 'an ordinary line\r\n')]),
  },
  {
    door: 'SMTP, message',
    worst: 'a header of 64 KiB, all Received and multipart',
    attack: (target) =>
      message(target, [
        `Content-Type: multipart/report; boundary=""${octets(30_000, '\r\n\tx;boundary=')}\r\n${octets(30_000, 'Received:\r\n')}`,
      ]),
    ordinary: (target) => message(target, [ORDINARY_MAIL]),
  },
  {
    door: 'SMTP, message',
    worst: 'a report of 64 KiB with a part a line',
    attack: (target) =>
      message(target, [
        `Content-Type: multipart/mixed; boundary=x\r\n\r\n${octets(64_000, '--x\r\nContent-Type: multipart/a; boundary=x\r\n\r\n')}`,
      ]),
    ordinary: (target) => message(target, [ORDINARY_MAIL]),
  },
  {
    door: 'SMTP, replies',
    worst: '6 MB of commands by a client that reads nothing',
    attack: (target) => unread(target, 'HELP'),
    ordinary: (target) => unread(target, 'QUIT'),
  },
  {
    door: 'SMTP, submission',
    worst: '300 messages with return paths of 320 octets, by a thief',
    attack: (target) => submit(target, 300, (n) => `${octets(60, '"\\a')}${n}@${LONG}.test`),
    ordinary: (target) => submit(target, 300, () => USER),
  },
];

async function submit(target: Target, count: number, from: (n: number) => string): Promise<void> {
  const client = await Client.greeted(target.submission, target.from);
  await client.say([plain(USER, PASSWORD)]);
  for (let n = 0; n < count; n++) {
    await client.say([`MAIL FROM:<${from(n)}>`, 'RCPT TO:<a@else.test>', 'DATA']);
    await client.say([`${ORDINARY_MAIL}.`]).catch(() => undefined);
    await client.say(['RSET']);
  }
  client.leave();
}
