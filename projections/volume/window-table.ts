import type { Instant } from '../../src/kernel/time.js';
import { CLOCK_TOLERANCE } from '../../src/sending/events.js';
import { KeyedRows } from './keyed-rows.js';
import type { KeyedRowsState } from './keyed-rows.js';
import { WindowCells } from './window-cells.js';

/** What {@link WindowTable.dump} gives. */
export interface WindowTableState extends KeyedRowsState {
  /** The row that is looked at next for whether it can be freed. */
  readonly sweep: number;
  /** The rows' memory, 256 rows each, in the layout that the columns give. Never to be written to. */
  readonly pages: readonly Uint8Array[];
}

/** Sliding windows by key: a key whose windows are all empty makes room for others. */
export class WindowTable extends WindowCells {
  /** The row of each key: taken by {@link row}, and given up when it is needed for another. */
  readonly rows = new KeyedRows();
  #sweep = 0;

  /** The row of a key, made where there is none. Calls back with each row that was given up to make room. */
  row(key: string, at: Instant, evicted: (row: number) => unknown): number {
    const known = this.rows.find(key);
    if (known !== undefined) return known;
    this.#reclaim(at, evicted);
    const row = this.rows.take(key);
    this.makeRoom(row);
    return row;
  }

  /** The table as it is now, whatever is done to it afterwards; cheap. The opposite of {@link restore}. */
  dump(): WindowTableState {
    return { ...this.rows.dump(), sweep: this.#sweep, pages: this.share() };
  }

  /** Takes over, and copies, what a table of the same columns has dumped. Must come before anything is added. */
  restore({ keys, free, sweep, pages }: WindowTableState): void {
    this.rows.restore({ keys, free });
    this.#sweep = sweep;
    this.copyOf(pages);
  }

  /**
   * Looks at the next two rows, round and round, and frees those whose windows are all empty, also for an event
   * that comes as late as clocks may differ.
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
