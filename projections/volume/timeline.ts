import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { SECOND } from '../../src/kernel/time.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';

const STEP: Milliseconds = 10 * SECOND;

export interface TimelineState {
  readonly times: readonly Instant[];
  /** As many: one each. */
  readonly positions: readonly number[];
}

/** Which position the store had reached when: one entry each ten seconds in which something happened. */
export class Timeline {
  #times: Instant[] = [];
  #positions: number[] = [];
  readonly #keep: () => Milliseconds;

  /** @param keep how far back it must reach, from an event that comes as late as clocks may differ */
  constructor(keep: () => Milliseconds) {
    this.#keep = keep;
  }

  note(at: Instant, position: number): void {
    const last = this.#times.at(-1);
    if (last !== undefined && at < last + STEP) return;
    this.#times.push(at);
    this.#positions.push(position);
    if (this.#times.length > 1024 && this.#times[512]! < at - this.#keep() - 2 * CLOCK_TOLERANCE) {
      this.#times = this.#times.slice(512);
      this.#positions = this.#positions.slice(512);
    }
  }

  /** The opposite of {@link restore}. */
  dump(): TimelineState {
    return { times: this.#times.slice(), positions: this.#positions.slice() };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ times, positions }: TimelineState): void {
    this.#times = times.slice();
    this.#positions = positions.slice();
  }

  /** A position at or before the first event that happened at `at` or later. */
  positionAt(at: Instant): number {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#times[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return this.#positions[Math.max(0, low - 1)] ?? 1;
  }
}
