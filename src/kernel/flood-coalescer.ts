import type { AlarmClock, Instant, Milliseconds } from './time.js';
import { SECOND } from './time.js';

/** How often a flood of the same thing is written down. */
const INTERVAL: Milliseconds = 10 * SECOND;
/** Different things that may be flooding at once; beyond it they are written one by one. */
const MOST_KEYS = 50_000;

interface Flood<Item> {
  item: Item;
  count: number;
  since: Instant;
}

/**
 * Makes many of the same into few: the first is written at once, what follows within ten seconds becomes one
 * more with its count. So a client that retries a hundred times a second costs six events a minute.
 */
export class FloodCoalescer<Item> {
  readonly #clock: AlarmClock;
  readonly #write: (item: Item, count: number, since: Instant) => void;
  readonly #floods = new Map<string, Flood<Item>>();

  constructor(clock: AlarmClock, write: (item: Item, count: number, since: Instant) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  /** @param key what is the same: the block and the stage, the network and the kind */
  add(key: string, item: Item): void {
    const now = this.#clock.now();
    const flood = this.#floods.get(key);
    if (flood !== undefined) {
      if (flood.count === 0) flood.since = now;
      flood.item = item;
      flood.count++;
      return;
    }
    this.#write(item, 1, now);
    if (this.#floods.size >= MOST_KEYS) return;
    this.#floods.set(key, { item, count: 0, since: now });
    this.#clock.after(INTERVAL, () => this.#settle(key));
  }

  /** Writes what has gathered, at shutdown. */
  flush(): void {
    for (const { item, count, since } of this.#floods.values())
      if (count > 0) this.#write(item, count, since);
    this.#floods.clear();
  }

  #settle(key: string): void {
    const flood = this.#floods.get(key);
    if (flood === undefined) return;
    if (flood.count === 0) {
      this.#floods.delete(key);
      return;
    }
    this.#write(flood.item, flood.count, flood.since);
    flood.count = 0;
    this.#clock.after(INTERVAL, () => this.#settle(key));
  }
}
