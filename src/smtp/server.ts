import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { SMTPServerAddress, SMTPServerOptions } from 'smtp-server';
import { SMTPServer } from 'smtp-server';
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { isPrintable } from '../kernel/printable.js';
import type { Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import { clientNetwork, normalizeIp } from '../sending/identity.js';
import type { Admission, TurnedAway } from './admission.js';
import { ContentStream } from './content-stream.js';
import type { EnvelopeVerb, Offers } from './envelope-command.js';
import { NO_OFFERS, readEnvelopeCommand } from './envelope-command.js';
import type { ProxiedClient } from './proxy-header.js';
import { readProxyHeader } from './proxy-header.js';
import { replyLine, TOO_LATE, TOO_MANY_CONNECTIONS, TOO_MANY_FROM_NETWORK } from './replies.js';

/** Why a connection was cut: see {@link Deadlines}. `proxy`: a proxy did not say whose it is. */
export type Cut = 'login' | 'command' | 'message' | 'reader' | 'session' | 'proxy';

/** What the library does once a header is read, or cannot be. */
type WhenRead = Parameters<SMTPServer['_handleProxy']>[1];

/** Where a connection comes from. */
interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** How long a client may keep a connection waiting. Single bytes extend no deadline: only what is complete counts. */
export interface Deadlines {
  /** From the connection to the login, or to the first sender of mail that arrives; TLS is part of it. */
  readonly login: Milliseconds;
  /** From our answer to the next command. A message has this long plus its size at {@link SLOWEST} bytes a second. */
  readonly command: Milliseconds;
}

export interface MailServerOptions extends SMTPServerOptions {
  readonly admission: Admission;
  readonly deadlines: Deadlines;
  /** Whether a client network has no limits of its own. */
  readonly isExempt: (ip: string) => boolean;
  /** Whether a connection from there begins with a PROXY header. */
  readonly isProxy: (ip: string) => boolean;
  /** A connection is there, before TLS and greeting. Peer is the client, also where a proxy passes it on. */
  readonly onArrived: (socket: Socket, peer: Peer) => void;
  /** What a session is offered, read at its EHLO. */
  readonly offers: () => Pick<Offers, 'eightBit' | 'utf8' | 'dsn'>;
  readonly onTurnedAway: (why: TurnedAway | Cut, network: string) => void;
}

/** A name of 255 octets at most (RFC 5321 section 4.5.3.1.2). */
const LONGEST_NAME = 255;
/** A login of 320 octets twice (RFC 4616) and a password of 1024, in base64; MAIL and RCPT with all their parameters. */
const LONGEST_LINE = 4096;
/** The lowest average rate of a message, in bytes a second, after it has taken as long as a command may. */
const SLOWEST = 1024;
/** How long replies may wait for a client that does not read them. */
const READ_WITHIN: Milliseconds = MINUTE;
/** How long a session may last without a message. */
const LONGEST_SESSION: Milliseconds = 30 * MINUTE;
/** How long a proxy may take for its header, which it sends at once. */
const HEADER_WITHIN: Milliseconds = 5 * SECOND;
const SWEEP: Milliseconds = SECOND;

/**
 * The library's server with admission control: it decides who may connect before it allocates anything for a
 * connection, and a sweep each second cuts the clients that keep one waiting.
 */
export class MailServer extends SMTPServer {
  readonly #options: MailServerOptions;
  /** When each socket that is not greeted yet was accepted: a TLS handshake comes first. */
  readonly #arriving = new Map<Socket, Milliseconds>();
  /** Accepted sockets, each with the function that gives its place back. */
  readonly #admitted = new Map<Socket, () => void>();
  /** Those whose PROXY header is still to come. */
  readonly #headless = new WeakSet<Socket>();
  /** Those whose clients speak TLS with a proxy. */
  readonly #secured = new WeakSet<Socket>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: MailServerOptions) {
    super({ ...options, maxCommandLength: LONGEST_LINE, socketTimeout: options.deadlines.command + MINUTE });
    this.#options = options;
    const { login, command } = options.deadlines;
    const every = Math.min(SWEEP, login / 4, command / 4);
    this.#sweeper = setInterval(() => this.sweep(performance.now()), every).unref();
    this.server.once('close', () => clearInterval(this.#sweeper));
  }

  get limits(): MailServerOptions {
    return this.#options;
  }

  /** Sockets that are not closed; with TLS, the ones below it. */
  get sockets(): Iterable<Socket> {
    return this.#admitted.keys();
  }

  /** Gives the place of a socket back when it closes. It is called again when the library has removed all listeners. */
  watch(socket: Socket): void {
    socket.once('close', () => this.#admitted.get(socket)?.());
  }

  /** The library's first step with a new socket, before it creates anything for it. */
  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    const ip = normalizeIp(socket.remoteAddress ?? '') ?? '';
    const isProxy = this.#options.isProxy(ip);
    if (!this.#admit(socket, ip, handshake, isProxy)) return false;
    this.watch(socket);
    if (isProxy) this.#headless.add(socket);
    else this.#options.onArrived(socket, socket);
    if (handshake || isProxy) this.#arriving.set(socket, performance.now());
    const release = super._acceptSocket(socket, handshake);
    if (release === false) return false;
    return () => {
      this.#arriving.delete(socket);
      release();
    };
  }

  /** Takes a place for a socket. A proxy's own network has no limits: its clients' networks have. */
  #admit(socket: Socket, ip: string, handshake: boolean, isProxy = false): boolean {
    const { admission, isExempt } = this.#options;
    const network = clientNetwork(ip);
    const limited = isProxy || isExempt(ip) ? undefined : network;
    const why = admission.admit(limited);
    if (why !== undefined) {
      this.#refuse(socket, why, network, handshake);
      return false;
    }
    this.#admitted.set(socket, () => {
      this.#arriving.delete(socket);
      this.#admitted.delete(socket);
      admission.left(limited);
    });
    return true;
  }

  override _expectsProxyHeader(socket: Socket): boolean {
    return this.#headless.has(socket);
  }

  /** The library's second step: its own reader knows version 1 alone. */
  override _handleProxy(socket: Socket, callback: WhenRead): void {
    if (!this._expectsProxyHeader(socket)) return super._handleProxy(socket, callback);
    let data = Buffer.alloc(0);
    const over = (error?: Error): void => {
      socket.off('readable', read).off('close', gone).off('end', gone);
      if (error === undefined) return;
      socket.destroy();
      callback(error);
    };
    const gone = (): void => over(new Error('a connection ended before its PROXY header'));
    const read = (): void => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null)
        data = Buffer.concat([data, chunk]);
      const header = readProxyHeader(data);
      if (header === 'incomplete') return;
      if (header === 'malformed') {
        this.#cut('proxy', socket.remoteAddress);
        over(new Error('a connection without a PROXY header'));
        return;
      }
      over();
      if (header.bytes < data.length) socket.unshift(data.subarray(header.bytes));
      this.#passedOn(socket, header.client, callback);
    };
    socket.on('readable', read).once('close', gone).once('end', gone);
    socket.on('error', () => socket.destroy());
  }

  /** From here on a connection counts as its client's. */
  #passedOn(socket: Socket, client: ProxiedClient | undefined, callback: WhenRead): void {
    this.#headless.delete(socket);
    this.#admitted.get(socket)?.();
    const ip = normalizeIp(client?.ip ?? socket.remoteAddress ?? '') ?? '';
    const handshake = this.#options.secure === true;
    if (!this.#admit(socket, ip, handshake)) {
      callback(new Error('turned away'));
      return;
    }
    if (handshake) this.#arriving.set(socket, performance.now());
    if (client?.usesTls === true) this.#secured.add(socket);
    const peer = { remoteAddress: ip, remotePort: client?.port ?? socket.remotePort };
    this.#options.onArrived(socket, peer);
    super._handleProxy(socket, (error, options) => callback(error, options && { ...options, ...peer }));
  }

  override connect(socket: Socket | TLSSocket, options?: SMTPConnectionOptions | null): void {
    const connection = new MailConnection(this, socket, options);
    if (this.#secured.has(socket)) connection.countAsSecured();
    this.connections.add(connection);
    connection.on('error', (error: Error) => this._onError(error));
    connection.init();
  }

  /** As cheap as possible: one write and nothing more. Before TLS nothing can be said. */
  #refuse(socket: Socket, why: TurnedAway, network: string, handshake: boolean): void {
    this.#options.onTurnedAway(why, network);
    socket.on('error', () => socket.destroy());
    if (handshake) {
      socket.destroy();
      return;
    }
    const reply = why === 'full' ? TOO_MANY_CONNECTIONS : TOO_MANY_FROM_NETWORK;
    socket.write(`${replyLine(reply)}\r\n`);
    socket.destroySoon();
  }

  /** Cuts the clients that keep a connection waiting. @param now by the monotonic clock */
  sweep(now: Milliseconds): void {
    for (const [socket, since] of this.#arriving) {
      if (this._expectsProxyHeader(socket)) {
        if (now - since < HEADER_WITHIN) continue;
        this.#cut('proxy', socket.remoteAddress);
        socket.destroy();
        continue;
      }
      if (now - since < this.#options.deadlines.login) continue;
      // The socket below must not close before or during a handshake: Node does not survive it.
      const top = this._pendingSockets.get(socket);
      if (top === undefined || top === socket) continue;
      this.#cut('login', socket.remoteAddress);
      top.destroy();
    }
    for (const connection of this.connections) {
      const why = connection instanceof MailConnection ? connection.overdue(now) : undefined;
      if (why === undefined) continue;
      this.#cut(why, connection.remoteAddress);
      (connection as MailConnection).cut(why);
    }
  }

  #cut(why: Cut, ip = ''): void {
    this.#options.onTurnedAway(why, clientNetwork(normalizeIp(ip) ?? ip));
  }
}

