import type { BlockRows } from './block-rows.js';
import type { BlockFilter, BlockSort } from './block-segments.js';

/** A row, and what it is ordered by. */
export interface Keyed {
  readonly key: number | string;
  readonly row: number;
}

interface Within {
  /** The last row of the page before. */
  readonly beyond?: Keyed | undefined;
  /** The only rows that are looked at, if an index has found them. */
  readonly own?: readonly number[] | undefined;
}

/**
 * The first rows that match, in an order in which rows are not kept. Segments are looked at in the order of their least
 * keys, and only as many as can still have one of the first rows. Yields between steps of some microseconds, so that the
 * caller can give way.
 */
export function* firstRows(
  rows: BlockRows,
  filter: BlockFilter,
  sort: BlockSort,
  limit: number,
  { beyond, own }: Within,
): Generator<void, readonly Keyed[]> {
  const first: Keyed[] = [];
  const isEnough = (key: number | string, row: number): boolean =>
    first.length === limit && !isBefore({ key, row }, first[limit - 1]!);
  const steps = own === undefined ? rows.searchBy(filter, sort, isEnough) : [rows.filter(own, filter)];
  for (const some of steps) {
    // The newest come first among equals.
    for (const row of some.toReversed()) {
      const key = rows.keyOf(row, sort, filter);
      const found = { key, row };
      if (isEnough(key, row) || (beyond !== undefined && !isBefore(beyond, found))) continue;
      if (first.length === limit) first.pop();
      first.splice(placeOf(first, found), 0, found);
    }
    yield;
  }
  return first;
}

/** Whether a row comes before another one. */
function isBefore(a: Keyed, b: Keyed): boolean {
  return a.key === b.key ? a.row > b.row : a.key < b.key;
}

/** The index at which a row belongs, by binary search. */
function placeOf(first: readonly Keyed[], found: Keyed): number {
  let [low, high] = [0, first.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(first[middle]!, found)) low = middle + 1;
    else high = middle;
  }
  return low;
}
