import type { Instant, Milliseconds } from '../../src/kernel/time.js';

/** Buckets in a window: its error is at most one of them, and always in the sender's favour. */
export const BUCKETS = 60;

/** Rows in a page: a table grows by pages, so growing never copies. */
export const PAGE_BITS = 8;
export const PAGE_ROWS = 1 << PAGE_BITS;

/** One block of memory, viewed as four kinds of cells: the data of a row is contiguous. */
export class Page {
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly bytes: Uint8Array;
  #shared = false;

  private constructor(buffer: ArrayBuffer) {
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  static of(bytes: number): Page {
    return new Page(new ArrayBuffer(bytes));
  }

  /** A copy of a page. */
  static like(bytes: Uint8Array): Page {
    const page = Page.of(bytes.length);
    page.bytes.set(bytes);
    return page;
  }

  /** True if its memory is part of a dump too: it must not be written to. */
  get shared(): boolean {
    return this.#shared;
  }

  share(): Uint8Array {
    this.#shared = true;
    return this.bytes;
  }
}

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
 * A row begins with a head for every window: the number of the newest bucket (counted from the epoch) and the sum of
 * the cells. The cells follow. So an add touches one cache line for the heads and one for the cell.
 */
const NARROW_HEAD = 8;
const WIDE_HEAD = 16;

/**
 * Sliding windows by row, in flat memory. A window of length W is kept in 60 buckets of W/60: the one that is being
 * filled and the 59 before it. So it covers between 59/60 W and W, and what it misses is the oldest sixtieth: a count
 * is never too high. A narrow window takes 128 bytes and a wide one 256, for any volume.
 *
 * Events may come out of order: a window ends at its newest event. A narrow bucket saturates at 65,535, a wide one is
 * exact up to 2^24 and rounds to 24 bits beyond.
 */
export class WindowCells {
  readonly #pages: Page[] = [];
  readonly #columns: readonly Column[];
  /** The length of a bucket, by column. */
  readonly #widths: Float64Array;
  /** Where each column's head and cells begin within a row, in bytes. */
  readonly #heads: Int32Array;
  readonly #cells: Int32Array;
  /** Bytes in a row. */
  readonly #stride: number;

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#widths = Float64Array.from(columns, (column) => column.window / BUCKETS);
    let bytes = 0;
    const take = (size: number): number => (bytes += size) - size;
    this.#heads = Int32Array.from(columns, ({ wide }) => take(wide ? WIDE_HEAD : NARROW_HEAD));
    this.#cells = Int32Array.from(columns, ({ wide }) => take(BUCKETS * (wide ? 4 : 2)));
    // Float64 sums must lie on a multiple of eight: 60 cells of 2 or 4 bytes, and heads of 8 or 16, always do.
    this.#stride = bytes;
  }

