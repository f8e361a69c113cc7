import { once } from 'node:events';
import net from 'node:net';
import type { Socket } from 'node:net';
import tls from 'node:tls';

export interface DialogueOptions {
  /** TLS from the first byte. */
  readonly implicitTls?: boolean;
  /** Where to; 127.0.0.1 by default. */
  readonly host?: string;
  /** The loopback address to come from. */
  readonly from?: string;
}

interface Waiter {
  readonly resolve: (reply: string) => void;
  readonly reject: (error: Error) => void;
}

/** A client that says just what the test says, and hands out replies byte for byte. */
export class Dialogue {
  socket: Socket;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  #gone = false;
  #onGone!: () => void;
  #rest = '';
  readonly #replies: string[] = [];
  readonly #waiters: Waiter[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => (this.#onGone = resolve));
    this.#listen(socket);
  }

  /** Connects; the greeting is the first reply. */
  static async connect(
    port: number,
    { implicitTls = false, host = '127.0.0.1', from }: DialogueOptions = {},
  ): Promise<Dialogue> {
    const plain = net.connect({
      port,
      host,
      ...(from === undefined ? {} : { localAddress: from }),
    });
    await once(plain, 'connect');
    if (!implicitTls) return new Dialogue(plain);
    const secure = tls.connect({ socket: plain, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    return new Dialogue(secure);
  }

  /** Connects, waits for the greeting and says EHLO. */
  static async hello(
    port: number,
    options: DialogueOptions & { readonly ehlo?: string } = {},
  ): Promise<Dialogue> {
    const dialogue = await Dialogue.connect(port, options);
    await dialogue.reply();
    await dialogue.say(`EHLO ${options.ehlo ?? 'client.test'}`);
    return dialogue;
  }

  /** What came and is no whole reply. */
  get unread(): string {
    return this.#rest;
  }

  /** The next reply, all its lines, without the last line end. Rejects where the connection closes before it. */
  reply(): Promise<string> {
    const reply = this.#replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    if (this.#gone) return Promise.reject(new Error('the connection is closed'));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** So many replies. */
  async replies(count: number): Promise<string[]> {
    const all: string[] = [];
    while (all.length < count) all.push(await this.reply());
    return all;
  }

  /** Sends one line and gives the reply to it. */
  say(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  write(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  /** Sends each line in turn and gives the replies. */
  async sayAll(lines: readonly string[]): Promise<string[]> {
    const replies: string[] = [];
    for (const line of lines) replies.push(await this.say(line));
    return replies;
  }

  login(user: string, password: string, authzid = ''): Promise<string> {
    return this.say(`AUTH PLAIN ${Buffer.from(`${authzid}\0${user}\0${password}`).toString('base64')}`);
  }

  /** AUTH LOGIN, step by step; gives the last reply. */
  async loginInSteps(user: string, password: string): Promise<string> {
    const asked = [await this.say('AUTH LOGIN'), await this.say(Buffer.from(user).toString('base64'))];
    if (asked.some((reply) => !reply.startsWith('334'))) throw new Error(`AUTH LOGIN: ${asked.join(', ')}`);
    return this.say(Buffer.from(password).toString('base64'));
  }

  /** One message; gives the reply at which it failed, or the one to the final dot. */
  async send(
    from: string,
    to: readonly string[],
    content = 'Subject: hello\r\n\r\nhello\r\n',
  ): Promise<string> {
    for (const line of [`MAIL FROM:<${from}>`, ...to.map((one) => `RCPT TO:<${one}>`)]) {
      const reply = await this.say(line);
      if (!reply.startsWith('250')) return reply;
    }
    const go = await this.say('DATA');
    return go.startsWith('354') ? this.say(`${content}.`) : go;
  }

  /**
   * STARTTLS and the handshake; EHLO is to be said again.
   *
   * @param injected sent in clear, in the same write
   */
  async startTls(injected = ''): Promise<tls.TLSSocket> {
    const reply = await this.say(`STARTTLS\r\n${injected}`.replace(/\r\n$/, ''));
    if (!reply.startsWith('220')) throw new Error(`STARTTLS: ${reply}`);
    return this.secured();
  }

  /** The handshake, once the server has agreed to it. */
  async secured(): Promise<tls.TLSSocket> {
    this.socket.removeAllListeners();
    const secure = tls.connect({ socket: this.socket, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    this.#listen(secure);
    return secure;
  }

  /** QUIT, and the end of the connection. */
  async quit(): Promise<void> {
    this.write('QUIT\r\n');
    this.socket.end();
    await this.closed;
  }

  /** Goes away without a word. */
  vanish(): void {
    this.socket.destroy();
  }

  #listen(socket: Socket): void {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // A reset is an end like any other: what counts is what had been said before.
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.#gone = true;
      for (const { reject } of this.#waiters.splice(0)) reject(new Error('the connection is closed'));
      this.#onGone();
    });
  }

  #take(chunk: Buffer): void {
    this.#rest += chunk.toString('latin1');
    for (;;) {
      const match = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#rest);
      if (match === null) return;
      this.#rest = this.#rest.slice(match[0].length);
      const reply = match[0].slice(0, -2);
      const waiter = this.#waiters.shift();
      if (waiter === undefined) this.#replies.push(reply);
      else waiter.resolve(reply);
    }
  }
}
