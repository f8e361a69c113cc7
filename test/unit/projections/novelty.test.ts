import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isKnownOf, isLearnt } from '../../../projections/volume/limits.js';
import { withDay } from '../../../projections/baselines/learning.js';
import { NO_PROFILE, PLACE_KINDS } from '../../../projections/baselines/profile.js';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { LEARNING } from '../../../src/rules/model.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { ALICE } from '../../support/given.js';
import { DAY_0, summary } from '../../support/days.js';
import { event } from '../../support/sends.js';
import { DAWN, Watching } from '../../support/watching.js';

/* Nothing is new for a sender without any record of that kind. */

const NEW_COUNTRY =
  '  - { id: abroad, per: account, count: messages, window: 1h, limit: 1, when: { newCountry: true }, then: block, for: 1h }\n';
const days = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);
const sentences = (verdicts: readonly Verdict[]): readonly string[] =>
  verdicts.map(({ evidence }) => evidence.sentence);

describe('a country', () => {
  test('is new to nobody when countries begin to be known', () => {
    // Given a sender of two months, and databases of places that come only now
    const watching = new Watching(NEW_COUNTRY);
    watching.habit(days(0, 60), {}, 3);
    // When its newsletter goes out from where it always has
    assert.deepEqual(sentences(watching.morning(60).send({ country: 'DE' }, 40, SECOND)), []);
    // Then it is so until countries are known as an account is: of five days, the first a week ago
    for (const day of days(61, 67)) {
      watching.morning(day).send({ country: 'DE' });
      assert.deepEqual(sentences(watching.send({ country: 'FR' }, 1)), [], `day ${day}`);
    }
    const [sentence] = sentences(watching.morning(67).send({ country: 'ZZ' }, 2));
    assert.match(sentence!, /; country ZZ never seen before; /);
  });

  test('is not new if it was recorded on a single day, long ago', () => {
    const watching = new Watching(NEW_COUNTRY);
    watching.habit([0], { country: 'DE' });
    watching.habit(days(1, 60), {});
    assert.deepEqual(sentences(watching.morning(60).send({ country: 'FR' }, 9)), []);
  });

  test('is still new after a silence of a year, where countries were known before it', () => {
    const watching = new Watching(NEW_COUNTRY);
    watching.habit(days(0, 8), { country: 'DE' });
    assert.equal(watching.morning(370).send({ country: 'FR' }, 2).length, 1);
  });
});

describe('after an import of logs without EHLO names', () => {
  /** The days of a sender as `stopgap import` makes them: networks are known, names are not. */
  const imported = (): Watching => {
    const watching = new Watching(DEFAULT_RULES.slice(DEFAULT_RULES.indexOf('version:')));
    for (const day of days(0, 60)) {
      const peaks = { 'messages/1m': 1, 'messages/10m': 2, 'messages/1h': 3, 'messages/24h': 5 };
      const data = summary(DAY_0 - 60 + day, { networks: ['192.0.2.7'], peaks });
      watching.take(event('SenderDaySummarised', data, watching.now, watching.log.length + 1));
    }
    return watching;
  };

  test('a sender at a new place is not strange for a new name as well', () => {
    const watching = imported();
    assert.deepEqual(sentences(watching.send({ ip: '198.51.100.7' }, 8, 10 * SECOND)), []);
  });

  test('a new network still is a sign, and the sentence says what is not known', () => {
    const watching = imported();
    watching.morning(40);
    const [sentence] = sentences(watching.send({ ip: '198.51.100.7' }, 8, 10 * SECOND));
    assert.match(
      sentence!,
      /; network 198\.51\.100\.7 never seen before \(1\); silent for 40d before today \(1\); too little is known of its EHLO names yet; 2 points of 2 needed; /,
    );
  });

  test('names become known as time goes by', () => {
    const watching = imported();
    watching.habit(days(0, 8), {});
    const verdicts = watching.morning(9).send({ ip: '198.51.100.7', ehlo: 'bot' }, 8, 10 * SECOND);
    assert.match(
      sentences(verdicts)[0]!,
      /network .* \(1\); EHLO name bot never seen before \(1\); 2 points/,
    );
  });
});

describe('what was contained', () => {
  test('makes no place known', () => {
    const watching = new Watching(NEW_COUNTRY);
    watching.habit(days(0, 10), {});
    for (const day of days(10, 20)) {
      watching.morning(day).send({ country: 'DE' });
      watching.release(watching.block(ALICE));
    }
    assert.deepEqual(sentences(watching.morning(20).send({ country: 'FR' }, 9)), []);
  });
});

describe('a kind of place', () => {
  test('that is named whenever somebody sends is known when the sender is', () => {
    let known = 0;
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(40), { maxLength: 12 }),
        fc.uniqueArray(fc.nat(40), { maxLength: 12 }),
        fc.nat(20),
        (sent, silent, later) => {
          const profile = [...sent, ...silent.filter((day) => !sent.includes(day))].reduce(
            (before, day) =>
              withDay(
                before,
                sent.includes(day)
                  ? summary(DAY_0 + day, { networks: ['a'], ehlos: ['b'], countries: ['DE'], asns: [1] })
                  : summary(DAY_0 + day, { messages: 0, bounces: 1 }),
                [],
              ),
            NO_PROFILE,
          );
          const today = DAY_0 + 41 + later;
          const learnt = isLearnt(profile, today, LEARNING);
          for (const kind of PLACE_KINDS) assert.equal(isKnownOf(profile, kind, today, LEARNING), learnt);
          known += Number(learnt);
        },
      ),
      { numRuns: 300 },
    );
    assert.ok(known > 50 && known < 250, `${known} of 300 are known`);
  });

  test('is apart from the others', () => {
    const profile = days(0, 10).reduce(
      (before, day) => withDay(before, summary(DAY_0 + day, { ehlos: ['pc'], asns: [64500] }), []),
      NO_PROFILE,
    );
    assert.deepEqual(
      PLACE_KINDS.filter((kind) => isKnownOf(profile, kind, DAWN / DAY + 10, LEARNING)),
      ['ehlos', 'asns'],
    );
  });
});
