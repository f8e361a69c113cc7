import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BUCKETS } from '../../../projections/volume/window-cells.js';
import { WindowTable } from '../../../projections/volume/window-table.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';

const START = Date.UTC(2026, 0, 1);
const nobody = (): void => undefined;

interface Add {
  readonly key: string;
  readonly at: number;
  readonly amount: number;
}

/** Events of few keys whose clocks differ by up to ten minutes, with pauses now and then. */
const adds = (most: number): fc.Arbitrary<readonly Add[]> =>
  fc
    .array(
      fc.record({
        key: fc.constantFrom('a', 'b', 'c'),
        pause: fc.oneof(fc.nat(5 * SECOND), fc.nat(3 * MINUTE), fc.nat(2 * HOUR)),
        skew: fc.oneof(fc.constant(0), fc.integer({ min: -10 * MINUTE, max: 0 })),
        amount: fc.integer({ min: 1, max: most }),
      }),
      { maxLength: 120 },
    )
    .map((list) => {
      let now = START;
      return list.map(({ key, pause, skew, amount }) => ({ key, at: (now += pause) + skew, amount }));
    });

const within = (list: readonly Add[], key: string, from: number, to: number): number =>
  list.reduce((sum, add) => (add.key === key && add.at > from && add.at <= to ? sum + add.amount : sum), 0);

describe('a window against a count by hand', () => {
  for (const [name, wide, most] of [
    ['narrow', false, 300],
    ['wide', true, 100_000],
  ] as const) {
    for (const window of [MINUTE, 10 * MINUTE, 61 * SECOND, DAY]) {
      test(`${name}, ${window / SECOND} s: between the last 59/60 of it and all of it, never above`, () => {
        fc.assert(
          fc.property(adds(most), (list) => {
            const table = new WindowTable([
              { window: HOUR, wide: !wide },
              { window, wide },
            ]);
            const seen: Add[] = [];
            for (const add of list) {
              const newest = Math.max(0, ...seen.filter(({ key }) => key === add.key).map(({ at }) => at));
              seen.push(add);
              const sum = table.add(table.row(add.key, add.at, nobody), 1, add.at, add.amount);
              const end = Math.max(newest, add.at);
              // An event too old for the window is left out: it must not trip a rule.
              if (sum === 0) {
                assert.ok(add.at <= newest - (window * (BUCKETS - 1)) / BUCKETS, 'left out though it counts');
                seen.pop();
                continue;
              }
              const width = window / BUCKETS;
              const bucketEnd = (Math.floor(end / width) + 1) * width;
              const most = within(seen, add.key, bucketEnd - window - 1, bucketEnd);
              const least = within(seen, add.key, end - window + width, end);
              assert.ok(sum >= least, `${sum} is below ${least}, the last 59/60`);
              assert.ok(sum <= most, `${sum} is above ${most}`);
              assert.ok(sum <= within(seen, add.key, end - window, end), 'above the count over all of it');
              assert.equal(table.sum(table.rows.find(add.key)!, 1, end), sum);
            }
          }),
          { numRuns: 200 },
        );
      });
    }
  }
});

describe('reading', () => {
  test('changes nothing, however far ahead or back the reader’s clock is', () => {
    fc.assert(
      fc.property(
        adds(50),
        fc.array(fc.integer({ min: -DAY, max: 40 * DAY }), { maxLength: 5 }),
        (list, ahead) => {
          const columns = [
            { window: 10 * MINUTE, wide: false },
            { window: DAY, wide: true },
          ];
          const [read, unread] = [new WindowTable(columns), new WindowTable(columns)];
          for (const { key, at, amount } of list) {
            for (const offset of ahead) {
              const row = read.rows.find(key);
              if (row === undefined) continue;
              for (const column of [0, 1]) {
                read.sum(row, column, at + offset);
                read.sumAfter(row, column, at + offset, at);
              }
            }
            for (const column of [0, 1]) {
              assert.equal(
                read.add(read.row(key, at, nobody), column, at, amount),
                unread.add(unread.row(key, at, nobody), column, at, amount),
              );
            }
          }
        },
      ),
    );
  });

  test('at a past or future instant gives the window that ends there', () => {
    const table = new WindowTable([{ window: HOUR, wide: false }]);
    const row = table.row('a', START, nobody);
    table.add(row, 0, START, 5);
    table.add(row, 0, START + 30 * MINUTE, 7);
    assert.equal(table.sum(row, 0, START + 30 * MINUTE), 12);
    assert.equal(table.sum(row, 0, START + MINUTE), 5);
    assert.equal(table.sum(row, 0, START - MINUTE), 0);
    assert.equal(table.sum(row, 0, START + 59 * MINUTE), 12);
    assert.equal(table.sum(row, 0, START + HOUR), 7);
    assert.equal(table.sum(row, 0, START + 90 * MINUTE), 0);
    assert.equal(table.sumAfter(row, 0, START + 30 * MINUTE, START), 7);
    assert.equal(table.sumAfter(row, 0, START + 30 * MINUTE, START + 30 * MINUTE), 0);
  });
});

