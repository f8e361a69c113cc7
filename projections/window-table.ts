import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { SECOND } from '../src/kernel/time.js';

/** Buckets a window: its error is at most one of them, and always in the sender's favour. */
export const BUCKETS = 60;

/** One sliding window that every row of a table has. */
export interface Column {
  readonly window: Milliseconds;
  /** Wide cells hold what 16 bits cannot: bytes, and counts with large limits. */
  readonly wide: boolean;
}

/** Rows a page: a table grows by pages, so growing never copies. */
const PAGE_BITS = 8;
const PAGE_ROWS = 1 << PAGE_BITS;
const NARROW_MAX = 0xffff;

interface Page {
  readonly narrow: Uint16Array;
  readonly wide: Float32Array;
  /** Newest bucket written, by row and column: bucket numbers count from the epoch. */
  readonly newest: Uint32Array;
  /** Sum of the buckets, by row and column. */
  readonly sums: Float64Array;
  /** Second of the last activity, by row. */
  readonly touched: Uint32Array;
}

/**
 * Sliding windows by key, in flat memory. A window of length W is kept in 60 buckets of W/60: the one that is
 * being filled and the 59 before it. So it covers between 59/60 W and W, and what it misses is the oldest
 * sixtieth: a count is never too high. 132 bytes a narrow window and 252 a wide one, whatever is sent.
 *
 * A narrow bucket saturates at 65,535, a wide one is exact up to 2^24 and rounds to 24 bits beyond.
 */
