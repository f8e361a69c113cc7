import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Instant } from '../../../src/kernel/time.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { isUnderWay, MOST_SINCE } from '../../../src/notices/deliveries.js';
import { MOST_TO_OWNERS, MOST_UNDER_WAY } from '../../../src/notices/under-way.js';
import { NOON } from '../../support/manual-clock.js';
import { RULES, World } from '../../support/notices/channel-world.js';

describe('a channel of notices with owners that take nothing', () => {
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
      itself: MOST_UNDER_WAY + 6,
      'a@home.example': MOST_UNDER_WAY,
      'p@elsewhere.example': 1,
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
      itself: MOST_UNDER_WAY + 6,
      'a@home.example': MOST_UNDER_WAY + 5,
      'p@elsewhere.example': 1,
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
});
