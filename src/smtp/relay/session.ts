import type { Socket } from 'node:net';
import type { Capabilities } from './commands.js';
import { NO_CAPABILITIES } from './commands.js';
import { DotStuffing, Wire } from './wire.js';
import type { DataOutcome, RawReply } from './reply.js';
import { SessionLost, textOf } from './reply.js';
import type { MessageBody, RelayTimeouts, Sender } from './port.js';
import { RelayUnreachable } from './port.js';

interface Expectation {
  readonly count: number;
  readonly replies: RawReply[];
  /** 421 is an answer like any other (after the final dot), not the end of the exchange. */
  readonly final: boolean;
  readonly resolve: (replies: RawReply[]) => void;
  readonly reject: (error: Error) => void;
}

const END_OF_DATA = Buffer.from('.\r\n');
/** A body up to this size goes out with its final dot in one write. */
const ONE_WRITE = 256 * 1024;
/** How long an upstream may take to close after QUIT before we do. */
const QUIT_GRACE = 1000;

/**
 * One connection to the upstream: writes commands, matches replies, keeps time. One owner uses it at a time; the pool
 * decides which.
 */
export class Session {
  capabilities: Capabilities = NO_CAPABILITIES;
  /** The client that XCLIENT has made it the session of, as {@link clientKey} names it. */
  client: string | undefined;
  /** The owner of the mail transaction that is open upstream. */
  owner: object | undefined;
  /** Whether RSET must go before the next MAIL: the upstream may remember a transaction, even one that it refused. */
  dirty = false;
  /** How often it was taken from the pool. */
  uses = 0;
  /** The sender that the exchange under way is for; undefined between two, and if it is set aside. */
  lentTo: Sender | undefined;
  /** When it was last given back, by the pool's monotonic clock. */
  lastUsed = 0;
  lost: SessionLost | undefined;
  /** Called once, when the session is lost. */
  onLost: (() => void) | undefined;
  /** Called when the answer to a message takes long, and again if the session is not set aside and its client goes. */
  onOverdue: ((again: boolean) => void) | undefined;

  readonly #wire: Wire;
  readonly #timeouts: RelayTimeouts;
  readonly #name: string;
  #expected: Expectation | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What the session waits for, in words. */
  #awaited: string | undefined;
  #onDrain: (() => void) | undefined;
  /** Nobody waits for the exchange under way any more. */
  clientGone = false;
  /** Part of the present message may have reached the upstream. */
  bodyStarted = false;
  /** The final dot of the present message is out. */
  #dotSent = false;
  #overdue = false;
  /** An answer to the present message that came before its final dot. */
  #early: RawReply | undefined;

