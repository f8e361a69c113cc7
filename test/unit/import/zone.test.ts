import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Zone } from '../../../src/import/postfix-log/zone.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';

const utc = (text: string): number => Date.parse(`${text}Z`);

/** What a clock on the wall shows, as if it were UTC: by another way than the zone's own. */
function wall(zone: string, instant: number): number {
  const text = new Date(instant).toLocaleString('sv-SE', { timeZone: zone });
  return utc(text.replace(' ', 'T'));
}

describe('the local time of a zone', () => {
  const berlin = new Zone('Europe/Berlin');

  test('is an hour or two ahead in Berlin', () => {
    assert.equal(berlin.instantOf(utc('2026-01-15T12:00:00'), undefined), utc('2026-01-15T11:00:00'));
    assert.equal(berlin.instantOf(utc('2026-07-15T12:00:00.123'), undefined), utc('2026-07-15T10:00:00.123'));
  });

  test('comes twice in the hour in which clocks are put back: which it is the line before tells', () => {
    const twice = utc('2026-10-25T02:30:00');
    const [summer, winter] = [utc('2026-10-25T00:30:00'), utc('2026-10-25T01:30:00')];
    assert.equal(berlin.instantOf(twice, undefined), summer);
    assert.equal(berlin.instantOf(twice, summer - 10 * MINUTE), summer);
    assert.equal(berlin.instantOf(twice, summer + 30 * SECOND), summer, 'a line that comes late');
    assert.equal(berlin.instantOf(twice, utc('2026-10-25T00:59:59')), winter);
    assert.equal(berlin.instantOf(twice, winter - SECOND), winter);
  });

  test('that is left out in spring is what a clock would show that nobody has put forward', () => {
    assert.equal(berlin.instantOf(utc('2026-03-29T02:30:00'), undefined), utc('2026-03-29T01:30:00'));
    assert.equal(berlin.instantOf(utc('2026-03-29T03:00:00'), undefined), utc('2026-03-29T01:00:00'));
  });

  test('is found in every zone, in the order of the lines of a log', () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'UTC'];
    const from = utc('2020-01-01T00:00:00');
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: 0, max: 7 * 365 * 24 * 3600 }),
        fc.array(fc.integer({ min: 1, max: 20 * 60 }), { maxLength: 30 }),
        (name, start, steps) => {
          const zone = new Zone(name);
          // The first line is at an unambiguous time: otherwise nobody could know.
          let instant = from + start * SECOND;
          if (wall(name, instant - HOUR) === wall(name, instant)) instant += 2 * HOUR;
          if (zone.instantOf(wall(name, instant), undefined) !== instant) instant += 2 * HOUR;
          let before: number | undefined;
          for (const step of [0, ...steps]) {
            instant += step * SECOND;
            const found = zone.instantOf(wall(name, instant), before);
            assert.equal(new Date(found).toISOString(), new Date(instant).toISOString());
            before = found;
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('must have a name that is one', () => {
    assert.throws(() => new Zone('CEST2', '--timezone'), {
      field: '--timezone',
      message: '"CEST2" is no time zone: use a name such as Europe/Berlin, America/New_York or UTC',
    });
  });
});