  /** Room for one row more than there are, if there is none. */
  makeRoom(row: number): void {
    if (row >> PAGE_BITS === this.#pages.length) this.#pages.push(Page.of(PAGE_ROWS * this.#stride));
  }

  /** The present cells: a page is copied at its next write, so that nothing waits for a full copy. */
  share(): readonly Uint8Array[] {
    return this.#pages.map((page) => page.share());
  }

  /** Copies pages that cells of the same columns shared. Call it before anything is added. */
  copyOf(pages: readonly Uint8Array[]): void {
    for (const bytes of pages) {
      if (bytes.length !== PAGE_ROWS * this.#stride) throw new Error('a page of windows has another size');
      this.#pages.push(Page.like(bytes));
    }
  }

  /**
   * Adds to one window, in the bucket of `at`.
   *
   * @returns the count within the window now; 0 if `at` is older than the window, and nothing was added
   */
  add(row: number, column: number, at: Instant, amount: number): number {
    const page = this.#writable(row);
    const start = (row & (PAGE_ROWS - 1)) * this.#stride;
    const head = (start + this.#heads[column]!) >> 2;
    const cells = start + this.#cells[column]!;
    const bucket = Math.floor(at / this.#widths[column]!);
    const newest = page.u32[head]!;
    if (bucket <= newest - BUCKETS) return 0;
    if (this.#columns[column]!.wide) {
      const sum = (head + 2) >> 1;
      if (bucket > newest) {
        page.u32[head] = bucket;
        // Most senders have been silent for longer than their shorter windows reach back.
        if (page.f64[sum]! > 0) page.f64[sum]! -= empty(page.f32, cells >> 2, newest, bucket);
      }
      const cell = (cells >> 2) + (bucket % BUCKETS);
      const before = page.f32[cell]!;
      page.f32[cell] = before + amount;
      return (page.f64[sum]! += page.f32[cell] - before);
    }
    if (bucket > newest) {
      page.u32[head] = bucket;
      if (page.u32[head + 1]! > 0) page.u32[head + 1]! -= empty(page.u16, cells >> 1, newest, bucket);
    }
    const cell = (cells >> 1) + (bucket % BUCKETS);
    const before = page.u16[cell]!;
    const after = Math.min(NARROW_MAX, before + amount);
    page.u16[cell] = after;
    return (page.u32[head + 1]! += after - before);
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

  /** Notes a size in one narrow column. @returns the smaller of the new size and the stored one */
  #raiseOne(row: number, column: number, bucket: number, size: number): number {
    const { u16, u32 } = this.#writable(row);
    const start = (row & (PAGE_ROWS - 1)) * this.#stride;
    const head = (start + this.#heads[column]!) >> 2;
    const cells = (start + this.#cells[column]!) >> 1;
    const newest = u32[head]!;
    if (bucket <= newest - BUCKETS) return 0;
    if (bucket > newest) {
      u32[head] = bucket;
      if (u32[head + 1]! > 0) u32[head + 1]! -= empty(u16, cells, newest, bucket);
    }
    const cell = cells + (bucket % BUCKETS);
    const largest = u16[cell]!;
    if (size <= largest) return size;
    const held = Math.min(NARROW_MAX, size);
    u16[cell] = held;
    u32[head + 1]! += held - largest;
    return largest;
  }

  /** The sum of the largest messages, one or two, within the window, in buckets after that of `since`. */
  largest(row: number, first: number, second: number | undefined, at: Instant, since = 0): number {
    const width = this.#widths[first]!;
    const newest = this.#newest(row, first);
    const bucket = Math.floor(at / width);
    const oldest = Math.max(0, bucket - BUCKETS + 1, newest - BUCKETS + 1);
    const from = since === 0 ? oldest : Math.max(oldest, Math.floor(since / width) + 1);
    // Both columns are narrow and move together: a look-up cell by cell would cost more than the rest of a send.
    const { u16 } = this.#pages[row >> PAGE_BITS]!;
    const start = (row & (PAGE_ROWS - 1)) * this.#stride;
    const ones = (start + this.#cells[first]!) >> 1;
    const others = second === undefined ? ones : (start + this.#cells[second]!) >> 1;
    let largest = 0;
    let next = 0;
    let place = from % BUCKETS;
    for (let left = Math.min(bucket, newest) - from; left >= 0; left--) {
      const size = u16[ones + place]!;
      if (size > largest) {
        if (largest > next) next = largest;
        largest = size;
      } else if (size > next) next = size;
      if (second !== undefined && u16[others + place]! > next) next = u16[others + place]!;
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
    const start = (row & (PAGE_ROWS - 1)) * this.#stride;
    this.#writable(row).u32.fill(0, start >> 2, (start + this.#stride) >> 2);
  }

  /** Whether every window of a row that ends at `at` is empty. */
  isEmpty(row: number, at: Instant): boolean {
    for (let column = 0; column < this.#columns.length; column++) {
      if (this.#newest(row, column) > Math.floor(at / this.#widths[column]!) - BUCKETS) return false;
    }
    return true;
  }
  /** Where a column's head begins, in 32-bit elements of its page. */
  #head(row: number, column: number): number {
    return ((row & (PAGE_ROWS - 1)) * this.#stride + this.#heads[column]!) >> 2;
  }

  #newest(row: number, column: number): number {
    return this.#pages[row >> PAGE_BITS]!.u32[this.#head(row, column)]!;
  }

  #total(row: number, column: number): number {
    const page = this.#pages[row >> PAGE_BITS]!;
    const head = this.#head(row, column);
    return this.#columns[column]!.wide ? page.f64[(head + 2) >> 1]! : page.u32[head + 1]!;
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
    const page = this.#pages[row >> PAGE_BITS]!;
    const cells = (row & (PAGE_ROWS - 1)) * this.#stride + this.#cells[column]!;
    return this.#columns[column]!.wide
      ? page.f32[(cells >> 2) + (bucket % BUCKETS)]!
      : page.u16[(cells >> 1) + (bucket % BUCKETS)]!;
  }

  /** Sets a bucket within the window. */
  #write(row: number, column: number, bucket: number, amount: number): void {
    const page = this.#writable(row);
    const cells = (row & (PAGE_ROWS - 1)) * this.#stride + this.#cells[column]!;
    const head = this.#head(row, column);
    const before = this.#cell(row, column, bucket);
    if (this.#columns[column]!.wide) {
      page.f32[(cells >> 2) + (bucket % BUCKETS)] = amount;
      page.f64[(head + 2) >> 1]! += this.#cell(row, column, bucket) - before;
    } else {
      page.u16[(cells >> 1) + (bucket % BUCKETS)] = Math.min(NARROW_MAX, amount);
      page.u32[head + 1]! += this.#cell(row, column, bucket) - before;
    }
  }

  #writable(row: number): Page {
    const page = this.#pages[row >> PAGE_BITS]!;
    return page.shared ? (this.#pages[row >> PAGE_BITS] = Page.like(page.bytes)) : page;
  }
}
