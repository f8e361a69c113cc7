import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import type { BackoffOptions } from '../../runtime/clock.js';
import { pauseAfter } from '../../runtime/clock.js';
import type { Sender } from './port.js';
import { RelayUnreachable } from './port.js';
import type { Session } from './session.js';

/**
 * Shares a limited resource. A sender may have as much as it leaves to others: one alone gets half, two get a third
 * each, and the next to come finds some at once.
 */
export class Shares {
  readonly #max: () => number;
  readonly #had = new Map<Sender, number>();
  #total = 0;

  constructor(max: () => number) {
    this.#max = max;
  }

  of(sender: Sender): number {
    return this.#had.get(sender) ?? 0;
  }

  /** Whether it may have one more. */
  allows(sender: Sender): boolean {
    return this.of(sender) < this.#max() - this.#total;
  }

  take(sender: Sender): void {
    this.#total++;
    this.#had.set(sender, this.of(sender) + 1);
  }

  giveBack(sender: Sender): void {
    this.#total--;
    const left = this.of(sender) - 1;
    if (left > 0) this.#had.set(sender, left);
    else this.#had.delete(sender);
  }
}

/** A request that waits for a session. */
export interface Waiter {
  readonly owner: object;
  readonly sender: Sender;
  /** The session that its transaction is open on, if it still is. */
  readonly preferred: Session | undefined;
}

interface Entry extends Waiter {
  readonly resolve: (session: Session) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export interface QueueOptions {
  readonly maxWaiting: number;
  readonly waitTimeout: Milliseconds;
  /** What each sender has of the sessions. */
  readonly sessions: Shares;
  /** Called when a wait times out, before the waiter learns of it. */
  readonly onTimeout: () => void;
}

/** The queue for sessions, bounded in length and in time. Senders take turns. */
export class SessionQueue {
  readonly #options: QueueOptions;
  readonly #places: Shares;
  /** By sender, the one whose turn is longest ago first; each with its own queue, first come first served. */
  readonly #waiting = new Map<Sender, Map<object, Entry>>();
  #size = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#places = new Shares(() => options.maxWaiting);
  }

  get size(): number {
    return this.#size;
  }

  /** @throws RelayUnreachable if it is full; the result rejects with it if the wait times out */
  enter(waiter: Waiter): Promise<Session> {
    const { maxWaiting, waitTimeout, onTimeout } = this.#options;
    const { owner, sender } = waiter;
    if (this.#size >= maxWaiting) throw inVain(`${maxWaiting} commands wait for the upstream already`);
    if (!this.#places.allows(sender))
      throw inVain('too many commands of this sender wait for the upstream already');
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        onTimeout();
        this.#leave(entry);
        reject(inVain(`no session with the upstream was free within ${waitTimeout} ms`));
      }, waitTimeout);
      const entry: Entry = { ...waiter, resolve, reject, timer };
      const ofSender = this.#waiting.get(sender) ?? new Map<object, Entry>();
      this.#waiting.set(sender, ofSender.set(owner, entry));
      this.#places.take(sender);
      this.#size++;
    });
  }

  /** The next waiter: among the senders that may have another session, one with the fewest. */
  next(): Waiter | undefined {
    const { sessions } = this.#options;
    let turn: ReadonlyMap<object, Entry> | undefined;
    let fewest = Infinity;
    for (const [sender, waiters] of this.#waiting) {
      const has = sessions.of(sender);
      if (has >= fewest || !sessions.allows(sender)) continue;
      turn = waiters;
      fewest = has;
      if (has === 0) break;
    }
    return turn?.values().next().value;
  }

  serve({ owner, sender }: Waiter, session: Session): void {
    const entry = this.#waiting.get(sender)!.get(owner)!;
    this.#leave(entry);
    const others = this.#waiting.get(sender);
    if (others !== undefined) {
      this.#waiting.delete(sender);
      this.#waiting.set(sender, others);
    }
    entry.resolve(session);
  }

  /** The owner no longer wants a session. */
  withdraw(owner: object, sender: Sender): void {
    const entry = this.#waiting.get(sender)?.get(owner);
    if (entry === undefined) return;
    this.#leave(entry);
    entry.reject(new RelayUnreachable('the client is gone'));
  }

  dismissAll(why: string): void {
    for (const waiters of [...this.#waiting.values()])
      for (const entry of [...waiters.values()]) {
        this.#leave(entry);
        entry.reject(new RelayUnreachable(why));
      }
  }

  #leave(entry: Entry): void {
    const { sender, owner, timer } = entry;
    clearTimeout(timer);
    const ofSender = this.#waiting.get(sender)!;
    ofSender.delete(owner);
    if (ofSender.size === 0) this.#waiting.delete(sender);
    this.#places.giveBack(sender);
    this.#size--;
  }
}

function inVain(message: string): RelayUnreachable {
  return new RelayUnreachable(message, { fault: message });
}

export interface OutageOptions {
  readonly backoff: BackoffOptions;
  readonly onNotice: (text: string) => void;
  readonly onReached: () => void;
}

/** Whether the upstream accepts connections. After a failure there is a pause, in which nobody tries. */
export class Outage {
  readonly #options: OutageOptions;
  #failures = 0;
  #retryAt = 0;
  #why = '';

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** The last connect failed. */
  get on(): boolean {
    return this.#failures > 0;
  }

  get pausing(): boolean {
    return this.#failures > 0 && performance.now() < this.#retryAt;
  }

  failed(why: string): void {
    if (this.#failures === 0) this.#options.onNotice(`the upstream is out of reach: ${why}`);
    this.#why = why;
    this.#failures++;
    this.#retryAt = performance.now() + pauseAfter(this.#failures, this.#options.backoff);
  }

  over(): void {
    if (this.#failures > 0) this.#options.onNotice('the upstream is back');
    this.#failures = 0;
    this.#options.onReached();
  }

  error(): RelayUnreachable {
    return new RelayUnreachable(`the upstream is out of reach: ${this.#why}`);
  }
}
