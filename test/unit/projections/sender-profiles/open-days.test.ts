import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Amounts } from '../../../../projections/volume/counted-windows.js';
import type { ClosedDay } from '../../../../projections/baselines/profile.js';
import { OpenDays } from '../../../../projections/baselines/open-days.js';
import { DAY, HOUR } from '../../../../src/kernel/time.js';
import type { Day } from '../../../../src/sending/day-summary.js';
import { dayOf } from '../../../../src/sending/day-summary.js';
import { DAY_0 } from '../../../support/days.js';

const START = DAY_0 * DAY;
const ALICE = 'alice@example.com';
const PEAKS = ['messages/1h', 'recipients-1/1m'];

interface Sent {
  readonly value?: string;
  readonly recipients?: number;
  readonly guess?: number;
  readonly ip?: string;
  readonly ehlo?: string;
  readonly country?: string;
  readonly asn?: number;
}

/** Days of senders whose summaries are known to the test. */
class Days {
  readonly closed = new Map<string, Day>();
  days = this.fresh();

  fresh(): OpenDays {
    return new OpenDays(PEAKS, (value, day) => day <= (this.closed.get(value) ?? -1));
  }

  /** One message. @returns its row */
  send(
    at: number,
    { value = ALICE, recipients = 1, guess = -1, ip = '192.0.2.7', ehlo = 'pc', ...where }: Sent = {},
  ): number {
    const row = this.days.row(value, dayOf(at), guess);
    if (row < 0) return row;
    const amounts = new Amounts();
    amounts.set('messages', 1);
    amounts.set('recipients', recipients);
    this.days.add(row, amounts, at);
    this.days.place(row, { direction: 'outbound', ip, ehlo, ...where });
    return row;
  }

  summarise(value: string, day: Day): void {
    this.closed.set(value, Math.max(day, this.closed.get(value) ?? -1));
    this.days.summarised(value, day);
  }

  read(value = ALICE): readonly (readonly [day: number, messages: number, recipients: number])[] {
    return this.days.of(value).map(({ day, messages, recipients }) => [day - DAY_0, messages, recipients]);
  }
}

function only(days: readonly ClosedDay[]): ClosedDay {
  assert.equal(days.length, 1);
  return days[0]!;
}

describe('a day that is open', () => {
  test('gathers what a sender does', () => {
    const stage = new Days();
    stage.send(START + 3 * HOUR, { recipients: 4 });
    const row = stage.send(START + 23 * HOUR, { recipients: 9 });
    const amounts = new Amounts();
    amounts.set('refusedRecipients', 7);
    amounts.set('bounces', 2);
    stage.days.add(row, amounts, START + 5 * HOUR);
    stage.days.peak(row, 0, 12);
    stage.days.peak(row, 0, 11);
    assert.equal(stage.days.peakAt(row, 0), 12);
    assert.deepEqual(only(stage.days.of(ALICE)), {
      day: DAY_0,
      messages: 2,
      recipients: 13,
      refusedRecipients: 7,
      bounces: 2,
      largest: 9,
      peaks: { 'messages/1h': 12 },
      networks: ['192.0.2.7'],
      ehlos: ['pc'],
      contained: [],
      hours: (1 << 3) | (1 << 23),
    });
  });

  test('ends with the first event of the next, and waits for its summary', () => {
    const stage = new Days();
    const row = stage.send(START + 24 * HOUR - 1, { recipients: 3 });
    stage.days.peak(row, 1, 3);
    assert.equal(stage.send(START + DAY, { recipients: 5 }), row);
    assert.deepEqual(stage.read(), [
      [0, 1, 3],
      [1, 1, 5],
    ]);
    assert.equal(stage.days.peakAt(row, 1), 0, 'the next day begins with nothing');
    assert.deepEqual(only(stage.days.of(ALICE).slice(0, 1)).peaks, { 'recipients-1/1m': 3 });
    assert.deepEqual(
      only(stage.days.of(ALICE).slice(1)).networks,
      ['192.0.2.7'],
      'and learns its places anew',
    );
  });

  test('takes no event of a day before it', () => {
    const stage = new Days();
    stage.send(START + DAY);
    assert.equal(stage.send(START + DAY - 1), -1);
    assert.deepEqual(stage.read(), [[1, 1, 1]]);
  });

  test('is closed by its summary, also to what comes late', () => {
    const stage = new Days();
    stage.send(START);
    stage.summarise(ALICE, DAY_0);
    assert.equal(stage.send(START + HOUR), -1);
    assert.deepEqual(stage.read(), []);
    assert.deepEqual([stage.days.size, stage.days.has(ALICE)], [0, false]);
    assert.ok(stage.send(START + DAY) >= 0);
    assert.deepEqual(stage.read(), [[1, 1, 1]]);
  });

  test('goes on where one before it is summarised, as history is that was imported', () => {
    const stage = new Days();
    for (const day of [0, 1, 2]) stage.send(START + day * DAY, { recipients: day + 1 });
    stage.summarise(ALICE, DAY_0 + 1);
    assert.deepEqual(stage.read(), [
      [0, 1, 1],
      [2, 1, 3],
    ]);
    stage.summarise(ALICE, DAY_0);
    assert.deepEqual(stage.read(), [[2, 1, 3]]);
  });

  test('leaves nothing for the next sender in its row', () => {
    const stage = new Days();
    const row = stage.send(START, { recipients: 90 });
    stage.days.peak(row, 0, 90);
    stage.days.contain(ALICE, 'b1', DAY_0);
    stage.summarise(ALICE, DAY_0);
    assert.equal(stage.send(START + 1, { value: 'bob@example.com', ip: '', ehlo: '' }), row);
    const { peaks, networks, ehlos, largest, contained } = only(stage.days.of('bob@example.com'));
    assert.deepEqual([peaks, networks, ehlos, largest, contained], [{}, [], [], 1, []]);
  });

  test('believes a guess only if it is right', () => {
    const stage = new Days();
    const [alice, bob] = [stage.send(START), stage.send(START, { value: 'bob@example.com' })];
    for (const guess of [alice, bob, -1, 7, 100_000]) assert.equal(stage.send(START, { guess }), alice);
    assert.deepEqual(stage.read(), [[0, 6, 6]]);
    stage.summarise(ALICE, DAY_0);
    assert.equal(stage.send(START, { guess: alice }), -1, 'the row is nobody’s');
  });

  test('knows hundreds of senders apart', () => {
    const stage = new Days();
    for (let index = 0; index < 700; index++)
      stage.send(START, { value: `u${index}`, recipients: index + 1 });
    for (let index = 0; index < 700; index++) assert.deepEqual(stage.read(`u${index}`), [[0, 1, index + 1]]);
  });
});

