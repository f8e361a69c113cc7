import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Stamp } from '../../../src/import/postfix-log/reader.js';
import { readStamp } from '../../../src/import/postfix-log/reader.js';

const AT_FOUR = { month: 11, day: 4, hour: 3, minute: 4, second: 5, millisecond: 0 };

function read(head: string): Omit<Stamp, 'end'> | undefined {
  const stamp = readStamp(`${head}mail postfix/qmgr[9]: 3F2A1: removed`);
  if (stamp === undefined) return undefined;
  const { end, ...rest } = stamp;
  assert.equal(end, head.length, 'what stands behind it begins with the host');
  return rest;
}

describe('the time at the beginning of a line', () => {
  test('in the traditional form names no year and no zone', () => {
    const none = { year: undefined, offset: undefined };
    assert.deepEqual(read('Nov  4 03:04:05 '), { ...none, ...AT_FOUR });
    assert.deepEqual(read('Nov 04 03:04:05 '), { ...none, ...AT_FOUR });
    assert.deepEqual(read('Nov 4 03:04:05 '), { ...none, ...AT_FOUR });
    assert.deepEqual(read('<22>Nov  4 03:04:05 '), { ...none, ...AT_FOUR });
    assert.deepEqual(read('Nov  4 03:04:05.678901 '), { ...none, ...AT_FOUR, millisecond: 678 });
    assert.deepEqual(read('Feb 29 03:04:60 '), { ...none, ...AT_FOUR, month: 2, day: 29, second: 60 });
  });

  test('in ISO 8601 names both, as rsyslog and journald write it', () => {
    const inYear = { year: 2026, ...AT_FOUR };
    assert.deepEqual(read('2026-11-04T03:04:05.678901+01:00 '), { ...inYear, millisecond: 678, offset: 60 });
    assert.deepEqual(read('2026-11-04T03:04:05+0100 '), { ...inYear, offset: 60 });
    assert.deepEqual(read('2026-11-04T03:04:05.1-03:30 '), { ...inYear, millisecond: 100, offset: -210 });
    assert.deepEqual(read('2026-11-04T03:04:05Z '), { ...inYear, offset: 0 });
    assert.deepEqual(read('2026-11-04T03:04:05 '), { ...inYear, offset: undefined });
    assert.deepEqual(read('2026-11-04 03:04:05,999999999 '), {
      ...inYear,
      millisecond: 999,
      offset: undefined,
    });
  });

  test('that never was is none', () => {
    for (const head of [
      'Nov 31 03:04:05 ',
      'Nov  0 03:04:05 ',
      'Nox  4 03:04:05 ',
      'Nov  4 24:04:05 ',
      'Nov  4 03:60:05 ',
      'Nov  4 03:04 ',
      '2025-02-29T03:04:05Z ',
      '2026-13-01T03:04:05Z ',
      '2026-11-04T03:04:05+19:00 ',
      'Tue 2026-11-24 03:04:05 CET ',
      '',
    ])
      assert.equal(read(head), undefined, head);
  });
});