  constructor(socket: Socket, name: string, timeouts: RelayTimeouts) {
    this.#name = name;
    this.#timeouts = timeouts;
    this.#wire = new Wire(socket, name, {
      reply: (reply) => this.#take(reply),
      broken: (why, closedByUpstream, fault) => void this.fail(why, closedByUpstream, fault),
      drained: () => this.#onDrain?.(),
    });
  }

  get socket(): Socket {
    return this.#wire.socket;
  }

  /** An exchange begins, for this sender. */
  lend(sender: Sender): void {
    this.uses++;
    this.lentTo = sender;
    this.clientGone = false;
    this.onOverdue = undefined;
    this.#dotSent = false;
    this.#overdue = false;
  }

  /**
   * The client is gone: the upstream has seconds for each answer from now on. For the answer to a final dot it keeps
   * its minutes, so that we learn whether it took the message if we can.
   */
  hurry(): void {
    if (this.clientGone || this.lost !== undefined) return;
    this.clientGone = true;
    if (this.#awaited === undefined) return;
    if (!this.#dotSent) this.#arm(Infinity, this.#awaited);
    else if (this.lentTo !== undefined) this.#armAnswer();
  }

  /** Goes on over TLS. @throws MalformedReply if clear-text bytes follow the reply to STARTTLS */
  secure(wrap: (plain: Socket) => Socket): void {
    if (this.lost !== undefined) throw this.lost;
    this.#wire.secure(wrap);
  }

  /** Waits for a reply that no command asks for: the greeting. */
  greeting(): Promise<RawReply> {
    return this.#expect(1, this.#timeouts.greeting, 'the greeting').then((replies) => replies[0]!);
  }

  /** One command, one reply. */
  async command(line: string): Promise<RawReply> {
    const reply = this.#expect(1, this.#timeouts.command, wordOf(line));
    this.#write(`${line}\r\n`);
    return (await reply)[0]!;
  }

  /**
   * Sends several commands: in one write if the upstream does PIPELINING (RFC 2920), else one after the other until
   * `goOn` says no. Gives the replies, in order; without PIPELINING perhaps fewer than commands.
   */
  async exchange(
    lines: readonly string[],
    goOn: (reply: RawReply, index: number) => boolean,
  ): Promise<RawReply[]> {
    if (lines.length === 1 || this.capabilities.pipelining) {
      const replies = this.#expect(lines.length, this.#timeouts.command, wordOf(lines[0]!));
      this.#write(`${lines.join('\r\n')}\r\n`);
      return replies;
    }
    const replies: RawReply[] = [];
    for (const [index, line] of lines.entries()) {
      const reply = await this.command(line);
      replies.push(reply);
      if (!goOn(reply, index)) break;
    }
    return replies;
  }

  /**
   * DATA, the body and the final dot. `confirm` is asked right before the dot; if it says no, the connection is
   * destroyed instead, so that the upstream discards what it has (RFC 5321 section 4.1.1.10).
   *
   * @param expected replies after the dot
   * @throws SessionLost before the dot is out; RelayUnreachable, ambiguous, afterwards
   */
  async data(body: MessageBody, confirm: () => boolean, expected: number): Promise<DataOutcome> {
    const go = this.#expect(1, this.#timeouts.data, 'DATA');
    this.#write('DATA\r\n');
    const reply = (await go)[0]!;
    if (reply.code >= 400) return { kind: 'refused', reply };
    if (reply.code !== 354) throw this.fail(`${this.#name} answered DATA with ${reply.code}`, false);

    const answers = this.#expectFinal(expected);
    const sent = await this.#sendBody(body, confirm);
    if (sent === 'withdrawn') {
      this.fail('withdrawn before the final dot', false);
      return { kind: 'withdrawn' };
    }
    if (sent === 'answered') return this.#answeredEarly(this.#early!);
    try {
      return { kind: 'answered', replies: await answers };
    } catch (error) {
      throw new RelayUnreachable(`${(error as Error).message} after the message was sent in full`, {
        ambiguous: true,
        cause: error,
      });
    }
  }

  /** An upstream that answers before the dot refuses the message. What it does with the rest is undefined. */
  #answeredEarly(reply: RawReply): DataOutcome {
    const lost = this.fail(`${this.#name} answered ${reply.code} before the end of the message`, false);
    if (reply.code < 400) throw lost;
    return { kind: 'refused', reply };
  }

  /** Sends everything including the final dot. `answered`: the upstream did not wait for it. */
  async #sendBody(body: MessageBody, confirm: () => boolean): Promise<'sent' | 'withdrawn' | 'answered'> {
    const stuffing = new DotStuffing();
    const { buffers } = body;
    if (buffers !== undefined && body.size <= ONE_WRITE) {
      const pieces = buffers.map((buffer) => stuffing.push(buffer));
      pieces.push(END_OF_DATA);
      const message = Buffer.concat(pieces);
      return this.#finish(message, confirm);
    }
    for await (const chunk of body.open()) {
      // Reading the spool takes turns of the event loop, so the state may have changed.
      if (this.lost === undefined && this.#early === undefined) {
        if (!this.socket.write(stuffing.push(chunk))) await this.#drained();
      }
      if (this.#early !== undefined) return 'answered';
      if (this.lost !== undefined) throw this.lost;
    }
    return this.#finish(END_OF_DATA, confirm);
  }

  #finish(last: Buffer, confirm: () => boolean): 'sent' | 'withdrawn' | 'answered' {
    if (this.#early !== undefined) return 'answered';
    if (this.lost !== undefined) throw this.lost;
    if (!confirm()) return 'withdrawn';
    this.#dotSent = true;
    this.#armAnswer();
    this.socket.write(last);
    return 'sent';
  }

  /** Resolves when the socket takes more, when the upstream answers, or when the session is lost. */
  #drained(): Promise<void> {
    this.#arm(this.#timeouts.block, 'the message');
    return new Promise((resolve) => {
      this.#onDrain = () => {
        this.#onDrain = undefined;
        this.#disarm();
        resolve();
      };
    });
  }

  #expect(count: number, timeout: number, what: string): Promise<RawReply[]> {
    if (this.lost !== undefined) return Promise.reject(this.lost);
    this.#arm(timeout, what);
    return new Promise((resolve, reject) => {
      this.#expected = { count, replies: [], final: false, resolve, reject };
    });
  }

  #expectFinal(count: number): Promise<RawReply[]> {
    this.bodyStarted = true;
    this.#early = undefined;
    const promise = new Promise<RawReply[]>((resolve, reject) => {
      this.#expected = { count, replies: [], final: true, resolve, reject };
    });
    // Nobody awaits this while the body is being written; the writer notices a loss itself.
    promise.catch(() => undefined);
    return promise;
  }

  #take(reply: RawReply): void {
    const expected = this.#expected;
    if (reply.code === 421 && expected?.final !== true) {
      this.#closing(reply);
      return;
    }
    if (expected === undefined) {
      this.fail(`${this.#name} said ${reply.code} without being asked`, false);
      return;
    }
    if (expected.final && !this.#dotSent) {
      this.#early ??= reply;
      this.#onDrain?.();
      return;
    }
    expected.replies.push(reply);
    if (expected.replies.length === expected.count) {
      this.#expected = undefined;
      this.#disarm();
      expected.resolve(expected.replies);
    }
    if (reply.code === 421) this.#closing(reply);
  }

  #closing(reply: RawReply): void {
    const fault = `${this.#name} says 421`;
    this.fail(`${fault} ${textOf(reply)}`, true, fault);
  }

  #write(text: string): void {
    if (this.lost === undefined) this.socket.write(text);
  }

  #arm(timeout: number, what: string): void {
    const span = this.clientGone ? Math.min(timeout, this.#timeouts.clientGone) : timeout;
    this.#set(span, what, () => {
      this.fail(`${this.#name} did not answer ${what} within ${span} ms`, false);
    });
  }

  /** Arms the timer for the answer to the final dot: first until it is overdue, then for the rest of its time. */
  #armAnswer(): void {
    const { dot, slowAnswer, clientGone } = this.#timeouts;
    const what = 'the final dot';
    const span = this.clientGone ? clientGone : slowAnswer;
    const fail = (): void => void this.fail(`${this.#name} did not answer ${what} within ${dot} ms`, false);
    if (span >= dot) return this.#set(dot, what, fail);
    this.#set(span, what, () => {
      this.#set(dot - span, what, fail);
      const again = this.#overdue;
      this.#overdue = true;
      this.onOverdue?.(again);
    });
  }

  #set(span: number, what: string, callback: () => void): void {
    this.#disarm();
    this.#awaited = what;
    this.#timer = setTimeout(callback, span);
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#awaited = undefined;
  }

  /** Ends the session at once and returns the error. The reply under way rejects with it. Idempotent. */
  fail(message: string, closedByUpstream: boolean, fault?: string): SessionLost {
    if (this.lost !== undefined) return this.lost;
    this.lost = new SessionLost(message, closedByUpstream, fault);
    this.#disarm();
    this.socket.destroy();
    const expected = this.#expected;
    this.#expected = undefined;
    if (expected?.final === true && expected.replies.length > 0) expected.resolve(expected.replies);
    else expected?.reject(this.lost);
    this.#onDrain?.();
    this.onLost?.();
    return this.lost;
  }

  /** Says QUIT and closes, politely: the upstream may close first. Resolves once the socket is closed. */
  quit(): Promise<void> {
    const { socket } = this;
    if (this.lost !== undefined) return Promise.resolve();
    this.lost = new SessionLost('closed', false);
    this.#disarm();
    this.onLost?.();
    return new Promise((resolve) => {
      const force = setTimeout(() => socket.destroy(), QUIT_GRACE);
      socket.once('close', () => {
        clearTimeout(force);
        resolve();
      });
      socket.end('QUIT\r\n');
    });
  }
}

function wordOf(line: string): string {
  return line.split(' ', 1)[0]!;
}
