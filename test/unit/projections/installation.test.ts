import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { Instant } from '../../../src/kernel/time.js';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import { DAY_0, summary } from '../../support/days.js';
import { event, failed, rulesChanged, sent } from '../../support/sends.js';

const RULES = '  - { id: hour, per: account, count: messages, window: 1h, limit: 9, then: observe }';
/** A Thursday, in the morning. */
const T = DAY_0 * DAY + 8 * HOUR;

const rules = (at: Instant): RecordedEvent => rulesChanged(RULES, at, 1);
const send = (at: Instant): RecordedEvent => sent(at, 2);
/** It comes a day after its day, as its writer dates it. */
const day = (number: number, by: string, at = (DAY_0 + number + 1) * DAY): RecordedEvent =>
  event('SenderDaySummarised', summary(DAY_0 + number), at, 3, { by });
const daily = (from: Instant, days: number): readonly RecordedEvent[] =>
  Array.from({ length: days + 1 }, (_, index) => send(from + index * DAY));

/** The age of the installation in days at the last event, also if it is restored before each of them. */
function age(...events: readonly RecordedEvent[]): number {
  const [whole, restored] = [false, true].map((restarts) => {
    let volume = new SendVolume();
    for (const each of events) {
      if (restarts) {
        const before = volume;
        volume = new SendVolume();
        volume.restore(structuredClone(before.dump()));
      }
      volume.apply(each);
    }
    return Math.round((events.at(-1)!.recordedAt - volume.installedAt!) / DAY);
  });
  assert.equal(restored, whole);
  return whole!;
}

describe('the age of an installation', () => {
  test('begins with its rules, or with what happens before it has any', () => {
    assert.equal(age(rules(T), send(T + 20 * DAY)), 20);
    assert.equal(age(send(T), rules(T + 5 * DAY), send(T + 20 * DAY)), 20);
  });

  for (const [what, ...first] of [
    ['rules', rules(T - 730 * DAY)],
    ['rules and a failed login', rules(T - 730 * DAY), failed(T - 730 * DAY + HOUR, 2)],
  ] as const) {
    test(`begins anew if only ${what} came under a clock that was years behind`, () => {
      assert.equal(age(...first, send(T)), 0);
      assert.equal(age(...first, send(T), send(T + 3 * DAY)), 3);
    });
  }

  test('is that of imported history also where the rules came under a clock that was years behind', () => {
    assert.equal(
      age(rules(T - 730 * DAY), day(-90, 'system:import', T), day(-89, 'system:import', T), send(T)),
      90,
    );
  });

  test('goes on through a year in which nothing happened, once it has watched for longer than a day', () => {
    assert.equal(age(rules(T), ...daily(T, 3), send(T + 365 * DAY)), 365);
  });

  test('is the same where retention has taken the mail and left the days', () => {
    const days = [day(0, 'system:profiles'), day(1, 'system:profiles')];
    const later = send(T + 36 * DAY);
    assert.equal(age(rules(T), send(T + HOUR), send(T + DAY + HOUR), ...days, later), 36);
    assert.equal(age(rules(T), ...days, later), 36);
  });

  for (const [days, back] of [
    [100, 60],
    [20, 60],
    [20, 730],
  ] as const) {
    test(`is unchanged after ${days} days by a clock that was ${back} days behind for a while`, () => {
      const before = [rules(T), ...daily(T, days)];
      const now = T + days * DAY;
      assert.equal(age(...before, ...daily(now - back * DAY, 2), send(now + 2 * DAY)), days + 2);
      const own = day(days - back, 'system:profiles', now + 2 * DAY);
      assert.equal(age(...before, send(now - back * DAY), own, send(now + 3 * DAY)), days + 3);
    });
  }

  test('is unchanged by a clock that was years ahead for a while', () => {
    assert.equal(age(rules(T), ...daily(T, 20), send(T + 730 * DAY), send(T + 21 * DAY)), 21);
  });

  test('is that of what was watched since, where the first start was under a clock years ahead', () => {
    const ahead = T + 730 * DAY;
    const after = [rules(ahead), ...daily(ahead, 10), ...daily(T + 10 * DAY, 5)];
    assert.equal(age(...after), 15);
    assert.equal(age(...after, ...daily(T + 15 * DAY, 720)), 735);
  });

  test('counts imported history as watched, and no day of its own from before it began', () => {
    assert.equal(age(rules(T), day(-200, 'system:import', T), send(T + HOUR)), 200);
    assert.equal(age(rules(T), day(-200, 'system:profiles', T), send(T + HOUR)), 0);
  });

  test('is that of the summaries that are left, where the sends have been deleted', () => {
    const seen = Array.from({ length: 300 }, (_, index) => day(400 + index, 'system:profiles'));
    assert.equal(age(rules(T), ...seen, send(T + 700 * DAY)), 300);
  });
});
