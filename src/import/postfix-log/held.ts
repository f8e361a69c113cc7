import type { Instant, Milliseconds } from '../../kernel/time.js';
import { MINUTE, SECOND } from '../../kernel/time.js';

/** What waits for its turn. */
export interface Waiting {
  readonly at: Instant;
  /** Nothing more will be learnt of it. */
  readonly settled: boolean;
}

/** Lines may be out of order by so much without what is made of them being so. */
const DISORDER: Milliseconds = 5 * SECOND;
/** What is not settled by then goes as it is: a message may be deferred for days. */
const PATIENCE: Milliseconds = 5 * MINUTE;
/** Some 50 MB. Beyond it the oldest goes as it is. */
const MOST = 100_000;

/** Holds back what happened until enough is known of it, and lets it go in the order of time. */
export class Held<Item extends Waiting> {
  #items: Item[] = [];
  #gone = 0;

  get size(): number {
    return this.#items.length - this.#gone;
  }

  add(item: Item): void {
    let place = this.#items.length;
    while (place > this.#gone && this.#items[place - 1]!.at > item.at) place--;
    if (place === this.#items.length) this.#items.push(item);
    else this.#items.splice(place, 0, item);
  }

  /**
   * Lets go what may go at `now`, by the log's own time.
   *
   * @param most so many at once
   */
  release(now: Instant, each: (item: Item) => void, most = Infinity): void {
    for (let gone = 0; gone < most && this.size > 0; gone++) {
      const oldest = this.#items[this.#gone]!;
      const age = now - oldest.at;
      if (this.size <= MOST && age < (oldest.settled ? DISORDER : PATIENCE)) break;
      this.#gone++;
      each(oldest);
    }
    if (this.#gone < 4096 || this.#gone * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#gone);
    this.#gone = 0;
  }
}
