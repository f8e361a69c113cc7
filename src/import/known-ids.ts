import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from '../sending/events.js';
import type { EventStore } from '../store/port.js';
import { IMPORTER } from './history.js';

/** Where imported events stand. */
const IMPORTED_CATEGORIES: readonly string[] = [SEND_CATEGORY, AUTH_CATEGORY, PROFILE_CATEGORY];

/** Hexadecimal digits of an id that fit a number: two of ten million are the same once in a hundred such imports. */
const DIGITS = 13;

/**
 * The ids of what was imported into a store before, in eight bytes each: for a store that would write an event of the same
 * id a second time, once it has forgotten the first.
 */
export class KnownIds {
  #ids = new Float64Array(1024);
  #size = 0;

  /** Goes through all that stands in the store. */
  static async of(store: Pick<EventStore, 'readAll'>): Promise<KnownIds> {
    const known = new KnownIds();
    for await (const { id, by } of store.readAll({ categories: IMPORTED_CATEGORIES })) {
      if (by === IMPORTER) known.#add(id);
    }
    known.#ids = known.#ids.subarray(0, known.#size).sort();
    return known;
  }

  get size(): number {
    return this.#size;
  }

  has(id: string): boolean {
    const wanted = numberOf(id);
    let low = 0;
    let high = this.#size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ids[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.#size && this.#ids[low] === wanted;
  }

  #add(id: string): void {
    if (this.#size === this.#ids.length) {
      const longer = new Float64Array(2 * this.#size);
      longer.set(this.#ids);
      this.#ids = longer;
    }
    this.#ids[this.#size++] = numberOf(id);
  }
}

function numberOf(id: string): number {
  return Number.parseInt(id.replaceAll('-', '').slice(0, DIGITS), 16);
}
