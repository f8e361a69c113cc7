import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withDay, withFalsePositive } from '../../../../projections/baselines/learning.js';
import type { LeastPeak } from '../../../../projections/baselines/learning.js';
import {
  JUDGED,
  NO_PROFILE,
  PLACE_KINDS,
  activeDays,
  asOf,
  firstSeen,
  hourOf,
  lastSeen,
  totalsOf,
  baselineOfLargest,
  baselineOf,
} from '../../../../projections/baselines/profile.js';
import type { Profile } from '../../../../projections/baselines/profile.js';
import type { Day, SenderDaySummarised } from '../../../../src/sending/day-summary.js';
import { DAY_0, summary } from '../../../support/days.js';

const HOUR_PEAK = 'messages/1h';
const KEYS = [HOUR_PEAK, 'recipients/24h'];
const learn = (days: readonly SenderDaySummarised[], from: Profile = NO_PROFILE): Profile =>
  days.reduce((profile, each) => withDay(profile, each, KEYS), from);
/** A day that reached so many messages an hour. */
const reached = (day: Day, peak: number, more: Partial<SenderDaySummarised> = {}): SenderDaySummarised =>
  summary(day, { peaks: { [HOUR_PEAK]: peak }, ...more });
const usual = (profile: Profile, day: Day): readonly number[] => {
  const { typical, record, weeks } = baselineOf(profile, 0, day, -Infinity);
  return [typical, record, weeks];
};

