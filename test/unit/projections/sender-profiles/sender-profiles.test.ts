import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Amounts } from '../../../../projections/volume/counted-windows.js';
import type { LeastPeak } from '../../../../projections/baselines/learning.js';
import { baselineOf } from '../../../../projections/baselines/profile.js';
import { SenderProfiles } from '../../../../projections/baselines/sender-profiles.js';
import { DAY } from '../../../../src/kernel/time.js';
import type { SenderDaySummarised } from '../../../../src/sending/day-summary.js';
import { isDaySummary } from '../../../../src/sending/day-summary.js';
import type { Subject } from '../../../../src/sending/subjects.js';
import { DAY_0, summary } from '../../../support/days.js';

const HOUR_PEAK = 'messages/1h';
const ALICE: Subject = { type: 'account', value: 'alice@example.com' };

/** Profiles of somebody who reached so many messages an hour on a day. */
class Stage {
  readonly profiles = new SenderProfiles();

  constructor() {
    this.profiles.watch([HOUR_PEAK], DAY_0);
  }

  send(day: number, peak: number, { type, value }: Subject = ALICE): void {
    const days = this.profiles.days(type === 'domain' ? 'domain' : 'account');
    const row = days.row(value, DAY_0 + day, -1);
    if (row < 0) return;
    const amounts = new Amounts();
    amounts.set('messages', peak);
    amounts.set('recipients', peak);
    days.add(row, amounts, (DAY_0 + day) * DAY);
    days.peak(row, 0, peak);
  }

  /** Midnight before a day: all before it are summarised. */
  midnight(day: number): readonly SenderDaySummarised[] {
    const due = [...this.profiles.due(DAY_0 + day)].map(({ data }) => data);
    for (const data of due) this.profiles.summarised(data);
    return due;
  }

  usual(day: number, { type, value }: Subject = ALICE): readonly number[] {
    const profile = this.profiles.profile(type === 'domain' ? 'domain' : 'account', value, DAY_0 + day);
    const { typical, record, weeks } = baselineOf(profile, 0, DAY_0 + day, -Infinity);
    return [typical, record, weeks];
  }
}

