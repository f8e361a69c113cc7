import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RawReply } from '../../../src/smtp/relay/reply.js';
import { MalformedReply, ReplyReader, textOf, toReply } from '../../../src/smtp/relay/reply.js';

function read(...chunks: Array<string | Buffer>): RawReply[] {
  const reader = new ReplyReader();
  const replies: RawReply[] = [];
  for (const chunk of chunks) reader.push(Buffer.from(chunk), (reply) => replies.push(reply));
  return replies;
}

describe('reading replies', () => {
  it('reads single lines, several lines and several replies', () => {
    assert.deepEqual(read('220 hello\r\n'), [{ code: 220, lines: ['hello'] }]);
    assert.deepEqual(read('250-a\r\n250-b c\r\n250 d\r\n550 no\r\n'), [
      { code: 250, lines: ['a', 'b c', 'd'] },
      { code: 550, lines: ['no'] },
    ]);
  });

  it('puts up with bare LF, and codes without text', () => {
    assert.deepEqual(read('250\r\n354\n250 \r\n250-\n250 x\n'), [
      { code: 250, lines: [''] },
      { code: 354, lines: [''] },
      { code: 250, lines: [''] },
      { code: 250, lines: ['', 'x'] },
    ]);
  });

  it('reads the same in any chunks', () => {
    const text = Buffer.from('250-grüß\r\n250 dich\r\n550 5.1.1 nö\r\n221 x\r\n');
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (places) => {
        const cuts = [0, ...places.sort((a, b) => a - b), text.length];
        assert.deepEqual(read(...cuts.slice(1).map((end, i) => text.subarray(cuts[i], end))), read(text));
      }),
    );
  });

  for (const bad of ['hello', '', '99 x', '1234 x', '600 x', '199 x', '25a x', '2 0 x', '250_x', ' 250 x']) {
    it(`refuses ${JSON.stringify(bad)}`, () => {
      assert.throws(() => read(`${bad}\r\n`), MalformedReply);
    });
  }

  it('bounds what it holds, with and without line ends', () => {
    assert.throws(() => read('x'.repeat(40_000)), MalformedReply);
    assert.throws(() => read('250-x\r\n'.repeat(10_000)), MalformedReply);
    assert.throws(() => read(...Array.from({ length: 10_000 }, () => '250-x\r\n')), MalformedReply);
    assert.equal(read(...Array.from({ length: 10_000 }, () => '250 x\r\n')).length, 10_000);
  });

  it('knows whether a reply is incomplete', () => {
    const reader = new ReplyReader();
    const ignore = () => undefined;
    assert.equal(reader.partial, false);
    reader.push(Buffer.from('250-a\r\n'), ignore);
    assert.equal(reader.partial, true);
    reader.push(Buffer.from('250 b\r\n'), ignore);
    assert.equal(reader.partial, false);
    reader.push(Buffer.from('25'), ignore);
    assert.equal(reader.partial, true);
  });
});

describe('passing replies on', () => {
  it('joins lines and names the enhanced status code once', () => {
    assert.equal(textOf({ code: 550, lines: ['5.1.1 no', '5.1.1 such user'] }), '5.1.1 no such user');
    assert.equal(textOf({ code: 550, lines: ['5.1.1 no', '5.1.2 other'] }), '5.1.1 no 5.1.2 other');
    assert.equal(textOf({ code: 550, lines: ['no  such', 'user', ''] }), 'no such user');
  });

  it('lets no control character through, and cuts what is long', () => {
    assert.equal(textOf({ code: 550, lines: ['a\rb\0c\u001b[0m\u0085'] }), 'a?b?c?[0m?');
    assert.equal(textOf({ code: 550, lines: ['x'.repeat(2000)] }).length, 480);
  });

  it('keeps 421 to itself: our client is not to take it for the end of its own session', () => {
    assert.deepEqual(toReply({ code: 421, lines: ['4.3.2 bye'] }), { code: 451, text: '4.3.2 bye' });
  });
});
