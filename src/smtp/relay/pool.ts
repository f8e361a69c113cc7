import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import type { Opening } from './connect.js';
import type { IdleOptions } from './idle.js';
import { IdleSessions, reset } from './idle.js';
import type { OutageOptions } from './outage.js';
import { Outage } from './outage.js';
import { RelayUnreachable } from './port.js';
import type { Session } from './session.js';
import { WaitingRoom } from './waiting.js';

/** How long a connect may take before it is no reason any more to leave open transactions alone. */
const CONNECT_GRACE: Milliseconds = 1000;

export interface PoolOptions extends OutageOptions, IdleOptions {
  readonly maxSessions: number;
  readonly maxWaiting: number;
  readonly waitTimeout: Milliseconds;
  readonly stealAfter: Milliseconds;
  readonly closeTimeout: Milliseconds;
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
  readonly #outage: Outage;
  readonly #waiting: WaitingRoom<Session>;
  /** Every live session, used or not. */
  readonly #live = new Set<Session>();
  readonly #idle: IdleSessions;
  readonly #opening = new Set<Opening>();
  readonly #quitting = new Set<Promise<unknown>>();
  /** The one connect that is tried after a failure. */
  #probe: Opening | undefined;
  #stealing: NodeJS.Timeout | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;
  #onDrained: (() => void) | undefined;

  constructor(open: () => Opening, options: PoolOptions) {
    this.#open = open;
    this.#options = options;
    this.#outage = new Outage(options);
    this.#idle = new IdleSessions(options);
    this.#waiting = new WaitingRoom(options.maxWaiting, options.waitTimeout, () => this.#waitedInVain());
  }

  get open(): number {
    return this.#live.size;
  }

  get busy(): number {
    return this.#live.size - this.#idle.size;
  }

  /**
   * A session for one exchange.
   *
   * @param preferred the session that this owner used last
   * @throws RelayUnreachable
   */
  take(owner: object, preferred: Session | undefined): Session | Promise<Session> {
    if (preferred !== undefined && preferred.owner === owner && this.#idle.takeHeld(preferred)) {
      return lent(preferred);
    }
    if (this.#closed) throw new RelayUnreachable('the relay is closed');
    const free = this.#idle.takeFree();
    if (free !== undefined) return lent(free);
    if (!this.#tryConnect()) {
      const stolen = this.#waiting.size === 0 ? this.#steal(1) : undefined;
      if (stolen !== undefined) return lent(stolen);
      if (this.#live.size === 0 && this.#outage.on) throw this.#outage.error();
    }
    const session = this.#waiting.enter();
    this.#armStealing();
    return session;
  }

  /** A new session in place of one that died in use; never one that has been lying about like it. */
  async replace(dead: Session): Promise<Session> {
    if (this.#closed || this.#outage.on) {
      this.#forget(dead);
      throw this.#closed ? new RelayUnreachable('the relay is closed') : this.#outage.error();
    }
    // Its place is taken over at once, before anyone who waits can claim it.
    this.#live.delete(dead);
    const opening = this.#open();
    this.#opening.add(opening);
    try {
      const session = await opening.ready;
      this.#opened(opening);
      this.#admit(session);
      return lent(session);
    } catch (error) {
      this.#opened(opening);
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
      this.#idle.hold(session);
      this.#armStealing();
    }
  }

  /** The owner has no more use for the transaction that is open on this session. */
  abandon(owner: object, session: Session | undefined): void {
    if (session?.owner !== owner) return;
    session.owner = undefined;
    session.dirty = true;
    // A session in use comes to its place when it is given back.
    if (this.#idle.takeHeld(session)) this.#offer(session);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.dismissAll('the relay is closed');
    clearTimeout(this.#stealing);
    for (const opening of this.#opening) opening.abort();
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

  /** A session that nobody has a claim to. */
  #offer(session: Session): void {
    if (this.#waiting.size === 0) this.#idle.addFree(session);
    else this.#waiting.serve(lent(session));
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

  /** Makes sure that those who wait get a held session as soon as one may be taken away. */
  #armStealing(): void {
    const oldest = this.#idle.longestHeld;
    if (this.#stealing !== undefined || oldest === undefined || this.#waiting.size === 0) return;
    const due = this.#stealableAt(oldest, this.#waiting.size) - performance.now();
    const steal = (): void => {
      this.#stealing = undefined;
      while (this.#waiting.size > 0) {
        const stolen = this.#steal(this.#waiting.size);
        if (stolen === undefined) break;
        this.#waiting.serve(lent(stolen));
      }
      this.#armStealing();
    };
    // Those who wait have timers of their own that keep the process up.
    this.#stealing = setTimeout(steal, Math.max(1, Math.ceil(due))).unref();
  }

  /** Sees to it that one more session comes, where that is allowed; says whether one is coming. */
  #tryConnect(): boolean {
    if (this.#live.size + this.#opening.size >= this.#options.maxSessions) return false;
    if (this.#outage.on) {
      if (this.#probe !== undefined || this.#outage.pausing) return false;
    } else if (this.#opening.size > this.#waiting.size) return true;
    const opening = this.#open();
    if (this.#outage.on) this.#probe = opening;
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
    // With one connect less under way, stealing may be due earlier.
    clearTimeout(this.#stealing);
    this.#stealing = undefined;
  }

  #admit(session: Session): void {
    this.#outage.over();
    this.#live.add(session);
    // One in use is let go when it is given back: its user may want another in its place.
    session.onLost = () => {
      if (this.#idle.has(session)) this.#forget(session);
    };
    const { idleTimeout, staleTransaction } = this.#options;
    const every = Math.max(5, Math.min(idleTimeout, staleTransaction) / 4);
    this.#sweeper ??= setInterval(() => this.#sweep(), every).unref();
  }

  #connectFailed(error: Error): void {
    this.#outage.failed(error.message);
    // Whoever waits for a session in use goes on waiting; where there is none, nothing can come.
    if (this.#live.size === 0 && this.#opening.size === 0) this.#waiting.dismissAll(error.message);
  }

  /** Without a live session, it is a connect that takes longer than anyone waits. */
  #waitedInVain(): void {
    if (this.#live.size > 0 || this.#outage.pausing) return;
    const probe = this.#probe;
    this.#probe = undefined;
    this.#outage.failed('it does not answer');
    // Without this, each pause would end with one more connection that hangs.
    probe?.abort();
  }

  /** A session is gone. Those who wait may need a new one in its place. */
  #forget(session: Session): void {
    session.onLost = undefined;
    if (!this.#live.delete(session)) return;
    this.#idle.remove(session);
    if (this.#live.size === 0) {
      this.#onDrained?.();
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
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

function lent(session: Session): Session {
  session.uses++;
  return session;
}
