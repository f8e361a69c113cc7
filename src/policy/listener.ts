import { once } from 'node:events';
import { chmod, lstat, unlink } from 'node:fs/promises';
import type { AddressInfo, Server, Socket } from 'node:net';
import net from 'node:net';
import type { Logger } from 'pino';
import type { PolicyAddress } from '../config/listening.js';
import { formatPolicyListen } from '../config/listening.js';
import type { Trouble } from '../log/trouble.js';
import { listenOptions } from '../runtime/listening.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND, formatInstant } from '../kernel/time.js';
import type { CutFor, PolicyMeter } from '../metrics/policy.js';
import type { PolicyRequest } from './request.js';
import { RequestReader } from './request.js';

/** Connections at a time: a Postfix has one for each smtpd process and entry, by default at most 100 for each listener. */
const MOST_CONNECTIONS = 2000;
/** A mail server asks as soon as it has connected: one that has not by now goes first where there is no room. */
const ASKS_WITHIN: Milliseconds = 10 * SECOND;
/** Postfix closes a connection after 300 s without a request, and counts it as a failure if the service does so first. */
const IDLE: Milliseconds = 10 * MINUTE;
/** From the beginning of a request, or from answers that are not read, until it must be over. */
const PARTIAL: Milliseconds = 10 * SECOND;
const SWEEP: Milliseconds = 5 * SECOND;
/** Bytes that are looked at before others have their turn: some ten requests of Postfix, a hundred of the shortest. */
const PIECE = 8192;
/** Bytes of answers that may wait for a client that does not read them. */
const MOST_UNREAD = 65_536;
/** Between two readings of one connection while what was told waits to be written: else it would be lost in the end. */
const BREATH: Milliseconds = 25;

export interface PolicyListenerOptions {
  readonly listen: PolicyAddress;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly meter: PolicyMeter;
  /** Gives the action. Never throws and never waits. */
  readonly answer: (request: PolicyRequest) => string;
  /** Whether so much waits to be written that more should come slowly. */
  readonly isBehind: () => boolean;
  readonly onAcceptFailed: (error: Error) => void;
  /** Told of each connection that is cut to make room, and now and then that there is room. */
  readonly room: Pick<Trouble, 'failed' | 'worked'>;
}

/** One connection: what it sends is answered in its order, all of a piece with one write. */
class Connection {
  readonly #socket: Socket;
  readonly #reader: RequestReader;
  readonly #clock: AlarmClock;
  readonly #isBehind: () => boolean;
  readonly #onMalformed: (reason: CutFor) => void;
  #answers = '';
  /** What came and is not looked at yet. */
  #rest: Buffer | undefined;
  /** What it waits for before it reads on: that answers are read, that others had their turn, or that a while has passed. */
  #waitsFor: 'reader' | 'turn' | 'store' | undefined;
  /** Its client says no more. */
  #hasEnded = false;
  readonly #openedAt: Milliseconds;
  #hasAsked = false;
  #lastAt: Milliseconds;
  /** Since when it owes the end of a request, or the reading of answers. */
  #owesSince: Milliseconds | undefined;

  constructor(
    socket: Socket,
    { clock, answer, isBehind }: PolicyListenerOptions,
    onMalformed: (reason: CutFor) => void,
  ) {
    this.#socket = socket;
    this.#clock = clock;
    this.#isBehind = isBehind;
    this.#onMalformed = onMalformed;
    this.#openedAt = this.#lastAt = clock.monotonic();
    this.#reader = new RequestReader((request) => (this.#answers += `action=${answer(request)}\n\n`));
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      if (this.#waitsFor === 'reader') this.#goOn();
    });
    // Exim closes its side and reads to the end: what came is answered first.
    socket.on('end', () => {
      this.#hasEnded = true;
      if (this.#waitsFor === undefined) socket.end();
    });
  }

  /** Why it should be cut at this moment; undefined if it may stay. */
  overdue(): CutFor | undefined {
    const now = this.#clock.monotonic();
    if (this.#owes) {
      this.#owesSince ??= now;
      if (now - this.#owesSince >= PARTIAL) return 'partial';
    }
    return now - this.#lastAt >= IDLE ? 'idle' : undefined;
  }

  /** Since when it has been of no use. */
  get lastAt(): Milliseconds {
    return this.#lastAt;
  }

  /** Whether it is none of a mail server, as far as can be told by now. */
  isMuteAt(now: Milliseconds): boolean {
    return !this.#hasAsked && now - this.#openedAt >= ASKS_WITHIN;
  }

  get #owes(): boolean {
    return this.#reader.isWithin || this.#socket.writableLength > MOST_UNREAD;
  }