/** One connection, from its greeting on. */
class MailConnection extends SMTPConnection {
  readonly #mailServer: MailServer;
  readonly #limits: MailServerOptions;
  readonly #since = performance.now();
  /** When we last answered: from then on it is the client's turn. */
  #saidAt = this.#since;
  /** When the oldest unread reply was sent. */
  #unreadSince: Milliseconds | undefined;
  /** When the last message completed, and how many there were; before that, the start of the connection. */
  #messageAt = this.#since;
  #messages = 0;
  /** It has logged in or named a sender. */
  #isSerious = false;
  /** The socket on the network: the TLS socket during its handshake. */
  #top: Socket;
  #offers = NO_OFFERS;
  #read: SMTPServerAddress | false = false;

  constructor(server: MailServer, socket: Socket | TLSSocket, options?: SMTPConnectionOptions | null) {
    super(server, socket, options);
    this.#mailServer = server;
    this.#limits = server.limits;
    this.#top = socket;
  }

  /** A proxy speaks TLS with the client in our place, so the session is as good as one with STARTTLS. */
  countAsSecured(): void {
    this.secure = true;
    this.session.secure = true;
  }

  /** Why the client has kept us waiting for too long; undefined if it has not. */
  overdue(now: Milliseconds): Cut | undefined {
    const { login, command } = this.#limits.deadlines;
    if (this._socket.writableLength === 0) this.#unreadSince = undefined;
    else if (now - (this.#unreadSince ??= now) >= READ_WITHIN) return 'reader';
    const parser = this._parser;
    if (parser !== false && parser._dataMode) {
      // If the message's reader has no room, the client is not late.
      if (parser._dataStream?.writableNeedDrain === true) return undefined;
      const allowed = command + (parser.dataBytes * SECOND) / SLOWEST;
      return now - this.#saidAt >= allowed ? 'message' : undefined;
    }
    // We are preparing an answer: the client waits for us.
    if (this._handlerPending || this._dataStream) return undefined;
    this.#isSerious ||= Boolean(this.session.user);
    if (!this.#isSerious && now - this.#since >= login) return 'login';
    if (this._transactionCounter > this.#messages) {
      this.#messages = this._transactionCounter;
      this.#messageAt = now;
    }
    if (now - this.#messageAt >= LONGEST_SESSION) return 'session';
    return now - this.#saidAt >= command ? 'command' : undefined;
  }

  /** Ends the connection; the reader of the message gets the reason. */
  cut(why: Cut): void {
    if (!this._upgrading) this.send(TOO_LATE.code, TOO_LATE.text);
    if (why === 'reader' || this._upgrading) this.#top.destroy();
  }

  override _armTimeout(socket: Socket = this._socket): void {
    this.#top = socket;
    super._armTimeout(socket);
  }

  /** STARTTLS. The library removes every listener from the socket, including ours. */
  override upgrade(callback: () => void, secureCallback?: () => void): void {
    const socket = this._socket;
    super.upgrade(callback, secureCallback);
    this.#mailServer.watch(socket);
  }

  override _createParser(): ContentStream {
    const parser = new ContentStream({ maxCommandLength: LONGEST_LINE });
    parser.oncommand = (command, callback) => this._onCommand(command, callback);
    parser.on('error', (error) => this.send(421, `4.7.0 ${error.message}`));
    return parser;
  }

  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    this.#saidAt = performance.now();
    super.send(code, data, context);
  }

  override handler_EHLO(command: Buffer, callback: () => void): void {
    this.#hello(command, callback, true);
  }

  override handler_HELO(command: Buffer, callback: () => void): void {
    this.#hello(command, callback, false);
  }

  /** The library's offers are fixed at the start; here they depend on the upstream's current state. */
  #hello(command: Buffer, callback: () => void, extended: boolean): void {
    const [verb, name, ...more] = command.toString().trim().split(/\s+/);
    if (name === undefined || more.length > 0)
      this.send(501, `5.5.4 Syntax: ${verb!.toUpperCase()} hostname`);
    else if (Buffer.byteLength(name) > LONGEST_NAME || !isPrintable(name))
      this.send(501, '5.5.4 Bad hostname');
    else {
      this.hostNameAppearsAs = name.toLowerCase();
      this.#offers = extended ? { ...this.#limits.offers(), auth: this._isSupported('AUTH') } : NO_OFFERS;
      this._resetSession();
      this.send(250, extended ? [this.#greeting, ...this.#extensions()] : this.#greeting, false);
    }
    callback();
  }

  get #greeting(): string {
    return `${this.name} Nice to meet you, ${this.clientHostname}`;
  }

  #extensions(): string[] {
    const { eightBit, utf8, dsn, auth } = this.#offers;
    const { authMethods = [], size } = this._server.options;
    return [
      'PIPELINING',
      ...(eightBit ? ['8BITMIME'] : []),
      ...(utf8 ? ['SMTPUTF8'] : []),
      ...(dsn ? ['DSN'] : []),
      ...(auth && !this.session.user ? [`AUTH ${authMethods.join(' ')}`] : []),
      ...(!this.secure && this._isSupported('STARTTLS') ? ['STARTTLS'] : []),
      `SIZE ${size}`,
    ];
  }

  override handler_MAIL(command: Buffer, callback: () => void): void {
    if (!this.#understand('MAIL FROM', command)) return callback();
    this.#isSerious = true;
    super.handler_MAIL(command, callback);
  }

  override handler_RCPT(command: Buffer, callback: () => void): void {
    if (!this.#understand('RCPT TO', command)) return callback();
    super.handler_RCPT(command, callback);
  }

  /** Reads the command, for the library too. If it cannot be read, the client is told. */
  #understand(verb: EnvelopeVerb, command: Buffer): boolean {
    const { mailFrom } = this.session.envelope;
    const utf8 = mailFrom !== false && mailFrom.args !== false && mailFrom.args['SMTPUTF8'] === true;
    const read = readEnvelopeCommand(verb, command.toString(), this.#offers, utf8);
    if ('code' in read) {
      this.send(read.code, read.text);
      return false;
    }
    this.#read = read;
    return true;
  }

  override _parseAddressCommand(): SMTPServerAddress | false {
    return this.#read;
  }
}