describe('what is usual', () => {
  test('is nothing for an unknown sender', () => {
    assert.deepEqual(usual(NO_PROFILE, DAY_0), [0, 0, 0]);
    assert.equal(firstSeen(NO_PROFILE, DAY_0), -1);
    assert.equal(lastSeen(NO_PROFILE), -1);
    assert.equal(activeDays(NO_PROFILE, 0, DAY_0, 16), 0);
  });

  test('is the median of the weekly peaks, the upper of two, and the highest of them', () => {
    const weeks = [4, 9, 1];
    const profile = learn(weeks.map((peak, week) => reached(DAY_0 + 7 * week, peak)));
    assert.deepEqual(usual(profile, DAY_0 + 21), [4, 9, 3]);
    assert.deepEqual(usual(learn([reached(DAY_0 + 21, 6)], profile), DAY_0 + 28), [6, 9, 4]);
  });

  test('goes by weeks: another day of the same one changes only its peak', () => {
    const profile = learn([reached(DAY_0, 3), reached(DAY_0 + 6, 8), reached(DAY_0 + 7, 5)]);
    assert.deepEqual(usual(profile, DAY_0 + 8), [8, 8, 2]);
  });

  test('leaves out weeks without sends, also those that have seen bounces alone', () => {
    const bounced = summary(DAY_0 + 14, { messages: 0, recipients: 0, largest: 0, bounces: 9 });
    const profile = learn([reached(DAY_0, 5), bounced, reached(DAY_0 + 28, 7)]);
    assert.deepEqual(usual(profile, DAY_0 + 29), [7, 7, 2]);
    assert.deepEqual(hourOf(profile, 0, DAY_0 + 29).weeks, 2);
    assert.equal(totalsOf(profile, DAY_0 + 29).bounces, 9, 'though they are counted');
    assert.equal(activeDays(profile, 0, DAY_0 + 29, 16), 2);
  });

  test('reaches back eight weeks in which something happened: who returns after a summer is known', () => {
    const profile = learn([reached(DAY_0, 1500)]);
    assert.deepEqual(usual(profile, DAY_0 + 20 * 7), [1500, 1500, 1]);
    const back = learn([reached(DAY_0 + 20 * 7, 2)], profile);
    assert.deepEqual(usual(back, DAY_0 + 20 * 7 + 1), [1500, 1500, 2]);
    const busy = learn(
      [1, 2, 3, 4, 5, 6, 7, 8].map((week) => reached(DAY_0 + 7 * week, 2)),
      profile,
    );
    assert.deepEqual(usual(busy, DAY_0 + 57), [2, 2, 8], 'week eight took the place of week nought');
    assert.deepEqual(
      usual(profile, DAY_0 + 27 * 7),
      [0, 0, 0],
      'nothing of it is remembered for more than half a year',
    );
  });

  test('rises by no more than a rule lets it within four weeks, whatever a thief sends below its limits', () => {
    const lagged = (profile: Profile, day: Day): object => baselineOf(profile, 0, day, -Infinity, 10);
    const known = learn([1, 2, 3].map((week) => reached(DAY_0 + 7 * week, 6)));
    const start = DAY_0 + 28;
    const ramp = Array.from({ length: 28 }, (_, day) => reached(start + day, Math.round(6 * 1.5 ** day)));
    ramp.forEach((_, day) => {
      const { record } = baselineOf(learn(ramp.slice(0, day), known), 0, start + day, -Infinity, 10);
      assert.ok(record <= 16, `${record} on day ${day}`);
    });
    const after = learn(ramp.slice(0, 8), known);
    assert.deepEqual(lagged(after, start + 8), { typical: 6, record: 16, weeks: 5, lately: 103, before: 6 });
    assert.deepEqual(lagged(after, start + 42), { typical: 6, record: 103, weeks: 5 });
  });

  test('rises in full by a past week whose mail all came from networks that it had used for four weeks', () => {
    const home = ['192.0.2.7'];
    const start = DAY_0 + 35;
    const known = learn([0, 1, 2].map((week) => reached(DAY_0 + 7 * week, 6, { networks: home })));
    const record = (days: readonly SenderDaySummarised[], day: Day): number =>
      baselineOf(learn(days, known), 0, day, -Infinity, 10).record;
    const busy = reached(start, 90, { networks: ['192.0.2.99'] });
    assert.equal(record([busy], start + 1), 16, 'the week is not over');
    assert.equal(record([busy], start + 7), 90);
    const elsewhere = (more: Partial<SenderDaySummarised>): number =>
      record([busy, reached(start + 1, 1, more)], start + 7);
    assert.equal(elsewhere({ networks: [...home, '203.0.113.5'] }), 16, 'once from elsewhere');
    assert.equal(elsewhere({ networks: [] }), 16, 'nobody knows from where');
    assert.equal(elsewhere({ networks: Array<string>(16).fill('192.0.2.7') }), 16, 'and from where else');
    assert.equal(elsewhere({ messages: 0, networks: [] }), 90, 'a bounce came in');
    const fresh = [reached(start - 27, 1, { networks: ['203.0.113.5'] })];
    assert.equal(record([...fresh, reached(start, 90, { networks: ['203.0.113.5'] })], start + 7), 16);
  });

  test('does not rise in full by what a blocked day hands on at home', () => {
    const home = ['192.0.2.7'];
    const known = learn([0, 1, 2].map((week) => reached(DAY_0 + 7 * week, 6, { networks: home })));
    const away = reached(DAY_0 + 35, 90, { networks: ['203.0.113.5'] });
    const blocked = reached(DAY_0 + 42, 95, { networks: home, contained: ['b1'] });
    const profile = learn([away, blocked], known);
    assert.equal(baselineOf(profile, 0, DAY_0 + 49, -Infinity, 10).record, 16);
  });

  test('of an account that nobody knew rises no faster, nor that of one that slept for months', () => {
    const record = (profile: Profile, day: Day): number => baselineOf(profile, 0, day, -Infinity, 10).record;
    const days = (from: Day): readonly SenderDaySummarised[] =>
      [5, 20, 80].map((peak, day) => reached(from + day, peak));
    assert.equal(record(learn(days(DAY_0)), DAY_0 + 3), 10);
    const asleep = learn([reached(DAY_0, 4)]);
    assert.equal(record(learn(days(DAY_0 + 140), asleep), DAY_0 + 143), 14);
  });

  test('of a window as new as the installation counts in full', () => {
    const profile = learn([reached(DAY_0, 40), reached(DAY_0 + 8, 60)]);
    assert.equal(baselineOf(profile, 0, DAY_0 + 9, DAY_0, 10).record, 60);
  });

  test('rises at once by what a person judged to be right', () => {
    const least: LeastPeak = { day: DAY_0 + 28, peak: HOUR_PEAK, value: 90 };
    const known = learn([1, 2, 3].map((week) => reached(DAY_0 + 7 * week, 6)));
    const judged = withFalsePositive(known, 'b1', least, KEYS);
    assert.equal(baselineOf(judged, 0, DAY_0 + 29, -Infinity, 10).record, 90);
  });

  test('of a window that was not kept yet is nothing', () => {
    const narrow = withDay(NO_PROFILE, reached(DAY_0, 5), [HOUR_PEAK]);
    assert.deepEqual(baselineOf(narrow, 1, DAY_0 + 1, -Infinity), { typical: 0, record: 0, weeks: 1 });
    const wider = withDay(
      narrow,
      summary(DAY_0 + 7, { peaks: { 'recipients/24h': 40, [HOUR_PEAK]: 6 } }),
      KEYS,
    );
    assert.deepEqual(baselineOf(wider, 1, DAY_0 + 8, -Infinity), { typical: 40, record: 40, weeks: 2 });
    assert.deepEqual(usual(wider, DAY_0 + 8), [6, 6, 2]);
  });
});

