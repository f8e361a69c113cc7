import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Times } from '../../../../src/backtest/trace/trace.js';
import { DAY, parseInstant } from '../../../../src/kernel/time.js';

/** Times as a trace has them, and what is nearly one: a character of it is another, or missing. */
const written = fc
  .record({
    at: fc.integer({ min: Date.UTC(2016, 1, 27), max: Date.UTC(2016, 2, 2) }),
    place: fc.nat(23),
    other: fc.constantFrom('', '0', '2', '9', '6', ':', '-', '.', '/', ' ', 'T', 'Z', 'z', '+'),
    spoilt: fc.boolean(),
  })
  .map(({ at, place, other, spoilt }) => {
    const text = new Date(at).toISOString();
    return spoilt ? `${text.slice(0, place)}${other}${text.slice(place + 1)}` : text;
  });

describe('times that come in order', () => {
  test('are what each of them is by itself', () => {
    const property = fc.property(fc.array(written, { minLength: 2, maxLength: 20 }), (texts) => {
      const times = new Times();
      for (const text of texts) assert.equal(times.read(text), parseInstant(text), text);
    });
    fc.assert(property, { numRuns: 500 });
  });

  for (const wrong of [
    '2016-02-30T10:00:00.000Z',
    '2016-02-29T24:00:00.000Z',
    '2016-02-29T23:60:00.000Z',
    '2016-02-29T23:00:60.000Z',
    '2016-02-29T23:00:00:000Z',
    '2016-02-29T23:00:00.0x0Z',
    '2016-02-29 23:00:00.000Z',
  ]) {
    test(`are none if one cannot be: ${wrong}`, () => {
      const times = new Times();
      assert.equal(times.read('2016-02-29T00:00:00.000Z'), Date.UTC(2016, 1, 29));
      assert.equal(times.read(wrong), parseInstant(wrong));
      assert.equal(times.read('2016-02-29T23:59:59.999Z'), Date.UTC(2016, 1, 29) + DAY - 1);
    });
  }
});
