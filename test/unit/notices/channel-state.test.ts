import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { quietUntil } from '../../../src/config/notices.js';
import type { Instant } from '../../../src/kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { ChannelRules, Circumstances, OpenBreaker } from '../../../src/notices/channel-state.js';
import { ChannelState, LEASE, sum } from '../../../src/notices/channel-state.js';
import { isUnderWay, MOST_READ, MOST_SETTLED, MOST_SINCE } from '../../../src/notices/deliveries.js';
import type { ChannelEvent, ChannelFact, Item, Notice } from '../../../src/notices/events.js';
import { plainOf } from '../../../src/notices/formats.js';
import { MOST_ITEMS } from '../../../src/notices/gathering.js';
import { textOf } from '../../../src/notices/texts.js';
import { MOST_TO_OWNERS, MOST_UNDER_WAY } from '../../../src/notices/under-way.js';
import type { SubjectType } from '../../../src/sending/subjects.js';
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
  /** Receivers that take nothing. */
  readonly away = new Set<string>();
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

  get revision(): number {
    return this.#revision;
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
      if (worker.state.takeRewind()) worker.fed = worker.state.handedOver!;
    }
  }

  /** As a process that was killed begins again: the end of its own stream first, then what is not decided. */
  restart(worker = this.workers[0]!): void {
    worker.state = new ChannelState(this.rules);
    const own = this.log.flatMap((entry) => ('own' in entry ? [entry.own] : []));
    for (const event of own.slice(-MOST_READ)) worker.state.apply(event);
    worker.fed = worker.state.handedOver!;
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

  /** Lets time pass in steps, with what is due done; everything is delivered at once, but to whom takes nothing. */
  passes(span: number, step = 10 * SECOND): void {
    for (const end = this.now + span; this.now < end; this.now += step) {
      const [worker] = this.workers;
      while (this.tick()) this.feed(worker!);
      for (const { notice } of worker!.state.due(this.now)) {
        const takes = !this.away.has(notice.to ?? 'itself');
        this.settle(notice.id, takes, takes ? undefined : this.now + HOUR);
      }
      this.feed(worker!);
    }
  }

  settle(notice: string, isDelivered: boolean, retryAt = this.now + 5 * SECOND): void {
    const failed = { notice, error: 'HTTP 500', retryAt };
    this.record([
      { type: 'NoticeAttempted', data: { notice } },
      isDelivered ? { type: 'NoticeDelivered', data: { notice } } : { type: 'NoticeFailed', data: failed },
    ]);
  }

  /** How many events each receiver was told of in all. */
  toldOf(): Readonly<Record<string, number>> {
    const told: Record<string, number> = {};
    for (const { kind, to = 'itself', counts } of this.notices)
      if (kind === 'events') told[to] = (told[to] ?? 0) + sum(counts);
    return told;
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

  describe('with owners, of whom one takes nothing', () => {
    const OWNERS = { 'a@example.com': 'a@home.example', 'other.example': 'p@elsewhere.example' };
    const A = { subject: { type: 'account', value: 'a@example.com' } } as const;
    const P = { subject: { type: 'account', value: 'x@other.example' } } as const;

    /** As many notices are under way to the owner as may be, and more has happened. */
    function stuck(): World {
      const world = new World({ ...RULES, owners: OWNERS });
      world.away.add('a@home.example');
      for (let round = 1; round <= MOST_UNDER_WAY + 5; round += 1) {
        world.happens(A);
        world.passes(6 * MINUTE, MINUTE);
      }
      return world;
    }

    test('tells the administrators and the other owners as ever, also after a start; only what is for that owner gathers', () => {
      const world = stuck();
      assert.deepEqual(world.toldOf(), { itself: MOST_UNDER_WAY + 5, 'a@home.example': MOST_UNDER_WAY });
      world.restart();
      assert.equal(world.workers[0]!.state.gathered, 5);
      assert.equal(world.workers[0]!.state.gatheredUntil(world.now), undefined);
      assert.equal(world.workers[0]!.state.stuck, 1);
      world.happens(P);
      world.passes(6 * MINUTE, MINUTE);
      assert.deepEqual(world.toldOf(), {
        ...{ itself: MOST_UNDER_WAY + 6, 'a@home.example': MOST_UNDER_WAY, 'p@elsewhere.example': 1 },
      });
      world.restart();
      assert.equal(world.workers[0]!.state.gathered, 5);
    });

    test('tells that owner of all that has gathered, once, as soon as it takes notices again', () => {
      const world = stuck();
      world.happens(P);
      world.passes(6 * MINUTE, MINUTE);
      world.restart();
      world.away.clear();
      world.passes(2 * HOUR, MINUTE);
      assert.deepEqual(world.toldOf(), {
        ...{ itself: MOST_UNDER_WAY + 6, 'a@home.example': MOST_UNDER_WAY + 5, 'p@elsewhere.example': 1 },
      });
      assert.deepEqual(world.notices.at(-1)!.counts, { imposed: 5 });
      const { state } = world.workers[0]!;
      assert.deepEqual([state.gathered, state.stuck], [0, 0]);
      const last = world.log.findLastIndex((entry) => 'item' in entry);
      assert.equal(state.through, last + 1, 'nothing is read again');
    });

    test('names what waits for an answer again', () => {
      const world = stuck();
      world.happens({ event: 'proposed' });
      const proposed = world.log.flatMap((entry) => ('item' in entry ? [entry.item] : [])).at(-1)!;
      world.waiting = [proposed];
      world.passes(5 * HOUR, MINUTE);
      assert.match(world.told().at(-1)!, /^waiting itself \{"proposed":1\}/);
    });

    test('knows what is under way also where much has been recorded since', () => {
      const world = stuck();
      for (let round = 0; round < MOST_SINCE; round += 1) {
        world.happens(P);
        world.passes(6 * MINUTE, 6 * MINUTE);
      }
      world.restart();
      const { state } = world.workers[0]!;
      assert.equal(state.deliveries.filter(isUnderWay).length, MOST_UNDER_WAY);
      assert.equal(state.stuck, 1);
      world.away.clear();
      world.passes(2 * HOUR, MINUTE);
      assert.equal(state.deliveries.filter(isUnderWay).length, 0);
      assert.equal(world.toldOf()['a@home.example'], MOST_UNDER_WAY + 5);
    });
  });

  test('leaves something for the next owner however many take nothing, and its memory is bounded', () => {
    const names = Array.from({ length: 2 * MOST_TO_OWNERS }, (_, index) => `o${index}.example`);
    const owners = Object.fromEntries(names.map((name) => [name, `admin@office-${name}`]));
    const world = new World({ ...RULES, owners });
    const happensTo = (name: string): void =>
      world.happens({ subject: { type: 'account', value: `x@${name}` } });
    const early = names.slice(0, 15);
    for (const name of early) world.away.add(owners[name]!);
    for (let round = 0; round < MOST_UNDER_WAY; round += 1) {
      for (const name of early) happensTo(name);
      world.passes(6 * MINUTE, MINUTE);
    }
    const underWay = (): number => world.workers[0]!.state.deliveries.filter(isUnderWay).length;
    assert.ok(underWay() < MOST_TO_OWNERS, String(underWay()));
    happensTo(names.at(-1)!);
    world.passes(6 * MINUTE, MINUTE);
    assert.equal(world.toldOf()[owners[names.at(-1)!]!], 1);
    for (const name of names) world.away.add(owners[name]!);
    for (const name of names) happensTo(name);
    world.passes(6 * MINUTE, MINUTE);
    assert.equal(underWay(), MOST_TO_OWNERS);
    world.happens();
    world.passes(6 * MINUTE, MINUTE);
    assert.equal(world.toldOf()['itself'], MOST_UNDER_WAY * early.length + 1 + names.length + 1);
    world.away.clear();
    world.passes(3 * HOUR, MINUTE);
    const told = world.toldOf();
    assert.deepEqual(
      names.map((name) => told[owners[name]!]),
      names.map(
        (name, index) => (early.includes(name) ? MOST_UNDER_WAY : index === names.length - 1 ? 1 : 0) + 1,
      ),
    );
  });

  test('names accounts before what strangers change as they please, in a digest and where proposals still wait', () => {
    const world = new World({
      ...RULES,
      events: ['proposed'],
      types: ['account', 'address', 'domain', 'ip', 'ehlo'],
    });
    const of = (type: SubjectType, value: string): Partial<Item> => ({
      event: 'proposed',
      subject: { type, value },
    });
    for (let count = 0; count < 2 * MOST_ITEMS; count += 1) {
      world.happens(of('ehlo', `x${count}`));
      world.happens(of('ip', `203.0.113.${count}`));
    }
    world.happens(of('domain', 'example.com'));
    world.happens(of('address', 'c@example.com'));
    world.happens(of('account', 'b@example.com'));
    world.happens(of('account', 'a@example.com'));
    world.waiting = world.log.flatMap((entry) => ('item' in entry ? [entry.item] : []));
    world.passes(5 * HOUR, MINUTE);
    for (const notice of world.notices)
      assert.match(plainOf(textOf(notice, undefined)), /account b@example\.com[\s\S]*… and more\.$/);
    assert.deepEqual(
      world.notices.map(({ kind, counts, items }) => [kind, counts, items.length]),
      ['events', 'waiting'].map((kind) => [kind, { proposed: 4 * MOST_ITEMS + 4 }, MOST_ITEMS]),
    );
    for (const { items } of world.notices)
      assert.deepEqual(
        items.slice(0, 6).map(({ subject }) => subject!.value),
        ['b@example.com', 'a@example.com', 'c@example.com', 'example.com', '203.0.113.0', '203.0.113.1'],
      );
  });

  test('moves its position on where nothing is told for long, so that a start reads little again', () => {
    const world = new World({ ...RULES, events: ['lapsed'] });
    for (let count = 0; count < 1500; count += 1) world.happens();
    world.passes(MINUTE);
    assert.ok(world.workers[0]!.state.through! >= 1500);
  });

  test('knows at a start from the end of its stream what gathers and waits, however much was tried and failed since', () => {
    const names = Array.from({ length: 12 }, (_, index) => `o${index}.example`);
    const owners = Object.fromEntries(names.map((name) => [name, `admin@office-${name}`]));
    const happensTo = (world: World, index: number): void =>
      world.happens({ subject: { type: 'account', value: `x@${names[index]}` } });
    const knownTo = ({ state }: World['workers'][number], now: Instant): unknown => ({
      through: state.through,
      gathered: state.gathered,
      until: state.gatheredUntil(now),
      stuck: state.stuck,
      underWay: state.deliveries
        .filter(isUnderWay)
        .map(({ notice, attempts, nextAt }) => [notice.id, attempts, nextAt])
        .toSorted(),
    });
    const action = fc.oneof(
      fc.record({
        kind: fc.constant('happen' as const),
        index: fc.nat(11),
        count: fc.integer({ min: 1, max: 12 }),
      }),
      fc.record({ kind: fc.constant('hours' as const), index: fc.nat(5), count: fc.constant(1) }),
      fc.record({
        kind: fc.constantFrom('away' as const, 'back' as const),
        index: fc.nat(12),
        count: fc.constant(1),
      }),
      fc.record({ kind: fc.constant('minutes' as const), index: fc.nat(20), count: fc.constant(1) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 15 }), fc.boolean(), (actions, isLong) => {
        const rules = { ...RULES, owners, digest: { ...RULES.digest, interval: isLong ? DAY : 5 * MINUTE } };
        const world = new World(rules);
        const receivers = [...Object.values(owners), 'itself'];
        for (const receiver of receivers) world.away.add(receiver);
        for (const owner of Object.values(owners))
          for (let count = 0; count < 16; count += 1) {
            const about = { kind: 'events', at: NOON - DAY, items: [], counts: { imposed: 1 } } as const;
            world.record([
              { type: 'NoticeDue', data: { notice: { id: `${owner} ${count}`, to: owner, ...about } } },
            ]);
          }
        const [worker] = world.workers as [World['workers'][number]];
        for (const { kind, index, count } of actions) {
          if (kind === 'happen') for (let each = 0; each < count; each += 1) happensTo(world, index);
          else if (kind === 'away') world.away.add(receivers[index]!);
          else if (kind === 'back') world.away.delete(receivers[index]!);
          else if (kind === 'minutes') world.passes(index * MINUTE, MINUTE);
          else world.passes(index * HOUR, HOUR);
          world.feed(worker);
          const known = knownTo(worker, world.now);
          const { fed } = worker;
          world.restart();
          assert.deepEqual(knownTo(worker, world.now), known);
          assert.equal(worker.fed, fed);
        }
      }),
      { numRuns: 60 },
    );
  });

  const OWNER = 'admin@office.example';
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
          kind: fc.constantFrom('deliver' as const, 'fail' as const, 'failOwner' as const),
          count: fc.nat(1),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), count: fc.nat(1) }) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80, size: 'max' }), (actions) => {
        const world = new World({ ...RULES, owners: { 'one.example': OWNER } }, 2);
        // One more, and the owner has as many under way as may be.
        const wanted = { itself: 0, [OWNER]: MOST_UNDER_WAY - 1 };
        for (let count = 1; count < MOST_UNDER_WAY; count += 1) {
          const about = { kind: 'events', at: NOON - DAY, items: [], counts: { imposed: 1 } } as const;
          world.record([
            { type: 'NoticeDue', data: { notice: { id: `early${count}`, to: OWNER, ...about } } },
          ]);
        }
        for (const { kind, count } of actions) {
          const worker = world.workers[count % 2]!;
          if (kind === 'happen') {
            wanted.itself += count;
            for (let each = 0; each < count; each += 1) {
              const isOwned = each % 3 === 0;
              if (isOwned) wanted[OWNER] += 1;
              const subject = { type: 'account', value: `x${each}@one.example` } as const;
              world.happens({
                ...(each % 2 === 0 ? {} : { event: 'proposed' }),
                ...(isOwned ? { subject } : {}),
              });
            }
          } else if (kind === 'pass') world.now += count * SECOND;
          else if (kind === 'tick') world.tick(worker);
          else if (kind === 'feed') world.feed(worker, count);
          else if (kind === 'restart') world.restart(worker);
          // Who has not read all cannot claim an attempt.
          else if (worker.state.revision === world.revision)
            for (const { notice } of worker.state.due(world.now))
              world.settle(
                notice.id,
                kind === 'deliver' || (kind === 'failOwner' && notice.to === undefined),
              );
          for (const { state } of world.workers) {
            const { deliveries } = state;
            assert.ok(deliveries.filter(isUnderWay).length <= 2 * MOST_UNDER_WAY);
            assert.ok(deliveries.length <= 2 * MOST_UNDER_WAY + 2 * MOST_SETTLED);
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
        assert.deepEqual({ itself: 0, [OWNER]: 0, ...world.toldOf() }, wanted);
        const events = world.notices.filter(({ kind }) => kind === 'events');
        const named = events.flatMap(({ to, items }) => items.map(({ position }) => `${to} ${position}`));
        assert.equal(new Set(named).size, named.length);
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
