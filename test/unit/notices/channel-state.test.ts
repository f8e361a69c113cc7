import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { quietUntil } from '../../../src/config/notices.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { ChannelState } from '../../../src/notices/channel-state.js';
import { LEASE } from '../../../src/notices/channel-state.js';
import { isUnderWay, MOST_SETTLED } from '../../../src/notices/deliveries.js';
import type { Item, Notice } from '../../../src/notices/events.js';
import { itemOf } from '../../../src/notices/events.js';
import { plainOf } from '../../../src/notices/formats.js';
import { MOST_ITEMS } from '../../../src/notices/gathering.js';
import { textOf } from '../../../src/notices/texts.js';
import { MOST_UNDER_WAY } from '../../../src/notices/under-way.js';
import { newId } from '../../../src/runtime/ids.js';
import type { SubjectType } from '../../../src/sending/subjects.js';
import { NOON } from '../../support/manual-clock.js';
import { BREAKER, RULES, World } from '../../support/notices/channel-world.js';

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
    const types = ['account', 'domain', 'ehlo'] as const;
    const world = new World({ ...RULES, types, domains: ['example.com'], events: ['imposed'] });
    world.happens({ event: 'proposed' });
    world.happens({ subject: { type: 'account', value: 'a@other.example' } });
    world.happens({ subject: { type: 'domain', value: 'sub.example.com' } });
    world.happens({ subject: { type: 'ehlo', value: 'x.example.com' } });
    world.happens({ subject: { type: 'ehlo', value: 'a@sub.example.com' } });
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

  for (const isTold of [false, true]) {
    test(`tells of a block that a person set over a proposal ${isTold ? 'that was told' : 'that still gathers'}`, () => {
      const world = new World({ ...RULES, events: ['proposed', 'approved', 'imposed'] });
      const subject = { type: 'account', value: 'bob@example.com' } as const;
      world.happens({ event: 'proposed', block: 'p1', rule: 'day', subject });
      if (isTold) world.passes(10 * MINUTE);
      const event = {
        id: newId(),
        stream: 'block-account:bob@example.com',
        revision: 1,
        position: 9,
        type: 'BlockImposed',
        at: world.now,
        recordedAt: world.now,
        by: 'admin:alice',
        data: { block: 'p1', until: null, origin: 'admin', direction: 'outbound', description: 'phished' },
      } as unknown as Parameters<typeof itemOf>[0];
      const known = {
        description: '',
        evidence: undefined,
        until: null,
        direction: 'outbound',
        rule: 'day',
      } as const;
      const { position: _, ...item } = itemOf(event, known)!;
      world.happens({ ...item, subject });
      world.passes(10 * MINUTE);
      assert.match(world.told().at(-1)!, /\{"imposed":1\}/);
    });
  }

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

  test('tells of a block and of a proposal with the end that they have when it is told, and a retry says the same', () => {
    const world = new World(RULES);
    const of = { lapsesAt: NOON + HOUR, endedAt: undefined };
    for (const [block, until] of [
      ['b1', NOON + 2 * DAY],
      ['b2', null],
    ] as const) {
      world.happens({ block, until: NOON + 40 * SECOND });
      world.standing.set(block, { ...of, state: 'active', until });
    }
    world.happens({ block: 'p1', event: 'proposed', until: NOON + 40 * SECOND });
    world.standing.set('p1', { ...of, state: 'proposed', until: undefined });
    world.away.add('itself');
    world.passes(MINUTE);
    for (const [block, entry] of world.standing)
      world.standing.set(block, { ...entry, until: NOON + DAY, lapsesAt: NOON + DAY });
    world.away.clear();
    world.passes(2 * HOUR, MINUTE);
    const [{ items, over }, ...others] = world.notices as [Notice];
    assert.deepEqual(
      items.map(({ block, until }) => [block, until]),
      [
        ['b1', NOON + 2 * DAY],
        ['b2', null],
        ['p1', NOON + HOUR],
      ],
    );
    assert.deepEqual([over, others], [undefined, []]);
    assert.deepEqual(
      world.workers[0]!.state.deliveries.map(({ state, notice }) => [state, notice.items]),
      [['delivered', items]],
    );
  });

  test('tells of what has run out before it was told as over, and asks for no such decision, though nobody has recorded it', () => {
    const until = NOON + 10 * SECOND;
    const world = new World({ ...RULES, events: ['proposed', 'imposed', 'expired', 'lapsed'] });
    const of = { until, lapsesAt: until, endedAt: undefined };
    for (let count = 0; count < 2 * MOST_ITEMS; count += 1) {
      world.happens({ block: `b${count}`, until });
      world.happens({ block: `p${count}`, event: 'proposed', until });
      world.standing.set(`b${count}`, { ...of, state: 'active' });
      world.standing.set(`p${count}`, { ...of, state: 'proposed' });
    }
    world.passes(40 * SECOND);
    const [{ items, counts, over }] = world.notices as [Notice];
    assert.deepEqual([counts, over], [{ imposed: 2 * MOST_ITEMS }, { imposed: 2 * MOST_ITEMS }]);
    assert.deepEqual(items[0]!.over, { event: 'expired', at: until, by: 'system:expiry' });
    world.happens({ event: 'expired', block: 'b1', by: 'system:expiry' });
    world.happens({ event: 'lapsed', block: 'p1', by: 'system:expiry' });
    world.passes(6 * MINUTE);
    assert.deepEqual(world.told().slice(1), ['events itself {"expired":1,"lapsed":1} +330s']);
  });

  test('tells nothing where every proposal that waited has lapsed, and goes on after a start', () => {
    const world = new World({ ...RULES, events: ['proposed'] });
    const until = NOON + 10 * SECOND;
    world.happens({ event: 'proposed', block: 'p1', until });
    world.standing.set('p1', { until: undefined, lapsesAt: until, endedAt: undefined, state: 'proposed' });
    world.passes(MINUTE);
    world.restart();
    world.passes(MINUTE);
    assert.deepEqual([world.told(), world.workers[0]!.state.gathered], [[], 0]);
    world.happens({ event: 'proposed', block: 'p2' });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ items }) => items.map(({ block }) => block)),
      [['p2']],
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

  test('tells the owner of an account with a tag in its name, and nobody at the very address that is blocked', () => {
    const owners = { 'a+shop@example.com': 'a@home.example', 'example.com': 'B+shop@example.com' };
    const world = new World({ ...RULES, to: undefined, owners });
    for (const value of ['a+shop@example.com', 'a@example.com', 'b+shop@example.com', 'b@example.com'])
      world.happens({ subject: { type: 'account', value } });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ to, items }) => [to, items.map(({ subject }) => subject?.value)]),
      [
        ['a@home.example', ['a+shop@example.com']],
        ['B+shop@example.com', ['a@example.com']],
      ],
    );
  });

  test('tells no owner of an EHLO name or an IP address, since any stranger may say the name of any domain', () => {
    const types = ['account', 'domain', 'ehlo', 'ip'] as const;
    const owners = { 'o5.example': 'boss@home.example', '192.0.2.7': 'boss@home.example' };
    const world = new World({ ...RULES, types, owners });
    for (const subject of [
      { type: 'ehlo', value: 'o5.example' },
      { type: 'ip', value: '192.0.2.7' },
      { type: 'domain', value: 'o5.example' },
    ] as const)
      world.happens({ subject });
    world.passes(MINUTE);
    assert.deepEqual(
      world.notices.map(({ to, items }) => [to ?? 'itself', items.map(({ subject }) => subject?.type)]),
      [
        ['itself', ['domain', 'ip', 'ehlo']],
        ['boss@home.example', ['domain']],
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
    const mostBytes = fc.constantFrom(Infinity, 20_000, 4000);
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80, size: 'max' }), mostBytes, (actions, bytes) => {
        const world = new World({ ...RULES, owners: { 'one.example': OWNER } }, 2);
        // One more, and the owner has as many under way as may be.
        const wanted = { itself: 0, [OWNER]: MOST_UNDER_WAY - 1 };
        for (let count = 1; count < MOST_UNDER_WAY; count += 1) {
          const about = { kind: 'events', at: NOON - DAY, items: [], counts: { imposed: 1 } } as const;
          world.record([
            { type: 'NoticeDue', data: { notice: { id: `early${count}`, to: OWNER, ...about } } },
          ]);
        }
        world.mostBytes = bytes;
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

describe('a channel of notices whose clock was ahead', () => {
  const AHEAD = 700 * DAY;

  test('tells of what happens once the clock is right, after its usual wait, also after a start', () => {
    for (const restarts of [false, true]) {
      const world = new World(RULES);
      world.now += AHEAD;
      world.happens();
      world.passes(MINUTE);
      world.now = NOON;
      if (restarts) world.restart();
      world.happens();
      world.passes(MINUTE);
      world.happens();
      world.passes(6 * MINUTE);
      const [, ...told] = world.told();
      assert.deepEqual(told, ['events itself {"imposed":1} +30s', 'events itself {"imposed":1} +330s']);
    }
  });

  test('tells of what had gathered then, also where a digest had no room for all of it', () => {
    const world = new World(RULES);
    world.now += AHEAD;
    world.happens();
    world.feed(world.workers[0]!);
    world.now = NOON;
    assert.equal(world.workers[0]!.state.gatheredUntil(NOON), NOON + 30 * SECOND);
    world.passes(MINUTE);
    assert.deepEqual(world.told(), ['events itself {"imposed":1} +30s']);
    const { state } = world.workers[0]!;
    world.now += AHEAD;
    world.happens();
    world.record([
      {
        type: 'ChannelFollowed',
        data: { through: state.through!, behind: [{ through: state.through!, left: true }] },
      },
    ]);
    world.feed(world.workers[0]!);
    world.now = NOON + HOUR;
    world.passes(MINUTE);
    assert.deepEqual(world.told().slice(1), ['events itself {"imposed":1} +3600s']);
  });

  test('sends at once what waited then, and in quiet hours after them, also after a start', () => {
    for (const restarts of [false, true]) {
      const world = new World({ ...RULES, quietHours: { from: 13 * 60, to: 14 * 60, zone: 'UTC' } });
      world.now += AHEAD;
      world.happens();
      world.away.add('itself');
      world.passes(MINUTE);
      world.now = NOON + HOUR;
      if (restarts) world.restart();
      world.away.clear();
      world.passes(30 * MINUTE);
      const states = (): readonly string[] => world.workers[0]!.state.deliveries.map(({ state }) => state);
      assert.deepEqual(states(), ['waiting']);
      world.passes(31 * MINUTE);
      assert.deepEqual(states(), ['delivered']);
    }
  });

  test('tells of open circuit breakers and of proposals that wait once the clock is right', () => {
    const world = new World({ ...RULES, events: ['proposed', 'breaker'] });
    world.breakers = [BREAKER];
    const subject = { type: 'account', value: 'a@example.com' } as const;
    world.waiting = [
      { event: 'proposed', position: 1, at: NOON, by: 'rule:burst', block: 'p', subject, why: 'too many' },
    ];
    world.now += AHEAD;
    world.passes(5 * HOUR, MINUTE);
    const before = world.told().length;
    world.now = NOON;
    world.passes(4 * HOUR - MINUTE, MINUTE);
    assert.deepEqual(world.told().slice(before), [
      'breaker itself {"breaker":1} +0s',
      'waiting itself {"proposed":1} +0s',
    ]);
    world.breakers = [];
    world.passes(10 * MINUTE, MINUTE);
    world.breakers = [BREAKER];
    world.passes(MINUTE, MINUTE);
    assert.equal(world.told().filter((one) => one.startsWith('breaker')).length, 4);
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
  const past = { from: 20 * 60, to: 30, zone: 'America/Havana' };
  assert.equal(quietUntil(past, Date.UTC(2026, 10, 1, 1)), Date.UTC(2026, 10, 1, 4, 30));
});

test('quiet hours are over when the clocks go forward past their end', () => {
  // In Berlin from 02:00 to 03:00 at 01:00 UTC.
  for (const from of [1 * 60, 22 * 60])
    for (const to of [2 * 60, 2 * 60 + 1, 2 * 60 + 30, 2 * 60 + 59, 3 * 60])
      for (const now of [Date.UTC(2027, 2, 28, 0, 30, 15), Date.UTC(2027, 2, 28, 0, 59, 59)])
        assert.equal(quietUntil({ from, to, zone: 'Europe/Berlin' }, now), Date.UTC(2027, 2, 28, 1));
});
