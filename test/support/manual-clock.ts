import type { AlarmClock, Instant, Milliseconds } from '../../src/kernel/time.js';

/** 2026-03-01T12:00:00Z: where tests begin unless they say otherwise. */
export const NOON: Instant = Date.UTC(2026, 2, 1, 12);

interface Alarm {
  readonly at: Instant;
  readonly callback: () => void;
}

/** A clock that stands still until it is told otherwise, and then rings what fell due, in order. */
export class ManualClock implements AlarmClock {
  #now: Instant;
  #alarms: Alarm[] = [];

  constructor(start: Instant = NOON) {
    this.#now = start;
  }

  /** Alarms that have not rung. */
  get waiting(): number {
    return this.#alarms.length;
  }

  now(): Instant {
    return this.#now;
  }

  wakeAt(at: Instant, callback: () => void): () => void {
    const alarm: Alarm = { at, callback };
    this.#alarms.push(alarm);
    return () => this.#drop(alarm);
  }

  /** Moves on; each alarm that falls due on the way rings at its own time, also one that another has set. */
  advance(by: Milliseconds): void {
    const end = this.#now + by;
    for (;;) {
      const next = this.#alarms.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#drop(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = end;
  }

  /** Moves on without ringing, as if every alarm were late. */
  skip(by: Milliseconds): void {
    this.#now += by;
  }

  #drop(alarm: Alarm): void {
    this.#alarms = this.#alarms.filter((other) => other !== alarm);
  }
}
