import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BlockEntry, HookTask } from '../../../projections/blocks/block-entry.js';
import {
  decidedThrough,
  hookTasksOf,
  mayHoldQueue,
  settledThrough,
} from '../../../projections/blocks/block-entry.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { EffectiveBlocks } from '../../../projections/blocks/effective-blocks.js';
import type { BlockFact, HookRan } from '../../../src/blocks/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { at, given, recorded, T0 } from '../../support/given.js';
import { expired, imposed, lapsed, proposed, released } from './facts.js';

const NOW = T0 + MINUTE;
const ran = (more: Partial<HookRan> = {}): BlockFact => ({
  type: 'HookRan',
  data: {
    block: 'b1',
    action: 'release',
    cause: 20,
    outcome: 'done',
    asked: 3,
    acted: 3,
    output: '',
    ...more,
  },
});
const HELD_QUEUE = ran({ action: 'hold-queue', cause: 10 });
const decided = (action: 'release' | 'delete' | 'keep'): BlockFact => ({
  type: 'HeldMailDecided',
  data: { block: 'b1', action },
});

/** The entry after these facts, at positions 10, 20, 30 … */
function entryAfter(...facts: readonly BlockFact[]): BlockEntry {
  const effective = new EffectiveBlocks();
  const ledger = new BlockLedger();
  for (const event of recorded(facts)) for (const effect of effective.take(event)) ledger.apply(effect);
  return ledger.get('b1')!;
}

const tasksAfter = (...facts: readonly BlockFact[]): readonly HookTask[] =>
  hookTasksOf(entryAfter(...facts), NOW);

/** What comes first, of a block in which the queue was seen to at once. */
const taskAfter = (...[first, ...facts]: readonly BlockFact[]): HookTask | undefined =>
  tasksAfter(first!, HELD_QUEUE, ...facts)[0];

describe('what becomes of held mail', () => {
  test('is recorded with the release where a person said so, and else follows from it', () => {
    const command = { kind: 'release', block: 'b1', falsePositive: false, now: NOW } as const;
    const plain = given([imposed()]).when(command).facts()[0]!;
    assert.ok(!('held' in plain.data));
    const [said] = given([imposed()])
      .when({ ...command, held: 'delete' })
      .facts();
    assert.equal((said!.data as { held?: string }).held, 'delete');
  });

  test('may be decided on while a block is in force and after it has ended, by a proposal never', () => {
    const command = { kind: 'held', block: 'b1', action: 'release', now: NOW } as const;
    for (const before of [[], [released()], [expired(T0)]])
      given([imposed(), ...before])
        .when(command)
        .then([decided('release')]);
    given([imposed({ until: T0 })])
      .when(command)
      .then([decided('release')]);
    given([proposed()])
      .when({ ...command, block: 'p1' })
      .thenError('conflict', 'proposed');
    given([proposed(), lapsed(T0)])
      .when({ ...command, block: 'p1' })
      .thenError('conflict', 'lapsed');
    given([]).when(command).thenError('not-found');
  });

  test('what the hook did is recorded of a block in force and of one that has ended', () => {
    for (const before of [[], [released()]])
      given([imposed(), ...before])
        .when({ kind: 'hook', now: NOW, ...(ran().data as HookRan) })
        .then([ran()]);
    given([])
      .when({ kind: 'hook', now: NOW, ...(ran().data as HookRan) })
      .thenError('not-found');
  });
});

