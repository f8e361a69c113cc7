import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CanonicalLines, canonicalLines, DotStuffing } from '../../../src/smtp/relay/wire.js';

/** Text made of what matters here, so that every awkward neighbourhood comes up. */
const awkward = fc
  .array(fc.constantFrom('\r', '\n', '\r\n', '.', '..', 'x', '\r\n.\r\n', '\0'), { maxLength: 40 })
  .map((parts) => Buffer.from(parts.join('')));

/** Cuts a buffer at the given places. */
function cut(buffer: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [
    0,
    ...places.map((place) => place % (buffer.length + 1)).sort((a, b) => a - b),
    buffer.length,
  ];
  return cuts.slice(1).map((end, i) => buffer.subarray(cuts[i], end));
}

const places = fc.array(fc.nat(), { maxLength: 12 });

function canonicalInChunks(chunks: readonly Buffer[]): Buffer {
  const lines = new CanonicalLines();
  return Buffer.concat([...chunks.map((chunk) => Buffer.from(lines.push(chunk))), lines.finish()]);
}

/** The definition, character by character; for a text that does not end with a CR. */
function reference(text: string): string {
  let out = '';
  for (const [i, character] of [...text].entries()) {
    if (character === '\n') out += '\r\n';
    else if (character !== '\r') out += character;
    else if (text[i + 1] !== '\n') out += ' ';
  }
  return out === '' || out.endsWith('\n') ? out : `${out}\r\n`;
}

describe('canonical lines', () => {
  it('makes the same of a text in any chunks, as the definition has it', () => {
    fc.assert(
      fc.property(awkward, places, (text, where) => {
        const out = canonicalInChunks(cut(text, where)).toString('latin1');
        assert.equal(out, canonicalLines(text).toString('latin1'));
        assert.doesNotMatch(out, /(?<!\r)\n|\r(?!\n)/);
        assert.ok(out === '' || out.endsWith('\r\n'));
        if (!text.toString('latin1').endsWith('\r')) assert.equal(out, reference(text.toString('latin1')));
      }),
      { numRuns: 2000 },
    );
  });

  it('leaves a canonical text as it is, without a copy', () => {
    const text = Buffer.from('a: b\r\n\r\n.\r\n..\r\n');
    const lines = new CanonicalLines();
    assert.equal(lines.push(text), text);
    assert.equal(lines.finish().length, 0);
  });

  it('turns a bare CR into a space and a bare LF into CRLF', () => {
    assert.equal(canonicalLines(Buffer.from('a\rb\nc\r\r\nd')).toString(), 'a b\r\nc \r\nd\r\n');
    assert.equal(canonicalLines(Buffer.from('a\r')).toString(), 'a\r\n');
    assert.equal(canonicalLines(Buffer.alloc(0)).length, 0);
  });
});

/** What a receiver makes of a stuffed text (RFC 5321 section 4.5.2), line by line. */
function received(stuffed: string): string {
  const lines = stuffed.split('\r\n');
  assert.equal(lines.pop(), '');
  assert.ok(!lines.includes('.'), 'no line ends the message early');
  return lines.map((line) => `${line.startsWith('.') ? line.slice(1) : line}\r\n`).join('');
}

describe('dot stuffing', () => {
  it('is undone by the receiver, for any chunks', () => {
    fc.assert(
      fc.property(awkward, places, (text, where) => {
        const canonical = canonicalLines(text);
        const stuffing = new DotStuffing();
        const stuffed = Buffer.concat(cut(canonical, where).map((chunk) => stuffing.push(chunk)));
        assert.equal(received(stuffed.toString('latin1')), canonical.toString('latin1'));
      }),
      { numRuns: 2000 },
    );
  });

  it('copies nothing if no line starts with a dot', () => {
    const text = Buffer.from('a.\r\nb\r\n');
    assert.equal(new DotStuffing().push(text), text);
  });
});