describe('a contained day', () => {
  const known = learn([reached(DAY_0, 4, { largest: 12, networks: ['192.0.2.1'], messages: 20 })]);
  const attack = reached(DAY_0 + 7, 900, {
    messages: 900,
    recipients: 9000,
    largest: 500,
    bounces: 40,
    hours: 0xffffff,
    contained: ['b1'],
    networks: ['203.0.113.66'],
    ehlos: ['bot'],
    countries: ['ZZ'],
    asns: [64500],
  });

  test('teaches nothing above what was known, but keeps that alive', () => {
    const after = learn([attack], known);
    assert.deepEqual(usual(after, DAY_0 + 8), [4, 4, 2]);
    assert.deepEqual(baselineOfLargest(after, DAY_0 + 8), { typical: 12, record: 12, weeks: 2 });
    const { networks, ehlos, countries, asns } = after;
    assert.deepEqual([networks.map(({ name }) => name), ehlos, countries, asns], [['192.0.2.1'], [], [], []]);
    assert.equal(totalsOf(after, DAY_0 + 8).messages, 20);
    assert.deepEqual(hourOf(after, 3, DAY_0 + 8), { used: 0, weeks: 2 });
    assert.equal(activeDays(after, 0, DAY_0 + 8, 16), 2, 'it has been active');
  });

  test('teaches as much as was seen where that is less', () => {
    const after = learn([reached(DAY_0 + 7, 2, { contained: ['b1'] })], known);
    assert.deepEqual(usual(after, DAY_0 + 8), [4, 4, 2]);
    const later = learn(
      [2, 3, 4, 5, 6, 7, 8].map((week) => reached(DAY_0 + 7 * week, 1)),
      after,
    );
    assert.deepEqual(usual(later, DAY_0 + 57), [1, 2, 8], 'when the week before is forgotten');
  });

  test('of a stranger teaches nothing but that it was there', () => {
    const after = learn([attack]);
    assert.deepEqual(usual(after, DAY_0 + 8), [0, 0, 1]);
    assert.equal(firstSeen(after, DAY_0 + 8), DAY_0 + 7);
  });

  test('is learnt after all once its block is taken back, every number of it', () => {
    const pardoned = withFalsePositive(learn([attack], known), 'b1', undefined, KEYS);
    const free = learn([{ ...attack, contained: [] }], known);
    const judged = pardoned.weeks.indexOf(Math.floor((DAY_0 + 7) / 7));
    const cells = pardoned.cells.slice();
    cells[(judged * cells.length) / 8 + 6]! -= JUDGED;
    const places = (profile: Profile): object =>
      Object.fromEntries(
        PLACE_KINDS.map((kind) => [kind, profile[kind].map(({ name, day }) => ({ name, day }))]),
      );
    assert.deepEqual({ ...pardoned, cells, ...places(pardoned) }, { ...free, ...places(free) });
    assert.equal(pardoned.ehlos[0]!.since, DAY_0 + 7 - 28, 'its places are its own at once');
  });

  test('waits for the last of several blocks to be taken back', () => {
    const twice = learn([{ ...attack, contained: ['b1', 'b2'] }], known);
    const once = withFalsePositive(twice, 'b1', undefined, KEYS);
    assert.deepEqual(usual(once, DAY_0 + 8), [4, 4, 2]);
    assert.deepEqual(usual(withFalsePositive(once, 'b2', undefined, KEYS), DAY_0 + 8), [900, 900, 2]);
    assert.deepEqual(usual(withFalsePositive(once, 'b1', undefined, KEYS), DAY_0 + 8), [4, 4, 2]);
  });

  test('is one of four that may still be learnt', () => {
    const days = [1, 2, 3, 4, 5].map((week) =>
      reached(DAY_0 + 7 * week, 100 * week, { contained: [`b${week}`] }),
    );
    const profile = learn(days, known);
    assert.deepEqual(
      profile.withheld.map(({ day }) => day),
      days.slice(1).map(({ day }) => day),
    );
    assert.equal(usual(withFalsePositive(profile, 'b1', undefined, KEYS), DAY_0 + 36)[1], 4);
    assert.equal(usual(withFalsePositive(profile, 'b2', undefined, KEYS), DAY_0 + 36)[1], 200);
  });

  test('that is pardoned when its week is over says no more of that', () => {
    const weeks = [2, 3, 4, 5, 6, 7, 8, 9].map((week) => reached(DAY_0 + 7 * week, 3));
    const later = learn(weeks, learn([attack], known));
    const pardoned = withFalsePositive(later, 'b1', undefined, KEYS);
    assert.deepEqual(usual(pardoned, DAY_0 + 7 + 57), usual(later, DAY_0 + 7 + 57));
  });
});

