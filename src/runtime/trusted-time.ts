import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, WEEK } from '../kernel/time.js';

/** A clock that leaps further, though no such time has passed, may be wrong. */
const LEAP: Milliseconds = HOUR;
/** So long a machine may be off without a doubt about its clock. */
const OFF: Milliseconds = 31 * DAY;
/** Once a clock has stood for so long after a leap, it is right: a machine may have been suspended, which no span tells. */
const STANDS: Milliseconds = DAY;
/** The same of a leap by more than a machine is off. */
const STANDS_FAR: Milliseconds = WEEK;

/**
 * The time for what cannot be taken back: never further ahead than time has passed. If somebody sets the clock ahead, or
 * the process starts while it is far ahead, it goes on from where it was until the clock has stood for a day, after a leap of more than 31 days for a week.
 */
export class TrustedTime {
  readonly #clock: Pick<AlarmClock, 'now' | 'monotonic'>;
  /** A time that was right, and what {@link AlarmClock.monotonic} said then. */
  #right: Instant;
  #span: Milliseconds;
  /** By the monotonic clock: since when the other one shows another time. */
  #offSince: Milliseconds | undefined;

  /** @param latest when something was last recorded before; 0 if nothing was */
  constructor(clock: Pick<AlarmClock, 'now' | 'monotonic'>, latest: Instant) {
    this.#clock = clock;
    const now = clock.now();
    const isLikely = latest === 0 || (now >= latest && now <= latest + OFF);
    this.#right = isLikely ? now : latest;
    this.#span = clock.monotonic();
  }

  now(): Instant {
    const now = this.#clock.now();
    const span = this.#clock.monotonic();
    const expected = this.#right + span - this.#span;
    if (Math.abs(now - expected) <= LEAP) this.#offSince = undefined;
    else {
      this.#offSince ??= span;
      const stands = Math.abs(now - expected) <= OFF ? STANDS : STANDS_FAR;
      if (span - this.#offSince < stands) return Math.min(now, expected);
      this.#offSince = undefined;
    }
    this.#right = now;
    this.#span = span;
    return now;
  }
}
