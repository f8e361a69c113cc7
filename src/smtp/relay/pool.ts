import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import type { Opening } from './connect.js';
import { RelayUnreachable } from './port.js';
import { isPositive } from './reply.js';
import type { Session } from './session.js';

/** How long a connect may take before it is no reason any more to leave open transactions alone. */
const CONNECT_GRACE: Milliseconds = 1000;

export interface PoolOptions {
  readonly maxSessions: number;
  readonly maxWaiting: number;
  readonly waitTimeout: Milliseconds;
  readonly idleTimeout: Milliseconds;
  readonly staleTransaction: Milliseconds;
  readonly stealAfter: Milliseconds;
  readonly closeTimeout: Milliseconds;
  readonly backoff: { readonly first: Milliseconds; readonly max: Milliseconds };
  readonly random: () => number;
  readonly onNotice: (text: string) => void;
}

interface Waiter {
  readonly resolve: (session: Session) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * The sessions with one upstream. A session is taken for one exchange and given back after it, also while the
 * mail transaction goes on: it then remembers whose transaction is open (`owner`), and is lent to others only
 * when nothing else is left. So a client that takes its time between RCPT and the end of its message holds up
 * nobody.
 *
 * Which session one gets: the one that holds one's transaction; an unused one; a new one; the next that is given
 * back without an open transaction; the one whose transaction has been waiting longest, once it has waited for
 * `stealAfter`. (To take it away at once would make its owner run the transaction again a moment later: with more
 * clients than sessions, nearly every message would be offered twice.)
 *
 * When connecting fails there is a pause, in which nothing is tried and all fail at once that no live session
 * can serve. After the pause one connect is tried; the rest goes on failing until it has succeeded.
 */
export class Pool {
  readonly #open: () => Opening;
  readonly #options: PoolOptions;
  /** Every live session, used or not. */
  readonly #live = new Set<Session>();
  /** Not in use, without an owner; the last one given back is used first, so that the others can grow old. */
  readonly #free: Session[] = [];
  /** Not in use, with an owner; in the order in which they were given back. */
  readonly #held = new Set<Session>();
  readonly #opening = new Set<Opening>();
  readonly #waiters = new Set<Waiter>();
  #failures = 0;
  #retryAt = 0;
  #lastFailure = '';
  #probe: Opening | undefined;
  #stealing: NodeJS.Timeout | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #quitting = new Set<Promise<unknown>>();
  #onDrained: (() => void) | undefined;

  constructor(open: () => Opening, options: PoolOptions) {
    this.#open = open;
    this.#options = options;
  }

  get open(): number {
    return this.#live.size;
  }

  get busy(): number {
    return this.#live.size - this.#free.length - this.#held.size;
  }

