import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { withDay, withFalsePositive } from '../../../../projections/baselines/learning.js';
import type { Profile } from '../../../../projections/baselines/profile.js';
import {
  activeDays,
  asOf,
  baselineOf,
  baselineOfLargest,
  firstSeen,
  hourOf,
  isHabit,
  NO_PROFILE,
  totalsOf,
} from '../../../../projections/baselines/profile.js';
import { DAY } from '../../../../src/kernel/time.js';
import type { Day, SenderDaySummarised } from '../../../../src/sending/day-summary.js';
import { DAY_0, summary } from '../../../support/days.js';

/* Profiles against the whole list of days, looked through each time. */

const HOUR_PEAK = 'messages/1h';
const KEYS = [HOUR_PEAK, 'recipients/24h'];
const learn = (days: readonly SenderDaySummarised[], from: Profile = NO_PROFILE): Profile =>
  days.reduce((profile, each) => withDay(profile, each, KEYS), from);

interface Seen {
  readonly day: number;
  readonly peak: number;
  readonly messages: number;
  readonly bounces: number;
  readonly largest: number;
  readonly hours: number;
  readonly networks: readonly string[];
}
const seen = (most: number): fc.Arbitrary<Seen> =>
  fc.record({
    day: fc.nat(most),
    peak: fc.integer({ min: 1, max: 500 }),
    messages: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 900 }) }, fc.constant(0)),
    bounces: fc.nat(20),
    largest: fc.nat(300),
    hours: fc.nat(0xffffff),
    networks: fc
      .array(
        fc.nat(80).map((number) => `n${number}`),
        { maxLength: 16 },
      )
      .map((list) => [...new Set(list)]),
  });
const asSummary = ({ day, peak, messages, networks, ...rest }: Seen): SenderDaySummarised =>
  summary(DAY_0 + day, {
    messages,
    networks: messages > 0 ? networks : [],
    ...rest,
    ...(messages > 0 ? {} : { hours: 0, largest: 0 }),
    peaks: messages > 0 ? { [HOUR_PEAK]: peak } : {},
  });

/** So many days, the first so many days ago. */
const ENOUGH = [
  [1, 1],
  [5, 7],
  [16, 30],
  [2, 365],
] as const;

function everything(profile: Profile, today: Day): unknown {
  const { networks, ehlos, withheld } = asOf(profile, today);
  const recent = ({ day }: { day: Day }): boolean => day >= today - 390;
  return {
    usual: baselineOf(asOf(profile, today), 0, today, -Infinity),
    largest: baselineOfLargest(asOf(profile, today), today),
    totals: totalsOf(asOf(profile, today), today),
    hours: Array.from({ length: 24 }, (_, hour) => hourOf(asOf(profile, today), hour, today)),
    first: firstSeen(asOf(profile, today), today),
    active: [1, 5, 16].map((most) => activeDays(asOf(profile, today), today - 100, today, most)),
    networks: networks.filter(recent).map(({ name, day }) => ({ name, day })),
    placed: ENOUGH.map(([days, age]) => {
      const { placed, lastDay } = asOf(profile, today);
      return isHabit(placed.networks, lastDay, today, { days, age: age * DAY, installation: 0 });
    }),
    ehlos: ehlos.filter(recent),
    withheld: withheld.filter(recent).map(({ day }) => day),
  };
}