describe('cells', () => {
  test('what a narrow bucket has no room for goes into those before it, and empties to nothing', () => {
    const table = new WindowTable([{ window: HOUR, wide: false }]);
    const row = table.row('a', START, nobody);
    assert.equal(table.add(row, 0, START, 65_000), 65_000);
    assert.equal(table.add(row, 0, START, 65_000), 130_000);
    assert.equal(table.add(row, 0, START + MINUTE, 65_535), 195_535);
    assert.equal(table.add(row, 0, START + HOUR, 1), 65_536);
    assert.equal(table.sum(row, 0, START + HOUR), 65_536);
    assert.equal(table.add(row, 0, START + 3 * HOUR, 2), 2);
    assert.equal(table.add(row, 0, START + 3 * HOUR, 2 ** 32), 60 * 65_535, 'a window holds no more');
  });

  test('a wide bucket is exact to 2^24 and near beyond; its sum comes back to nothing', () => {
    const table = new WindowTable([{ window: HOUR, wide: true }]);
    const row = table.row('a', START, nobody);
    assert.equal(table.add(row, 0, START, 2 ** 24 - 1), 2 ** 24 - 1);
    const sum = table.add(row, 0, START, 5e9 + 1);
    assert.ok(Math.abs(sum - (2 ** 24 + 5e9)) < 5e9 / 2 ** 23, String(sum));
    assert.equal(table.add(row, 0, START + 2 * HOUR, 3), 3);
  });

  test('rows on many pages do not touch each other', () => {
    const table = new WindowTable([
      { window: HOUR, wide: false },
      { window: HOUR, wide: true },
      { window: MINUTE, wide: false },
    ]);
    const amountOf = (index: number): number => (index % 50) + 1;
    for (let index = 0; index < 1500; index++) {
      const row = table.row(`k${index}`, START, nobody);
      for (const column of [0, 1, 2]) table.add(row, column, START, amountOf(index) + column);
    }
    assert.equal(table.rows.size, 1500);
    for (let index = 0; index < 1500; index++) {
      const row = table.rows.find(`k${index}`)!;
      for (const column of [0, 1, 2]) assert.equal(table.sum(row, column, START), amountOf(index) + column);
    }
  });
});

describe('rows', () => {
  test('are given up once every window is empty, and begin again', () => {
    const table = new WindowTable([
      { window: MINUTE, wide: false },
      { window: HOUR, wide: true },
    ]);
    const gone: number[] = [];
    for (let index = 0; index < 100; index++) {
      const row = table.row(`old${index}`, START, nobody);
      table.add(row, 0, START, 9);
      table.add(row, 1, START, 9);
    }
    const later = START + HOUR + 11 * MINUTE;
    for (let index = 0; index < 100; index++) {
      const row = table.row(`new${index}`, later, (freed) => gone.push(freed));
      assert.equal(table.add(row, 0, later, 1), 1, 'a reused row begins empty');
      assert.equal(table.add(row, 1, later, 1), 1);
    }
    assert.ok(gone.length >= 90, `${gone.length} of 100 rows were freed`);
    assert.ok(table.rows.size <= 110, String(table.rows.size));
    assert.equal(new Set(gone).size, gone.length);
  });

  test('are kept as long as an event that comes late could still count', () => {
    const table = new WindowTable([{ window: HOUR, wide: false }]);
    const row = table.row('a', START, nobody);
    table.add(row, 0, START, 9);
    const late = START + HOUR + 5 * MINUTE;
    for (let index = 0; index < 20; index++) table.row(`other${index}`, late, nobody);
    assert.equal(table.add(table.row('a', late, nobody), 0, START + 50 * MINUTE, 1), 10);
  });
});

describe('taking over and taking out', () => {
  test('copies between narrow and wide cells', () => {
    fc.assert(
      fc.property(adds(70_000), fc.boolean(), fc.boolean(), (list, from, to) => {
        const source = new WindowTable([{ window: HOUR, wide: from }]);
        const target = new WindowTable([
          { window: DAY, wide: true },
          { window: HOUR, wide: to },
        ]);
        for (const { key, at, amount } of list) source.add(source.row(key, at, nobody), 0, at, amount);
        for (const [key, row] of source.rows.entries()) {
          const end = source.end(row, 0, 0);
          const copy = target.row(key, end, nobody);
          target.copy(copy, 1, source, row, 0);
          const [was, is] = [source.sum(row, 0, end), target.sum(copy, 1, end)];
          if (to || !from) assert.equal(is, was);
          else assert.ok(is <= was && is >= Math.min(was, 65_535), 'a narrow cell holds what it can');
          assert.equal(target.end(copy, 1, 0), end);
        }
      }),
    );
  });

  test('takes one subject’s counts out of another’s', () => {
    const domain = new WindowTable([{ window: HOUR, wide: true }]);
    const account = new WindowTable([
      { window: MINUTE, wide: false },
      { window: HOUR, wide: false },
    ]);
    const all = domain.row('d', START, nobody);
    const one = account.row('a', START, nobody);
    for (const [minute, mine, others] of [
      [0, 10, 1],
      [20, 30, 2],
      [59, 5, 4],
      [70, 7, 8],
    ] as const) {
      account.add(one, 1, START + minute * MINUTE, mine);
      domain.add(all, 0, START + minute * MINUTE, mine + others);
    }
    domain.subtract(all, 0, account, one, 1);
    assert.equal(domain.sum(all, 0, START + 70 * MINUTE), 2 + 4 + 8);
    domain.subtract(all, 0, account, one, 1);
    assert.equal(domain.sum(all, 0, START + 70 * MINUTE), 1, 'cell by cell, none below nothing');
  });
});
