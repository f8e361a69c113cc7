import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import net from 'node:net';
import { FakeUpstream } from '../relay/fake-upstream.js';

/** A login as a back end was asked about it. */
export interface Asked {
  readonly name: string;
  readonly password: string;
}

/** What a back end says of a login; `nothing` is silence, `away` a temporary failure. */
export type Verdict = 'right' | 'wrong' | 'nothing' | 'away';
export type Judge = (asked: Asked) => Verdict;
export type Before = (asked: Asked) => Promise<void> | undefined;

/** A server that logins are checked at, on loopback. */
export interface FakeServer {
  /** All that it was asked, in order. */
  readonly asked: readonly Asked[];
  judge: Judge;
  /** What it waits for before it answers. */
  before: Before;
  readonly port: number;
  /** Closes the listener and all connections. */
  stop(): Promise<void>;
  /** Listens again, on the same port. */
  resume(): Promise<void>;
}

abstract class Listening<S extends Server> {
  readonly asked: Asked[] = [];
  before: Before = () => undefined;
  port = 0;
  readonly #sockets = new Set<Socket>();

  constructor(
    readonly server: S,
    public judge: Judge,
  ) {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket)).on('error', () => socket.destroy());
    });
  }

  async resume(): Promise<void> {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  protected verdictOf(asked: Asked): Verdict {
    this.asked.push(asked);
    return this.judge(asked);
  }
}

/** Dovecot's auth service, as far as its clients see it. */
export class FakeDovecot extends Listening<net.Server> implements FakeServer {
  /** The lines of requests, as they came. */
  readonly lines: string[] = [];
  /** What it says at once. */
  greeting = [
    'VERSION\t1\t2',
    'MECH\tPLAIN\tplaintext',
    'SPID\t1',
    'CUID\t1',
    `COOKIE\t${'0'.repeat(32)}`,
    'DONE',
  ];
  /** How it answers, if not as the judge says; undefined: as the judge says. */
  answer: (id: string, asked: Asked) => string | undefined = () => undefined;
  connections = 0;

  constructor(judge: Judge) {
    super(net.createServer(), judge);
    this.server.on('connection', (socket: Socket) => this.#serve(socket));
  }

  #serve(socket: Socket): void {
    this.connections++;
    for (const line of this.greeting) socket.write(`${line}\n`);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      const lines = (text + chunk.toString()).split('\n');
      text = lines.pop()!;
      for (const line of lines) this.#take(line, socket);
    });
  }

  #take(line: string, socket: Socket): void {
    this.lines.push(line);
    const [command, id = '', ...rest] = line.split('\t');
    if (command !== 'AUTH') return;
    const response = rest.at(-1)!.slice('resp='.length);
    const [, name = '', password = ''] = Buffer.from(response, 'base64').toString().split('\0');
    const asked = { name, password };
    const verdict = this.verdictOf(asked);
    const own = this.answer(id, asked);
    const write = (answer: string): void => void socket.write(`${answer}\n`);
    const wait = this.before(asked);
    const say = (answer: string): void =>
      void (wait === undefined ? write(answer) : wait.then(() => write(answer)));
    if (own !== undefined) say(own);
    else if (verdict === 'right') say(`OK\t${id}\tuser=${name}`);
    else if (verdict === 'wrong') say(`FAIL\t${id}\tuser=${name}`);
    else if (verdict === 'away') say(`FAIL\t${id}\tuser=${name}\tcode=temp_fail`);
  }
}

/** A web service that is asked about logins. */
export class FakeService extends Listening<http.Server> implements FakeServer {
  readonly headers: IncomingMessage['headers'][] = [];
  /** How it answers, if not as the judge says. */
  answer: (response: ServerResponse) => boolean = () => false;

  constructor(judge: Judge) {
    super(http.createServer(), judge);
    this.server.on(
      'request',
      (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response),
    );
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.headers.push(request.headers);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { account, password } = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
    const asked = { name: account!, password: password! };
    const verdict = this.verdictOf(asked);
    await this.before(asked);
    if (this.answer(response)) return;
    if (verdict === 'right') response.end(JSON.stringify({ ok: true, account }));
    else if (verdict === 'wrong') response.writeHead(401).end();
    else if (verdict === 'away') response.writeHead(503).end();
  }
}

/** A mail server that logins are tried at. */
export class FakeMailServer implements FakeServer {
  readonly asked: Asked[] = [];
  before: Before = () => undefined;
  port = 0;

  private constructor(
    readonly upstream: FakeUpstream,
    public judge: Judge,
  ) {}

  static async start(judge: Judge): Promise<FakeMailServer> {
    const upstream = await FakeUpstream.start({ offers: ['PIPELINING', 'AUTH PLAIN LOGIN'] });
    const server = new FakeMailServer(upstream, judge);
    server.port = upstream.port;
    upstream.script = {
      AUTH(line, peer) {
        const [, name = '', password = ''] = Buffer.from(line.split(' ')[2]!, 'base64')
          .toString()
          .split('\0');
        server.asked.push({ name, password });
        const answers = {
          right: '235 2.7.0 welcome',
          wrong: `535 5.7.8 ${name} is wrong`,
          nothing: '',
          away: '454 4.7.0 later',
        };
        const answer = answers[server.judge({ name, password })];
        const wait = server.before({ name, password });
        if (wait === undefined) return answer;
        void wait.then(() => peer.say(answer));
        return '';
      },
    };
    return server;
  }

  stop(): Promise<void> {
    return this.upstream.stop();
  }

  resume(): Promise<void> {
    return this.upstream.listen(this.port);
  }
}
