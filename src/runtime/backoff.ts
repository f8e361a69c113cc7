import type { Milliseconds } from '../kernel/time.js';

export interface BackoffOptions {
  /** Pause after the first failure. */
  readonly first: Milliseconds;
  /** No pause is longer. */
  readonly most: Milliseconds;
}

/**
 * How long to wait after so many failures in a row: each time twice as long, and shortened by up to half at random, so that
 * many who wait for the same do not come at once.
 */
export function pauseAfter(failures: number, { first, most }: BackoffOptions): Milliseconds {
  const full = Math.min(most, first * 2 ** Math.min(failures - 1, 30));
  return full * (0.5 + Math.random() / 2);
}

/** Pauses between attempts: see {@link pauseAfter}. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Counts one more failure. */
  next(): Milliseconds {
    return pauseAfter(++this.#failures, this.#options);
  }

  reset(): void {
    this.#failures = 0;
  }
}
