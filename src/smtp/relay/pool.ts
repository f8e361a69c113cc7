import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import type { Opening } from './connect.js';
import type { IdleOptions } from './idle.js';
import { IdleSessions, reset } from './idle.js';
import type { OutageOptions } from './queue.js';
import { Outage, SessionQueue, Shares } from './queue.js';
import { RelayUnreachable } from './port.js';
import type { Sender } from './port.js';
import type { Session } from './session.js';

/** How long a connect may take. After that, open transactions may be taken from their owners. */
const CONNECT_GRACE: Milliseconds = SECOND;

export interface PoolOptions extends OutageOptions, IdleOptions {
  readonly maxSessions: number;
  readonly maxWaiting: number;
  readonly waitTimeout: Milliseconds;
  readonly stealAfter: Milliseconds;
  readonly closeTimeout: Milliseconds;
  readonly onUnanswered: () => void;
}

/**
 * The sessions with one upstream. A session is taken for one exchange and given back after it, also while the mail
 * transaction goes on: it then remembers whose transaction is open (`owner`), and is lent to others only when nothing
 * else is left. So a client that is slow between RCPT and the end of its message holds up nobody.
 *
 * Which session an owner gets: the one that holds its transaction; an unused one; a new one; the next that is given
 * back without an open transaction; the one whose transaction has been waiting longest, once it has waited for
 * `stealAfter`. (Taken away at once, its owner would run the transaction again a moment later: with more clients than
 * sessions, nearly every message would be offered twice.)
 *
 * Who gets one: senders share the sessions (see {@link Shares}), so that no sender with many slow messages keeps
 * another waiting. A session whose message the upstream leaves unanswered for long is set aside: it waits for its
 * answer and no longer counts among `maxSessions`; as many again may be set aside.
 *
 * When a connect fails, the pool pauses: it tries nothing, and a request that no live session can serve fails at once.
 * After the pause it tries one connect; the other requests fail until that succeeds.
 */
export class Pool {
  readonly #open: () => Opening;
  readonly #options: PoolOptions;
  readonly #outage: Outage;
  readonly #shares = new Shares(() => this.#capacity);
  readonly #waiting: SessionQueue;
  /** Every live session, used or not. */
  readonly #live = new Set<Session>();
  readonly #idle: IdleSessions;
  /** Those set aside, the longest first. */
  readonly #aside = new Set<Session>();
  /** Those whose answer is overdue while no other message has been answered since. */
  readonly #unanswered = new Set<Session>();
  /** When each was begun. */
  readonly #opening = new Map<Opening, Milliseconds>();
  readonly #quitting = new Set<Promise<unknown>>();
  /** The one connect that is tried after a failure. */
  #probe: Opening | undefined;
  #stealing: NodeJS.Timeout | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;
  #onDrained: (() => void) | undefined;
  #toldUnanswered = false;