describe('the places of a sender', () => {
  test('is noted once each, in the order of first use, the first sixteen', () => {
    const stage = new Days();
    for (let index = 0; index < 20; index++) {
      stage.send(START, { ip: `192.0.2.${index}`, ehlo: `PC${index % 3}.example.net` });
      stage.send(START, { ip: '192.0.2.0', ehlo: 'pc0.example.net' });
    }
    const { networks, ehlos } = only(stage.days.of(ALICE));
    assert.deepEqual(
      networks,
      Array.from({ length: 16 }, (_, index) => `192.0.2.${index}`),
    );
    assert.deepEqual(ehlos, ['pc0.example.net', 'pc1.example.net', 'pc2.example.net']);
  });

  test('is a network if it is IPv6, and has a country and an operator if they are known', () => {
    const stage = new Days();
    stage.send(START, { ip: '2001:db8:1:2:3::4' });
    stage.send(START, { ip: '2001:db8:1:2:ffff::5', country: 'DE', asn: 64500 });
    const { networks, countries, asns } = only(stage.days.of(ALICE));
    assert.deepEqual([networks, countries, asns], [['2001:db8:1:2::/64'], ['DE'], [64500]]);
    stage.send(START, { value: 'bob@example.com' });
    assert.ok(!('countries' in only(stage.days.of('bob@example.com'))));
  });
});

describe('a block', () => {
  test('contains the days from its evidence on that are not summarised', () => {
    const stage = new Days();
    for (const day of [0, 1, 2]) stage.send(START + day * DAY);
    stage.days.contain(ALICE, 'b1', DAY_0 + 1);
    stage.days.contain(ALICE, 'b1', DAY_0 + 1);
    stage.days.contain('bob@example.com', 'b1', DAY_0);
    assert.deepEqual(
      stage.days.of(ALICE).map(({ contained }) => contained),
      [[], ['b1'], ['b1']],
    );
    stage.send(START + 3 * DAY);
    assert.deepEqual(stage.days.of(ALICE).at(-1)!.contained, [], 'the next day is free');
    stage.days.contain(ALICE, 'b2', DAY_0 + 5);
    assert.deepEqual(
      stage.days.of(ALICE).at(-1)!.contained,
      [],
      'and what went before a block of a later day',
    );
  });

  test('that is taken back contains none of them, but another does', () => {
    const stage = new Days();
    for (const day of [0, 1]) stage.send(START + day * DAY);
    for (const block of ['b1', 'b2']) stage.days.contain(ALICE, block, DAY_0);
    stage.days.pardon(ALICE, 'b1');
    assert.deepEqual(
      stage.days.of(ALICE).map(({ contained }) => contained),
      [['b2'], ['b2']],
    );
    stage.days.pardon(ALICE, 'b2');
    stage.days.pardon(ALICE, 'b2');
    stage.days.pardon('bob@example.com', 'b2');
    assert.deepEqual(
      stage.days.of(ALICE).map(({ contained }) => contained),
      [[], []],
    );
  });
});

