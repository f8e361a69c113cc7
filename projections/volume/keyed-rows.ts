export interface KeyedRowsState {
  /** The key of each row; undefined where the row is free. */
  readonly keys: readonly (string | undefined)[];
  readonly free: readonly number[];
}

/** Gives each key a row in memory that is laid out elsewhere; rows that were given back are given out again first. */
export class KeyedRows {
  readonly #rows = new Map<string, number>();
  /** By row; undefined where it is free. */
  #keys: (string | undefined)[] = [];
  #free: number[] = [];

  /** Keys that have a row. */
  get size(): number {
    return this.#rows.size;
  }

  /** Rows, those that are free among them. */
  get length(): number {
    return this.#keys.length;
  }

  /** The row of a key, if it has one. Valid until one is given back. */
  find(key: string): number | undefined {
    return this.#rows.get(key);
  }

  /** Whether a row, of which nothing more is known than its number, is that of a key. */
  holds(row: number, key: string): boolean {
    return row >= 0 && row < this.#keys.length && this.#keys[row] === key;
  }

  /** The key of a row as it is kept here: the very same string each time. Undefined where the row is free, or none. */
  keyOf(row: number): string | undefined {
    return row >= 0 && row < this.#keys.length ? this.#keys[row] : undefined;
  }

  /** A row for a key that has none; it may be the first beyond all that there were. */
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

  /** Every key with its row, in the order of the rows: the same in a process that began with a snapshot. */
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
