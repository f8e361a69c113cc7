import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { quietUntil } from '../../../src/config/notices.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { ChannelRules, Circumstances, OpenBreaker } from '../../../src/notices/channel-state.js';
import {
  ChannelState,
  isUnderWay,
  LEASE,
  MOST_SETTLED,
  MOST_UNDER_WAY,
  sum,
} from '../../../src/notices/channel-state.js';
import type { ChannelEvent, ChannelFact, Item, Notice } from '../../../src/notices/events.js';
import { MOST_ITEMS } from '../../../src/notices/gathering.js';
import { NOON } from '../../support/manual-clock.js';

const RULES: ChannelRules = {
  type: 'mail',
  to: ['ops@example.com'],
  events: ['proposed', 'imposed', 'breaker'],
  types: ['account', 'domain', 'ip'],
  domains: undefined,
  owners: undefined,
  quietHours: undefined,
  digest: { wait: 30 * SECOND, interval: 5 * MINUTE, repeat: 4 * HOUR },
};
const BREAKER: OpenBreaker = { breaker: 'account by sends', blocks: 20, max: 20, window: HOUR };

/** A log that holds block events and the channel's own, and processes that follow it. */
class World {
  now = NOON;
  breakers: readonly OpenBreaker[] = [];
  waiting: readonly Item[] = [];
  readonly log: ({ readonly item: Item } | { readonly own: ChannelEvent })[] = [];
  readonly workers: { state: ChannelState; fed: number }[];
  #ids = 0;
  #revision = -1;

  constructor(
    readonly rules: ChannelRules,
    workers = 1,
  ) {
    this.record([{ type: 'ChannelFollowed', data: { through: 0 } }]);
    this.workers = Array.from({ length: workers }, () => ({ state: new ChannelState(rules), fed: 0 }));
    for (const worker of this.workers) this.feed(worker);
  }

  record(facts: readonly ChannelFact[]): void {
    for (const fact of facts) this.log.push({ own: { ...fact, at: this.now, revision: ++this.#revision } });
  }

  happens(change: Partial<Item> = {}): void {
    const position = this.log.length + 1;
    const subject = { type: 'account', value: `a${position}@example.com` } as const;
    const base = {
      event: 'imposed',
      position,
      at: this.now,
      by: 'rule:burst@1',
      block: `b${position}`,
    } as const;
    this.log.push({ item: { ...base, subject, why: 'too many', ...change } });
  }

  feed(worker: { state: ChannelState; fed: number }, most = Infinity): void {
    for (let count = 0; worker.fed < this.log.length && count < most; count += 1) {
      const position = ++worker.fed;
      const entry = this.log[position - 1]!;
      if ('item' in entry) worker.state.gather(position, entry.item, this.now);
      else worker.state.apply(entry.own);
      if (worker.state.takeRewind()) worker.fed = worker.state.through!;
    }
  }

  /** As a process that was killed begins again: its own stream first, then what is not decided. */
  restart(worker: { state: ChannelState; fed: number }): void {
    worker.state = new ChannelState(this.rules);
    for (const entry of this.log) if ('own' in entry) worker.state.apply(entry.own);
    worker.fed = worker.state.through!;
    this.feed(worker);
  }

  /** @returns whether the store took what was decided */
  tick(worker = this.workers[0]!): boolean {
    const { breakers, waiting } = this;
    const circumstances: Circumstances = { breakers, waiting: () => waiting, newId: () => `n${++this.#ids}` };
    const facts = worker.state.decide(this.now, circumstances);
    if (facts.length === 0 || worker.state.revision !== this.#revision) return false;
    this.record(facts);
    return true;
  }

  /** Lets time pass in steps, with what is due done; everything is delivered at once. */
  passes(span: number, step = 10 * SECOND): void {
    for (const end = this.now + span; this.now < end; this.now += step) {
      const [worker] = this.workers;
      while (this.tick()) this.feed(worker!);
      for (const { notice } of worker!.state.due(this.now)) this.settle(notice.id, true);
      this.feed(worker!);
    }
  }

  settle(notice: string, isDelivered: boolean): void {
    const failed = { notice, error: 'HTTP 500', retryAt: this.now + 5 * SECOND };
    this.record([
      { type: 'NoticeAttempted', data: { notice } },
      isDelivered ? { type: 'NoticeDelivered', data: { notice } } : { type: 'NoticeFailed', data: failed },
    ]);
  }

  get notices(): readonly Notice[] {
    return this.log.flatMap((entry) =>
      'own' in entry && entry.own.type === 'NoticeDue' ? [entry.own.data.notice] : [],
    );
  }

  told(): readonly string[] {
    return this.notices.map(({ kind, to, counts, at }) =>
      [kind, to ?? 'itself', JSON.stringify(counts), `+${(at - NOON) / SECOND}s`].join(' '),
    );
  }
}

describe('a channel of notices', () => {
  test('waits for others after the first event, then for the interval, and tells of all of them at once', () => {
    const world = new World(RULES);
    world.happens();
    world.happens();
    world.passes(MINUTE);
    world.happens();
    world.passes(6 * MINUTE);
    assert.deepEqual(world.told(), ['events itself {"imposed":2} +30s', 'events itself {"imposed":1} +330s']);
  });

  test('tells only of the events, types and domains that it asks for, with subdomains', () => {
    const world = new World({ ...RULES, domains: ['example.com'], events: ['imposed'] });
    world.happens({ event: 'proposed' });
    world.happens({ subject: { type: 'account', value: 'a@other.example' } });
    world.happens({ subject: { type: 'domain', value: 'sub.example.com' } });
    world.happens({ subject: { type: 'ehlo', value: 'x.example.com' } });
    world.happens({ subject: { type: 'account', value: 'a@notexample.com' } });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ items }) => items.map(({ subject }) => subject?.value)),
      [['sub.example.com']],
    );
  });

