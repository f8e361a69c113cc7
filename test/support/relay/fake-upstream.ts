import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';

/** What a script says to a command: a reply (without CRLF), `''` for silence, undefined for the usual answer. */
export type Answer = string | undefined;

export type Verb =
  | 'connect'
  | 'EHLO'
  | 'LHLO'
  | 'HELO'
  | 'STARTTLS'
  | 'AUTH'
  | 'MAIL'
  | 'RCPT'
  | 'DATA'
  | '.'
  | 'RSET'
  | 'XFORWARD'
  | 'XCLIENT'
  | 'QUIT';

export type Script = Partial<Record<Verb, (line: string, peer: Peer) => Answer>> & {
  /** Called with each piece of a message's body as it comes in. */
  body?: (peer: Peer, bytes: number) => void;
};

export interface Message {
  readonly peer: Peer;
  readonly from: string;
  readonly to: readonly string[];
  /** As it came, dot-stuffed, without the final dot. */
  readonly raw: Buffer;
  /** Dot-unstuffed as RFC 5321 section 4.5.2 has it. */
  readonly content: Buffer;
}

export interface FakeOptions {
  readonly lmtp?: boolean;
  /** EHLO keywords; by default PIPELINING, 8BITMIME, SMTPUTF8, DSN and SIZE. */
  readonly offers?: readonly string[];
  readonly script?: Script;
  /** Key and certificate (PEM) for STARTTLS or, with `implicitTls`, from the start. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly implicitTls?: boolean;
  /** Path of a Unix socket to listen on. */
  readonly path?: string;
}

const USUAL = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'DSN', 'SIZE 10000000'];

/** An upstream that does as it is told, on loopback: every command can be answered by the test. */
export class FakeUpstream {
  readonly peers: Peer[] = [];
  readonly messages: Message[] = [];
  readonly options: FakeOptions;
  script: Script;
  readonly #server: net.Server;
  #watchers: Array<{ readonly wanted: () => boolean; readonly done: () => void }> = [];