  /**
   * A session for one exchange.
   *
   * @param preferred the session that this owner used last
   * @throws RelayUnreachable
   */
  take(owner: object, preferred: Session | undefined): Session | Promise<Session> {
    if (preferred !== undefined && preferred.owner === owner && this.#held.delete(preferred)) {
      return this.#lend(preferred);
    }
    if (this.#closed) throw new RelayUnreachable('the relay is closed');
    const free = this.#free.pop();
    if (free !== undefined) return this.#lend(free);
    if (!this.#tryConnect()) {
      const stolen = this.#waiters.size === 0 ? this.#steal(1) : undefined;
      if (stolen !== undefined) return this.#lend(stolen);
      if (this.#live.size === 0 && this.#failures > 0) throw this.#failFast();
    }
    return this.#wait();
  }

  /** A new session in place of one that died in use; never one that has been lying about like it. */
  async replace(dead: Session): Promise<Session> {
    if (this.#closed || this.#failures > 0) {
      this.#forget(dead);
      throw this.#closed ? new RelayUnreachable('the relay is closed') : this.#failFast();
    }
    // Its place is taken over at once, before anyone who waits can claim it.
    this.#live.delete(dead);
    const opening = this.#open();
    this.#opening.add(opening);
    try {
      const session = await opening.ready;
      this.#opening.delete(opening);
      this.#admit(session);
      return this.#lend(session);
    } catch (error) {
      this.#opening.delete(opening);
      this.#connectFailed(error as Error);
      throw new RelayUnreachable((error as Error).message, { cause: error });
    }
  }

  /** Gives a session back after use; one that is lost is let go. */
  release(session: Session): void {
    if (session.lost !== undefined) {
      this.#forget(session);
      return;
    }
    session.lastUsed = performance.now();
    if (this.#closed) this.#retire(session);
    else if (session.owner === undefined) this.#offer(session);
    else {
      this.#held.add(session);
      this.#armStealing();
    }
  }

  /** The owner has no more use for the transaction that is open on this session. */
  abandon(owner: object, session: Session | undefined): void {
    if (session?.owner !== owner) return;
    session.owner = undefined;
    session.dirty = true;
    // A session in use comes to its place when it is given back.
    if (this.#held.delete(session)) this.#offer(session);
  }

  /** A session that nobody has a claim to. */
  #offer(session: Session): void {
    const [waiter] = this.#waiters;
    if (waiter === undefined) this.#free.push(session);
    else this.#serve(waiter, session);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiters]) this.#dismiss(waiter, 'the relay is closed');
    for (const opening of this.#opening) opening.abort();
    const idle = [...this.#free, ...this.#held];
    this.#free.length = 0;
    this.#held.clear();
    for (const session of idle) this.#retire(session);
    if (this.#live.size > 0) await this.#drained();
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

  #lend(session: Session): Session {
    session.uses++;
    return session;
  }

  /** When the session whose transaction has been waiting longest may be taken from it, for one of `waiting`. */
  #stealableAt(oldest: Session, waiting: number): number {
    const { stealAfter } = this.#options;
    // A connect for each of them is under way already, unless it hangs.
    const connecting = this.#opening.size >= waiting;
    return oldest.lastUsed + (connecting ? Math.max(stealAfter, CONNECT_GRACE) : stealAfter);
  }

  #steal(waiting: number): Session | undefined {
    const [oldest] = this.#held;
    if (oldest === undefined || performance.now() < this.#stealableAt(oldest, waiting)) return undefined;
    this.#held.delete(oldest);
    return oldest;
  }

  /** Makes sure that those who wait get a held session as soon as one may be taken away. */
  #armStealing(): void {
    const [oldest] = this.#held;
    if (this.#stealing !== undefined || oldest === undefined || this.#waiters.size === 0) return;
    const due = this.#stealableAt(oldest, this.#waiters.size) - performance.now();
    const steal = (): void => {
      this.#stealing = undefined;
      for (const waiter of [...this.#waiters]) {
        const stolen = this.#steal(this.#waiters.size);
        if (stolen === undefined) break;
        this.#serve(waiter, stolen);
      }
      this.#armStealing();
    };
    // Those who wait have timers of their own that keep the process up.
    this.#stealing = setTimeout(steal, Math.max(1, Math.ceil(due))).unref();
  }

  #wait(): Promise<Session> {
    if (this.#waiters.size >= this.#options.maxWaiting) {
      throw new RelayUnreachable(`${this.#options.maxWaiting} commands wait for the upstream already`);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        if (this.#live.size === 0) this.#noAnswer();
        this.#dismiss(waiter, `no session with the upstream was free within ${this.#options.waitTimeout} ms`);
      }, this.#options.waitTimeout);
      const waiter: Waiter = { resolve, reject, timer };
      this.#waiters.add(waiter);
      this.#armStealing();
    });
  }

  #serve(waiter: Waiter, session: Session): void {
    this.#waiters.delete(waiter);
    clearTimeout(waiter.timer);
    waiter.resolve(this.#lend(session));
  }

  #dismiss(waiter: Waiter, why: string): void {
    this.#waiters.delete(waiter);
    clearTimeout(waiter.timer);
    waiter.reject(new RelayUnreachable(why));
  }

  /** Starts a connect where one more is allowed; says whether there is one to wait for. */
  #tryConnect(): boolean {
    if (this.#live.size + this.#opening.size >= this.#options.maxSessions) return false;
    if (this.#failures > 0) {
      if (this.#probe !== undefined || performance.now() < this.#retryAt) return false;
    }
    const opening = this.#open();
    if (this.#failures > 0) this.#probe = opening;
    this.#opening.add(opening);
    opening.ready.then(
      (session) => {
        this.#opened(opening);
        this.#admit(session);
        this.release(session);
        this.#armStealing();
      },
      (error: Error) => {
        this.#opened(opening);
        if (this.#closed) return;
        this.#connectFailed(error);
        this.#armStealing();
      },
    );
    return true;
  }

  #opened(opening: Opening): void {
    this.#opening.delete(opening);
    if (this.#probe === opening) this.#probe = undefined;
    clearTimeout(this.#stealing);
    this.#stealing = undefined;
  }

  #admit(session: Session): void {
    if (this.#failures > 0) this.#options.onNotice('the upstream is back');
    this.#failures = 0;
    this.#live.add(session);
    // One in use is let go when it is given back: its user may want another in its place.
    session.onLost = () => {
      if (this.#held.has(session) || this.#free.includes(session)) this.#forget(session);
    };
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#sweepEvery).unref();
  }

  get #sweepEvery(): Milliseconds {
    return Math.max(5, Math.min(this.#options.idleTimeout, this.#options.staleTransaction) / 4);
  }

  #connectFailed(error: Error): void {
    this.#pause(error.message);
    // Whoever waits for a session in use goes on waiting; where there is none, nothing can come.
    if (this.#live.size > 0 || this.#opening.size > 0) return;
    for (const waiter of [...this.#waiters]) this.#dismiss(waiter, error.message);
  }

  #pause(why: string): void {
    this.#probe = undefined;
    if (this.#failures === 0) this.#options.onNotice(`the upstream is out of reach: ${why}`);
    this.#lastFailure = why;
    const { first, max } = this.#options.backoff;
    const full = Math.min(max, first * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    this.#retryAt = performance.now() + full * (1 - this.#options.random() / 2);
  }

  /** A connect takes longer than anyone waits. */
  #noAnswer(): void {
    if (this.#failures > 0 && performance.now() < this.#retryAt) return;
    const probe = this.#probe;
    this.#pause('it does not answer');
    // Without this, each pause would end with one more connection that hangs.
    probe?.abort();
  }

  #failFast(): RelayUnreachable {
    return new RelayUnreachable(`the upstream is out of reach: ${this.#lastFailure}`);
  }

  /** A session is gone. Those who wait may need a new one in its place. */
  #forget(session: Session): void {
    session.onLost = undefined;
    if (!this.#live.delete(session)) return;
    this.#held.delete(session);
    const index = this.#free.indexOf(session);
    if (index >= 0) this.#free.splice(index, 1);
    if (this.#live.size === 0) {
      this.#onDrained?.();
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
    if (this.#waiters.size <= this.#opening.size || this.#tryConnect()) return;
    if (this.#live.size === 0 && this.#opening.size === 0) {
      for (const waiter of [...this.#waiters]) this.#dismiss(waiter, this.#failFast().message);
    }
  }

  #retire(session: Session): void {
    this.#forget(session);
    const quit: Promise<unknown> = session.quit().then(() => this.#quitting.delete(quit));
    this.#quitting.add(quit);
  }

  #sweep(): void {
    const now = performance.now();
    const { idleTimeout, staleTransaction } = this.#options;
    for (const session of [...this.#held]) {
      if (now - session.lastUsed < staleTransaction) break;
      this.#held.delete(session);
      session.owner = undefined;
      void this.#reset(session);
    }
    for (const session of [...this.#free]) {
      const unused = now - session.lastUsed;
      if (unused >= idleTimeout) this.#retire(session);
      else if (session.dirty && unused >= staleTransaction) {
        this.#free.splice(this.#free.indexOf(session), 1);
        void this.#reset(session);
      }
    }
  }

  /** RSET on a session that was taken out of the idle ones; never rejects. */
  async #reset(session: Session): Promise<void> {
    try {
      const reply = await session.command('RSET');
      if (isPositive(reply)) session.dirty = false;
      else session.fail(`RSET was answered with ${reply.code}`, false);
    } catch {
      // The session is lost, and has been forgotten by onLost.
    }
    this.release(session);
  }
}
