import type { LRUCache } from 'lru-cache';
import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { DAY, SECOND } from '../../kernel/time.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** Whole seconds that are kept. A back end takes ten at most. */
const MOST = 16;

/**
 * How long after it was asked about a failed login is answered: all after the same time, so that it tells nothing. The time is a
 * fixed one, or whole seconds beyond the slowest answer of the last day. Faster ones never make it shorter: strangers may try as many as they like.
 * Right passwords count too, or one that is to look wrong would be late. No answer takes longer than the deadline, so neither does this.
 */
export class FailureAge {
  readonly #least: Milliseconds;
  readonly #clock: Pick<AlarmClock, 'monotonic' | 'after'>;
  /** The whole seconds within which wrong passwords were answered during the last day, and right ones. */
  readonly #wrong: LRUCache<number, true>;
  readonly #right: LRUCache<number, true>;

  constructor(least: Milliseconds, clock: Pick<AlarmClock, 'monotonic' | 'after'>) {
    this.#least = least;
    this.#clock = clock;
    const perf = { now: () => clock.monotonic() + 1 }; // 0 means "never" to it
    this.#wrong = recentlyUsed(MOST, { ttl: DAY, ttlResolution: 0, perf });
    this.#right = recentlyUsed(MOST, { ttl: DAY, ttlResolution: 0, perf });
  }

  /** A wrong password was answered within the last day. */
  get isKnown(): boolean {
    return !this.#wrong.keys().next().done;
  }

  /** The back end has just answered. @param asked by the monotonic clock */
  learn(asked: Milliseconds, isRight: boolean): void {
    (isRight ? this.#right : this.#wrong).set(this.#secondsSince(asked), true);
  }

  /** Waits until a failure may be answered. @param asked by the monotonic clock */
  async reached(asked: Milliseconds): Promise<void> {
    const seconds = Math.max(...this.#wrong.keys(), ...this.#right.keys(), this.#secondsSince(asked));
    const left = asked + Math.max(this.#least, seconds * SECOND) - this.#clock.monotonic();
    if (left > 0) await new Promise<void>((resolve) => void this.#clock.after(left, resolve));
  }

  #secondsSince(asked: Milliseconds): number {
    return Math.ceil((this.#clock.monotonic() - asked) / SECOND);
  }
}