describe('what senders usually do', () => {
  test('is folded from the summaries that their days make, each once', () => {
    const stage = new Stage();
    stage.send(0, 4);
    assert.deepEqual(stage.midnight(0), []);
    assert.deepEqual(stage.usual(0), [0, 0, 0], 'today is no habit yet');
    const [due] = stage.midnight(1);
    assert.deepEqual(due, {
      ...summary(DAY_0, { messages: 4, recipients: 4, largest: 4, peaks: { [HOUR_PEAK]: 4 }, hours: 1 }),
    });
    assert.deepEqual(stage.midnight(1), []);
    assert.deepEqual(stage.usual(1), [4, 4, 1]);
    assert.deepEqual(stage.profiles.sizes, { profiles: 1, open: 0 });
  });

  test('is that of accounts and of domains apart, also if they are called alike', () => {
    const stage = new Stage();
    const [account, domain] = [
      { type: 'account', value: 'example.com' },
      { type: 'domain', value: 'example.com' },
    ] as const;
    stage.send(0, 4, account);
    stage.send(0, 9, domain);
    stage.midnight(1);
    assert.deepEqual(
      [stage.usual(1, account), stage.usual(1, domain)],
      [
        [4, 4, 1],
        [9, 9, 1],
      ],
    );
  });

  test('lasts while any day of the sender is remembered', () => {
    const { profiles } = new Stage();
    assert.equal(profiles.knows('account', ALICE.value), false);
    const stage = new Stage();
    stage.send(0, 1);
    assert.ok(stage.profiles.knows('account', ALICE.value), 'of today');
    stage.send(1, 1);
    stage.midnight(2);
    assert.ok(stage.profiles.knows('account', ALICE.value), 'of before');
    assert.equal(stage.profiles.knows('domain', ALICE.value), false);
  });

  test('is given up once it is forgotten', () => {
    const stage = new Stage();
    for (let index = 0; index < 50; index++) stage.send(0, 1, { type: 'account', value: `u${index}` });
    stage.send(300, 1, { type: 'account', value: 'u7' });
    stage.midnight(301);
    for (let day = 430; day < 445; day++) {
      stage.send(day, 1, { type: 'account', value: 'new' });
      stage.midnight(day + 1);
    }
    assert.deepEqual(stage.profiles.sizes, { profiles: 2, open: 0 });
    assert.deepEqual(stage.usual(301, { type: 'account', value: 'u7' }), [1, 1, 1]);
  });

  test('is learnt on after a day that a clock which was ahead has dated', () => {
    for (const ahead of [30, 100, 380]) {
      const stage = new Stage();
      for (let day = 0; day < 20; day++) stage.send(day, day === 3 ? 50 : 4);
      stage.send(20 + ahead, 1);
      stage.midnight(21 + ahead);
      for (let day = 20; day < 26; day++) {
        stage.send(day, 5);
        assert.equal(stage.midnight(day + 1).length, 1, `${ahead}: ${day}`);
        assert.deepEqual(stage.midnight(day + 1), [], 'once');
      }
      const { weeks: known } = stage.profiles.profile('account', ALICE.value, DAY_0 + 26);
      assert.equal(known.filter((week) => week >= 0).length, 5, 'four weeks, and that of the wrong date');
      assert.equal(stage.usual(26)[1], 50);
    }
  });

  test('is learnt anew, not years later, after all of it was forgotten for such a day', () => {
    const stage = new Stage();
    for (let day = 0; day < 20; day++) stage.send(day, 4);
    stage.midnight(20);
    stage.send(750, 1);
    stage.midnight(751);
    for (let day = 20; day < 30; day++) {
      stage.send(day, 5);
      stage.midnight(day + 1);
    }
    assert.deepEqual(stage.usual(30), [5, 5, 3]);
  });

  test('is not forgotten for a day of another sender that a clock years ahead has dated', () => {
    const stage = new Stage();
    for (let day = 0; day < 20; day++) stage.send(day, 4);
    stage.midnight(20);
    const before = stage.usual(20);
    stage.send(750, 1, { type: 'account', value: 'bob' });
    stage.midnight(751);
    assert.deepEqual(stage.usual(20), before);
    for (let day = 20; day < 60; day++) {
      stage.send(day, 4);
      stage.midnight(day + 1);
    }
    assert.equal(stage.usual(60)[2], 8);
  });

  test('is not learnt from open days of the future once the clock is set back', () => {
    const stage = new Stage();
    for (const day of [0, 700, 701]) stage.send(day, 4);
    stage.profiles.setBack(DAY_0 + 1);
    stage.send(1, 5);
    assert.deepEqual(
      stage.midnight(800).map(({ day, messages }) => [day - DAY_0, messages]),
      [
        [0, 4],
        [1, 5],
      ],
    );
  });

  test('may have changed only if the version has risen', () => {
    const stage = new Stage();
    const versions: number[] = [];
    const note = (): unknown => versions.push(stage.profiles.version);
    note();
    stage.send(0, 4);
    stage.profiles.contain(ALICE, 'b1', DAY_0);
    note();
    assert.equal(versions[0], versions[1], 'today changes no profile');
    stage.midnight(1);
    note();
    stage.profiles.pardon(ALICE, 'b1');
    note();
    stage.profiles.watch([HOUR_PEAK, 'bytes/1h'], DAY_0 + 1);
    note();
    stage.profiles.restore(stage.profiles.dump());
    note();
    assert.equal(new Set(versions).size, 5);
  });
});

describe('a block', () => {
  const least: LeastPeak = { day: DAY_0 + 7, peak: HOUR_PEAK, value: 18 };
  const stage = (): Stage => {
    const known = new Stage();
    known.send(0, 4);
    known.midnight(1);
    known.send(7, 9);
    return known;
  };

  test('withholds its day', () => {
    const blocked = stage();
    blocked.profiles.contain(ALICE, 'b1', DAY_0 + 7);
    assert.deepEqual(blocked.midnight(8)[0]?.contained, ['b1']);
    assert.deepEqual(blocked.usual(8), [4, 4, 2]);
  });

  test('of a return path is one of the account that is called so; one of a network or a name of nobody', () => {
    for (const [type, contained] of [
      ['address', ['b1']],
      ['ip', []],
      ['ehlo', []],
      ['domain', []],
    ] as const) {
      const blocked = stage();
      blocked.profiles.contain({ type, value: ALICE.value }, 'b1', DAY_0 + 7);
      assert.deepEqual(blocked.midnight(8)[0]?.contained, contained, type);
    }
  });

  test('that is taken back as a false positive withholds nothing, whenever that is', () => {
    const before = stage();
    before.profiles.contain(ALICE, 'b1', DAY_0 + 7);
    before.profiles.pardon(ALICE, 'b1', least);
    assert.deepEqual(before.usual(7), [18, 18, 2], 'it counts at once');
    before.midnight(8);
    const after = stage();
    after.profiles.contain(ALICE, 'b1', DAY_0 + 7);
    after.midnight(8);
    after.profiles.pardon(ALICE, 'b1', least);
    assert.deepEqual(
      [before.usual(8), after.usual(8)],
      [
        [18, 18, 2],
        [18, 18, 2],
      ],
    );
  });

  test('of an unknown sender, taken back, is the first that is known', () => {
    const fresh = new Stage();
    fresh.send(7, 9);
    fresh.profiles.contain(ALICE, 'b1', DAY_0 + 7);
    fresh.profiles.pardon(ALICE, 'b1', least);
    assert.deepEqual(fresh.usual(7), [18, 18, 1]);
    fresh.midnight(8);
    assert.deepEqual(fresh.usual(8), [18, 18, 1]);
    const nobody = new Stage();
    nobody.profiles.pardon(ALICE, 'b1');
    assert.deepEqual(nobody.profiles.sizes, { profiles: 0, open: 0 });
  });
});

