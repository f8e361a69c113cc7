import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { escaped, grouped, isPrintable, printable, printableLines } from '../../../src/kernel/printable.js';

/**
 * A bell, an escape, a C1 control, a zero-width space, a right-to-left override, an isolate, a line separator, a BOM, a
 * tag, half of a pair; then what is no format character and is not seen either.
 */
const TRICKS = [
  '\u0007',
  '\u001b',
  '\u0085',
  '\u200b',
  '\u202e',
  '\u2066',
  '\u2028',
  '\ufeff',
  '\u{e0041}',
  '\ud800',
  '\u034f',
  '\u115f',
  '\u1160',
  '\u17b4',
  '\u17b5',
  '\u180b',
  '\u180d',
  '\u3164',
  '\uffa0',
  '\ufe00',
  '\ufe0f',
  '\u{e0100}',
];

describe('printable text', () => {
  test('holds no control or bidi character, and none that is not seen', () => {
    for (const trick of TRICKS) {
      const name = `a${trick}b`;
      assert.equal(isPrintable(name), false, JSON.stringify(name));
      assert.equal(printable(name), 'a\ufffdb');
      assert.equal(printable(name, '?'), 'a?b');
    }
  });

  test('may hold any letter, sign and space', () => {
    const name = 'Jürgen @ büro-pc №1 日本 עברית 😀';
    assert.equal(isPrintable(name), true);
    assert.equal(printable(name), name);
  });

  test('keeps its own lines and tabs if it may have some', () => {
    assert.equal(printableLines('one\n\ttwo\u202e\r'), 'one\n\ttwo\ufffd\ufffd');
    assert.equal(printableLines('one\r\ntwo'), 'one\ntwo');
    for (const written of ['\u26a0\ufe0f', '\u{1f469}\u200d\u{1f4bb}', '\u0645\u06cc\u200c\u062e'])
      assert.equal(printableLines(written), written);
    assert.equal(printableLines('ali\u200dce\ufe0f'), 'ali\ufffdce\ufffd');
    const after = '\u0639\u0644\u06cc\u200c\ufe0f \u26a0\ufe0f\ufe0f\u200d';
    assert.equal(printableLines(after), '\u0639\u0644\u06cc\ufffd\ufffd \u26a0\ufe0f\ufffd\ufffd');
  });

  test('as JSON means the same as before, with nothing unprintable in it', () => {
    const value = TRICKS.map((trick) => `a${trick}b`);
    const json = escaped(JSON.stringify(value));
    assert.equal(isPrintable(json), true);
    assert.deepEqual(JSON.parse(json), value);
  });
});

test('whole numbers have commas as English writes them', () => {
  const english = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
  for (const value of [
    0,
    7,
    99.5,
    999,
    1000,
    12_345.49,
    999_999.5,
    1_234_567,
    Number.MAX_SAFE_INTEGER,
    -1000,
  ])
    assert.equal(grouped(value), english.format(value));
});
