import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { HeldRoom } from '../../../src/policy/held-room.js';
import { blockEvent } from '../../support/sends.js';
import { NOON } from '../../support/manual-clock.js';

const GIB = 2 ** 30;

let ledger: BlockLedger;
let full: unknown[];
let room: HeldRoom;
let position: number;

function apply(fact: BlockFact): void {
  ledger.apply(blockEvent(fact, NOON, ++position) as RecordedEvent & BlockEvent);
}

beforeEach(() => {
  ledger = new BlockLedger();
  full = [];
  position = 0;
  room = new HeldRoom(
    (block) => ledger.get(block),
    (block, sums) => void full.push([block, sums.messages]),
  );
  const terms = { direction: 'all', until: null, description: '', refusal: 'hold', origin: 'admin' } as const;
  apply({
    type: 'BlockImposed',
    data: {
      block: 'b1',
      subject: { type: 'account', value: 'alice@example.com' },
      ...terms,
      renewWhileTrying: false,
    },
  });
});

/** The hook has let go of all that was held up to a revision. */
function settle(through: number): void {
  const ran = {
    action: 'release',
    cause: 1,
    outcome: 'done',
    asked: 1,
    acted: 1,
    through,
    output: '',
  } as const;
  apply({ type: 'HookRan', data: { block: 'b1', ...ran } });
}

/** One message is held, and has been recorded. */
const hold = (revision: number | undefined, size = 1): void => room.enter('b1', size)(revision);

describe('the room for held mail of one block', () => {
  test('is counted by the revisions of the store: what other processes, or an earlier start, have had held counts', () => {
    hold(998);
    assert.equal(room.isFull('b1'), false);
    hold(999);
    assert.equal(room.isFull('b1'), true);
    assert.equal(room.isFull('b2'), false);
  });

  test('is taken by what the store has not answered for, what waits elsewhere, and what could not be recorded', () => {
    hold(996);
    for (const revision of [-1, undefined]) hold(revision);
    assert.equal(room.isFull('b1'), false);
    const answered = room.enter('b1', 1);
    assert.equal(room.isFull('b1'), true);
    answered(999);
    assert.equal(room.isFull('b1'), true, 'what waited is counted in the store now, and not twice');
    hold(997);
    settle(500);
    assert.equal(room.isFull('b1'), false);
  });

  test('is there again when what is held has been let go of or deleted, and is told anew when it is gone', () => {
    hold(1199);
    for (let times = 0; times < 3; times++) assert.equal(room.isFull('b1'), true);
    assert.deepEqual(full, [['b1', 1200]]);
    settle(1199);
    assert.equal(room.isFull('b1'), false);
    hold(2199);
    assert.equal(room.isFull('b1'), true);
    assert.deepEqual(full.length, 2);
  });

  test('is a gibibyte as well, of what was held since the last decision', () => {
    hold(0, GIB - 1);
    assert.equal(room.isFull('b1'), false);
    hold(1, 1);
    assert.equal(room.isFull('b1'), true);
    settle(1);
    assert.equal(room.isFull('b1'), false);
  });
});
