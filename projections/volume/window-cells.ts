import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import type { BlocksState } from './pages.js';
import { Blocks, NO_BLOCKS, Page, PAGE_BITS, PAGE_ROWS } from './pages.js';

/** Buckets in a window: its error is at most one of them, and always in the sender's favour. */
export const BUCKETS = 60;

/**
 * Empties the cells that fall out of a window when it moves on to a newer bucket.
 *
 * @returns the sum of those cells
 */
function empty(cells: Uint16Array | Float32Array, first: number, newest: number, bucket: number): number {
  let gone = 0;
  let place = Math.max(newest + 1, bucket - BUCKETS + 1) % BUCKETS;
  for (let left = Math.min(bucket - newest, BUCKETS); left > 0; left--) {
    gone += cells[first + place]!;
    cells[first + place] = 0;
    if (++place === BUCKETS) place = 0;
  }
  return gone;
}

/** One sliding window that every row of a table has. */
export interface Column {
  readonly window: Milliseconds;
  /** Wide cells hold values above 16 bits: bytes, and counts with large limits. */
  readonly wide: boolean;
}

const NARROW_MAX = 0xffff;

/*
 * A row has a head of four cells of 32 bits for every window: the number of the newest bucket (counted from the epoch), the
 * number of its block of cells, and the sum of the cells as a float of 64 bits. So an add touches one cache line for the
 * heads and at most one for the cell.
 */
const HEAD = 4;
const BLOCK = 1;
const HEAD_BYTES = 16;

export interface WindowCellsState {
  /** The rows' memory, 256 rows each, in the layout that the columns give. Never write to it. */
  readonly pages: readonly Uint8Array[];
  readonly narrow: BlocksState;
  readonly wide: BlocksState;
}

export const NO_CELLS: WindowCellsState = { pages: [], narrow: NO_BLOCKS, wide: NO_BLOCKS };

/**
 * Sliding windows by row, in flat memory. A window of length W is kept in 60 buckets of W/60: the one that is being
 * filled and the 59 before it. So it covers between 59/60 W and W, and what it misses is the oldest sixtieth: a count
 * is never too high. A window takes 16 bytes, and a block of cells (120 bytes, or 240 if it is wide) only while more than
 * its newest bucket holds something: most senders are silent for longer than most windows reach back.
 *
 * Events may come out of order: a window ends at its newest event. A narrow bucket holds 65,535, and what is more goes into those
 * before it: an override may allow more than the rule for which the window was laid out. A wide one is exact up to 2^24 and rounds to
 * 24 bits beyond.
 */
