import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import { stateAt } from '../../../projections/blocks/block-entry.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { EffectiveBlocks } from '../../../projections/blocks/effective-blocks.js';
import { RulePrecision } from '../../../projections/blocks/rule-precision.js';
import type { BlockCommand } from '../../../src/blocks/commands.js';
import { decide, stateOf } from '../../../src/blocks/decide.js';
import { entryOf } from '../../../src/api/block-view.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import { blockStream } from '../../../src/blocks/events.js';
import { NOTHING_YET, activeBlock, evolve, pendingProposal } from '../../../src/blocks/state.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import type { ReadModels } from '../../../src/detector/read-models.js';
import type { EventStore } from '../../../src/store/port.js';
import { ALICE, T0, evidence } from '../../support/given.js';
import { direction, rule, span, until } from './facts.js';

/** Names that several writers may give to their blocks. */
const IDS = ['b0', 'b1', 'b2', 'b3'] as const;

/** Any fact at all about these, whether or not anybody could have decided on it: what two writers have spoilt. */
const fact: fc.Arbitrary<(at: number) => BlockFact> = fc
  .record({
    type: fc.constantFrom(
      ...(['BlockProposed', 'BlockImposed', 'BlockImposed', 'BlockExtended', 'BlockShortened'] as const),
      ...([
        'BlockReleased',
        'BlockExpired',
        'ProposalApproved',
        'ProposalDismissed',
        'ProposalLapsed',
        'HeldMailDecided',
        'HookRan',
      ] as const),
    ),
    block: fc.constantFrom(...IDS),
    direction,
    span,
    rule,
    origin: fc.constantFrom('rule' as const, 'admin' as const),
    falsePositive: fc.boolean(),
  })
  .map(({ type, block, direction, span, rule, origin, falsePositive }) => (at) => {
    const [end, proof] = [until(at, span), evidence({ rule, lastPosition: 5 })];
    const terms = { block, subject: ALICE, direction, description: '', refusal: 'soft' } as const;
    const byRule = { rule, evidence: proof, renewWhileTrying: false };
    switch (type) {
      case 'BlockProposed':
        return { type, data: { ...terms, ...byRule, duration: span, lapsesAt: at + 2 * HOUR } };
      case 'BlockImposed': {
        const more = origin === 'rule' ? byRule : { renewWhileTrying: false };
        return { type, data: { ...terms, ...more, until: end, origin } };
      }
      case 'BlockExtended':
        return { type, data: { block, until: end, direction } };
      case 'BlockShortened':
        return { type, data: { block, until: end ?? at + MINUTE } };
      case 'BlockReleased':
        return { type, data: { block, falsePositive } };
      case 'BlockExpired':
        return { type, data: { block, dueAt: at } };
      case 'HeldMailDecided':
        return { type, data: { block, action: 'release' } };
      case 'HookRan': {
        const [action, outcome] = ['release', falsePositive ? 'done' : 'failed'] as const;
        return {
          type,
          data: { block, action, cause: 5, outcome, asked: 1, acted: 1, through: 0, output: '' },
        };
      }
      case 'ProposalApproved':
      case 'ProposalDismissed':
      case 'ProposalLapsed':
        return { type, data: { block } };
    }
  });

/** Some of the events come again, at once or later, as if nobody remembered their ids. */
const spoilt = fc.array(
  fc.record({ wait: fc.oneof(fc.nat(MINUTE), fc.nat(6 * HOUR)), fact, again: fc.option(fc.nat(5)) }),
  { maxLength: 40 },
);

/** All that folds block events, fed with one sequence. */
class Folded {
  readonly active = new ActiveBlocks();
  readonly ledger = new BlockLedger();
  /** Keeps nothing that has ended. */
  readonly forgetful = new BlockLedger(0);
  readonly stream: RecordedEvent[] = [];
  readonly precision = new RulePrecision();
  readonly #effective = new EffectiveBlocks();
  standing = NOTHING_YET;
  now = T0;
  #position = 10;

