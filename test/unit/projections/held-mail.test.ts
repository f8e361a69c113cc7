import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { HeldMail } from '../../../projections/blocks/held-mail.js';
import type { BlockEvent, BlockFact, HeldWish } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { HOUR } from '../../../src/kernel/time.js';
import { HELD_KEPT } from '../../../src/sending/most-held.js';
import { T0 } from '../../support/given.js';
import { blockEvent, event } from '../../support/sends.js';

const block = 'b1';
const subject = { type: 'account', value: 'alice@example.com' } as const;

function imposed(id = block): BlockFact {
  const terms = { subject, direction: 'outbound', description: '', refusal: 'hold' } as const;
  const data = { block: id, ...terms, until: T0 + HOUR, origin: 'admin', renewWhileTrying: false } as const;
  return { type: 'BlockImposed', data };
}

const expired: BlockFact = { type: 'BlockExpired', data: { block, dueAt: T0 + HOUR } };
const falsePositive: BlockFact = { type: 'BlockReleased', data: { block, falsePositive: true } };
const confirmed: BlockFact = { type: 'BlockReleased', data: { block, falsePositive: false } };
const decided = (action: HeldWish): BlockFact => ({ type: 'HeldMailDecided', data: { block, action } });

/** What the hook has done for the decision at a position, up to a message. */
function ran(cause: number, outcome: 'done' | 'failed', through?: number): BlockFact {
  const counts = { asked: 1, acted: 1, output: '' };
  const end = through === undefined ? {} : { through };
  return { type: 'HookRan', data: { block, action: 'release', cause, outcome, ...counts, ...end } };
}

/** A message is held: the event at a position, and at the same revision of its stream. */
const held = (position: number): RecordedEvent =>
  event(
    'MessageHeld',
    { block, account: subject.value, transaction: `q${position}`, recipients: 1, size: 1 },
    T0,
    position,
    { stream: 'held-b1' },
  );

/** What the read models do with these, each at the position of its place. */
function folded(events: readonly (BlockFact | 'held')[], ledger = new BlockLedger()): HeldMail {
  const mail = new HeldMail();
  for (const [index, fact] of events.entries()) {
    if (fact === 'held') {
      mail.held(held(index), ledger);
      continue;
    }
    const one = blockEvent(fact, T0, index) as RecordedEvent & BlockEvent;
    ledger.apply(one);
    mail.apply(one, 'block' in one.data ? ledger.get(one.data.block) : undefined);
  }
  return mail;
}

const waits = (...events: readonly (BlockFact | 'held')[]): boolean =>
  folded(events).undecided(T0).length > 0;

describe('held mail', () => {
  test('waits for a decision once its block has ended without one', () => {
    assert.deepEqual(folded([imposed(), 'held', expired]).undecided(T0), [{ block, subject }]);
    assert.ok(waits(imposed(), 'held', confirmed), 'a release says nothing of it');
    assert.ok(!waits(imposed(), 'held'), 'the block is in force');
    assert.ok(!waits(imposed(), expired), 'none was held');
    assert.ok(waits(imposed(), expired, 'held'), 'it was recorded late');
  });

  test('waits for nobody after a decision, whether it came before the end or after it', () => {
    assert.ok(!waits(imposed(), 'held', falsePositive));
    assert.ok(!waits(imposed(), 'held', expired, decided('delete')));
    assert.ok(!waits(imposed(), 'held', decided('release'), expired));
  });

  test('waits again where it came after the decision, where that is withdrawn, or where the hook is given up', () => {
    assert.ok(waits(imposed(), 'held', decided('delete'), 'held', expired));
    assert.ok(!waits(imposed(), 'held', falsePositive, 'held'), 'such a release is about all of it');
    assert.ok(waits(imposed(), 'held', expired, decided('delete'), decided('keep')));
    assert.ok(waits(imposed(), 'held', falsePositive, ran(2, 'failed')));
    assert.ok(!waits(imposed(), 'held', falsePositive, ran(2, 'done', 1)));
  });

  test('that the hook has released is no more than what came before it', () => {
    assert.ok(!waits(imposed(), 'held', decided('release'), ran(2, 'done', 1), expired));
    assert.ok(waits(imposed(), 'held', decided('release'), ran(2, 'done', 1), 'held', expired));
  });

  test('of a block that ended long ago waits as that of any other does', () => {
    const other: BlockFact[] = [
      imposed('b2'),
      { type: 'BlockExpired', data: { block: 'b2', dueAt: T0 + HOUR } },
    ];
    // A decision is the sixth event.
    const long = (...later: readonly (BlockFact | 'held')[]): readonly number[] => {
      const mail = folded([imposed(), 'held', expired, ...other, ...later], new BlockLedger(1));
      return [mail.undecided(T0).length, [...mail.unsettled()].length];
    };
    assert.deepEqual(long(), [1, 1]);
    assert.deepEqual(long(decided('keep')), [1, 1]);
    assert.deepEqual(long(decided('release')), [0, 1], 'the hook has it still to do');
    assert.deepEqual(long(decided('release'), decided('keep')), [1, 1]);
    assert.deepEqual(long(decided('release'), ran(5, 'failed')), [1, 1]);
    assert.deepEqual(long(decided('release'), ran(5, 'done', 1)), [0, 0]);
    assert.deepEqual(long(decided('release'), 'held'), [0, 1], 'such a release is about all of it');
    assert.deepEqual(long(decided('delete'), 'held'), [1, 1], 'nobody has decided to delete that');
  });

  test('is told for as long as its records are kept, and survives a snapshot', () => {
    const mail = folded([imposed(), 'held', expired]);
    const other = new HeldMail();
    other.restore(mail.dump());
    assert.deepEqual(other.undecided(T0 + HELD_KEPT - 1), mail.undecided(T0));
    assert.deepEqual(other.undecided(T0 + HELD_KEPT), []);
  });
});