  private constructor(options: FakeOptions) {
    this.options = options;
    this.script = options.script ?? {};
    this.#server = net.createServer((socket) => {
      this.peers.push(new Peer(this, socket, this.peers.length));
      this.changed();
    });
  }

  static async start(options: FakeOptions = {}): Promise<FakeUpstream> {
    const fake = new FakeUpstream(options);
    await fake.listen();
    return fake;
  }

  /** Listens on the port or path given, the one of the options, or any free port. */
  async listen(port = 0): Promise<void> {
    const { path } = this.options;
    this.#server.listen(path === undefined ? { port, host: '127.0.0.1' } : { path });
    await once(this.#server, 'listening');
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The URL for openRelay. */
  url(query = '', login = ''): string {
    const scheme = this.options.lmtp === true ? 'lmtp' : this.options.implicitTls === true ? 'smtps' : 'smtp';
    const { path } = this.options;
    return path === undefined
      ? `${scheme}://${login}127.0.0.1:${this.port}${query}`
      : `${scheme}://${path}${query}`;
  }

  /** Every command of every connection, in order of arrival within each. */
  get commands(): string[] {
    return this.peers.flatMap((peer) => peer.commands);
  }

  /** Resolves as soon as `wanted` holds; asked after every command, message, connection and close. */
  until(wanted: () => boolean): Promise<void> {
    if (wanted()) return Promise.resolve();
    return new Promise((done) => this.#watchers.push({ wanted, done }));
  }

  changed(): void {
    const ready = this.#watchers.filter((watcher) => watcher.wanted());
    this.#watchers = this.#watchers.filter((watcher) => !ready.includes(watcher));
    for (const watcher of ready) watcher.done();
  }

  /** Closes the listener only: connections stay. */
  async stopListening(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const peer of this.peers) peer.kill();
    await closed;
  }

  async stop(): Promise<void> {
    if (this.#server.listening) await this.stopListening();
  }
}

/** One connection to a {@link FakeUpstream}. */
export class Peer {
  readonly commands: string[] = [];
  /** What came with each read from the socket: commands that arrive in one piece were sent in one write. */
  readonly reads: string[] = [];
  closed = false;
  secure = false;
  from: string | undefined;
  readonly to: string[] = [];
  #rest = Buffer.alloc(0);
  #body: Buffer[] | undefined;

  constructor(
    readonly upstream: FakeUpstream,
    public socket: Socket,
    readonly id: number,
  ) {
    const { implicitTls, tls: keys } = upstream.options;
    // Several small replies in a row would wait for delayed acknowledgements otherwise.
    if (upstream.options.path === undefined) socket.setNoDelay(true);
    if (implicitTls === true) this.#wrap(keys!);
    else this.#listen();
    const greeting = upstream.script.connect?.('', this) ?? '220 fake.test ESMTP';
    if (greeting !== '') this.say(greeting);
  }

  say(text: string): void {
    if (!this.socket.destroyed) this.socket.write(`${text}\r\n`);
  }

  /** Ends the connection in an orderly way (FIN). */
  close(): void {
    this.socket.end();
  }

  kill(): void {
    this.socket.destroy();
  }

  #listen(): void {
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // Errors of the connection do not matter, only its end.
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('close', () => {
      this.closed = true;
      this.upstream.changed();
    });
  }

  #wrap(keys: { key: string; cert: string }): void {
    this.socket.removeAllListeners('data');
    this.socket = new tls.TLSSocket(this.socket, { isServer: true, ...keys });
    this.secure = true;
    this.#listen();
  }

  #take(chunk: Buffer): void {
    if (this.#body === undefined) this.reads.push(chunk.toString());
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (this.#body !== undefined) {
        if (!this.#takeBody()) return;
        continue;
      }
      const end = this.#rest.indexOf('\r\n');
      if (end < 0 || this.socket.destroyed) return;
      const line = this.#rest.toString('utf8', 0, end);
      this.#rest = this.#rest.subarray(end + 2);
      this.#command(line);
      this.upstream.changed();
    }
  }

  #command(line: string): void {
    this.commands.push(line);
    const verb = line.split(' ', 1)[0]!.toUpperCase() as Verb;
    const scripted = this.upstream.script[verb]?.(line, this);
    const answer = scripted ?? this.#usual(verb, line);
    const positive = /^[23]/.test(answer);
    if (verb === 'MAIL' && positive) this.from = line;
    if (verb === 'RCPT' && positive) this.to.push(line);
    if (verb === 'RSET') this.#over();
    if (answer !== '') this.say(answer);
    if (verb === 'DATA' && answer.startsWith('354')) this.#body = [];
    if (verb === 'STARTTLS' && answer.startsWith('220')) this.#wrap(this.upstream.options.tls!);
    if (verb === 'QUIT') this.close();
  }

  #usual(verb: Verb, line: string): string {
    switch (verb) {
      case 'EHLO':
      case 'LHLO': {
        const starttls = this.upstream.options.tls !== undefined && !this.secure ? ['STARTTLS'] : [];
        const lines = ['fake.test', ...(this.upstream.options.offers ?? USUAL), ...starttls];
        return lines.map((text, i) => `250${i === lines.length - 1 ? ' ' : '-'}${text}`).join('\r\n');
      }
      case 'MAIL':
        return this.from === undefined ? '250 2.1.0 sender ok' : '503 5.5.1 nested MAIL';
      case 'RCPT':
        return this.from === undefined ? '503 5.5.1 need MAIL' : `250 2.1.5 ok ${/<(.*)>/.exec(line)?.[1]}`;
      case 'DATA':
        return this.to.length === 0 ? '554 5.5.1 no valid recipients' : '354 go ahead';
      case 'STARTTLS':
        return '220 ready';
      case 'AUTH':
        return '235 2.7.0 welcome';
      case 'QUIT':
        return '221 2.0.0 bye';
      case 'RSET':
      case 'HELO':
        return '250 2.0.0 ok';
      case 'connect':
      case 'XFORWARD':
      case 'XCLIENT':
      case '.':
      default:
        return '500 5.5.2 unknown command';
    }
  }

  #takeBody(): boolean {
    const start = this.#body!.length === 0 && this.#rest.subarray(0, 3).equals(Buffer.from('.\r\n'));
    const end = start ? -2 : this.#rest.indexOf('\r\n.\r\n');
    if (!start && end < 0) {
      if (this.#rest.length > 0) this.upstream.script.body?.(this, this.#rest.length);
      return false;
    }
    const raw = this.#rest.subarray(0, end + 2);
    this.#rest = this.#rest.subarray(end + 5);
    this.#body = undefined;
    this.#message(Buffer.from(raw));
    return this.#rest.length > 0;
  }

  #message(raw: Buffer): void {
    const content = unstuffed(raw);
    const message: Message = { peer: this, from: this.from!, to: [...this.to], raw, content };
    const recipients = message.to;
    this.#over();
    this.commands.push('.');
    for (const rcpt of this.upstream.options.lmtp === true ? recipients : ['']) {
      const answer = this.upstream.script['.']?.(rcpt, this) ?? '250 2.0.0 queued';
      if (answer !== '') this.say(answer);
    }
    this.upstream.messages.push(message);
    this.upstream.changed();
  }

  #over(): void {
    this.from = undefined;
    this.to.length = 0;
  }
}

/** A receiver's reading of RFC 5321 section 4.5.2, as simple as can be: the reference that ours is held against. */
function unstuffed(raw: Buffer): Buffer {
  return Buffer.from(raw.toString('latin1').replace(/(^|\r\n)\./g, '$1'), 'latin1');
}
