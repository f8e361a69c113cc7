import type { Milliseconds } from '../kernel/time.js';

export interface BackoffOptions {
  /** Pause after the first failure. */
  readonly first: Milliseconds;
  /** No pause is longer. */
  readonly most: Milliseconds;
}

/** Pauses between attempts: each twice the last, and shortened by up to half so that many do not come at once. */
export class Backoff {
  private failures = 0;

  constructor(private readonly options: BackoffOptions) {}

  next(): Milliseconds {
    const { first, most } = this.options;
    const full = Math.min(most, first * 2 ** Math.min(this.failures++, 30));
    return full * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.failures = 0;
  }
}
