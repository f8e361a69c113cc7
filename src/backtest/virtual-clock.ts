import TinyQueue from 'tinyqueue';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';

interface Alarm {
  readonly at: Instant;
  /** Of alarms for the same instant, the one that was set first rings first. */
  readonly order: number;
  callback: (() => void) | undefined;
}

/** A clock that events drive: moved on, it rings what falls due on the way, each at its own time and in order. */
export class VirtualClock implements AlarmClock {
  readonly #alarms = new TinyQueue<Alarm>([], (a, b) => a.at - b.at || a.order - b.order);
  #now: Instant;
  #order = 0;
  /** When the next alarm rings: asked at every event. */
  #next: Instant = Infinity;

  constructor(start: Instant) {
    this.#now = start;
  }

  now(): Instant {
    return this.#now;
  }

  /** Nobody sets this clock. */
  monotonic(): Milliseconds {
    return this.#now;
  }

  after(span: Milliseconds, callback: () => void): () => void {
    return this.wakeAt(this.#now + span, callback);
  }

  /** When the next alarm rings; Infinity where none is set. */
  get next(): Instant {
    return this.#next;
  }

  wakeAt(at: Instant, callback: () => void): () => void {
    const alarm: Alarm = { at, order: this.#order++, callback };
    this.#alarms.push(alarm);
    if (at < this.#next) this.#next = at;
    return () => (alarm.callback = undefined);
  }

  /** Never goes back: an instant that has passed leaves the time as it is. */
  advance(to: Instant): void {
    while (this.#next <= to) {
      const { at, callback } = this.#alarms.pop()!;
      this.#next = this.#alarms.peek()?.at ?? Infinity;
      if (at > this.#now) this.#now = at;
      callback?.();
    }
    if (to > this.#now) this.#now = to;
  }
}