  take(fact: BlockFact | BlockEvent): BlockEvent {
    const position = ++this.#position;
    const revision = position - 11;
    const event: BlockEvent = {
      id: `e${position}`,
      at: this.now,
      by: 'system:t',
      ...fact,
      position,
      revision,
    };
    this.standing = evolve(this.standing, event);
    const models = [this.active, this.ledger, this.forgetful, this.precision];
    for (const effect of this.#effective.take(event)) for (const model of models) model.apply(effect);
    // Nobody remembers ids here: so each is another one.
    this.stream.push({ ...event, id: `e${position}`, stream: blockStream(ALICE), recordedAt: this.now });
    return event;
  }

  do(command: BlockCommand): void {
    for (const fact of decide({ ...command, now: this.now }, this.standing)) this.take(fact);
  }

  agrees(): void {
    const expected = activeBlock(this.standing, this.now);
    for (const direction of ['outbound', 'inbound'] as const) {
      const sender = senderIdentity({ account: ALICE.value, direction });
      const id = expected && [direction, 'all'].includes(expected.direction) ? expected.id : undefined;
      assert.equal(this.active.find(sender, this.now)?.id, id);
      assert.deepEqual(this.ledger.rows.inForce(sender, this.now), id === undefined ? [] : [id]);
    }
    const states = [...this.ledger.kept()].map((entry) => stateAt(entry, this.now));
    const isActive = Number(expected !== undefined);
    assert.equal(states.filter((state) => state === 'active').length, isActive, 'one active block');
    const isProposed = Number(pendingProposal(this.standing, this.now) !== undefined);
    assert.equal(states.filter((state) => state === 'proposed').length, isProposed, 'one proposal');
    assert.ok(isActive + isProposed <= 1, 'a block or a proposal');
    for (const entry of this.ledger.kept())
      assert.equal(stateAt(entry, this.now), stateOf(this.standing, entry.id, this.now), entry.id);
  }
}

describe('any sequence of events, also such as two writers have spoilt', () => {
  const play = (steps: readonly (typeof spoilt extends fc.Arbitrary<infer T> ? T : never)[number][]) => {
    const folded = new Folded();
    const begun = new Set<string>();
    const events: BlockEvent[] = [];
    for (const { wait, fact, again } of steps) {
      folded.now += wait;
      const event = folded.take((again === null ? undefined : events.at(-1 - again)) ?? fact(folded.now));
      events.push(event);
      if (event.type === 'BlockImposed' || event.type === 'BlockProposed') begun.add(event.data.block);
      folded.agrees();
      for (const id of begun) {
        const state = stateOf(folded.standing, id, folded.now);
        assert.ok(state !== undefined, `${id} is known`);
        assert.equal(stateAt(folded.ledger.get(id)!, folded.now), state, id);
      }
    }
    return { folded, begun };
  };

  test('folds into models that agree, and that know every id', () => {
    fc.assert(
      fc.property(spoilt, (steps) => void play(steps)),
      { numRuns: 600 },
    );
  });

  test('tells from the stream what it no longer keeps, as it was', async () => {
    let read = 0;
    await fc.assert(
      fc.asyncProperty(spoilt, fc.boolean(), async (steps, restores) => {
        const { folded } = play(steps);
        let ledger = folded.forgetful;
        if (restores) {
          ledger = new BlockLedger(0);
          ledger.restore(structuredClone(folded.forgetful.dump()));
        }
        const store = {
          async *readStream(stream: string, { from = 0, limit = Infinity } = {}) {
            assert.equal(stream, blockStream(ALICE));
            for (const event of folded.stream.slice(from, from + limit)) yield await Promise.resolve(event);
          },
        } as unknown as EventStore;
        const sources = { models: { ledger } as unknown as ReadModels, store };
        for (const entry of folded.ledger.kept()) {
          if (ledger.get(entry.id) === undefined) read++;
          assert.deepEqual(await entryOf(sources, entry.id, () => true), entry);
        }
      }),
      { numRuns: 1000 },
    );
    assert.ok(read > 100, `${read} were read from the stream`);
  });

  test('can be released by any id of what is active, and then nothing is in force', () => {
    fc.assert(
      fc.property(spoilt, fc.nat(3), (steps, pick) => {
        const { folded, begun } = play(steps);
        const names = [...begun].filter((id) => stateOf(folded.standing, id, folded.now) === 'active');
        if (names.length === 0) return;
        folded.do({ kind: 'release', block: names[pick % names.length]!, falsePositive: false });
        folded.agrees();
        assert.equal(activeBlock(folded.standing, folded.now), undefined);
        for (const id of names) assert.equal(stateOf(folded.standing, id, folded.now), 'released');
      }),
      { numRuns: 600 },
    );
  });

  test('lets timers of any id ring at any time, and when all have rung nothing is left open', () => {
    fc.assert(
      fc.property(spoilt, fc.nat(10 * HOUR), (steps, wait) => {
        const { folded, begun } = play(steps);
        for (const span of [wait, 20 * HOUR]) {
          const before = activeBlock(folded.standing, folded.now + span);
          folded.now += span;
          for (const block of begun) {
            folded.do({ kind: 'expire', block });
            folded.do({ kind: 'lapse', block });
          }
          folded.agrees();
          assert.equal(folded.standing.block?.id, before?.id, 'what is in force stays so');
        }
        const open = folded.precision.all().filter((one) => one.open > 0);
        if (folded.standing.block === undefined) assert.deepEqual(open, [], 'every case is judged');
      }),
      { numRuns: 400 },
    );
  });
});
