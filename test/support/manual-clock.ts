import type { AlarmClock, Instant, Milliseconds } from '../../src/kernel/time.js';

/** 2026-03-01T12:00:00Z: where tests begin unless they say otherwise. */
export const NOON: Instant = Date.UTC(2026, 2, 1, 12);

interface Alarm {
  /** How much time is left until it rings. */
  readonly left: () => Milliseconds;
  readonly callback: () => void;
}

/** A clock that a test moves; it then rings what fell due, in order. */
export class ManualClock implements AlarmClock {
  #now: Instant;
  #passed: Milliseconds = 0;
  #alarms: Alarm[] = [];

  constructor(start: Instant = NOON) {
    this.#now = start;
  }

  /** Alarms that have not rung. */
  get waiting(): number {
    return this.#alarms.length;
  }

  /** How many of them ring after just this span. */
  waitingFor(span: Milliseconds): number {
    return this.#alarms.filter(({ left }) => Math.abs(left() - span) < 1e-6).length;
  }

  now(): Instant {
    return this.#now;
  }

  monotonic(): Milliseconds {
    return this.#passed;
  }

  wakeAt(at: Instant, callback: () => void): () => void {
    return this.#set({ left: () => at - this.#now, callback });
  }

  after(span: Milliseconds, callback: () => void): () => void {
    const due = this.#passed + span;
    return this.#set({ left: () => due - this.#passed, callback });
  }

  /** Lets time pass; each alarm that falls due on the way rings at its own time, also one that another has set. */
  advance(by: Milliseconds): void {
    const end = this.#passed + by;
    for (;;) {
      const next = [...this.#alarms].sort((a, b) => a.left() - b.left())[0];
      if (next === undefined || next.left() > end - this.#passed) break;
      this.#drop(next);
      this.skip(Math.max(0, next.left()));
      next.callback();
    }
    this.skip(end - this.#passed);
  }

  /** Lets time pass without ringing, as if every alarm were late. */
  skip(by: Milliseconds): void {
    this.jump(by);
    this.#passed += by;
  }

  /** Somebody sets the clock, forward or back: no time passes. What is due by it rings when time next passes. */
  jump(by: Milliseconds): void {
    this.#now += by;
  }

  #set(alarm: Alarm): () => void {
    this.#alarms.push(alarm);
    return () => this.#drop(alarm);
  }

  #drop(alarm: Alarm): void {
    this.#alarms = this.#alarms.filter((other) => other !== alarm);
  }
}