  test('tells of an approved proposal once, not of its block too', () => {
    const world = new World({ ...RULES, events: ['approved', 'imposed'] });
    world.happens({ event: 'approved', by: 'admin:alice', rule: 'burst' });
    world.happens({ by: 'admin:alice', rule: 'burst' });
    world.passes(MINUTE);
    assert.deepEqual(world.told(), ['events itself {"approved":1} +30s']);
  });

  test('counts a proposal once that became a block, or was made anew, before it was told', () => {
    const world = new World({ ...RULES, events: ['proposed', 'approved', 'imposed', 'released'] });
    const told = { event: 'proposed', block: 'p1', rule: 'burst' } as const;
    for (const block of ['p1', 'p2', 'p3', 'p4']) world.happens({ ...told, block });
    world.happens({ ...told, why: 'far too many' });
    world.happens({ event: 'imposed', block: 'p2', rule: 'burst' });
    world.happens({ event: 'approved', block: 'p3', by: 'admin:alice', rule: 'burst' });
    world.happens({ event: 'imposed', block: 'p3', by: 'admin:alice', rule: 'burst' });
    world.happens({ event: 'released', block: 'p2' });
    assert.equal(world.workers[0]!.state.gathered, 0);
    world.passes(MINUTE);
    assert.deepEqual(world.told(), [
      'events itself {"proposed":2,"imposed":1,"approved":1,"released":1} +30s',
    ]);
    assert.deepEqual(
      world.notices[0]!.items.map(({ event, block, why }) => [event, block, why]),
      [
        ['proposed', 'p4', 'too many'],
        ['proposed', 'p1', 'far too many'],
        ['imposed', 'p2', 'too many'],
        ['approved', 'p3', 'too many'],
        ['released', 'p2', 'too many'],
      ],
    );
    // What was told before stays told.
    world.happens({ event: 'imposed', block: 'p1', rule: 'burst' });
    world.passes(6 * MINUTE);
    assert.deepEqual(world.told().slice(1), ['events itself {"imposed":1} +330s']);
  });