export class WindowTable {
  readonly #rows = new Map<string, number>();
  readonly #pages: Page[] = [];
  readonly #free: number[] = [];
  readonly #columns: readonly Column[];
  readonly #widths: readonly number[];
  /** Where each column's cells begin within its array's row. */
  readonly #offsets: readonly number[];
  readonly #narrowStride: number;
  readonly #wideStride: number;
  readonly #longest: Milliseconds;
  #rowCount = 0;
  #sweep: Iterator<[string, number]> | undefined;

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#widths = columns.map((column) => column.window / BUCKETS);
    let narrow = 0;
    let wide = 0;
    this.#offsets = columns.map(
      (column) => (column.wide ? (wide += BUCKETS) : (narrow += BUCKETS)) - BUCKETS,
    );
    this.#narrowStride = narrow;
    this.#wideStride = wide;
    this.#longest = Math.max(0, ...columns.map((column) => column.window));
  }

  get size(): number {
    return this.#rows.size;
  }

  /** The row of a key, if it has one. Valid until the next {@link row} or {@link forget}. */
  find(key: string): number | undefined {
    return this.#rows.get(key);
  }

  /** The row of a key, made where there is none. Calls back with each key that made room. */
  row(key: string, at: Instant, evicted: (row: number) => unknown): number {
    let row = this.#rows.get(key);
    if (row === undefined) {
      this.#reclaim(at, evicted);
      row = this.#free.pop() ?? this.#grow();
      this.#rows.set(key, row);
    }
    const page = this.#pages[row >> PAGE_BITS]!;
    const index = row & (PAGE_ROWS - 1);
    const second = at / SECOND;
    if (second > page.touched[index]!) page.touched[index] = second;
    return row;
  }

  /** Adds to one window, in the bucket of `at`; what is older than the window is left out. */
  add(row: number, column: number, at: Instant, amount: number): void {
    const page = this.#pages[row >> PAGE_BITS]!;
    const index = row & (PAGE_ROWS - 1);
    const slot = index * this.#columns.length + column;
    const bucket = Math.floor(at / this.#widths[column]!);
    this.#advance(page, index, slot, column, bucket);
    if (bucket <= page.newest[slot]! - BUCKETS) return;
    const cell = this.#base(index, column) + (bucket % BUCKETS);
    if (this.#columns[column]!.wide) {
      const before = page.wide[cell]!;
      page.wide[cell] = before + amount;
      page.sums[slot]! += page.wide[cell] - before;
    } else {
      const before = page.narrow[cell]!;
      const after = Math.min(NARROW_MAX, before + amount);
      page.narrow[cell] = after;
      page.sums[slot]! += after - before;
    }
  }

  /** The count within the window that ends at `at`. */
  sum(row: number, column: number, at: Instant): number {
    const page = this.#pages[row >> PAGE_BITS]!;
    const index = row & (PAGE_ROWS - 1);
    const slot = index * this.#columns.length + column;
    this.#advance(page, index, slot, column, Math.floor(at / this.#widths[column]!));
    return page.sums[slot]!;
  }

  /** The count within the window in buckets after that of `since`, which itself is left out. */
  sumAfter(row: number, column: number, at: Instant, since: Instant): number {
    const bucket = Math.floor(at / this.#widths[column]!);
    const first = Math.max(bucket - BUCKETS + 1, Math.floor(since / this.#widths[column]!) + 1);
    let sum = 0;
    for (let each = first; each <= bucket; each++) sum += this.#cell(row, column, each);
    return sum;
  }

  /** Where the window that ends at `at` begins. */
  windowStart(column: number, at: Instant): Instant {
    const width = this.#widths[column]!;
    return (Math.floor(at / width) - BUCKETS + 1) * width;
  }

  /** Takes what stands in another table's window of the same length out of this one. */
  subtract(
    row: number,
    column: number,
    other: WindowTable,
    otherRow: number,
    otherColumn: number,
    at: Instant,
  ): void {
    const bucket = Math.floor(at / this.#widths[column]!);
    this.sum(row, column, at);
    for (let each = bucket - BUCKETS + 1; each <= bucket; each++) {
      const amount = Math.min(this.#cell(row, column, each), other.#cell(otherRow, otherColumn, each));
      if (amount > 0) this.add(row, column, (each + 0.5) * this.#widths[column]!, -amount);
    }
  }

  /** Takes over another table's window of the same length and width as it stands. */
  copy(row: number, column: number, other: WindowTable, otherRow: number, otherColumn: number): void {
    const from = other.#pages[otherRow >> PAGE_BITS]!;
    const to = this.#pages[row >> PAGE_BITS]!;
    const fromIndex = otherRow & (PAGE_ROWS - 1);
    const toIndex = row & (PAGE_ROWS - 1);
    const { wide } = this.#columns[column]!;
    const source = other.#base(fromIndex, otherColumn);
    const cells: Uint16Array | Float32Array = wide ? from.wide : from.narrow;
    (wide ? to.wide : to.narrow).set(cells.subarray(source, source + BUCKETS), this.#base(toIndex, column));
    const fromSlot = fromIndex * other.#columns.length + otherColumn;
    const toSlot = toIndex * this.#columns.length + column;
    to.newest[toSlot] = from.newest[fromSlot]!;
    to.sums[toSlot] = from.sums[fromSlot]!;
  }

  /** When the row was last active, to the second. */
  touchedAt(row: number): Instant {
    return this.#pages[row >> PAGE_BITS]!.touched[row & (PAGE_ROWS - 1)]! * SECOND;
  }

  /** Empties every window of a row. */
  clear(row: number): void {
    const page = this.#pages[row >> PAGE_BITS]!;
    const index = row & (PAGE_ROWS - 1);
    page.narrow.fill(0, index * this.#narrowStride, (index + 1) * this.#narrowStride);
    page.wide.fill(0, index * this.#wideStride, (index + 1) * this.#wideStride);
    const slot = index * this.#columns.length;
    page.sums.fill(0, slot, slot + this.#columns.length);
    page.newest.fill(0, slot, slot + this.#columns.length);
  }

  /** Every key with its row, least recently made first. */
  entries(): IterableIterator<[string, number]> {
    return this.#rows.entries();
  }

  /** The amount in one bucket, 0 where it lies outside what the window holds. */
  #cell(row: number, column: number, bucket: number): number {
    const page = this.#pages[row >> PAGE_BITS]!;
    const index = row & (PAGE_ROWS - 1);
    const newest = page.newest[index * this.#columns.length + column]!;
    if (bucket > newest || bucket <= newest - BUCKETS) return 0;
    const cell = this.#base(index, column) + (bucket % BUCKETS);
    return this.#columns[column]!.wide ? page.wide[cell]! : page.narrow[cell]!;
  }

  #base(index: number, column: number): number {
    const stride = this.#columns[column]!.wide ? this.#wideStride : this.#narrowStride;
    return index * stride + this.#offsets[column]!;
  }

  /** Moves the window on to a newer bucket, emptying what falls out of it. */
  #advance(page: Page, index: number, slot: number, column: number, bucket: number): void {
    const newest = page.newest[slot]!;
    if (bucket <= newest) return;
    page.newest[slot] = bucket;
    const cells: Uint16Array | Float32Array = this.#columns[column]!.wide ? page.wide : page.narrow;
    const base = this.#base(index, column);
    if (bucket - newest >= BUCKETS) {
      if (page.sums[slot] !== 0) cells.fill(0, base, base + BUCKETS);
      page.sums[slot] = 0;
      return;
    }
    let gone = 0;
    for (let each = newest + 1; each <= bucket; each++) {
      const cell = base + (each % BUCKETS);
      gone += cells[cell]!;
      cells[cell] = 0;
    }
    page.sums[slot]! -= gone;
  }

  #grow(): number {
    const row = this.#rowCount++;
    if (row >> PAGE_BITS === this.#pages.length) {
      const columns = this.#columns.length;
      this.#pages.push({
        narrow: new Uint16Array(PAGE_ROWS * this.#narrowStride),
        wide: new Float32Array(PAGE_ROWS * this.#wideStride),
        newest: new Uint32Array(PAGE_ROWS * columns),
        sums: new Float64Array(PAGE_ROWS * columns),
        touched: new Uint32Array(PAGE_ROWS),
      });
    }
    return row;
  }

  /** Looks at the next two keys, round and round, and frees those whose windows are all empty by now. */
  #reclaim(at: Instant, evicted: (row: number) => unknown): void {
    for (let looked = 0; looked < 2; looked++) {
      this.#sweep ??= this.#rows.entries();
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = undefined;
        return;
      }
      const [key, row] = next.value;
      const touched = this.#pages[row >> PAGE_BITS]!.touched[row & (PAGE_ROWS - 1)]! * SECOND;
      if (touched + this.#longest + SECOND >= at) continue;
      this.#rows.delete(key);
      this.clear(row);
      this.#pages[row >> PAGE_BITS]!.touched[row & (PAGE_ROWS - 1)] = 0;
      this.#free.push(row);
      evicted(row);
    }
  }
}
