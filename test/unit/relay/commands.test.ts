import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { InvalidInput } from '../../../src/kernel/errors.js';
import { parseCapabilities, WireEnvelope, WireRecipient, xtext } from '../../../src/smtp/relay/commands.js';
import { letter } from '../../support/letters.js';

const ALL = parseCapabilities(['x', 'PIPELINING', '8BITMIME', 'SMTPUTF8', 'DSN', 'SIZE']);

describe('capabilities', () => {
  it('reads EHLO keywords in any case, with parameters, also in the old AUTH= form', () => {
    const offered = parseCapabilities([
      'mx',
      'pipelining',
      'Size 1000',
      'AUTH=LOGIN PLAIN',
      'STARTTLS',
      'XYZ',
    ]);
    assert.deepEqual(offered, {
      pipelining: true,
      eightBit: false,
      utf8: false,
      dsn: false,
      starttls: true,
      authPlain: true,
      size: true,
      maxSize: 1000,
      xforward: [],
      xclient: [],
    });
  });

  it('takes the first line for a greeting, and a SIZE that is no number for no limit', () => {
    assert.equal(parseCapabilities(['PIPELINING']).pipelining, false);
    for (const size of ['SIZE', 'SIZE 0', 'SIZE lots', 'SIZE -1']) {
      assert.equal(parseCapabilities(['x', size]).maxSize, 0, size);
    }
  });
});

describe('xtext', () => {
  it('is what RFC 3461 section 4 allows, and decodes to what it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: letter }), (text) => {
        const encoded = xtext(text);
        assert.match(encoded, /^(?:[!-*,-;?-~]|\+[0-9A-F]{2})*$/);
        const bytes = encoded.replace(/\+([0-9A-F]{2})/g, (_, hex: string) =>
          String.fromCharCode(parseInt(hex, 16)),
        );
        assert.equal(Buffer.from(bytes, 'latin1').toString('utf8'), Buffer.from(text).toString('utf8'));
      }),
    );
  });
});

describe('RCPT', () => {
  const rcpt = (orcpt: string, utf8 = true) => new WireRecipient({ address: 'a@b', orcpt }).rcpt(ALL, utf8);

  it('writes ORCPT of type utf-8 as it is, where it can', () => {
    assert.equal(rcpt('utf-8;jürgen@müller.example'), 'RCPT TO:<a@b> ORCPT=utf-8;jürgen@müller.example');
    assert.equal(rcpt('UTF-8;j\\x{FC}r@x'), 'RCPT TO:<a@b> ORCPT=UTF-8;j\\x{FC}r@x');
    assert.equal(rcpt('utf-8;jürgen@x', false), 'RCPT TO:<a@b> ORCPT=utf-8;j\\x{FC}rgen@x');
    assert.equal(rcpt('utf-8;a b+c=d<e'), 'RCPT TO:<a@b> ORCPT=utf-8;a\\x{20}b\\x{2B}c\\x{3D}d\\x{3C}e');
  });

  it('takes no parameter that is none', () => {
    for (const orcpt of ['nothing', ';x', 'rfc822;', 'rf c;x', 'a=b;x'])
      assert.throws(() => rcpt(orcpt), InvalidInput);
    for (const notify of [[], ['ALWAYS'], ['SUCCESS,NEVER']]) {
      assert.throws(() => new WireRecipient({ address: 'a@b', notify }), InvalidInput);
    }
  });

  it('takes a quoted local part, and keeps a domain literal and odd but plain domains', () => {
    for (const address of ['"a b"@c.example', 'a@[IPv6:::1]', 'a@under_score.example', 'a', 'a@b@c']) {
      assert.equal(new WireRecipient({ address }).rcpt(ALL, false), `RCPT TO:<${address}>`);
    }
  });

  it('is one line for any input, or is refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: letter }), fc.string({ unit: letter }), (address, orcpt) => {
        let line;
        try {
          line = new WireRecipient({ address, orcpt: `rfc822;${orcpt}` }).rcpt(ALL, true);
        } catch (error) {
          assert.ok(error instanceof InvalidInput);
          return;
        }
        assert.match(line as string, /^RCPT TO:<[^<>\r\n\0]*> ORCPT=rfc822;[!-~]*$/);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('MAIL', () => {
  it('takes no domain that has no A-label form, and no odd size', () => {
    assert.throws(() => new WireEnvelope({ returnPath: 'a@\u00ad', utf8: true }), InvalidInput);
    for (const size of [-1, 1.5, NaN]) {
      assert.throws(() => new WireEnvelope({ returnPath: 'a@b', utf8: false, size }), InvalidInput);
    }
  });
});
