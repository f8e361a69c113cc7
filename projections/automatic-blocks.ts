import type { BlockEvent } from '../src/blocks/events.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { DAY } from '../src/kernel/time.js';

/** The longest window that a breaker may have. */
const LONGEST: Milliseconds = DAY;

/** When rules imposed blocks by themselves: what the circuit breaker looks at. */
export class AutomaticBlocks {
  #times: Instant[] = [];

  apply(event: BlockEvent): void {
    if (event.type !== 'BlockImposed' || !event.by.startsWith('rule:')) return;
    this.#times.push(event.at);
    if (this.#times.length > 1024 && this.#times[512]! < event.at - LONGEST)
      this.#times = this.#times.slice(512);
  }

  /** When they were imposed. The opposite of {@link restore}. */
  dump(): readonly Instant[] {
    return this.#times.slice();
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore(times: readonly Instant[]): void {
    this.#times = times.slice();
  }

  /** How many within the window that ends at `now`. */
  within(window: Milliseconds, now: Instant): number {
    let count = 0;
    for (let index = this.#times.length - 1; index >= 0 && this.#times[index]! > now - window; index--)
      count++;
    return count;
  }
}
