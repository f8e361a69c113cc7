import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { linesOf } from '../../../src/backtest/lines.js';

async function cut(bytes: Buffer, chunk: number): Promise<(string | undefined)[]> {
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (let start = 0; start < bytes.length; start += chunk) yield bytes.subarray(start, start + chunk);
  };
  const all: (string | undefined)[] = [];
  for await (const lines of linesOf(chunks())) all.push(...lines);
  return all;
}

describe('lines', () => {
  test('are the same in whatever chunks they come, also where a letter is cut in two', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((line) => line.replaceAll('\n', ''));
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { maxLength: 8 }),
        fc.integer({ min: 1, max: 40 }),
        async (lines, chunk) => {
          const whole = lines.join('\n');
          const expected =
            whole.endsWith('\n') || whole === '' ? whole.split('\n').slice(0, -1) : whole.split('\n');
          assert.deepEqual(await cut(Buffer.from(whole), chunk), expected);
        },
      ),
    );
  });

  test('that are too long are passed over, and nothing else is', async () => {
    const long = 'x'.repeat(70_000);
    const bytes = Buffer.from(`a\n${long}\nb\n${long}`);
    for (const chunk of [1000, 50_000, 1e6])
      assert.deepEqual(await cut(bytes, chunk), ['a', undefined, 'b', undefined]);
  });
});
