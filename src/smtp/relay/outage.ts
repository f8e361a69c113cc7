import { performance } from 'node:perf_hooks';
import type { BackoffOptions } from '../../runtime/backoff.js';
import { pauseAfter } from '../../runtime/backoff.js';
import { RelayUnreachable } from './port.js';

export interface OutageOptions {
  readonly backoff: BackoffOptions;
  readonly onNotice: (text: string) => void;
}

/**
 * Whether the upstream can be connected to. After a failure there is a pause, in which nobody tries.

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
    this.#failures++;
    this.#retryAt = performance.now() + pauseAfter(this.#failures, this.#options.backoff);
  }

  over(): void {
    if (this.#failures > 0) this.#options.onNotice('the upstream is back');
    this.#failures = 0;
  }

  error(): RelayUnreachable {
    return new RelayUnreachable(`the upstream is out of reach: ${this.#why}`);
  }
}
