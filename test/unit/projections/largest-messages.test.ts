import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BUCKETS } from '../../../projections/volume/window-cells.js';
import { WindowTable } from '../../../projections/volume/window-table.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';

const START = Date.UTC(2026, 0, 1);
const nobody = (): void => undefined;

interface Message {
  readonly at: number;
  readonly size: number;
}

/** Messages whose clocks differ by up to ten minutes. */
const messages = fc
  .array(
    fc.record({
      pause: fc.oneof(fc.nat(3 * SECOND), fc.nat(2 * MINUTE), fc.nat(HOUR)),
      skew: fc.oneof(fc.constant(0), fc.integer({ min: -10 * MINUTE, max: 0 })),
      size: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 70_000 })),
    }),
    { maxLength: 60 },
  )
  .map((list) => {
    let now = START;
    return list.map(({ pause, skew, size }): Message => ({ at: (now += pause) + skew, size }));
  });

/** A window's recipients, and its two largest messages. */
class Stage {
  readonly table: WindowTable;
  readonly width: number;
  readonly row: number;
  readonly seen: Message[] = [];
  newest = 0;

  constructor(window: number) {
    this.width = window / BUCKETS;
    this.table = new WindowTable([
      { window, wide: true },
      { window, wide: false },
      { window, wide: false },
    ]);
    this.row = this.table.row('a', START, nobody);
  }

  add({ at, size }: Message): void {
    const bucket = Math.floor(at / this.width);
    const counts = this.seen.length === 0 || bucket > this.newest - BUCKETS;
    const sum = this.table.add(this.row, 0, at, size);
    this.table.raise(this.row, 1, 2, at, size);
    if (!counts) assert.equal(sum, 0);
    else this.seen.push({ at, size });
    this.newest = Math.max(this.newest, bucket);
  }

  /** By hand: the largest messages in the buckets of the window that ends at `at`, after that of `since`. */
  largest(at: number, since: number): readonly [one: number, two: number] {
    const end = Math.floor(at / this.width);
    const from = Math.max(end - BUCKETS + 1, since === 0 ? 0 : Math.floor(since / this.width) + 1);
    const sizes = this.seen
      .filter(({ at: when }) => {
        const bucket = Math.floor(when / this.width);
        // What the newest bucket has pushed out is gone, whenever one asks.
        return bucket >= from && bucket <= end && bucket > this.newest - BUCKETS;
      })
      .map(({ size }) => Math.min(size, 65_535))
      .sort((a, b) => b - a);
    return [sizes[0] ?? 0, (sizes[0] ?? 0) + (sizes[1] ?? 0)];
  }
}

describe('the largest messages of a window', () => {
  for (const window of [MINUTE, 10 * MINUTE, HOUR]) {
    test(`${window / MINUTE} m: one and two of them, as a list of all messages says`, () => {
      fc.assert(
        fc.property(
          messages,
          fc.nat(2 * HOUR),
          fc.oneof(fc.constant(0), fc.nat(2 * HOUR)),
          (list, ahead, back) => {
            const stage = new Stage(window);
            for (const message of list) {
              stage.add(message);
              const end = Math.max(message.at, stage.newest * stage.width);
              for (const at of [end, end + ahead]) {
                const since = back === 0 ? 0 : Math.max(1, at - back);
                const [one, two] = stage.largest(at, since);
                assert.equal(stage.table.largest(stage.row, 1, undefined, at, since), one);
                assert.equal(stage.table.largest(stage.row, 1, 2, at, since), two);
              }
            }
          },
        ),
        { numRuns: 200 },
      );
    });
  }

  test('leave of the sum what is no more than it truly is, and less by one bucket at most', () => {
    fc.assert(
      fc.property(messages, (list) => {
        const window = 10 * MINUTE;
        const stage = new Stage(window);
        for (const message of list.map((each) => ({ ...each, size: Math.min(each.size, 60_000) }))) {
          stage.add(message);
          const end = Math.max(...stage.seen.map(({ at }) => at));
          const left = stage.table.sum(stage.row, 0, end) - stage.table.largest(stage.row, 1, 2, end);
          const without = (from: number): number => {
            const sizes = stage.seen.filter(({ at }) => at > from && at <= end).map(({ size }) => size);
            sizes.sort((a, b) => b - a);
            return sizes.slice(2).reduce((sum, size) => sum + size, 0);
          };
          assert.ok(left <= without(end - window), `${left} is above ${without(end - window)}`);
          assert.ok(left >= without(end - window + stage.width), 'the last 59/60 of it count');
        }
      }),
      { numRuns: 200 },
    );
  });

  test('are two of the same size, or one and nothing', () => {
    const stage = new Stage(HOUR);
    const two = (): number => stage.table.largest(stage.row, 1, 2, START);
    assert.equal(two(), 0);
    stage.add({ at: START, size: 50 });
    assert.equal(two(), 50);
    stage.add({ at: START, size: 50 });
    assert.equal(two(), 100);
    stage.add({ at: START, size: 50 });
    assert.equal(two(), 100);
  });

  test('in one bucket, rising and falling, are the two largest', () => {
    for (const sizes of [
      [1, 2, 3, 4],
      [4, 3, 2, 1],
      [4, 1, 3, 2],
    ]) {
      const stage = new Stage(HOUR);
      for (const size of sizes) stage.add({ at: START, size });
      assert.equal(stage.table.largest(stage.row, 1, 2, START), 7, sizes.join());
    }
  });

  test('go with their row: emptied, taken over, dumped', () => {
    const stage = new Stage(HOUR);
    for (const size of [30, 20, 10]) stage.add({ at: START, size });
    const dump = stage.table.dump();
    const columns = [0, 1, 2].map(() => ({ window: HOUR, wide: false }));
    const other = new WindowTable([{ window: HOUR, wide: true }, ...columns.slice(1)]);
    other.restore(dump);
    assert.equal(other.largest(0, 1, 2, START), 50);
    const copy = new WindowTable([...columns].reverse());
    const row = copy.row('a', START, nobody);
    for (const column of [0, 1, 2]) copy.copy(row, 2 - column, stage.table, stage.row, column);
    assert.equal(copy.largest(row, 1, 0, START), 50);
    stage.table.clear(stage.row);
    assert.equal(stage.table.largest(stage.row, 1, 2, START), 0);
    assert.equal(other.largest(0, 1, 2, START), 50);
  });
});
