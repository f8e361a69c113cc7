import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  DAY,
  HOUR,
  MINUTE,
  SECOND,
  WEEK,
  formatDuration,
  formatInstant,
  parseDuration,
  parseInstant,
} from '../../../src/kernel/time.js';

describe('durations', () => {
  for (const [text, span] of [
    ['90s', 90 * SECOND],
    ['10m', 10 * MINUTE],
    ['1h30m', 90 * MINUTE],
    ['35d', 35 * DAY],
    ['2w', 2 * WEEK],
    [' 5m ', 5 * MINUTE],
  ] as const) {
    test(`${text} is read`, () => assert.equal(parseDuration(text), span));
  }
  for (const text of ['', '0s', '10', 'm', '1.5h', '-5m', '5 m', '10M', '1h 30m', '1e3s', '9999999999s']) {
    test(`"${text}" is none`, () => assert.equal(parseDuration(text), undefined));
  }
  for (const [span, text] of [
    [0, '0s'],
    [499, '0s'],
    [DAY, '24h'],
    [36 * HOUR, '36h'],
    [2 * DAY, '2d'],
    [7 * DAY, '7d'],
    [2 * WEEK, '2w'],
    [2 * DAY + 90 * MINUTE, '2d1h30m'],
  ] as const) {
    test(`${span} ms is written ${text}`, () => assert.equal(formatDuration(span), text));
  }
  test('are read as they are written, to the second', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 * 86_400 }), (seconds) => {
        assert.equal(parseDuration(formatDuration(seconds * SECOND)), seconds * SECOND);
      }),
    );
  });
});

describe('instants', () => {
  for (const [text, at] of [
    ['2027-01-01', Date.UTC(2027, 0, 1)],
    ['2027-01-01T10:30', Date.UTC(2027, 0, 1, 10, 30)],
    ['2027-01-01T10:30:05.250Z', Date.UTC(2027, 0, 1, 10, 30, 5, 250)],
    ['2027-01-01T10:30:00+02:00', Date.UTC(2027, 0, 1, 8, 30)],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
  ] as const) {
    test(`${text} is read, in UTC unless it says otherwise`, () => assert.equal(parseInstant(text), at));
  }
  for (const text of [
    '',
    '2027',
    '01.01.2027',
    '2027-13-01',
    '2027-02-29',
    '2027-02-31T10:00Z',
    '2027-01-01T25:00Z',
    'tomorrow',
    '1798761600000',
  ]) {
    test(`"${text}" is none`, () => assert.equal(parseInstant(text), undefined));
  }
  test('are read as they are written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), (at) =>
        assert.equal(parseInstant(formatInstant(at)), at),
      ),
    );
  });
});
