import { setImmediate } from 'node:timers/promises';
import type { BlockLedger, LedgerEntry } from '../../projections/block-ledger.js';

/** Entries looked at before the event loop may turn: about a millisecond. */
const SLICE = 2000;

/**
 * The ledger's entries by when they began, walkable from either end and from any place. The ledger only ever
 * adds: so it is read on from where the last look ended, and a page never shifts under a cursor.
 */
export class BlockOrder {
  readonly #ledger: BlockLedger;
  readonly #entries: Iterator<LedgerEntry>;
  readonly #ids: string[] = [];
  /** Position of each entry's first event: rises with the order, never changes. */
  readonly #begins: number[] = [];

  constructor(ledger: BlockLedger) {
    this.#ledger = ledger;
    this.#entries = ledger.all();
  }

  /**
   * Walks the entries as they are when each is reached.
   *
   * @param beyond position of the first event of the entry to start behind; undefined: from the end
   */
  async *walk(order: 'newest' | 'oldest', beyond?: number): AsyncGenerator<LedgerEntry> {
    this.#readOn();
    const step = order === 'newest' ? -1 : 1;
    let index = this.#start(order, beyond);
    for (let looked = 1; index >= 0 && index < this.#ids.length; index += step, looked++) {
      yield this.#ledger.get(this.#ids[index]!)!;
      if (looked % SLICE === 0) await setImmediate();
    }
  }

  #start(order: 'newest' | 'oldest', beyond: number | undefined): number {
    if (beyond === undefined) return order === 'newest' ? this.#ids.length - 1 : 0;
    // The first that does not begin before, found by halving.
    let low = 0;
    let high = this.#begins.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#begins[middle]! < beyond) low = middle + 1;
      else high = middle;
    }
    if (order === 'newest') return low - 1;
    return this.#begins[low] === beyond ? low + 1 : low;
  }

  #readOn(): void {
    // Never up to its end: a map's iterator that has ended stays so.
    while (this.#ids.length < this.#ledger.size) {
      const entry = this.#entries.next().value as LedgerEntry;
      this.#ids.push(entry.id);
      this.#begins.push(beginOf(entry));
    }
  }
}

/** Where an entry stands in the order. */
export function beginOf(entry: LedgerEntry): number {
  return entry.history[0]!.position;
}
