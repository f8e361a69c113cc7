import assert from 'node:assert/strict';
import { test } from 'node:test';
import widthOf from 'fast-string-width';
import { fitting, table, tableWithin } from '../../../src/cli/io.js';

test('columns stay under each other where cells have characters that take two columns', () => {
  const rows = [
    ['WHO', 'WHY'],
    ['bob', 'plain'],
    ['山田太郎', '迷惑メール'],
    ['👍 ok', 'emoji'],
    ['é\u0301a', 'combining'],
  ];
  for (const line of table(rows).split('\n')) {
    const why = rows.find(([, text]) => line.endsWith(text!))![1]!;
    assert.equal(widthOf(line.slice(0, line.length - why.length)), 10, line);
  }
});

test('a text is cut to the columns that there are, between whole characters', () => {
  assert.equal(fitting('short', 10), 'short');
  assert.equal(fitting('some words that are long', 12), 'some words…');
  assert.equal(fitting('迷惑メールを送った', 18), '迷惑メールを送った');
  for (const room of [5, 6, 7, 17]) {
    const cut = fitting('迷惑メールを送った', room);
    assert.ok(widthOf(cut) <= room, `${cut} in ${room}`);
    assert.ok(widthOf(cut) >= room - 1);
  }
  const [, row] = tableWithin(
    [
      ['ID', 'WHY'],
      ['1', '迷惑'.repeat(40)],
    ],
    60,
  ).split('\n');
  assert.ok(widthOf(row!) <= 60);
});
