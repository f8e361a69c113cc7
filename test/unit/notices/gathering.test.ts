import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Item } from '../../../src/notices/events.js';
import { Gathering, MOST_ITEMS, MOST_WAITING, sum } from '../../../src/notices/gathering.js';
import type { SubjectType } from '../../../src/sending/subjects.js';
import { NOON } from '../../support/manual-clock.js';

const itemOf = (
  event: Item['event'],
  position: number,
  block: string,
  type: SubjectType = 'account',
): Item => ({
  event,
  position,
  block,
  at: NOON,
  by: 'rule:burst@1',
  why: 'too many',
  subject: { type, value: block },
});

/** Takes an item as a channel does that is told of all events but of what ends a proposal or a block. */
function take(group: Gathering, item: Item): void {
  group.take(item.position, item, item.event === 'proposed' || item.event === 'imposed');
}

const blocksOf = ({ items }: Gathering): readonly string[] => items.map(({ block }) => block!);

describe('what gathers for a notice', () => {
  test('names the next proposals where the first ones are decided, and is not empty while one waits', () => {
    const group = new Gathering(NOON, 0);
    const most = MOST_ITEMS + 10;
    for (let at = 1; at <= most; at += 1) take(group, itemOf('proposed', at, `p${at}`));
    assert.deepEqual([group.items.length, group.counts], [MOST_ITEMS, { proposed: most }]);
    for (let at = 1; at <= MOST_ITEMS; at += 1) take(group, itemOf('dismissed', most + at, `p${at}`));
    const left = Array.from({ length: 10 }, (_, index) => `p${MOST_ITEMS + 1 + index}`);
    assert.deepEqual([group.isEmpty, blocksOf(group), group.counts], [false, left, { proposed: 10 }]);
    for (const [index, block] of left.entries()) take(group, itemOf('lapsed', 1000 + index, block));
    assert.deepEqual([group.isEmpty, blocksOf(group), group.counts], [true, [], {}]);
  });

  test('holds no more than it may, and is not empty while it counts what it does not hold', () => {
    const group = new Gathering(NOON, 0);
    for (let at = 1; at <= MOST_WAITING + 5; at += 1) take(group, itemOf('proposed', at, `p${at}`));
    for (let at = 1; at <= MOST_WAITING + 5; at += 1) take(group, itemOf('dismissed', 20_000 + at, `p${at}`));
    // Of those it does not know what has become of them: to tell of a few too many is the safe side.
    assert.deepEqual([group.isEmpty, blocksOf(group), group.counts], [false, [], { proposed: 5 }]);
    take(group, itemOf('proposed', 40_000, 'next'));
    assert.deepEqual([blocksOf(group), group.counts], [['next'], { proposed: 6 }]);
  });

  test('names an account, and knows what becomes of it, behind more networks than it may hold', () => {
    const group = new Gathering(NOON, 0);
    for (let at = 1; at <= MOST_WAITING + 5; at += 1) {
      take(group, itemOf('proposed', 2 * at, `p${at}`, 'ip'));
      take(group, itemOf('imposed', 2 * at + 1, `b${at}`, 'ehlo'));
    }
    take(group, itemOf('imposed', 50_001, 'flood', 'account'));
    take(group, itemOf('proposed', 50_002, 'domain', 'domain'));
    take(group, itemOf('proposed', 50_003, 'other', 'account'));
    assert.deepEqual(blocksOf(group).slice(0, 4), ['flood', 'other', 'domain', 'p1']);
    assert.equal(group.items.length, MOST_ITEMS);
    take(group, itemOf('released', 50_004, 'flood', 'account'));
    take(group, itemOf('dismissed', 50_005, 'other', 'account'));
    assert.deepEqual(blocksOf(group).slice(0, 3), ['flood', 'domain', 'p1']);
    assert.equal(group.items[0]!.over!.event, 'released');
  });

  test('names the first of what it counts, whatever becomes of proposals and blocks', () => {
    const block = fc.nat(150).map((number) => `b${number}`);
    const event = fc.constantFrom<Item['event'][]>(
      ...(['proposed', 'proposed', 'proposed', 'imposed', 'dismissed', 'lapsed', 'released'] as const),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(event, block), { maxLength: 600, size: 'max' }), (steps) => {
        const group = new Gathering(NOON, 0);
        let all: Item[] = [];
        const inForce = new Set<string>();
        let over = 0;
        for (const [index, [what, which]] of steps.entries()) {
          const item = itemOf(what, index + 1, which);
          if (what === 'imposed' && inForce.has(which)) continue;
          take(group, item);
          all = all.filter((one) => one.event !== 'proposed' || one.block !== which);
          if (what === 'released' && inForce.delete(which)) over += 1;
          if (what === 'imposed') inForce.add(which);
          if (what === 'proposed' || what === 'imposed') all.push(item);
          assert.deepEqual(
            group.items.map(({ position }) => position),
            all.slice(0, MOST_ITEMS).map(({ position }) => position),
          );
          assert.equal(sum(group.counts), all.length);
          assert.equal(group.isEmpty, all.length === 0);
          assert.equal(sum(group.over), over);
        }
      }),
      { numRuns: 50 },
    );
  });
});
