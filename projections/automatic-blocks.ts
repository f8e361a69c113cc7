import type { BlockEvent } from '../src/blocks/events.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';

/** When rules imposed blocks by themselves: what the circuit breaker looks at. */
export class AutomaticBlocks {
  #times: Instant[] = [];

  apply(event: BlockEvent): void {
    if (event.type !== 'BlockImposed' || !event.by.startsWith('rule:')) return;
    this.#times.push(event.at);
    if (this.#times.length > 10_000) this.#times = this.#times.slice(5_000);
  }

  /** How many within the window that ends at `now`. */
  within(window: Milliseconds, now: Instant): number {
    let count = 0;
    for (let index = this.#times.length - 1; index >= 0 && this.#times[index]! > now - window; index--)
      count++;
    return count;
  }
}