  #read(chunk: Buffer): void {
    const socket = this.#socket;
    this.#lastAt = this.#clock.monotonic();
    const fault = this.#reader.read(chunk.subarray(0, PIECE));
    if (chunk.length > PIECE) this.#rest = chunk.subarray(PIECE);
    const answers = this.#answers;
    this.#answers = '';
    if (answers !== '') {
      // A request has ended: what may be owed now began with this chunk.
      this.#owesSince = undefined;
      this.#hasAsked = true;
      socket.write(answers, 'latin1');
    }
    if (fault !== undefined) return this.#onMalformed(fault);
    if (this.#owes) this.#owesSince ??= this.#lastAt;
    else this.#owesSince = undefined;
    if (socket.writableLength > MOST_UNREAD) this.#waitsFor = 'reader';
    else if (this.#isBehind()) this.#waitsFor = 'store';
    else this.#waitsFor = this.#rest === undefined ? undefined : 'turn';
    if (this.#waitsFor !== undefined) socket.pause();
    if (this.#waitsFor === 'turn') setImmediate(() => this.#goOn());
    else if (this.#waitsFor === 'store') this.#clock.after(BREATH, () => this.#goOn());
  }

  #goOn(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    const rest = this.#rest;
    this.#rest = this.#waitsFor = undefined;
    if (rest !== undefined) this.#read(rest);
    if (this.#waitsFor !== undefined) return;
    if (this.#hasEnded) socket.end();
    else socket.resume();
  }
}

/** Listens for mail servers that ask, on an address or a UNIX socket. */
export class PolicyListener {
  readonly #options: PolicyListenerOptions;
  readonly #server: Server;
  readonly #open = new Map<Socket, Connection>();
  readonly #cuts: FloodCoalescer<CutFor>;
  #cancelSweep = (): void => undefined;

  constructor(options: PolicyListenerOptions) {
    this.#options = options;
    const { clock, log } = options;
    const listener = formatPolicyListen(options.listen);
    this.#cuts = new FloodCoalescer(clock, (reason, count, since) =>
      log.warn({ listener, reason, count, since: formatInstant(since) }, 'policy connections were cut'),
    );
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => this.#take(socket));
  }

  /** Connections that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** @returns where it listens: the port is the system's choice if 0 was asked for */
  async listen(): Promise<PolicyAddress> {
    const { listen } = this.#options;
    if ('path' in listen) {
      await removeLeft(listen.path);
      await this.#bind(listen);
      // Postfix runs as a user of its own. Who may reach the socket is up to the folder that it is in.
      await chmod(listen.path, 0o666);
      this.#sweep();
      return listen;
    }
    await this.#bind(listenOptions(listen));
    this.#sweep();
    return { ...listen, port: (this.#server.address() as AddressInfo).port };
  }

  /** Takes no connection any more and ends those that are open: what has come is answered already. */
  async close(): Promise<void> {
    this.#cancelSweep();
    this.#cuts.flush();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#open.keys()) socket.destroySoon();
    // One that does not read its answers does not hold the end up.
    const cancel = this.#options.clock.after(SECOND, () => {
      for (const socket of this.#open.keys()) socket.destroy();
    });
    await closed;
    cancel();
  }

  async #bind(options: net.ListenOptions): Promise<void> {
    this.#server.listen(options);
    await once(this.#server, 'listening');
    this.#server.on('error', this.#options.onAcceptFailed);
  }

  #take(socket: Socket): void {
    const { meter } = this.#options;
    socket.on('error', () => socket.destroy());
    if (this.#open.size >= MOST_CONNECTIONS) this.#makeRoom();
    meter.opened();
    socket.once('close', () => {
      this.#open.delete(socket);
      meter.closed();
    });
    this.#open.set(socket, new Connection(socket, this.#options, (reason) => this.#cut(socket, reason)));
  }

  /**
   * Cuts the connection that is missed least. The new one stays: a mail server that is cut while it has nothing to ask connects
   * again by itself, and one that finds no answer lets all mail go on.
   */
  #makeRoom(): void {
    let least: readonly [socket: Socket, connection: Connection, isMute: boolean] | undefined;
    const now = this.#options.clock.monotonic();
    for (const [socket, connection] of this.#open) {
      const { lastAt } = connection;
      const isMute = connection.isMuteAt(now);
      const isLess = least === undefined || (isMute === least[2] ? lastAt < least[1].lastAt : isMute);
      if (isLess) least = [socket, connection, isMute];
    }
    if (least === undefined) return;
    this.#cut(least[0], 'full');
    this.#options.room.failed(`${MOST_CONNECTIONS} are open`);
  }

  #cut(socket: Socket, reason: CutFor): void {
    this.#options.meter.cut(reason);
    // Who makes room tells of that, once.
    if (reason !== 'full') this.#cuts.add(reason, reason);
    this.#open.delete(socket);
    socket.destroy();
  }

  /** One alarm for all connections: setting one for each request would cost more than the request. */
  #sweep(): void {
    this.#cancelSweep = this.#options.clock.after(SWEEP, () => {
      for (const [socket, connection] of this.#open) {
        const reason = connection.overdue();
        if (reason !== undefined) this.#cut(socket, reason);
      }
      // If none has been cut to make room for a while, there is some.
      this.#options.room.worked();
      this.#sweep();
    });
  }
}

/** A socket that a killed process has left: nobody answers there any more. */
export async function removeLeft(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isSocket() !== true) return;
  const isLeft = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
  if (isLeft) await unlink(path);
}