function byHand(all: readonly SenderDaySummarised[], today: Day): unknown {
  const days = all.filter(({ day }, index) => all.findIndex((other) => other.day === day) === index);
  const byWeek = new Map<number, SenderDaySummarised[]>();
  for (const each of days) {
    const week = Math.floor(each.day / 7);
    byWeek.set(week, [...(byWeek.get(week) ?? []), each]);
  }
  const weeks = [...byWeek]
    .sort(([one], [other]) => one - other)
    .slice(-8)
    .filter(([week]) => week >= Math.floor(today / 7) - 26)
    .map(([, each]) => each);
  const telling = weeks.filter((week) => week.some(({ messages }) => messages > 0));
  const usualBy = (of: (each: SenderDaySummarised) => number): object => {
    const peaks = telling.map((week) => Math.max(...week.map(of))).sort((a, b) => a - b);
    return { typical: peaks[peaks.length >> 1] ?? 0, record: peaks.at(-1) ?? 0, weeks: peaks.length };
  };
  const sum = (key: 'messages' | 'recipients' | 'refusedRecipients' | 'bounces'): number =>
    weeks.flat().reduce((total, each) => total + each[key], 0);
  const sent = days.filter(({ day, messages }) => messages > 0 && day >= today - 390).map(({ day }) => day);
  const placed = days.filter(({ day, networks }) => networks.length > 0 && day >= today - 390);
  const firstPlaced = Math.min(...placed.map(({ day }) => day));
  const lastUse = new Map<string, Day>();
  for (const { day, networks } of [...days].sort((a, b) => a.day - b.day)) {
    for (const name of networks) {
      lastUse.delete(name);
      lastUse.set(name, day);
    }
  }
  return {
    usual: usualBy(({ peaks }) => peaks[HOUR_PEAK] ?? 0),
    largest: usualBy(({ largest }) => largest),
    totals: {
      messages: sum('messages'),
      recipients: sum('recipients'),
      refusedRecipients: sum('refusedRecipients'),
      bounces: sum('bounces'),
    },
    hours: Array.from({ length: 24 }, (_, hour) => ({
      used: telling.filter((week) => week.some(({ hours }) => (hours >> hour) & 1)).length,
      weeks: telling.length,
    })),
    first: sent.length === 0 ? -1 : Math.min(...sent),
    active: [1, 5, 16].map((most) => Math.min(most, sent.filter((day) => day >= today - 100).length)),
    networks: [...lastUse]
      .map(([name, day]) => ({ name, day }))
      .slice(-48)
      .filter(({ day }) => day >= today - 390),
    placed: ENOUGH.map(([count, age]) => placed.length >= count && firstPlaced <= today - age),
    ehlos: [],
    withheld: [],
  };
}

describe('days that nobody was blocked on', () => {
  test('give the same in any order they come, and however often: what a list of all of them says', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.array(seen(80), { maxLength: 40 }), fc.array(seen(900), { maxLength: 40 })),
        fc.nat(120),
        fc.infiniteStream(fc.nat()),
        (list, later, picks) => {
          const all = list
            .map(asSummary)
            .filter(({ day }, index, days) => days.findIndex((other) => other.day === day) === index);
          const newest = Math.max(DAY_0, ...all.map(({ day }) => day));
          const shuffled: SenderDaySummarised[] = [];
          for (const each of [...all, ...all.slice(0, 5)]) {
            shuffled.splice(picks.next().value % (shuffled.length + 1), 0, each);
          }
          const sorted = [...all].sort((a, b) => a.day - b.day);
          const expected = byHand(all, newest + later);
          assert.deepEqual(everything(learn(sorted), newest + later), expected);
          assert.deepEqual(everything(learn(shuffled), newest + later), expected);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a profile that is rebuilt from the summaries of 400 days', () => {
  test('is what it was, false positives and a spell of contained days included', () => {
    const step = fc.record({
      seen: seen(0),
      pause: fc.oneof(fc.nat(3), fc.nat(30), fc.nat(420)),
      contained: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
      pardon: fc.boolean(),
    });
    // A record counts for 26 weeks, at most 188 days, and a contained day hands it on for as long again. Spells longer
    // than what is left of the 400 days could hand on a record that a rebuild no longer finds.
    const spell = 400 - 2 * 188;
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }),
        fc.nat(60),
        (steps, later) => {
          let day = 0;
          let firstContained = Infinity;
          const days = steps.map(({ seen: each, pause, contained: drawn, pardon }, index) => {
            day += pause + 1;
            const contained = drawn && day <= firstContained + spell;
            if (contained) firstContained = Math.min(firstContained, day);
            const blocks = contained ? [`b${index}`] : [];
            return {
              summary: { ...asSummary({ ...each, day }), contained: blocks },
              block: contained && pardon ? `b${index}` : undefined,
            };
          });
          const today = DAY_0 + day + later;
          const fold = (list: typeof days): Profile =>
            list.reduce((profile, each) => {
              const seenDay = withDay(profile, each.summary, KEYS);
              if (each.block === undefined) return seenDay;
              const least = { day: each.summary.day, peak: HOUR_PEAK, value: 33 };
              return withFalsePositive(seenDay, each.block, least, KEYS);
            }, NO_PROFILE);
          const kept = days.filter((each) => each.summary.day >= today - 400);
          assert.deepEqual(everything(fold(kept), today), everything(fold(days), today));
        },
      ),
      { numRuns: 300 },
    );
  });
});