describe('a false positive', () => {
  const least: LeastPeak = { day: DAY_0 + 7, peak: HOUR_PEAK, value: 18 };

  test('teaches what the window would have reached, before and after the day is summarised', () => {
    const known = learn([reached(DAY_0, 4)]);
    const day = reached(DAY_0 + 7, 9);
    const before = learn([day], withFalsePositive(known, 'b1', least, KEYS));
    const contained = learn([{ ...day, contained: ['b1'] }], known);
    const after = withFalsePositive(contained, 'b1', least, KEYS);
    assert.deepEqual(usual(before, DAY_0 + 8), [18, 18, 2]);
    assert.deepEqual(after, before);
  });

  test('of an unknown sender is learnt all the same', () => {
    const profile = withFalsePositive(NO_PROFILE, 'b1', least, KEYS);
    assert.deepEqual(usual(asOf(profile, DAY_0 + 8), DAY_0 + 8), [18, 18, 1]);
    assert.equal(firstSeen(profile, DAY_0 + 8), -1);
    const after = learn([reached(DAY_0 + 7, 9)], profile);
    assert.deepEqual(usual(after, DAY_0 + 8), [18, 18, 1]);
    assert.equal(firstSeen(after, DAY_0 + 8), DAY_0 + 7);
  });

  test('takes nothing back that is higher, and knows nothing of windows that are not kept', () => {
    const known = learn([reached(DAY_0 + 6, 400)]);
    const day = { ...least, day: DAY_0 + 6 };
    assert.deepEqual(usual(withFalsePositive(known, 'b1', day, KEYS), DAY_0 + 7), [400, 400, 1]);
    const other = withFalsePositive(known, 'b1', { ...day, peak: 'bytes/1h' }, KEYS);
    assert.deepEqual(usual(other, DAY_0 + 7), [400, 400, 1]);
  });
});

