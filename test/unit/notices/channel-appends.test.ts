import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { isUnderWay, MOST_SINCE } from '../../../src/notices/deliveries.js';
import type { Item } from '../../../src/notices/events.js';
import { MOST_ITEMS } from '../../../src/notices/gathering.js';
import { NOON } from '../../support/manual-clock.js';
import { RULES, World } from '../../support/notices/channel-world.js';

/** What KurrentDB takes at once. */
const MOST_BYTES = 1024 * 1024;
const NAMES = Array.from({ length: 60 }, (_, index) => `o${index}.example`);
const OWNERS = Object.fromEntries(NAMES.map((name) => [name, `admin@office-${name}`]));
const OFFICES = Object.values(OWNERS);

describe('a channel whose notices of one moment are more than one append holds', () => {
  function world(): World {
    const made = new World({ ...RULES, owners: OWNERS });
    made.mostBytes = MOST_BYTES;
    return made;
  }

  /** As many blocks of each owner as a notice names. */
  function flood(there: World): void {
    for (const name of NAMES)
      for (let count = 0; count < MOST_ITEMS; count += 1)
        there.happens({ subject: { type: 'account', value: `x${count}@${name}` }, why: 'x'.repeat(500) });
  }

  const toldAll = { itself: NAMES.length * MOST_ITEMS, ...OFFICES.reduce(toEach(MOST_ITEMS), {}) };
  function toEach(count: number) {
    return (told: Record<string, number>, to: string) => ({ ...told, [to]: count });
  }

  test('tells every receiver at that moment, by one append after the other, each once', () => {
    const there = world();
    flood(there);
    there.passes(5 * MINUTE);
    assert.deepEqual(there.toldOf(), toldAll);
    assert.deepEqual(new Set(there.notices.map(({ at }) => at)), new Set([NOON + 30 * SECOND]));
    const decisions = there.log.filter((entry) => 'own' in entry && 'through' in entry.own.data).length - 1;
    assert.ok(decisions > 1, 'it took several appends');
    const { state } = there.workers[0]!;
    assert.deepEqual([state.gathered, state.through], [0, NAMES.length * MOST_ITEMS + 1]);
  });

  test('goes on with those that are left after a start, and tells nobody twice', () => {
    const there = world();
    flood(there);
    there.feed(there.workers[0]!);
    there.now += MINUTE;
    while (there.tick()) there.restart();
    assert.deepEqual(there.toldOf(), toldAll);
    assert.deepEqual(new Set(there.notices.map(({ at }) => at)), new Set([there.now]));
  });

  test('tells those that are left alone: who was told at that moment, or comes new, waits for the interval', () => {
    const there = world();
    const [worker] = there.workers as [World['workers'][number]];
    flood(there);
    there.feed(worker);
    there.now += MINUTE;
    const moment = there.now;
    assert.ok(there.tick());
    const first = there.notices.map(({ to }) => to);
    assert.ok(first.length < OFFICES.length);
    do {
      there.happens({ subject: { type: 'account', value: `late@${NAMES[0]}` } });
      there.happens({ subject: { type: 'account', value: 'late@example.com' } });
      there.feed(worker);
      there.now += SECOND;
    } while (there.tick());
    const told = there.notices.map(({ to }) => to);
    assert.deepEqual([told.length, new Set(told).size], [OFFICES.length + 1, OFFICES.length + 1]);
    const last = there.notices.at(-1)!.at;
    assert.ok(last < moment + MINUTE);
    there.passes(6 * MINUTE);
    const later = there.notices
      .slice(told.length)
      .map(({ to = 'itself', at }) => [to, at >= last + 5 * MINUTE]);
    assert.deepEqual(later, [
      ['itself', true],
      [OFFICES[0], true],
    ]);
  });

  test('decides on nothing while it is handed over again what an owner who is left gathered before', () => {
    const there = new World({ ...RULES, owners: OWNERS }, 2);
    const [decider, follower] = there.workers as [World['workers'][number], World['workers'][number]];
    const happens = (): void =>
      there.happens({ subject: { type: 'account', value: `x@${NAMES[0]}` }, why: 'x'.repeat(500) });
    happens();
    there.feed(decider);
    happens();
    there.feed(follower);
    there.now += MINUTE;
    there.mostBytes = 2000;
    assert.ok(there.tick(decider));
    assert.deepEqual(there.told(), ['events itself {"imposed":1} +60s']);
    there.mostBytes = MOST_BYTES;
    there.feed(follower, 1);
    assert.ok(!there.tick(follower));
    there.feed(follower);
    assert.ok(there.tick(follower));
    there.restart(follower);
    there.passes(10 * MINUTE);
    assert.deepEqual(there.toldOf(), { itself: 2, [OFFICES[0]!]: 2 });
  });

  test('records again what waits by one append after the other', () => {
    const there = world();
    for (const office of [...OFFICES, 'itself']) there.away.add(office);
    flood(there);
    there.passes(MINUTE);
    const { revision } = there;
    const nothing = { type: 'NoticeAttempted', data: { notice: 'none' } } as const;
    there.record(Array.from({ length: MOST_SINCE + 100 }, () => nothing));
    there.passes(MINUTE);
    const kept = there.log.filter((entry) => 'own' in entry && entry.own.type === 'NoticeKept');
    assert.equal(kept.length, OFFICES.length + 1);
    assert.ok(revision > 0);
    there.restart();
    assert.equal(there.workers[0]!.state.deliveries.filter(isUnderWay).length, OFFICES.length + 1);
  });

  const longest = (there: World): void => {
    const value = `${'\u{1f4e7}'.repeat(154)}@${NAMES[0]}`.slice(-320);
    const text = '\u0001'.repeat(500);
    const by = `admin:${'a'.repeat(100)}`;
    const about: Partial<Item> = {
      subject: { type: 'account', value },
      by,
      why: text,
      note: text,
      rule: 'r'.repeat(100),
      until: NOON + MINUTE,
      over: { event: 'released', at: NOON, by },
    };
    for (let count = 0; count < MOST_ITEMS; count += 1)
      there.happens({ ...about, block: `01a20ffb-e5ee-7000-8000-${String(count).padStart(12, '0')}` });
  };

  test('names all of the longest items that there are in one notice', () => {
    const there = world();
    longest(there);
    there.passes(MINUTE);
    assert.deepEqual(
      there.notices.map(({ to, items }) => [to, items.length]),
      [
        [undefined, MOST_ITEMS],
        [OFFICES[0], MOST_ITEMS],
      ],
    );
  });

  test('names fewer in a notice, and counts the rest, where the store takes less at once than one', () => {
    const there = world();
    there.mostBytes = 64 * 1024;
    longest(there);
    there.passes(MINUTE);
    assert.equal(there.notices.length, 2);
    for (const { items, counts } of there.notices) {
      assert.deepEqual(counts, { imposed: MOST_ITEMS });
      assert.ok(items.length > 0 && items.length < MOST_ITEMS, String(items.length));
    }
  });
});