describe('what the hook is to be called for', () => {
  test('a block that begins: what waits in the queue, once', () => {
    assert.deepEqual(tasksAfter(imposed()), [
      { action: 'hold-queue', cause: 10, isFinal: false, last: undefined },
    ]);
    for (const outcome of ['done', 'failed'] as const)
      assert.deepEqual(tasksAfter(imposed(), ran({ action: 'hold-queue', outcome })), []);
  });

  test('not a block of inbound mail, of a network, a domain or a name, nor one that began a day ago', () => {
    assert.deepEqual(tasksAfter(imposed({ direction: 'inbound' })), []);
    for (const type of ['ip', 'domain', 'ehlo'] as const)
      assert.deepEqual(tasksAfter(imposed({ subject: { type, value: '192.0.2.7' } })), []);
    const indefinite = entryAfter(imposed({ until: null }));
    assert.equal(hookTasksOf(indefinite, T0 + DAY)[0]?.action, 'hold-queue');
    assert.deepEqual(hookTasksOf(indefinite, T0 + DAY + 1), []);
  });

  test('a false positive lets the mail go; any other end leaves it where it is', () => {
    assert.deepEqual(taskAfter(imposed(), released(true)), {
      action: 'release',
      cause: 30,
      isFinal: true,
      last: undefined,
    });
    assert.equal(taskAfter(imposed(), released()), undefined);
    assert.equal(taskAfter(imposed(), expired(T0)), undefined);
    const asked = (held: 'release' | 'delete' | 'keep', falsePositive: boolean): string | undefined =>
      taskAfter(imposed(), { type: 'BlockReleased', data: { block: 'b1', falsePositive, held } })?.action;
    assert.equal(asked('delete', false), 'delete');
    assert.equal(asked('release', false), 'release');
    assert.equal(asked('keep', true), undefined);
  });

  test('what waits in the queue comes before a decision on mail that is held already, while the block is in force', () => {
    const facts = [imposed(), decided('delete')];
    assert.deepEqual(tasksAfter(...facts), [
      { action: 'hold-queue', cause: 10, isFinal: false, last: undefined },
      { action: 'delete', cause: 20, isFinal: false, last: undefined },
    ]);
    for (const end of [released(), expired(T0)])
      assert.deepEqual(
        tasksAfter(...facts, end).map(({ action }) => action),
        ['delete'],
      );
  });

  test('a decision replaces the one before that nothing has come of', () => {
    const facts = [imposed(), HELD_QUEUE, decided('delete')];
    const open = (...more: readonly BlockFact[]): unknown =>
      tasksAfter(...facts, ...more).map(({ action, cause }) => [action, cause]);
    assert.deepEqual(open(decided('release')), [['release', 40]]);
    assert.deepEqual(open(decided('release'), released(true)), [['release', 50]]);
    assert.deepEqual(open(decided('release'), decided('delete')), [['delete', 50]]);
    assert.deepEqual(open(ran({ action: 'delete', cause: 30 }), decided('release')), [['release', 50]]);
    const kept = { type: 'BlockReleased', data: { block: 'b1', falsePositive: true, held: 'keep' } } as const;
    assert.deepEqual(open(kept), [], 'it is withdrawn');
    assert.deepEqual(open(kept, decided('release')), [['release', 50]]);
    for (const end of [[], [released()], [expired(T0)]])
      assert.deepEqual(open(...end, decided('keep')), [], 'also of a block that has ended');
    assert.deepEqual(open(decided('keep'), released(true)), [['release', 50]]);
  });

  test('a plain release and the end of a block leave a decision as it is', () => {
    for (const end of [released(), expired(T0)])
      assert.equal(taskAfter(imposed(), decided('delete'), end)?.action, 'delete');
  });

  test('what was decided counts for what was held by then, and for later mail after a release at the end', () => {
    const through = (...facts: readonly BlockFact[]): number =>
      decidedThrough(entryAfter(imposed(), ...facts));
    assert.equal(through(), -1);
    assert.equal(through(decided('delete')), 20);
    assert.equal(through(decided('delete'), decided('release')), 30);
    assert.equal(through(decided('delete'), released()), 20);
    assert.equal(through(released(true)), Infinity);
    const kept = {
      type: 'BlockReleased',
      data: { block: 'b1', falsePositive: false, held: 'keep' },
    } as const;
    assert.equal(through(decided('delete'), kept), -1);
    assert.equal(through(decided('delete'), ran({ cause: 20, outcome: 'failed' }), kept), -1);
    assert.equal(through(released(true), decided('keep')), -1);
    assert.equal(through(decided('keep'), released(true)), Infinity);
  });

  test('a release after the end stays, as it is about what is recorded later too, until there is another decision', () => {
    const facts = [imposed(), HELD_QUEUE, released(), decided('release'), ran({ cause: 40 })];
    const late = { action: 'release', cause: 40, isFinal: true, last: 'done' };
    assert.deepEqual(tasksAfter(...facts), [late]);
    assert.deepEqual(tasksAfter(...facts, ran({ cause: 40, outcome: 'failed' })), [
      { ...late, last: 'failed' },
    ]);
    assert.deepEqual(tasksAfter(...facts, decided('delete')), [
      { action: 'delete', cause: 60, isFinal: false, last: undefined },
    ]);
  });

  test('a decision on a block in force stays one about what was held by then, also when the block ends', () => {
    for (const end of [[], [released()], [expired(T0)]])
      assert.equal(taskAfter(imposed(), decided('release'), ...end)?.isFinal, false);
    assert.equal(taskAfter(imposed(), expired(T0), decided('release'))?.isFinal, true);
  });

  test('a deletion is about what was held by then, also of a block that has ended', () => {
    for (const before of [[], [released()], [expired(T0)]])
      assert.equal(taskAfter(imposed(), ...before, decided('delete'))?.isFinal, false);
  });

  test('what was settled is known by its revision, and a call that failed settles nothing', () => {
    assert.equal(settledThrough(entryAfter(imposed())), -1);
    const facts = [imposed(), ran({ through: 4 }), ran({ through: 9, outcome: 'failed' })];
    assert.equal(settledThrough(entryAfter(...facts)), 4);
  });

  test('a call that was to hold the queue may have been cut off until it is recorded', () => {
    const may = (...facts: readonly BlockFact[]): boolean =>
      mayHoldQueue(entryAfter(...facts, released()), NOW);
    assert.ok(may(imposed()));
    assert.ok(may(imposed(), ran({ action: 'hold-queue', outcome: 'failed' })));
    assert.ok(!may(imposed(), ran({ action: 'hold-queue' })));
    assert.ok(!may(imposed({ direction: 'inbound' })));
    assert.ok(!mayHoldQueue(entryAfter(imposed(), released()), T0 + 2 * DAY + 1));
  });

  test('the history tells it, also of a block that has ended, which does not end once more by it', () => {
    const ledger = new BlockLedger();
    const effective = new EffectiveBlocks();
    const facts = [
      imposed(),
      released(),
      imposed({ block: 'b2', until: T0 + HOUR }),
      at(T0 + HOUR, decided('release')),
      at(T0 + HOUR, ran()),
    ];
    for (const event of recorded(facts)) for (const effect of effective.take(event)) ledger.apply(effect);
    assert.deepEqual(
      ledger.get('b1')!.history.map(({ type }) => type),
      ['BlockImposed', 'BlockReleased', 'HeldMailDecided', 'HookRan'],
    );
    assert.equal(ledger.get('b2')!.history.length, 1);
    assert.equal(ledger.get('b2')!.follows?.at, T0);
    assert.equal(ledger.dump().letGo[0]![1].at, T0);
  });
});