  constructor(open: () => Opening, options: PoolOptions) {
    this.#open = open;
    this.#options = options;
    this.#outage = new Outage(options);
    this.#idle = new IdleSessions(options);
    this.#waiting = new SessionQueue({
      maxWaiting: options.maxWaiting,
      waitTimeout: options.waitTimeout,
      sessions: this.#shares,
      onTimeout: () => this.#waitedInVain(),
    });
  }

  get open(): number {
    return this.#live.size;
  }

  get busy(): number {
    return this.#live.size - this.#idle.size - this.#aside.size;
  }

  /** Sessions set aside. */
  get unanswered(): number {
    return this.#aside.size;
  }

  /** False while the upstream leaves messages unanswered, and answers no others. */
  get answers(): boolean {
    return this.#unanswered.size === 0;
  }

  /**
   * A session for one exchange.
   *
   * @param preferred the session that this owner used last
   * @param client whose session it is to be, if XCLIENT is used; it may turn out to be another's
   * @throws RelayUnreachable
   */
  take(
    owner: object,
    sender: Sender,
    preferred: Session | undefined,
    client?: string,
  ): Session | Promise<Session> {
    const allowed = this.#shares.allows(sender);
    const held = allowed ? this.#takeHeld(owner, preferred) : undefined;
    if (held !== undefined) return this.#lend(held, sender);
    if (this.#closed) throw new RelayUnreachable('the relay is closed');
    const free = allowed ? this.#idle.takeFree(client) : undefined;
    if (free !== undefined) return this.#lend(free, sender);
    // During an outage, each request tries whether it is over.
    if ((allowed || this.#outage.on) && !this.#tryConnect() && allowed) {
      const stolen = this.#waiting.next() === undefined ? this.#steal(1) : undefined;
      if (stolen !== undefined) return this.#lend(stolen, sender);
      if (this.#live.size === 0 && this.#outage.on) throw this.#outage.error();
    }
    const session = this.#waiting.enter({ owner, sender, preferred });
    this.#armStealing();
    return session;
  }

  /** The owner does not wait any more. */
  withdraw(owner: object, sender: Sender): void {
    this.#waiting.withdraw(owner, sender);
  }

  /** A new session in place of one that died in use; never an idle one, which may be as dead. */
  async replace(dead: Session): Promise<Session> {
    const sender = dead.lentTo!;
    if (this.#closed || this.#outage.on) {
      this.release(dead);
      throw this.#closed ? new RelayUnreachable('the relay is closed') : this.#outage.error();
    }
    // Takes over its place at once, before another request can claim it.
    this.#live.delete(dead);
    const opening = this.#begin();
    try {
      const session = await opening.ready;
      this.#admit(opening, session);
      this.#takeBack(dead);
      return this.#lend(session, sender);
    } catch (error) {
      this.#opened(opening);
      this.#takeBack(dead);
      this.#connectFailed(error as Error);
      this.#serve();
      throw new RelayUnreachable((error as Error).message, { cause: error });
    }
  }

  /** Gives a session back after use; one that is lost is let go. */
  release(session: Session): void {
    this.#takeBack(session);
    const wasAside = this.#aside.delete(session);
    if (session.lost !== undefined) {
      this.#forget(session);
    } else {
      session.lastUsed = performance.now();
      if (this.#closed || (wasAside && this.#counted > this.#options.maxSessions)) this.#retire(session);
      else if (session.owner === undefined) this.#idle.addFree(session);
      else this.#idle.hold(session);
    }
    this.#serve();
  }

  /** The owner has no more use for the transaction that is open on this session. */
  abandon(owner: object, session: Session | undefined): void {
    if (session?.owner !== owner) return;
    session.owner = undefined;
    session.dirty = true;
    // A session in use is handled when it is given back.
    if (!this.#idle.takeHeld(session)) return;
    this.#idle.addFree(session);
    this.#serve();
  }

  /**
   * The upstream takes its time to answer a message that it has in full: others do not wait for it.
   *
   * @param again it was told before, and the client has gone since
   */
  overdue(session: Session, again: boolean): void {
    const { maxSessions, onNotice, onUnanswered } = this.#options;
    if (!again) onUnanswered();
    this.#unanswered.add(session);
    if (!this.#toldUnanswered)
      onNotice('the upstream does not answer messages that it has been sent in full');
    this.#toldUnanswered = true;
    if (this.#aside.size >= maxSessions) {
      const [longest] = [...this.#aside].filter(({ clientGone }) => clientGone);
      if (longest === undefined) return;
      this.#aside.delete(longest);
      longest.fail('given up: its client is gone, and too many messages are unanswered', false);
    }
    this.#aside.add(session);
    this.#takeBack(session);
    this.#serve();
  }

  /** The upstream has answered a message. */
  answered(): void {
    this.#unanswered.clear();
    if (this.#toldUnanswered) this.#options.onNotice('the upstream answers messages again');
    this.#toldUnanswered = false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.dismissAll('the relay is closed');
    clearTimeout(this.#stealing);
    for (const opening of this.#opening.keys()) opening.abort('closed');
    for (const session of this.#idle.all()) this.#retire(session);
    if (this.#live.size > 0) await this.#drained();
    clearInterval(this.#sweeper);
    await Promise.all(this.#quitting);
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const force = setTimeout(() => {
        for (const session of [...this.#live]) session.fail('the relay is closed', false);
      }, this.#options.closeTimeout);
      this.#onDrained = () => {
        clearTimeout(force);
        resolve();
      };
    });
  }

  /** Sessions that exist or are being opened, without those set aside. */
  get #counted(): number {
    return this.#live.size - this.#aside.size + this.#opening.size;
  }

  /** How many sessions there can be: if the upstream refuses more, the limit is what it has granted. */
  get #capacity(): number {
    const { maxSessions } = this.#options;
    return this.#outage.on ? Math.max(1, this.#live.size - this.#aside.size) : maxSessions;
  }

  #lend(session: Session, sender: Sender): Session {
    session.lend(sender);
    this.#shares.take(sender);
    return session;
  }

  #takeBack(session: Session): void {
    if (session.lentTo === undefined) return;
    this.#shares.giveBack(session.lentTo);
    session.lentTo = undefined;
  }

  #takeHeld(owner: object, preferred: Session | undefined): Session | undefined {
    return preferred?.owner === owner && this.#idle.takeHeld(preferred) ? preferred : undefined;
  }

  /** Gives sessions to waiting requests while there are both, and opens more. */
  #serve(): void {
    for (let next = this.#waiting.next(); next !== undefined; next = this.#waiting.next()) {
      const session =
        this.#takeHeld(next.owner, next.preferred) ??
        this.#idle.takeFree() ??
        this.#steal(this.#waiting.size);
      if (session === undefined) break;
      this.#waiting.serve(next, this.#lend(session, next.sender));
    }
    if (this.#waiting.next() === undefined) return;
    if (this.#opening.size < this.#waiting.size) this.#tryConnect();
    this.#armStealing();
  }

  /** When the session whose transaction has been waiting longest may be taken from it, for one of `waiting`. */
  #stealableAt(oldest: Session, waiting: number): number {
    const { stealAfter } = this.#options;
    // A connect for each of them is under way already, unless it hangs.
    const connecting = this.#opening.size >= waiting;
    return oldest.lastUsed + (connecting ? Math.max(stealAfter, CONNECT_GRACE) : stealAfter);
  }

  #steal(waiting: number): Session | undefined {
    const oldest = this.#idle.longestHeld;
    if (oldest === undefined || performance.now() < this.#stealableAt(oldest, waiting)) return undefined;
    this.#idle.takeHeld(oldest);
    return oldest;
  }

  /** Makes sure that waiting requests get a held session as soon as one may be taken away. */
  #armStealing(): void {
    const oldest = this.#idle.longestHeld;
    if (this.#stealing !== undefined || oldest === undefined || this.#waiting.next() === undefined) return;
    const due = this.#stealableAt(oldest, this.#waiting.size) - performance.now();
    const steal = (): void => {
      this.#stealing = undefined;
      this.#serve();
    };
    // Waiting requests have timers of their own, which keep the process up.
    this.#stealing = setTimeout(steal, Math.max(1, Math.ceil(due))).unref();
  }

  #begin(): Opening {
    const opening = this.#open();
    this.#opening.set(opening, performance.now());
    return opening;
  }

  /** Opens one more session if that is allowed; says whether one is being opened. */
  #tryConnect(): boolean {
    if (this.#outage.on) {
      // Older connects that hang must not prevent the probe.
      if (this.#probe !== undefined || this.#outage.pausing) return false;
      if (this.#live.size - this.#aside.size >= this.#options.maxSessions) return false;
    } else if (this.#counted >= this.#options.maxSessions) return false;
    else if (this.#opening.size > this.#waiting.size) return true;
    const opening = this.#begin();
    if (this.#outage.on) this.#probe = opening;
    opening.ready.then(
      (session) => {
        this.#admit(opening, session);
        this.release(session);
      },
      (error: Error) => {
        const awaited = this.#opened(opening);
        if (this.#closed || !awaited) return;
        this.#connectFailed(error);
        this.#armStealing();
      },
    );
    return true;
  }

  /** @returns false if it had been given up */
  #opened(opening: Opening): boolean {
    if (this.#probe === opening) this.#probe = undefined;
    // One connect fewer is under way, so stealing may be due earlier.
    clearTimeout(this.#stealing);
    this.#stealing = undefined;
    return this.#opening.delete(opening);
  }

  #admit(opening: Opening, session: Session): void {
    const began = this.#opening.get(opening) ?? 0;
    this.#opened(opening);
    this.#outage.over();
    this.#live.add(session);
    // A lost session in use is dropped when it is given back: its user may want another in its place.
    session.onLost = () => {
      this.#unanswered.delete(session);
      if (this.#idle.has(session)) {
        this.#forget(session);
        this.#serve();
      }
    };
    const { idleTimeout, staleTransaction, waitTimeout } = this.#options;
    const every = Math.max(5, Math.min(idleTimeout, staleTransaction) / 4);
    this.#sweeper ??= setInterval(() => this.#sweep(), every).unref();
    // A connect that began much earlier and still hangs, although this one succeeded, will not succeed.
    for (const [other, since] of this.#opening) {
      if (since + waitTimeout > began) continue;
      this.#opening.delete(other);
      other.abort('overtaken by a later connection');
    }
  }

  #connectFailed(error: Error): void {
    this.#outage.failed(error.message);
    // Requests that wait for a session in use go on waiting. If there is none, none can come.
    if (this.#live.size === 0 && this.#opening.size === 0) this.#waiting.dismissAll(error.message);
  }

  /** Without a live session, a connect takes longer than any request waits. */
  #waitedInVain(): void {
    if (this.#live.size > 0 || this.#outage.pausing) return;
    const probe = this.#probe;
    this.#probe = undefined;
    this.#outage.failed('it does not answer');
    // Without this, each pause would end with one more connection that hangs.
    probe?.abort('it does not answer');
  }

  /** A session is gone. */
  #forget(session: Session): void {
    session.onLost = undefined;
    this.#unanswered.delete(session);
    this.#aside.delete(session);
    if (!this.#live.delete(session)) return;
    this.#idle.remove(session);
    if (this.#live.size === 0) {
      this.#onDrained?.();
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
    // Waiting requests may need a new session in its place.
    if (this.#waiting.size <= this.#opening.size || this.#tryConnect()) return;
    if (this.#live.size === 0 && this.#opening.size === 0) {
      this.#waiting.dismissAll(this.#outage.error().message);
    }
  }

  #retire(session: Session): void {
    this.#forget(session);
    const quit: Promise<unknown> = session.quit().then(() => this.#quitting.delete(quit));
    this.#quitting.add(quit);
  }

  #sweep(): void {
    const overdue = this.#idle.overdue();
    for (const session of overdue.reset) void reset(session).then(() => this.release(session));
    for (const session of overdue.go) this.#retire(session);
  }
}