  test('asks for no decision that was made before it was told, whether or not it tells of that', () => {
    const world = new World(RULES);
    const told = { event: 'proposed', rule: 'burst' } as const;
    for (const block of ['p1', 'p2', 'p3', 'p4']) world.happens({ ...told, block });
    world.happens({ event: 'dismissed', block: 'p1', by: 'admin:alice' });
    world.happens({ event: 'lapsed', block: 'p2' });
    world.happens({ event: 'approved', block: 'p3', by: 'admin:alice', rule: 'burst' });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ items }) => items.map(({ block }) => block)),
      [['p4']],
    );
    assert.deepEqual(world.told(), ['events itself {"proposed":1} +30s']);
  });

  test('tells nothing where all that waited was decided, and waits anew for the next', () => {
    const world = new World({ ...RULES, events: ['proposed'] });
    for (const became of ['dismissed', 'lapsed', 'imposed', 'approved'] as const) {
      world.happens({ event: 'proposed', block: became });
      world.happens({ event: became, block: became });
    }
    assert.equal(world.workers[0]!.state.gathered, 0);
    world.passes(5 * MINUTE);
    assert.deepEqual(world.told(), []);
    world.happens({ event: 'proposed' });
    world.passes(MINUTE);
    assert.deepEqual(world.told(), ['events itself {"proposed":1} +330s']);
  });

  test('tells of a block that is over before it is told as over, and by whom', () => {
    const world = new World(RULES);
    for (const block of ['b1', 'b2', 'b3']) world.happens({ block });
    world.happens({ event: 'released', block: 'b1', by: 'admin:alice' });
    world.happens({ event: 'expired', block: 'b3', by: 'system:expiry' });
    world.happens({ event: 'released', block: 'unknown', by: 'admin:alice' });
    world.passes(MINUTE);
    const [{ items, counts, over }] = world.notices as [Notice];
    assert.deepEqual([counts, over], [{ imposed: 3 }, { imposed: 2 }]);
    assert.deepEqual(
      items.map((item) => [item.block, item.over]),
      [
        ['b1', { event: 'released', at: NOON, by: 'admin:alice' }],
        ['b2', undefined],
        ['b3', { event: 'expired', at: NOON, by: 'system:expiry' }],
      ],
    );
  });

  test('counts as over also what it does not name', () => {
    const world = new World(RULES);
    for (let count = 0; count < 2 * MOST_ITEMS; count += 1) world.happens({ block: `b${count}` });
    for (let count = 0; count < 2 * MOST_ITEMS; count += 1)
      world.happens({ event: 'released', block: `b${count}` });
    world.passes(MINUTE);
    assert.deepEqual(world.notices[0]!.over, { imposed: 2 * MOST_ITEMS });
  });

  test('counts a proposal once that became a block also among more than it names', () => {
    const world = new World(RULES);
    for (let count = 0; count < 2 * MOST_ITEMS; count += 1)
      world.happens({ event: 'proposed', block: `p${count}` });
    for (let count = 0; count < 2 * MOST_ITEMS; count += 1) world.happens({ block: `p${count}` });
    world.passes(MINUTE);
    assert.deepEqual(world.told(), [`events itself {"imposed":${2 * MOST_ITEMS}} +30s`]);
    assert.equal(world.notices[0]!.items.length, MOST_ITEMS);
  });

  test('tells of the proposals that stand where as many as it names were dismissed before', () => {
    const world = new World(RULES);
    for (let count = 0; count < MOST_ITEMS + 10; count += 1)
      world.happens({ event: 'proposed', block: `p${count}` });
    for (let count = 0; count < MOST_ITEMS; count += 1)
      world.happens({ event: 'dismissed', block: `p${count}`, by: 'admin:alice' });
    world.passes(MINUTE);
    assert.deepEqual(world.told(), ['events itself {"proposed":10} +30s']);
    assert.deepEqual(
      world.notices[0]!.items.map(({ block }) => block),
      Array.from({ length: 10 }, (_, index) => `p${MOST_ITEMS + index}`),
    );
  });

  test('keeps quiet in quiet hours, except of the circuit breaker, and tells of the rest after them', () => {
    const world = new World({ ...RULES, quietHours: { from: 12 * 60, to: 14 * 60, zone: 'UTC' } });
    world.happens();
    world.passes(MINUTE);
    world.breakers = [BREAKER];
    world.passes(3 * HOUR, MINUTE);
    assert.deepEqual(world.told(), [
      'breaker itself {"breaker":1} +60s',
      'events itself {"imposed":1} +7200s',
    ]);
  });

  test('tries nothing again in quiet hours, except of the circuit breaker', () => {
    const world = new World({ ...RULES, quietHours: { from: 12 * 60 + 1, to: 14 * 60, zone: 'UTC' } });
    world.happens();
    world.passes(40 * SECOND);
    const [worker] = world.workers as [{ state: ChannelState; fed: number }];
    const fail = (id: string): void => {
      const retryAt = NOON + 5 * MINUTE;
      world.record([{ type: 'NoticeFailed', data: { notice: id, error: 'HTTP 500', retryAt } }]);
      world.feed(worker);
    };
    const dueAt = (at: number): string[] => worker.state.due(at).map(({ notice }) => notice.kind);
    fail(world.notices[0]!.id);
    assert.deepEqual([dueAt(NOON + HOUR), dueAt(NOON + 2 * HOUR)], [[], ['events']]);
    assert.equal(worker.state.nextAt(NOON + HOUR), NOON + 2 * HOUR);
    world.breakers = [BREAKER];
    world.tick();
    world.feed(worker);
    fail(world.notices[1]!.id);
    assert.deepEqual(dueAt(NOON + HOUR), ['breaker']);
  });

  test('tells of an open circuit breaker once, again after four hours, and anew once it has closed', () => {
    const world = new World(RULES);
    world.breakers = [BREAKER];
    world.passes(5 * HOUR, MINUTE);
    world.breakers = [];
    world.passes(MINUTE);
    world.breakers = [BREAKER];
    world.passes(MINUTE);
    assert.deepEqual(
      world.told().map((line) => line.split('+')[1]),
      ['0s', '14400s', '18060s'],
    );
  });

  test('names what waits for an answer again after four hours without a notice', () => {
    const world = new World(RULES);
    world.happens({ event: 'proposed' });
    const [proposed] = world.log.flatMap((entry) => ('item' in entry ? [entry.item] : []));
    world.waiting = [proposed!];
    world.passes(9 * HOUR, MINUTE);
    assert.deepEqual(world.told(), [
      'events itself {"proposed":1} +60s',
      'waiting itself {"proposed":1} +14460s',
      'waiting itself {"proposed":1} +28860s',
    ]);
  });

  test('tells an owner at another address of its own blocks alone, and nobody at the blocked one', () => {
    const owners = {
      'a@example.com': 'a@home.example',
      'example.com': 'b@example.com',
      'other.example': 'p@elsewhere.example',
    };
    const world = new World({ ...RULES, to: undefined, owners });
    for (const value of [
      'a@example.com',
      'b@example.com',
      'c@example.com',
      'd@other.example',
      'e@third.example',
    ])
      world.happens({ subject: { type: 'account', value } });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ to, items }) => [to, items.map(({ subject }) => subject?.value)]),
      [
        ['a@home.example', ['a@example.com']],
        ['b@example.com', ['c@example.com']],
        ['p@elsewhere.example', ['d@other.example']],
      ],
    );
  });

  test('tells of a sender whose name is that of a property of every object', () => {
    const world = new World({ ...RULES, types: ['ehlo'], owners: { 'a@example.com': 'a@home.example' } });
    for (const value of ['constructor', '__proto__', 'toString'])
      world.happens({ subject: { type: 'ehlo', value } });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ items }) => items.map(({ subject }) => subject?.value)),
      [['constructor', '__proto__', 'toString']],
    );
  });

  test('sends nothing after 410 until a person resends, and loses nothing meanwhile', () => {
    const world = new World(RULES);
    world.happens();
    world.passes(30 * SECOND, 30 * SECOND);
    assert.ok(world.tick());
    const { id } = world.notices[0]!;
    world.record([
      { type: 'NoticeFailed', data: { notice: id, error: 'HTTP 410', retryAt: null, gone: true } },
    ]);
    world.happens();
    world.feed(world.workers[0]!);
    world.passes(HOUR, MINUTE);
    assert.equal(world.notices.length, 1);
    world.record([{ type: 'NoticeResent', data: { notice: id } }]);
    world.feed(world.workers[0]!);
    world.passes(2 * MINUTE);
    assert.deepEqual(
      world.notices.map(({ counts }) => counts),
      [{ imposed: 1 }, { imposed: 1 }],
    );
    assert.ok(world.workers[0]!.state.deliveries.every(({ state }) => state === 'delivered'));
  });

  test('lets nobody else send what was claimed until the lease is over; alone, at once', () => {
    const world = new World(RULES, 2);
    world.happens();
    for (const worker of world.workers) world.feed(worker);
    world.now += MINUTE;
    world.tick();
    const { id } = world.notices[0]!;
    world.record([{ type: 'NoticeAttempted', data: { notice: id } }]);
    for (const worker of world.workers) world.feed(worker);
    const [one, other] = world.workers.map(({ state }) => state);
    assert.deepEqual(one!.due(world.now + LEASE - 1), []);
    assert.equal(one!.due(world.now + LEASE).length, 1);
    other!.orphan(world.now);
    assert.equal(other!.due(world.now).length, 1);
  });

  test('moves its position on where nothing is told for long, so that a start reads little again', () => {
    const world = new World({ ...RULES, events: ['lapsed'] });
    for (let count = 0; count < 1500; count += 1) world.happens();
    world.passes(MINUTE);
    assert.ok(world.workers[0]!.state.through! >= 1500);
  });

  test('loses nothing and tells nothing twice, with any order of events, failures, restarts and two processes; its memory is bounded', () => {
    const action = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('happen' as const),
          count: fc.integer({ min: 1, max: 60 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant('pass' as const), count: fc.integer({ min: 1, max: 900 }) }),
      },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('tick' as const), count: fc.nat(1) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('feed' as const), count: fc.nat(40) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constantFrom('deliver' as const, 'fail' as const),
          count: fc.nat(1),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), count: fc.nat(1) }) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const world = new World(RULES, 2);
        let wanted = 0;
        for (const { kind, count } of actions) {
          const worker = world.workers[count % 2]!;
          if (kind === 'happen') {
            wanted += count;
            for (let each = 0; each < count; each += 1)
              world.happens(each % 2 === 0 ? {} : { event: 'proposed' });
          } else if (kind === 'pass') world.now += count * SECOND;
          else if (kind === 'tick') world.tick(worker);
          else if (kind === 'feed') world.feed(worker, count);
          else if (kind === 'restart') world.restart(worker);
          else for (const one of worker.state.due(world.now)) world.settle(one.notice.id, kind === 'deliver');
          for (const { state } of world.workers) {
            const { deliveries } = state;
            assert.ok(deliveries.filter(isUnderWay).length <= MOST_UNDER_WAY + 1);
            assert.ok(deliveries.length <= MOST_UNDER_WAY + 1 + 2 * MOST_SETTLED);
          }
        }
        for (let round = 0; round < 60; round += 1) {
          const [worker] = world.workers;
          world.feed(worker!);
          for (const one of worker!.state.due(world.now)) world.settle(one.notice.id, true);
          world.feed(worker!);
          world.tick();
          world.now += 10 * MINUTE;
        }
        const events = world.notices.filter(({ kind }) => kind === 'events');
        assert.equal(
          events.reduce((total, { counts }) => total + sum(counts), 0),
          wanted,
        );
        const positions = events.flatMap(({ items }) => items.map(({ position }) => position));
        assert.equal(new Set(positions).size, positions.length);
        assert.ok(events.every(({ items }) => items.length <= MOST_ITEMS));
      }),
      { numRuns: 200 },
    );
  });
});