describe('days that wait for their summary', () => {
  test('are given a sender’s oldest first, and only those that are over', () => {
    const stage = new Days();
    for (const day of [0, 1, 2]) stage.send(START + day * DAY);
    stage.send(START + DAY, { value: 'bob@example.com' });
    const due = (before: number): readonly string[] =>
      [...stage.days.before(DAY_0 + before)].map(([value, { day }]) => `${value[0]} ${day - DAY_0}`);
    assert.deepEqual(due(0), []);
    assert.deepEqual(due(2), ['a 0', 'a 1', 'b 1']);
    assert.deepEqual(due(3), ['a 0', 'a 1', 'a 2', 'b 1']);
  });

  test('may be summarised while they are being looked through', () => {
    const stage = new Days();
    for (let index = 0; index < 50; index++) {
      for (const day of [0, 1]) stage.send(START + day * DAY, { value: `u${index}` });
    }
    const found: string[] = [];
    for (const [value, { day }] of stage.days.before(DAY_0 + 2)) {
      found.push(`${value} ${day - DAY_0}`);
      stage.summarise(value, day);
      stage.send(START + 2 * DAY, { value });
    }
    assert.equal(found.length, 100);
    assert.equal(new Set(found).size, 100);
    assert.deepEqual([...stage.days.before(DAY_0 + 2)], []);
    assert.deepEqual(stage.read('u7'), [[2, 2, 2]]);
  });

  test('are forty of a sender at most', () => {
    const stage = new Days();
    for (let day = 0; day < 60; day++) stage.send(START + day * DAY);
    assert.deepEqual([stage.read().length, stage.read()[0]![0]], [41, 19]);
  });
});

describe('a dump', () => {
  const stage = (): Days => {
    const filled = new Days();
    for (let index = 0; index < 600; index++) {
      for (const day of [0, 1]) filled.send(START + day * DAY, { value: `u${index}`, recipients: index + 1 });
    }
    filled.summarise('u3', DAY_0 + 1);
    filled.days.contain('u5', 'b1', DAY_0);
    return filled;
  };
  const all = (days: OpenDays): unknown => Array.from({ length: 600 }, (_, index) => days.of(`u${index}`));

  test('says all that was known, and later changes do not matter', () => {
    const filled = stage();
    const before = structuredClone(all(filled.days));
    const dump = filled.days.dump();
    for (let index = 0; index < 600; index++)
      filled.send(START + DAY, { value: `u${index}`, ip: '203.0.113.9' });
    filled.days.emptyPeak(0);
    filled.days.contain('u6', 'b2', DAY_0);
    filled.summarise('u7', DAY_0 + 1);
    const restored = filled.fresh();
    restored.restore(dump);
    assert.deepEqual(all(restored), before);
    assert.equal(restored.size, 599);
  });

  test('goes on as what it was taken from', () => {
    const one = stage();
    const other = new Days();
    other.days.restore(one.days.dump());
    other.closed.set('u3', DAY_0 + 1);
    for (const each of [one, other]) {
      for (let index = 0; index < 600; index += 7) each.send(START + 2 * DAY, { value: `u${index}` });
      each.send(START + DAY, { value: 'u3' });
      each.send(START + 2 * DAY, { value: 'new' });
    }
    assert.deepEqual(all(other.days), all(one.days));
    assert.deepEqual(other.read('new'), one.read('new'));
  });
});

describe('a peak whose number belongs to another window', () => {
  test('is empty on every open day', () => {
    const stage = new Days();
    const row = stage.send(START);
    stage.days.peak(row, 0, 5);
    stage.days.peak(row, 1, 6);
    const { pages } = stage.days.dump();
    const bytes = structuredClone(pages);
    stage.days.emptyPeak(0);
    assert.deepEqual(only(stage.days.of(ALICE)).peaks, { 'recipients-1/1m': 6 });
    assert.deepEqual(pages, bytes, 'what was dumped stays');
  });
});
