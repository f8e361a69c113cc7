import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { SMTPServer } from 'smtp-server';
import { eventually } from '../smtp/eventually.js';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What it answers: a status with headers, or nothing. */
export type Reply = { readonly status: number; readonly headers?: Record<string, string> } | 'silence';

/** An HTTP server that keeps what it gets. */
export class Receiver {
  readonly received: Received[] = [];
  reply: Reply = { status: 204 };
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async start(t: Pick<TestContext, 'after'>): Promise<Receiver> {
    const server = http.createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => void receiver.#take(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path = '/hook'): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Resolves once it got so many requests. */
  async got(count: number): Promise<readonly Received[]> {
    await eventually(`${count} requests arrive`, () => this.received.length >= count);
    return this.received;
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { reply } = this;
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    this.received.push({
      method: request.method!,
      path: request.url!,
      headers: request.headers as Record<string, string>,
      body,
    });
    if (reply !== 'silence') response.writeHead(reply.status, reply.headers).end();
  }
}

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly text: string;
}

/** A mail server that keeps what it gets, and refuses the receivers that it is told to. */
export class MailReceiver {
  readonly mails: Mail[] = [];
  /** With which code an address is refused, and perhaps with what text. */
  readonly refused = new Map<string, number | string>();
  readonly #server: SMTPServer;

  private constructor(server: SMTPServer) {
    this.#server = server;
  }

  static async start(t: Pick<TestContext, 'after'>): Promise<MailReceiver> {
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['AUTH', 'STARTTLS'],
      disableReverseLookup: true,
      onRcptTo({ address }, _session, done) {
        const refused = receiver.refused.get(address);
        if (refused === undefined) return done(null);
        const [code, ...words] = String(refused).split(' ');
        const text = words.join(' ') || 'not this one';
        done(Object.assign(new Error(text), { responseCode: Number(code) }));
      },
      onData(stream, { envelope }, done) {
        let text = '';
        stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        stream.on('end', () => {
          const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address;
          receiver.mails.push({ from, to: envelope.rcptTo.map(({ address }) => address), text });
          done();
        });
      },
    });
    const receiver = new MailReceiver(server);
    server.listen(0, '127.0.0.1');
    await once(server.server, 'listening');
    t.after(() => new Promise<void>((resolve) => server.close(resolve)));
    return receiver;
  }

  get url(): string {
    return `smtp://127.0.0.1:${(this.#server.server.address() as AddressInfo).port}`;
  }

  async got(count: number): Promise<readonly Mail[]> {
    await eventually(`${count} mails arrive`, () => this.mails.length >= count);
    return this.mails;
  }
}
