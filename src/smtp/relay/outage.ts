import { performance } from 'node:perf_hooks';
import type { Milliseconds } from '../../kernel/time.js';
import { RelayUnreachable } from './port.js';

export interface OutageOptions {
  readonly backoff: { readonly first: Milliseconds; readonly max: Milliseconds };
  readonly random: () => number;
  readonly onNotice: (text: string) => void;
}

/**
 * Whether the upstream can be connected to. After a failure there is a pause, in which nobody tries; it doubles
 * with each failure in a row, and a random part is taken off, so that many nodes do not come back as one.
 */
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
    const { first, max } = this.#options.backoff;
    const full = Math.min(max, first * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    this.#retryAt = performance.now() + full * (1 - this.#options.random() / 2);
  }

  over(): void {
    if (this.#failures > 0) this.#options.onNotice('the upstream is back');
    this.#failures = 0;
  }

  error(): RelayUnreachable {
    return new RelayUnreachable(`the upstream is out of reach: ${this.#why}`);
  }
}
