import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';

/** A trouble that has not occurred for this long is over if the work has succeeded since. */
const QUIET: Milliseconds = 10 * SECOND;

export interface TroubleListener {
  /** It has failed for the first time. */
  began(reason: string): void;
  /** @param count how often it has failed @param spanMs from the first time to the last */
  over(count: number, spanMs: Milliseconds): void;
}

/** What may fail a thousand times a second is told twice: when it begins, and when it is over. */
export class Trouble {
  readonly #clock: Pick<AlarmClock, 'after' | 'monotonic'>;
  readonly #listener: TroubleListener;
  #count = 0;
  #firstAt: Milliseconds = 0;
  #lastAt: Milliseconds = 0;
  #worksAgain = false;

  constructor(clock: Pick<AlarmClock, 'after' | 'monotonic'>, listener: TroubleListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  get on(): boolean {
    return this.#count > 0;
  }

  /** Whether it failed when it was last tried. */
  get fails(): boolean {
    return this.on && !this.#worksAgain;
  }

  failed(reason: string): void {
    this.#worksAgain = false;
    this.#lastAt = this.#clock.monotonic();
    if (this.#count++ > 0) return;
    this.#firstAt = this.#lastAt;
    this.#listener.began(reason);
    this.#look();
  }

  worked(): void {
    this.#worksAgain = true;
  }

  #look(): void {
    this.#clock.after(QUIET, () => {
      if (!this.#worksAgain || this.#clock.monotonic() - this.#lastAt < QUIET) return this.#look();
      const count = this.#count;
      this.#count = 0;
      this.#listener.over(count, Math.round(this.#lastAt - this.#firstAt));
    });
  }
}
