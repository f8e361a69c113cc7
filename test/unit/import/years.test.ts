import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readStamp, YearCounter } from '../../../src/import/postfix-log/reader.js';
import { DAY, HOUR } from '../../../src/kernel/time.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function stampOf(at: number): NonNullable<ReturnType<typeof readStamp>> {
  const date = new Date(at);
  const day = String(date.getUTCDate()).padStart(2);
  return readStamp(`${MONTHS[date.getUTCMonth()]!} ${day} ${date.toISOString().slice(11, 19)} host`)!;
}

/** The year that each line is given. */
function yearsOf(times: readonly number[], writtenAt: number): readonly number[] {
  const all = new YearCounter();
  for (const at of times) all.add(stampOf(at));
  const first = all.firstYear(writtenAt);
  const again = new YearCounter();
  return times.map((at) => first + again.add(stampOf(at)));
}

const yearOf = (at: number): number => new Date(at).getUTCFullYear();

describe('the year of lines that name none', () => {
  const at = (text: string): number => Date.parse(`${text}Z`);

  test('follows from when the file was written, and turns with the year', () => {
    const times = ['2025-12-30T10:00', '2025-12-31T23:59', '2026-01-01T00:00', '2026-01-02T00:00'].map(at);
    assert.deepEqual(yearsOf(times, times.at(-1)!), [2025, 2025, 2026, 2026]);
  });

  test('turns back for a line that comes late', () => {
    const times = [
      '2025-12-31T23:59:58',
      '2026-01-01T00:00:00',
      '2025-12-31T23:59:59',
      '2026-01-01T00:00:01',
    ];
    assert.deepEqual(yearsOf(times.map(at), at('2026-01-05T00:00')), [2025, 2026, 2025, 2026]);
    assert.deepEqual(yearsOf(times.slice(1).map(at), at('2026-01-05T00:00')), [2026, 2025, 2026]);
  });

  test('is the one before if the file was written long after its last line', () => {
    assert.deepEqual(yearsOf([at('2025-12-20T00:00')], at('2026-11-24T00:00')), [2025]);
  });

  test('is a leap year if there is a 29 February', () => {
    const times = ['2024-02-28T00:00', '2024-02-29T00:00', '2024-03-01T00:00'].map(at);
    // As where files were copied without their times.
    assert.deepEqual(yearsOf(times, at('2026-11-24T00:00')), [2024, 2024, 2024]);
  });

  test('is right for any file, however many years it spans', () => {
    const gap = fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 0, max: 3 * DAY }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 340 * DAY }) },
      { weight: 2, arbitrary: fc.integer({ min: -7 * DAY, max: 0 }) },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: at('1999-01-01T00:00'), max: at('2060-01-01T00:00') }),
        fc.array(gap, { maxLength: 40 }),
        fc.integer({ min: 0, max: 20 * HOUR }),
        (start, gaps, later) => {
          const times = [start];
          // A line is late by what it comes before the newest: never by more than a few days.
          let newest = start;
          for (const each of gaps) {
            times.push(newest + each);
            newest = Math.max(newest, newest + each);
          }
          assert.deepEqual(yearsOf(times, newest + later), times.map(yearOf));
        },
      ),
      { numRuns: 500 },
    );
  });
});
