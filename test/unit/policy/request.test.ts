import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { PolicyRequest } from '../../../src/policy/request.js';
import { countOf, decoded, RequestReader } from '../../../src/policy/request.js';
import { requestText } from '../../support/policy/asking.js';

/** Reads chunks, and tells what was read and why it ended. */
function readAll(chunks: readonly Buffer[]): { requests: PolicyRequest[]; fault: string | undefined } {
  const requests: PolicyRequest[] = [];
  const reader = new RequestReader((request) => void requests.push(request));
  for (const chunk of chunks) {
    const fault = reader.read(chunk);
    if (fault !== undefined) return { requests, fault };
  }
  return { requests, fault: undefined };
}

/** The bytes, cut at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const all = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return all.slice(1).map((end, index) => bytes.subarray(all[index], end));
}

const value = fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replace(/\n/g, ''));

describe('the reader of policy requests', () => {
  test('gives the same requests however their bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ sender: value, sasl_username: value, helo_name: value, unknown: value }), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.array(fc.nat(), { maxLength: 30 }),
        (attributes, places) => {
          const bytes = Buffer.from(attributes.map((each) => requestText(each)).join(''));
          const { requests, fault } = readAll(cut(bytes, places));
          assert.equal(fault, undefined);
          assert.deepEqual(
            requests.map(({ sender, sasl_username, helo_name, protocol_state }) => ({
              sender,
              sasl_username,
              helo_name,
              protocol_state,
            })),
            attributes.map(({ sender, sasl_username, helo_name }) => ({
              sender: Buffer.from(sender).toString('latin1'),
              sasl_username: Buffer.from(sasl_username).toString('latin1'),
              helo_name: Buffer.from(helo_name).toString('latin1'),
              protocol_state: 'RCPT',
            })),
          );
        },
      ),
    );
  });

  test('takes any bytes without a fault of its own, and gives the same for every cut', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .array(fc.constantFrom('a=b', '\n', '\n\n', '=', 'x', '\0', 'request=smtpd_access_policy\n'), {
          maxLength: 60,
        })
        .map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(), { maxLength: 20 }), (raw, places) => {
        const whole = Buffer.from(raw);
        assert.deepEqual(readAll(cut(whole, places)), readAll([whole]));
      }),
    );
  });

  test('skips attributes that it does not know, and lets the first of two hold', () => {
    const { requests } = readAll([
      Buffer.from('sasl_username=first\nnew_in_4_0=x\nsasl_username=second\nsender=a=b\n\n'),
    ]);
    assert.equal(requests[0]!.sasl_username, 'first');
    assert.equal(requests[0]!.sender, 'a=b');
    assert.equal(requests[0]!.recipient, '');
  });

  test('knows whether a request has begun that has not ended', () => {
    const reader = new RequestReader(() => undefined);
    for (const [text, isWithin] of [
      ['', false],
      ['req', true],
      ['uest=x\n', true],
      ['\n', false],
    ] as const) {
      reader.read(Buffer.from(text));
      assert.equal(reader.isWithin, isWithin, JSON.stringify(text));
    }
  });

  for (const [what, text, fault] of [
    ['a line without an end', 'a'.repeat(65_537), 'bytes'],
    ['too many attributes', 'a=b\n'.repeat(129), 'attributes'],
    ['too many bytes', `a=${'b'.repeat(8000)}\n`.repeat(9), 'bytes'],
    ['a line that is no attribute', 'GET / HTTP/1.1\r\n', 'syntax'],
    ['an attribute without a name', '=b\n', 'syntax'],
    ['an empty request', '\n', 'syntax'],
  ] as const) {
    test(`reads nothing more after ${what}, in one piece or byte by byte`, () => {
      const bytes = Buffer.from(text);
      assert.deepEqual(readAll([bytes]), { requests: [], fault });
      const single = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
      assert.deepEqual(readAll(single), { requests: [], fault });
    });
  }

  test('takes all that is just within its bounds', () => {
    const line = `helo_name=${'b'.repeat(65_525)}\n`;
    const [long] = readAll([Buffer.from(`${line}\n`)]).requests;
    assert.equal(decoded(long!.helo_name).length, 1024);
    assert.equal(readAll([Buffer.from(`${'a=b\n'.repeat(128)}\n`)]).requests.length, 1);
  });
});

describe('a value of a policy request', () => {
  test('is read as UTF-8, without control characters, and not beyond a bound', () => {
    assert.equal(decoded(Buffer.from('jürgen@example.com').toString('latin1')), 'jürgen@example.com');
    assert.equal(decoded('a\0b\x7fc\td\r'), 'a?b?c?d?');
    assert.equal(decoded('\xff'), '\ufffd');
    assert.equal(decoded('a'.repeat(5000)).length, 1024);
    assert.ok(decoded('\xf0\x9f\x98'.repeat(500)).isWellFormed());
  });

  test('is a count only where it is a plain number, and never more than the most', () => {
    assert.equal(countOf('12', 100), 12);
    assert.equal(countOf('120', 100), 100);
    for (const text of ['', '-1', '1e9', '0x10', ' 5', '9'.repeat(30)])
      assert.equal(countOf(text, 100), 0, text);
  });
});