describe('windows', () => {
  test('that come and go take their peaks with them, everywhere', () => {
    const stage = new Stage();
    stage.send(0, 4);
    stage.midnight(1);
    stage.send(1, 5);
    const others = Array.from({ length: 24 }, (_, index) => `bytes/${index + 1}m`);
    stage.profiles.watch(others, DAY_0 + 2);
    assert.deepEqual(stage.usual(2), [0, 0, 1], 'the hour made room');
    const [due] = stage.midnight(2);
    assert.deepEqual(due?.peaks, {}, 'on the day that is open, too');
  });

  test('that a summary names, and no rule, are learnt if there is room', () => {
    const stage = new Stage();
    stage.profiles.summarised(summary(DAY_0, { peaks: { 'bytes/1h': 700, [HOUR_PEAK]: 3 } }));
    assert.deepEqual(stage.profiles.peaks.names, [HOUR_PEAK, 'bytes/1h']);
    const profile = stage.profiles.profile('account', ALICE.value, DAY_0 + 1);
    assert.equal(baselineOf(profile, 1, DAY_0 + 1, -Infinity).record, 700);
  });
});

describe('a summary that is none', () => {
  const { subject: _, ...nobody } = summary(DAY_0);
  for (const damaged of [
    undefined,
    null,
    7,
    {},
    nobody,
    { ...summary(DAY_0), subject: { type: 'ip', value: '192.0.2.7' } },
    { ...summary(DAY_0), subject: { type: 'account', value: 7 } },
    { ...summary(DAY_0), day: -1 },
    { ...summary(DAY_0), day: 1.5 },
    { ...summary(DAY_0), day: '20454' },
    { ...summary(DAY_0), day: Infinity },
    { ...summary(DAY_0), messages: NaN },
    { ...summary(DAY_0), messages: undefined },
    { ...summary(DAY_0), recipients: -1 },
    { ...summary(DAY_0), hours: 'all' },
    { ...summary(DAY_0), peaks: null },
    { ...summary(DAY_0), networks: 'a' },
    { ...summary(DAY_0), contained: undefined },
  ]) {
    test(`changes nothing: ${JSON.stringify(damaged)}`, () => {
      const stage = new Stage();
      stage.send(0, 4);
      const before = structuredClone(stage.profiles.dump());
      assert.throws(() => stage.profiles.summarised(damaged as SenderDaySummarised), /no summary of a day/);
      assert.deepEqual(stage.profiles.dump(), before);
    });
  }
  test('is told from one', () => {
    assert.ok(isDaySummary(summary(DAY_0, { countries: ['DE'], asns: [64500] })));
  });
});

describe('a dump', () => {
  test('is not affected by later changes, and goes on the same', () => {
    const stage = new Stage();
    for (let index = 0; index < 300; index++) {
      const subject: Subject = { type: index % 3 === 0 ? 'domain' : 'account', value: `u${index}` };
      stage.send(0, 4, subject);
      stage.profiles.contain(subject, `b${index % 5}`, DAY_0);
    }
    stage.midnight(1);
    for (let index = 0; index < 300; index += 2) stage.send(2, 6, { type: 'account', value: `u${index}` });
    const dump = stage.profiles.dump();
    const copy = structuredClone(dump);
    stage.send(3, 99, { type: 'account', value: 'u2' });
    stage.midnight(4);
    stage.profiles.pardon({ type: 'account', value: 'u1' }, 'b1');
    stage.profiles.watch([], DAY_0 + 20);
    assert.deepEqual(dump, copy);
    const other = new Stage();
    other.send(0, 7, { type: 'account', value: 'left behind' });
    other.profiles.restore(dump);
    other.send(3, 99, { type: 'account', value: 'u2' });
    other.midnight(4);
    other.profiles.pardon({ type: 'account', value: 'u1' }, 'b1');
    other.profiles.watch([], DAY_0 + 20);
    assert.deepEqual(other.profiles.dump(), stage.profiles.dump());
  });
});