test('quiet hours follow the zone that they name, over midnight and over a change of the clocks', () => {
  const night = { from: 22 * 60, to: 7 * 60, zone: 'Europe/Berlin' };
  assert.equal(quietUntil(night, Date.UTC(2026, 2, 1, 21, 30)), Date.UTC(2026, 2, 2, 6));
  assert.equal(quietUntil(night, Date.UTC(2026, 2, 1, 20, 59)), undefined);
  assert.equal(quietUntil(night, Date.UTC(2026, 5, 1, 4, 59)), Date.UTC(2026, 5, 1, 5));
  assert.equal(quietUntil(undefined, NOON), undefined);
  // The clocks go back, and forward, in the night.
  assert.equal(quietUntil(night, Date.UTC(2026, 9, 24, 21)), Date.UTC(2026, 9, 25, 6));
  assert.equal(quietUntil(night, Date.UTC(2027, 2, 27, 22)), Date.UTC(2027, 2, 28, 5));
  const leftOut = { ...night, to: 2 * 60 + 30 };
  assert.equal(quietUntil(leftOut, Date.UTC(2027, 2, 27, 22)), Date.UTC(2027, 2, 28, 1, 30));
  const past = { from: 20 * 60, to: 30, zone: 'America/Havana' };
  assert.equal(quietUntil(past, Date.UTC(2026, 10, 1, 1)), Date.UTC(2026, 10, 1, 4, 30));
});
