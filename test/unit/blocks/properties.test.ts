import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import { stateAt } from '../../../projections/blocks/block-entry.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import type { At, BlockCommand } from '../../../src/blocks/commands.js';
import { decide, stateOf } from '../../../src/blocks/decide.js';
import { REFUSALS } from '../../../src/blocks/events.js';
import type { BlockEvent } from '../../../src/blocks/events.js';
import { NOTHING_YET, activeBlock, evolve, isLater } from '../../../src/blocks/state.js';
import type { Standing } from '../../../src/blocks/state.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import { ALICE, T0, evidence, terms } from '../../support/given.js';
import { direction, rule, span, until } from './facts.js';

/** A step of a history: time passes, sends happen (positions rise), and somebody wants something. */
interface Step {
  readonly wait: number;
  readonly sends: number;
  /** Which of the ids handed out so far it names, for commands that name one. */
  readonly pick: number;
  readonly make: (now: number, position: number, id: string, fresh: string) => At<BlockCommand>;
}

const command: fc.Arbitrary<Step['make']> = fc.oneof(
  fc
    .record({
      rule,
      direction,
      span,
      action: fc.constantFrom('block' as const, 'propose' as const),
      lag: fc.nat(9),
    })
    .map(({ rule, direction, span, action, lag }): Step['make'] => (now, position, _id, newId) => ({
      kind: 'act',
      action,
      subject: ALICE,
      newId,
      now,
      terms: terms({
        direction,
        duration: span,
        escalate: { factor: 2, max: 20 * HOUR, forget: 24 * HOUR },
        lapse: 2 * HOUR,
        renewWhileTrying: true,
      }),
      evidence: evidence({
        rule,
        firstPosition: Math.max(1, position - lag - 5),
        lastPosition: Math.max(1, position - lag),
        lastAt: now - lag * 1000,
      }),
    })),
  fc
    .record({
      direction,
      span,
      description: fc.option(fc.constantFrom('by hand', 'phished'), { nil: undefined }),
      refusal: fc.option(fc.constantFrom(...REFUSALS), { nil: undefined }),
    })
    .map(({ span, ...asked }): Step['make'] => (now, _position, _id, newId) => ({
      kind: 'impose',
      subject: ALICE,
      ...asked,
      newId,
      now,
      duration: span,
    })),
  span.map((length): Step['make'] => (now, _position, block) => ({
    kind: 'change',
    block,
    span: { until: until(now, length) },
    now,
  })),
  fc.boolean().map((falsePositive): Step['make'] => (now, _position, block) => ({
    kind: 'release',
    block,
    falsePositive,
    now,
  })),
  fc
    .constantFrom('approve' as const, 'dismiss' as const, 'expire' as const, 'lapse' as const)
    .map((kind): Step['make'] => (now, _position, block) => ({ kind, block, now })),
  rule.map((rule): Step['make'] => (now, position) => ({
    kind: 'renew',
    duration: HOUR,
    direction: 'outbound',
    now,
    evidence: evidence({ rule, firstPosition: position, lastPosition: position, lastAt: now }),
  })),
  span.map((length): Step['make'] => (now, _position, _id, newId) => ({
    kind: 'grant',
    subject: ALICE,
    until: until(now, length),
    reason: 'list',
    newId,
    now,
  })),
  fc.constant<Step['make']>((now, _position, exemption) => ({ kind: 'revoke', exemption, now })),
);

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    wait: fc.oneof(fc.nat(MINUTE), fc.nat(6 * HOUR)),
    sends: fc.nat(8),
    pick: fc.nat(3),
    make: command,
  }),
  { maxLength: 60 },
);

interface Moment {
  readonly before: Standing;
  readonly after: Standing;
  readonly command: At<BlockCommand>;
  readonly events: readonly BlockEvent[];
  readonly now: number;
  /** By a typed error. */
  readonly refused: boolean;
}

/** Plays a history; refusals (typed errors) are part of it, anything else thrown is a fault. */
function play(history: readonly Step[], watch: (moment: Moment) => void): readonly BlockEvent[] {
  let standing = NOTHING_YET;
  let now = T0;
  let position = 10;
  const all: BlockEvent[] = [];
  const ids: string[] = ['b0'];
  for (const { wait, sends, pick, make } of history) {
    now += wait;
    position += sends;
    const command = make(now, position, ids.at(-1 - pick) ?? 'b0', `b${ids.length}`);
    let facts: ReturnType<typeof decide> = [];
    let refused = false;
    try {
      facts = decide(command, standing);
    } catch (error) {
      if (!(error instanceof StopgapError)) throw error;
      refused = true;
    }
    if ('newId' in command && facts.length > 0) ids.push(command.newId);
    const events = facts.map((fact): BlockEvent => ({
      ...fact,
      id: `e${++position}`,
      at: fact.at ?? now,
      by: ['act', 'renew', 'observe'].includes(command.kind) ? 'rule:burst@1' : 'admin:t',
      position,
      revision: all.length,
    }));
    const before = standing;
    standing = events.reduce(evolve, standing);
    all.push(...events);
    watch({ before, after: standing, command, events, now, refused });
  }
  return all;
}

const forAll = (check: (history: readonly Step[]) => void): void =>
  fc.assert(fc.property(steps, check), { numRuns: 400 });

