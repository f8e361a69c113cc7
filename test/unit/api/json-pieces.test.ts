import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Piece } from '../../../src/api/http/body.js';
import { elementsOf, linesOf, LONGEST_PIECE } from '../../../src/api/http/body.js';

function cut(text: string, pieces: Generator<Piece | undefined, number | undefined>) {
  const found: string[] = [];
  let turns = 0;
  for (let next = pieces.next(); ; next = pieces.next()) {
    if (next.done === true) return { found, turns, end: next.value };
    if (next.value === undefined) turns++;
    else found.push(text.slice(next.value.start, next.value.end));
  }
}

test('a list is cut into its elements, with any content', () => {
  const lists = fc.tuple(
    fc.array(fc.jsonValue({ maxDepth: 3 })),
    fc.constantFrom(0, 1, 3),
    fc.constantFrom('', ' ', '\n'),
  );
  fc.assert(
    fc.property(lists, ([list, indent, after]) => {
      const text = `${after}${JSON.stringify(list, undefined, indent)}`;
      const { found, end } = cut(text, elementsOf(text));
      assert.deepEqual(
        found.map((piece) => JSON.parse(piece) as unknown),
        JSON.parse(text),
      );
      assert.equal(end, text.length);
    }),
    { seed: 3 },
  );
});

test('a list that does not end has no end, and one that is closed wrongly neither', () => {
  for (const text of ['[', '[1', '[1,', '["]', '["\\"]', '[{]', '[1}', '[[1]'])
    assert.equal(cut(text, elementsOf(text)).end, undefined, text);
  assert.deepEqual(cut('[1]]', elementsOf('[1]]')), { found: ['1'], turns: 0, end: 3 });
  assert.deepEqual(cut('[1,]', elementsOf('[1,]')).found, ['1', '']);
});

test('other work gets its turns while long text is cut, and a text without an end is not read through', () => {
  const marks = `[${'[],'.repeat(10_000)}1]`;
  assert.ok(cut(marks, elementsOf(marks)).turns >= 5);
  const empty = '\n'.repeat(50_000);
  const lines = cut(empty, linesOf(empty));
  assert.deepEqual([lines.found, lines.turns], [[], 10]);
  const string = `["${'\\"'.repeat(LONGEST_PIECE)}`;
  const { value } = elementsOf(string).next() as { value: Piece };
  assert.equal(value.end - value.start, LONGEST_PIECE + 1);
});

test('each line comes with the number of lines before it', () => {
  const text = '{}\r\n\n \n[1]';
  const found = [...linesOf(text)].map((piece) => [text.slice(piece!.start, piece!.end).trim(), piece!.line]);
  assert.deepEqual(found, [
    ['{}', 0],
    ['[1]', 3],
  ]);
});
