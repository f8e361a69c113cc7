import type { Instant } from '../../src/kernel/time.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';
import type { WindowCellsState } from './window-cells.js';
import { WindowCells } from './window-cells.js';

/** What {@link WindowTable.dump} gives. */
export interface WindowTableState extends KeyedRowsState, WindowCellsState {
  /** The next row to check for whether it can be freed. */
  readonly sweep: number;
}

/** Sliding windows by key: a key whose windows are all empty makes room for others. */
export class WindowTable extends WindowCells {
  /** The row of each key: taken by {@link row}, and given up when it is needed for another. */
  readonly rows = new KeyedRows();
  #sweep = 0;

  /** The row of a key, made if there is none. Calls back with each row that was given up to make room. */
  row(key: string, at: Instant, evicted: (row: number) => unknown): number {
    const known = this.rows.find(key);
    if (known !== undefined) return known;
    this.#reclaim(at, evicted);
    const row = this.rows.take(key);
    this.makeRoom(row);
    return row;
  }

  /** The present table, which later changes do not affect; cheap. The opposite of {@link restore}. */
  dump(): WindowTableState {
    return { ...this.rows.dump(), sweep: this.#sweep, ...this.share() };
  }

  /** Copies the dump of a table with the same columns. Call it before anything is added. */
  restore({ keys, free, sweep, ...cells }: WindowTableState): void {
    this.rows.restore({ keys, free });
    this.#sweep = sweep;
    this.copyOf(cells);
  }

  /**
   * Checks the next two rows, in a cycle, and frees those whose windows are all empty, even for an event that comes as
   * late as clocks may differ.
   */
  #reclaim(at: Instant, evicted: (row: number) => unknown): void {
    const latest = at - 2 * CLOCK_TOLERANCE;
    for (let looked = 0; looked < 2; looked++) {
      if (this.#sweep >= this.rows.length) {
        this.#sweep = 0;
        return;
      }
      const row = this.#sweep++;
      const key = this.rows.keyOf(row);
      if (key === undefined || !this.isEmpty(row, latest)) continue;
      this.rows.giveBack(row, key);
      this.clear(row);
      evicted(row);
    }
  }
}

export interface KeyedRowsState {
  /** The key of each row; undefined if the row is free. */
  readonly keys: readonly (string | undefined)[];
  readonly free: readonly number[];
}

/** Gives each key a row in memory that is laid out elsewhere; freed rows are reused first. */
export class KeyedRows {
  readonly #rows = new Map<string, number>();
  /** By row; undefined if it is free. */
  #keys: (string | undefined)[] = [];
  #free: number[] = [];

  /** Keys that have a row. */
  get size(): number {
    return this.#rows.size;
  }

  /** The number of rows, including free ones. */
  get length(): number {
    return this.#keys.length;
  }

  /** The row of a key, if it has one. Valid until one is given back. */
  find(key: string): number | undefined {
    return this.#rows.get(key);
  }

  /** Whether a row, known only by its number, is that of a key. */
  holds(row: number, key: string): boolean {
    return row >= 0 && row < this.#keys.length && this.#keys[row] === key;
  }

  /** The key of a row as it is kept here: the very same string each time. Undefined if the row is free, or none. */
  keyOf(row: number): string | undefined {
    return row >= 0 && row < this.#keys.length ? this.#keys[row] : undefined;
  }

  /** A row for a key that has none; it may be a new one at the end. */
  take(key: string): number {
    const row = this.#free.pop() ?? this.#keys.length;
    this.#rows.set(key, row);
    this.#keys[row] = key;
    return row;
  }

  giveBack(row: number, key: string): void {
    this.#rows.delete(key);
    this.#keys[row] = undefined;
    this.#free.push(row);
  }

  /** Every key with its row, in the order of the rows: this order survives a snapshot. */
  *entries(): IterableIterator<[key: string, row: number]> {
    for (let row = 0; row < this.#keys.length; row++) {
      const key = this.#keys[row];
      if (key !== undefined) yield [key, row];
    }
  }

  /** The opposite of {@link restore}. */
  dump(): KeyedRowsState {
    return { keys: this.#keys.slice(), free: this.#free.slice() };
  }

  /** Takes over what {@link dump} gave. Must come before any row is taken. */
  restore({ keys, free }: KeyedRowsState): void {
    this.#keys = keys.slice();
    keys.forEach((key, row) => key !== undefined && this.#rows.set(key, row));
    this.#free = free.slice();
  }
}