describe('any sequence of commands', () => {
  test('decides the same twice, and changes nothing by deciding', () => {
    forAll((history) => {
      play(history, ({ before, command, events }) => {
        const frozen = JSON.stringify([...before.ended, ...before.handled, before.block, before.proposal]);
        const decided = events.map(({ type, data }) => ({ type, data }));
        if (events.length > 0)
          assert.deepEqual(
            decide(command, before).map(({ type, data }) => ({ type, data })),
            decided,
          );
        const now = JSON.stringify([...before.ended, ...before.handled, before.block, before.proposal]);
        assert.equal(now, frozen);
      });
    });
  });

  test('never brings a block’s end forward, except by a change or an end', () => {
    forAll((history) => {
      play(history, ({ before, after, command, now }) => {
        const was = activeBlock(before, now);
        if (was === undefined || command.kind === 'change' || command.kind === 'release') return;
        const is = activeBlock(after, now);
        assert.equal(is?.id, was.id, `${command.kind} ended a block in force`);
        // Those who send do not inherit what mail that arrives has brought about, beyond what a person asked for.
        const inherits = command.kind !== 'act' || was.direction !== 'inbound';
        const least = inherits || command.terms.direction === 'inbound' ? was.until : was.asked;
        assert.ok(least === undefined || !isLater(least, is.until), command.kind);
        assert.ok(is.direction === was.direction || is.direction === 'all', 'directions only unite');
      });
    });
  });

  test('never lets mail that arrives lengthen what refuses those who send', () => {
    forAll((history) => {
      play(history, ({ before, after, command, now }) => {
        const was = activeBlock(before, now);
        if (was === undefined || was.direction === 'inbound') return;
        const direction = command.kind === 'act' ? command.terms.direction : undefined;
        if (direction === 'inbound') assert.equal(activeBlock(after, now)?.until, was.until);
      });
    });
  });

  test('never brings an ended id back, and ends each in one way', () => {
    forAll((history) => {
      play(history, ({ before, after }) => {
        for (const [id, how] of before.ended) {
          assert.equal(after.ended.get(id), how);
          assert.notEqual(after.block?.id, id);
          assert.notEqual(after.proposal?.id, id);
        }
        if (after.block !== undefined) assert.notEqual(after.proposal?.id, after.block.id);
      });
    });
  });

  test('takes a person’s word: what was released or dismissed is judged', () => {
    forAll((history) => {
      play(history, ({ before, command, events }) => {
        if (command.kind !== 'act' || command.evidence.firstPosition > before.judgedThrough) return;
        assert.deepEqual(events, []);
      });
    });
  });

  test('if a person’s block is not refused, all that was asked for holds', () => {
    forAll((history) => {
      play(history, ({ after, command, now, refused }) => {
        if (command.kind !== 'impose' || refused) return;
        const { direction, description, refusal } = command;
        const block = activeBlock(after, now)!;
        const end =
          'until' in command ? command.until : command.duration === null ? null : now + command.duration;
        assert.ok(end === null ? block.until === null : Math.abs(block.until! - end) <= MINUTE);
        assert.ok([direction, 'all'].includes(block.direction));
        if (description !== undefined) assert.equal(block.description, description);
        if (refusal !== undefined) assert.equal(block.refusal, refusal);
      });
    });
  });

  test('the system’s commands are idempotent', () => {
    forAll((history) => {
      play(history, ({ after, command, now }) => {
        const { kind } = command;
        if (kind === 'act' || kind === 'renew' || kind === 'expire' || kind === 'lapse') {
          assert.deepEqual(decide({ ...command, now }, after), [], kind);
        }
      });
    });
  });

  test('rebuilt from its events, as JSON gives them back, the standing is the same', () => {
    forAll((history) => {
      let live = NOTHING_YET;
      const events = play(history, ({ after }) => (live = after));
      const stored = JSON.parse(JSON.stringify(events)) as readonly BlockEvent[];
      assert.deepEqual(stored.reduce(evolve, NOTHING_YET), live);
    });
  });

  test('the read models agree with the standing at every instant', () => {
    const sender = (direction: 'outbound' | 'inbound') => senderIdentity({ account: ALICE.value, direction });
    forAll((history) => {
      const active = new ActiveBlocks();
      const ledger = new BlockLedger();
      let final = NOTHING_YET;
      play(history, ({ after, events, now }) => {
        for (const event of events) {
          active.apply(event);
          ledger.apply(event);
        }
        final = after;
        for (const instant of [
          now,
          ...(typeof after.block?.until !== 'number' ? [] : [after.block.until - 1, after.block.until]),
        ]) {
          if (instant < now) continue;
          const expected = activeBlock(after, instant);
          for (const direction of ['outbound', 'inbound'] as const) {
            const refused = expected !== undefined && [direction, 'all'].includes(expected.direction);
            const verdict = active.find(sender(direction), instant);
            assert.equal(verdict?.id, refused ? expected.id : undefined);
            assert.deepEqual(ledger.rows.inForce(sender(direction), instant), refused ? [expected.id] : []);
            if (refused) {
              assert.deepEqual([verdict?.until, verdict?.refusal], [expected.until, expected.refusal]);
              const { description, refusal } = ledger.get(expected.id)!;
              assert.deepEqual([description, refusal], [expected.description, expected.refusal]);
            }
          }
          for (const entry of ledger.kept()) {
            assert.equal(stateAt(entry, instant), stateOf(after, entry.id, instant), entry.id);
          }
        }
      });
      assert.ok(active.size <= 1, 'one subject, at most one block');
      for (const entry of ledger.kept()) assert.ok(stateOf(final, entry.id, T0) !== undefined, entry.id);
    });
  });
});
