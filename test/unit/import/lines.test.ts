import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { linesOf, LONGEST_LINE } from '../../../src/import/postfix-log/reader.js';

async function* pieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  await Promise.resolve();
  let start = 0;
  for (const cut of [...cuts, bytes.length].map((each) => each % (bytes.length + 1)).sort((a, b) => a - b)) {
    yield bytes.subarray(start, cut);
    start = cut;
  }
}

async function read(text: string, cuts: readonly number[] = []): Promise<(string | undefined)[]> {
  const lines: (string | undefined)[] = [];
  for await (const batch of linesOf(pieces(Buffer.from(text), cuts))) lines.push(...batch);
  return lines;
}

describe('the lines of what is read', () => {
  test('are the same in any pieces it comes', async () => {
    const line = fc.stringMatching(/^[ -~äß€😀]{0,40}$/u);
    await fc.assert(
      fc.asyncProperty(
        fc.array(line),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        fc.array(fc.nat(10_000)),
        async (lines, end, ends, cuts) => {
          const text = lines.map((each) => `${each}${end}`).join('') + (ends ? '' : 'last');
          assert.deepEqual(await read(text, cuts), ends ? lines : [...lines, 'last']);
        },
      ),
    );
  });

  test('have none of the other characters at which a pattern ends its line, and are as long in bytes', async () => {
    const text = 'a\u2028b\u2029c\rd';
    const [line] = await read(`${text}\r\ne`);
    assert.equal(line, 'a\ufffdb\ufffdc?d');
    assert.equal(Buffer.byteLength(line), Buffer.byteLength(text));
  });

  test('that are too long are passed over, and cost no memory', async () => {
    const long = 'x'.repeat(LONGEST_LINE + 1);
    const cuts = Array.from({ length: 40 }, (_, index) => index * 10_007);
    for (const each of [[], cuts]) {
      assert.deepEqual(await read(`a\n${long}${long}\nb\n`, each), ['a', undefined, 'b']);
      assert.deepEqual(await read(`a\n${long}${long}`, each), ['a', undefined]);
      assert.deepEqual(await read(`${'y'.repeat(LONGEST_LINE)}\n`, each), ['y'.repeat(LONGEST_LINE)]);
    }
  });
});
