import type { Instant } from '../../src/kernel/time.js';
import { SECOND } from '../../src/kernel/time.js';
import { DISTINCT_MAX } from '../../src/rules/model.js';
import { PAGE_BITS, PAGE_ROWS, Page } from './window-page.js';

/** A row: so many hashes, then when each was seen last, in seconds. */
const CELLS = 2 * DISTINCT_MAX;

export type DistinctCellsState = readonly Uint8Array[];

/**
 * How many different names each row has seen lately, of one kind: the newest {@link DISTINCT_MAX}, as hashes of 32
 * bits. So a count is exact as long as it is lower than that, but for one hash in four billion that is another's.
 */
export class DistinctCells {
  readonly #pages: (Page | undefined)[] = [];

  /** @param hash of the name, not 0 */
  note(row: number, hash: number, at: Instant): void {
    const { u32 } = this.#writable(row);
    const first = cellOf(row);
    const second = Math.floor(at / SECOND);
    let oldest = 0;
    for (let slot = 0; slot < DISTINCT_MAX; slot++) {
      const seen = u32[first + DISTINCT_MAX + slot]!;
      if (u32[first + slot] === hash) {
        if (second > seen) u32[first + DISTINCT_MAX + slot] = second;
        return;
      }
      if (seen < u32[first + DISTINCT_MAX + oldest]!) oldest = slot;
      // Slots are filled in order: behind the first that is free there are none.
      if (seen === 0) break;
    }
    if (second < u32[first + DISTINCT_MAX + oldest]!) return;
    u32[first + oldest] = hash;
    u32[first + DISTINCT_MAX + oldest] = second;
  }

  /** How many were seen after `since`. Changes nothing. */
  count(row: number, since: Instant): number {
    const page = this.#pages[row >> PAGE_BITS];
    if (page === undefined) return 0;
    const first = cellOf(row) + DISTINCT_MAX;
    let count = 0;
    for (let slot = 0; slot < DISTINCT_MAX; slot++) {
      const second = page.u32[first + slot]!;
      if (second === 0) break;
      if (second * SECOND > since) count++;
    }
    return count;
  }

  clear(row: number): void {
    if (this.#pages[row >> PAGE_BITS] === undefined) return;
    this.#writable(row).u32.fill(0, cellOf(row), cellOf(row) + CELLS);
  }

  /** Takes over what another has of a row. */
  copy(row: number, other: DistinctCells, otherRow: number): void {
    const page = other.#pages[otherRow >> PAGE_BITS];
    if (page === undefined) return;
    const from = cellOf(otherRow);
    this.#writable(row).u32.set(page.u32.subarray(from, from + CELLS), cellOf(row));
  }

  /** A page is copied when it is next written to. The opposite of {@link restore}. */
  dump(): DistinctCellsState {
    return Array.from(this.#pages, (page) => page?.share() ?? NO_BYTES);
  }

  /** Takes over what {@link dump} gave. Must come before anything is noted. */
  restore(pages: DistinctCellsState): void {
    for (const bytes of pages) this.#pages.push(bytes.length === 0 ? undefined : Page.like(bytes));
  }

  #writable(row: number): Page {
    const index = row >> PAGE_BITS;
    const page = this.#pages[index];
    if (page === undefined) return (this.#pages[index] = Page.of(PAGE_ROWS * CELLS * 4));
    return page.shared ? (this.#pages[index] = Page.like(page.bytes)) : page;
  }
}

const NO_BYTES = new Uint8Array(0);

function cellOf(row: number): number {
  return (row & (PAGE_ROWS - 1)) * CELLS;
}
