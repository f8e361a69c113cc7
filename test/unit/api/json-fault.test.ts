import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findJsonFault } from '../../../src/api/http/body.js';

test('the fault is at the first character that does not belong', async () => {
  const cases: ReadonlyArray<readonly [text: string, line: number, column: number]> = [
    ['{"a":}', 1, 6],
    ['{"a":1,}', 1, 8],
    ['[1,]', 1, 4],
    ['{\n  "a": 1\n  "b": 2\n}', 3, 3],
    ['{"a" 1}', 1, 6],
    ['tru', 1, 1],
    ['01', 1, 1],
    ['1 2', 1, 3],
    ['{"a":"\n"}', 1, 6],
    ['"\\x"', 1, 1],
    ["{'a':1}", 1, 2],
    [']', 1, 1],
    ['[}', 1, 2],
    ['{]', 1, 2],
  ];
  for (const [text, line, column] of cases) {
    const fault = await findJsonFault(text);
    assert.deepEqual([fault.line, fault.column], [line, column], JSON.stringify(text));
  }
});

test('the fault is at the end of text that is cut short, and of text without a fault', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json({ maxDepth: 4 }), async (text) => {
      assert.equal((await findJsonFault(text)).offset, text.length);
    }),
  );
  for (const text of ['', '{', '[[', '{"a"', '{"a":', '[1,'])
    assert.equal((await findJsonFault(text)).offset, text.length);
});

test('deeply nested text does not overflow the stack', async () => {
  assert.equal((await findJsonFault('['.repeat(100_000))).offset, 100_000);
});