export class WindowCells {
  readonly #pages: Page[] = [];
  readonly #columns: readonly Column[];
  /** The length of a bucket, by column. */
  readonly #widths: Float64Array;
  readonly #narrow = new Blocks(Uint16Array, BUCKETS);
  readonly #wide = new Blocks(Float32Array, BUCKETS);
  /** By column. */
  readonly #blocks: readonly Blocks[];

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#widths = Float64Array.from(columns, (column) => column.window / BUCKETS);
    this.#blocks = columns.map(({ wide }) => (wide ? this.#wide : this.#narrow));
  }

  /** Room for one row more than there are, if there is none. */
  makeRoom(row: number): void {
    if (row >> PAGE_BITS === this.#pages.length) this.#pages.push(Page.of(this.#pageBytes));
  }

  /** The present cells: a page is copied at its next write, so that nothing waits for a full copy. */
  share(): WindowCellsState {
    const pages = this.#pages.map((page) => page.share());
    return { pages, narrow: this.#narrow.dump(), wide: this.#wide.dump() };
  }

  /** Copies what cells of the same columns shared. Call it before anything is added. */
  copyOf({ pages, narrow, wide }: WindowCellsState): void {
    for (const bytes of pages) {
      if (bytes.length !== this.#pageBytes) throw new Error('a page of windows has another size');
      this.#pages.push(Page.like(bytes));
    }
    this.#narrow.restore(narrow);
    this.#wide.restore(wide);
  }

  /**
   * Adds to one window, in the bucket of `at`.
   *
   * @returns the count within the window now; 0 if `at` is older than the window, and nothing was added
   */
  add(row: number, column: number, at: Instant, amount: number): number {
    const page = this.#writable(row);
    const head = this.#head(row, column);
    const bucket = Math.floor(at / this.#widths[column]!);
    const newest = page.u32[head]!;
    if (bucket <= newest - BUCKETS) return 0;
    if (bucket > newest) this.#moveOn(page, head, column, bucket);
    const sum = (head >> 1) + 1;
    const known = page.u32[head + BLOCK]!;
    const { wide } = this.#columns[column]!;
    const alone = page.f64[sum]! + amount;
    if (known === 0 && bucket >= newest && (wide || alone <= NARROW_MAX)) {
      return (page.f64[sum] = this.#held(column, alone));
    }
    const block = known === 0 ? this.#spread(page, head, column) : known;
    const cell = (block & (PAGE_ROWS - 1)) * BUCKETS + (bucket % BUCKETS);
    // One branch for each kind of cells: every send comes through here.
    if (wide) {
      const cells = this.#wide.writable(block);
      const before = cells[cell]!;
      cells[cell] = before + amount;
      return (page.f64[sum]! += cells[cell] - before);
    }
    const cells = this.#narrow.writable(block);
    const before = cells[cell]!;
    cells[cell] = Math.min(NARROW_MAX, before + amount);
    const put = cells[cell] - before;
    const more = put < amount ? this.#putBefore(page, head, block, bucket, amount - put) : 0;
    return (page.f64[sum]! += put + more);
  }

  /** Puts what a narrow bucket has no room for into those before it. @returns how much found room within the window */
  #putBefore(page: Page, head: number, block: number, bucket: number, amount: number): number {
    const cells = this.#narrow.writable(block);
    const first = this.#narrow.first(block);
    const oldest = Math.max(0, page.u32[head]! - BUCKETS + 1);
    let left = amount;
    for (let each = bucket - 1; each >= oldest && left > 0; each--) {
      const cell = first + (each % BUCKETS);
      const put = Math.min(NARROW_MAX - cells[cell]!, left);
      cells[cell] = cells[cell]! + put;
      left -= put;
    }
    return amount - left;
  }

  /**
   * Notes the size of a message in two columns of the same window, which hold each bucket's largest and second largest.
   *
   * @param second undefined if only the largest is held
   */
  raise(row: number, first: number, second: number | undefined, at: Instant, size: number): void {
    const bucket = Math.floor(at / this.#widths[first]!);
    const beneath = this.#raiseOne(row, first, bucket, size);
    if (second !== undefined) this.#raiseOne(row, second, bucket, beneath);
  }

  /** Notes a size in one column. @returns the smaller of the new size and the stored one */
  #raiseOne(row: number, column: number, bucket: number, size: number): number {
    const page = this.#writable(row);
    const head = this.#head(row, column);
    const newest = page.u32[head]!;
    if (bucket <= newest - BUCKETS) return 0;
    if (bucket > newest) this.#moveOn(page, head, column, bucket);
    const largest = this.#cell(row, column, bucket);
    if (size <= largest) return size;
    this.#write(row, column, bucket, size);
    return largest;
  }

  /** The sum of the largest messages, one or two, within the window, in buckets after that of `since`. */
  largest(row: number, first: number, second: number | undefined, at: Instant, since = 0): number {
    const width = this.#widths[first]!;
    const newest = this.#newest(row, first);
    const bucket = Math.floor(at / width);
    const oldest = Math.max(0, bucket - BUCKETS + 1, newest - BUCKETS + 1);
    const from = since === 0 ? oldest : Math.max(oldest, Math.floor(since / width) + 1);
    const last = Math.min(bucket, newest);
    // Both columns are narrow and move together: the second has a block only if the first has one.
    const page = this.#pages[row >> PAGE_BITS]!;
    const block = page.u32[this.#head(row, first) + BLOCK]!;
    if (block === 0 || from > last) {
      if (newest < from || newest > last) return 0;
      return this.#total(row, first) + (second === undefined ? 0 : this.#cell(row, second, newest));
    }
    // A look-up cell by cell would cost more than the rest of a send.
    const ones = this.#narrow.cells(block);
    const beneath = second === undefined ? 0 : page.u32[this.#head(row, second) + BLOCK]!;
    const others = beneath === 0 ? NO_OTHERS : this.#narrow.cells(beneath);
    const firstOne = this.#narrow.first(block);
    const firstOther = beneath === 0 ? 0 : this.#narrow.first(beneath);
    let largest = 0;
    let next = second !== undefined && beneath === 0 ? this.#cell(row, second, last) : 0;
    let place = from % BUCKETS;
    for (let left = last - from; left >= 0; left--) {
      const size = ones[firstOne + place]!;
      if (size > largest) {
        if (largest > next) next = largest;
        largest = size;
      } else if (size > next) next = size;
      const other = others[firstOther + place]!;
      if (other > next) next = other;
      if (++place === BUCKETS) place = 0;
    }
    return second === undefined ? largest : largest + next;
  }

  /** The count within the window that ends at `at`, or rather with its bucket. Changes nothing. */
  sum(row: number, column: number, at: Instant): number {
    const bucket = Math.floor(at / this.#widths[column]!);
    const newest = this.#newest(row, column);
    if (bucket === newest) return this.#total(row, column);
    return this.#between(row, column, bucket - BUCKETS + 1, Math.min(bucket, newest));
  }

  /** The count within the window in buckets after that of `since`, which itself is left out. Changes nothing. */
  sumAfter(row: number, column: number, at: Instant, since: Instant): number {
    const width = this.#widths[column]!;
    const bucket = Math.floor(at / width);
    const first = Math.max(bucket - BUCKETS + 1, Math.floor(since / width) + 1);
    return this.#between(row, column, first, Math.min(bucket, this.#newest(row, column)));
  }

  /** What the bucket of an instant holds. Changes nothing. */
  held(row: number, column: number, at: Instant): number {
    return this.#cell(row, column, Math.floor(at / this.#widths[column]!));
  }

  /** Whether two instants are in one bucket. */
  isSameBucket(column: number, a: Instant, b: Instant): boolean {
    const width = this.#widths[column]!;
    return Math.floor(a / width) === Math.floor(b / width);
  }

  /** The end of a window: `at`, or the newest written bucket if that is later. */
  end(row: number, column: number, at: Instant): Instant {
    return Math.max(at, this.#newest(row, column) * this.#widths[column]!);
  }

  /** The start of the window that ends at `at`. */
  windowStart(column: number, at: Instant): Instant {
    const width = this.#widths[column]!;
    return (Math.floor(at / width) - BUCKETS + 1) * width;
  }

  /** Subtracts another table's window of the same length from this one, cell by cell, down to 0. */
  subtract(row: number, column: number, other: WindowCells, otherRow: number, otherColumn: number): void {
    const newest = this.#newest(row, column);
    for (let each = newest - BUCKETS + 1; each <= newest; each++) {
      const before = this.#cell(row, column, each);
      const amount = Math.min(before, other.#cell(otherRow, otherColumn, each));
      if (amount > 0) this.#write(row, column, each, before - amount);
    }
  }

  /** Copies another table's window of the same length; the cells may have another width. */
  copy(row: number, column: number, other: WindowCells, otherRow: number, otherColumn: number): void {
    const newest = other.#newest(otherRow, otherColumn);
    this.add(row, column, newest * this.#widths[column]!, 0);
    for (let each = newest - BUCKETS + 1; each <= newest; each++) {
      const amount = other.#cell(otherRow, otherColumn, each);
      if (amount > 0) this.#write(row, column, each, amount);
    }
  }

  /** When the row's newest buckets began: it was last active then, or up to a bucket later. */
  touchedAt(row: number): Instant {
    let latest = 0;
    for (let column = 0; column < this.#columns.length; column++) {
      latest = Math.max(latest, this.#newest(row, column) * this.#widths[column]!);
    }
    return latest;
  }

  /** Empties every window of a row. */
  clear(row: number): void {
    const { u32 } = this.#writable(row);
    for (let column = 0; column < this.#columns.length; column++) {
      const head = this.#head(row, column);
      const block = u32[head + BLOCK]!;
      if (block !== 0) this.#blocks[column]!.giveBack(block);
      u32.fill(0, head, head + HEAD);
    }
  }

  /** Whether every window of a row that ends at `at` is empty. */
  isEmpty(row: number, at: Instant): boolean {
    for (let column = 0; column < this.#columns.length; column++) {
      if (this.#newest(row, column) > Math.floor(at / this.#widths[column]!) - BUCKETS) return false;
    }
    return true;
  }

  get #pageBytes(): number {
    return PAGE_ROWS * this.#columns.length * HEAD_BYTES;
  }

  /** Where a column's head begins, in 32-bit elements of its page. */
  #head(row: number, column: number): number {
    return ((row & (PAGE_ROWS - 1)) * this.#columns.length + column) * HEAD;
  }

  #newest(row: number, column: number): number {
    return this.#pages[row >> PAGE_BITS]!.u32[this.#head(row, column)]!;
  }

  #total(row: number, column: number): number {
    return this.#pages[row >> PAGE_BITS]!.f64[(this.#head(row, column) >> 1) + 1]!;
  }

  /** What a bucket can hold of an amount. */
  #held(column: number, amount: number): number {
    return this.#columns[column]!.wide ? Math.fround(amount) : Math.min(NARROW_MAX, Math.floor(amount));
  }

  /** A window moves on to a newer bucket. */
  #moveOn(page: Page, head: number, column: number, bucket: number): void {
    const newest = page.u32[head]!;
    const block = page.u32[head + BLOCK]!;
    const sum = (head >> 1) + 1;
    if (bucket - newest >= BUCKETS) {
      // Most senders have been silent for longer than their shorter windows reach back.
      if (block !== 0) this.#blocks[column]!.giveBack(block);
      page.u32[head + BLOCK] = 0;
      page.f64[sum] = 0;
    } else if (page.f64[sum]! > 0) {
      const blocks = this.#blocks[column]!;
      const own = block === 0 ? this.#spread(page, head, column) : block;
      page.f64[sum]! -= empty(blocks.writable(own), blocks.first(own), newest, bucket);
    }
    page.u32[head] = bucket;
  }

  /** Gives a window a block: its newest bucket holds all of it. */
  #spread(page: Page, head: number, column: number): number {
    const blocks = this.#blocks[column]!;
    const block = (page.u32[head + BLOCK] = blocks.take());
    blocks.writable(block)[blocks.first(block) + (page.u32[head]! % BUCKETS)] = page.f64[(head >> 1) + 1]!;
    return block;
  }

  #between(row: number, column: number, first: number, last: number): number {
    let sum = 0;
    for (let each = first; each <= last; each++) sum += this.#cell(row, column, each);
    return sum;
  }

  /** The content of one bucket; 0 if the window does not include it. */
  #cell(row: number, column: number, bucket: number): number {
    const newest = this.#newest(row, column);
    if (bucket > newest || bucket <= newest - BUCKETS || bucket < 0) return 0;
    const block = this.#pages[row >> PAGE_BITS]!.u32[this.#head(row, column) + BLOCK]!;
    if (block === 0) return bucket === newest ? this.#total(row, column) : 0;
    const blocks = this.#blocks[column]!;
    return blocks.cells(block)[blocks.first(block) + (bucket % BUCKETS)]!;
  }

  /** Sets a bucket within the window. */
  #write(row: number, column: number, bucket: number, amount: number): void {
    const page = this.#writable(row);
    const head = this.#head(row, column);
    const sum = (head >> 1) + 1;
    const known = page.u32[head + BLOCK]!;
    if (known === 0 && bucket === page.u32[head]) {
      page.f64[sum] = this.#held(column, amount);
      return;
    }
    const block = known === 0 ? this.#spread(page, head, column) : known;
    const blocks = this.#blocks[column]!;
    const cells = blocks.writable(block);
    const cell = blocks.first(block) + (bucket % BUCKETS);
    const before = cells[cell]!;
    cells[cell] = this.#held(column, amount);
    page.f64[sum]! += cells[cell] - before;
  }

  #writable(row: number): Page {
    const page = this.#pages[row >> PAGE_BITS]!;
    return page.shared ? (this.#pages[row >> PAGE_BITS] = Page.like(page.bytes)) : page;
  }
}

const NO_OTHERS = new Uint16Array(BUCKETS);
