import type { BlockRows, BlockSort } from './block-rows.js';

/** What a row is ordered by, and the row. */
export interface Keyed {
  readonly key: number | string;
  readonly row: number;
}

/**
 * The first rows that match, in an order that rows are not kept in: all rows are looked at, and as many are remembered as
 * are asked for. Yields between steps of some microseconds, so that the caller can give way.
 *
 * @param matches all rows that match
 * @param beyond the last row of the page before
 */
export function* firstRows(
  rows: BlockRows,
  matches: Iterable<readonly number[]>,
  sort: BlockSort,
  limit: number,
  beyond: Keyed | undefined,
): Generator<void, readonly Keyed[]> {
  const keyOf = rows.keyOf(sort);
  const first: Keyed[] = [];
  for (const some of matches) {
    for (const row of some) {
      const found = { key: keyOf(row), row };
      if (beyond !== undefined && !isBefore(beyond, found)) continue;
      if (first.length === limit && !isBefore(found, first[limit - 1]!)) continue;
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
