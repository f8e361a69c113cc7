import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LineCutter } from '../../../../src/backtest/trace/trace.js';

function cut(bytes: Buffer, chunk: number): (string | undefined)[] {
  const cutter = new LineCutter();
  const all: (string | undefined)[] = [];
  for (let start = 0; start < bytes.length; start += chunk)
    all.push(...cutter.cut(bytes.subarray(start, start + chunk)));
  return [...all, ...cutter.end()];
}

describe('lines', () => {
  test('are the same in any chunks they come, also if a letter is cut in two', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((line) => line.replaceAll('\n', ''));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 8 }), fc.integer({ min: 1, max: 40 }), (lines, chunk) => {
        const whole = lines.join('\n');
        const expected =
          whole.endsWith('\n') || whole === '' ? whole.split('\n').slice(0, -1) : whole.split('\n');
        assert.deepEqual(cut(Buffer.from(whole), chunk), expected);
      }),
    );
  });

  test('that are too long are passed over, and nothing else is', () => {
    const long = 'x'.repeat(70_000);
    const bytes = Buffer.from(`a\n${long}\nb\n${long}`);
    for (const chunk of [1000, 50_000, 1e6])
      assert.deepEqual(cut(bytes, chunk), ['a', undefined, 'b', undefined]);
  });
});