describe('places', () => {
  const at = (day: Day, ...networks: readonly string[]): SenderDaySummarised => summary(day, { networks });
  const names = ({ networks }: Profile): readonly string[] =>
    networks.map(({ name, day }) => `${name} ${day - DAY_0}`);

  test('are in the order in which they were last used', () => {
    assert.deepEqual(names(learn([at(DAY_0, 'a', 'b'), at(DAY_0 + 1, 'c', 'a')])), ['b 0', 'c 1', 'a 1']);
  });

  test('are not taken back by an older day', () => {
    const later = learn([at(DAY_0 + 5, 'a'), at(DAY_0 + 9, 'b')]);
    assert.deepEqual(names(learn([at(DAY_0 + 7, 'a', 'b', 'c')], later)), ['a 7', 'c 7', 'b 9']);
  });

  test('are bounded: those not used for longest make room', () => {
    const days = Array.from({ length: 10 }, (_, day) =>
      at(DAY_0 + day, ...Array.from({ length: 16 }, (_place, index) => `n${day * 16 + index}`)),
    );
    const profile = learn(days);
    assert.equal(profile.networks.length, 48);
    assert.equal(profile.networks[0]!.name, 'n112');
  });

  test('not used for 390 days are forgotten', () => {
    const profile = learn([at(DAY_0, 'a'), at(DAY_0 + 390, 'b'), at(DAY_0 + 391, 'c')]);
    assert.deepEqual(names(profile), ['b 390', 'c 391']);
  });
});

describe('a sender that was silent', () => {
  const profile = learn([reached(DAY_0, 5), reached(DAY_0 + 3, 6)]);

  test('for no more than 390 days is known by days and places', () => {
    assert.equal(asOf(profile, DAY_0 + 3 + 390), profile);
    assert.equal(lastSeen(profile), DAY_0 + 3);
    const back = learn([reached(DAY_0 + 3 + 390, 1)], profile);
    assert.equal(firstSeen(back, DAY_0 + 393), DAY_0 + 3, 'the first of those that are remembered');
    assert.equal(activeDays(back, 0, DAY_0 + 393, 16), 2);
  });

  test('for longer is a stranger', () => {
    assert.equal(asOf(profile, DAY_0 + 3 + 391), NO_PROFILE);
    const back = learn([reached(DAY_0 + 3 + 391, 1)], profile);
    assert.deepEqual(back, learn([reached(DAY_0 + 3 + 391, 1)]));
  });

  test('is forgotten day by day, as a reader sees it', () => {
    const two = learn([reached(DAY_0, 5), reached(DAY_0 + 300, 6)]);
    assert.equal(firstSeen(two, DAY_0 + 390), DAY_0);
    assert.equal(firstSeen(two, DAY_0 + 391), DAY_0 + 300);
    assert.deepEqual([activeDays(two, 0, DAY_0 + 390, 16), activeDays(two, 0, DAY_0 + 391, 16)], [2, 1]);
  });
});

describe('a profile', () => {
  test('is never changed, and stays small', () => {
    const days = Array.from({ length: 800 }, (_, day) =>
      reached(DAY_0 + day, day % 50, {
        networks: [`n${day}`],
        ehlos: [`e${day}`],
        countries: [`c${day}`],
        asns: [day],
        contained: day % 9 === 0 ? [`b${day}`] : [],
      }),
    );
    const halfway = learn(days.slice(0, 400));
    const copy = structuredClone(halfway);
    const { withheld, active, cells, weeks, ...places } = learn(days.slice(400), halfway);
    assert.deepEqual(halfway, copy);
    assert.ok(withheld.length <= 4);
    for (const list of [places.networks, places.ehlos, places.countries, places.asns])
      assert.equal(list.length, 48);
    assert.equal(
      active.byteLength + cells.byteLength + weeks.byteLength,
      4 * (13 + 8 * (7 + KEYS.length) + 8),
    );
  });
});
