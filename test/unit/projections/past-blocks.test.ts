import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import type { PastBlock } from '../../../projections/blocks/past-blocks.js';
import { PastBlocks } from '../../../projections/blocks/past-blocks.js';
import type { BlockEvent, BlockFact } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Direction, SubjectType } from '../../../src/sending/subjects.js';
import { T0 } from '../../support/given.js';
import { blockEvent, event, sent as accepted } from '../../support/sends.js';

/** What a mail server has accepted, and reports. */
const sent: typeof accepted = (at, position, more, envelope) =>
  accepted(at, position, more, { by: 'token:follower', ...envelope });

type Fact<Type extends BlockFact['type']> = Extract<BlockFact, { readonly type: Type }>;

function imposed(
  type: SubjectType = 'account',
  value = 'alice@example.com',
  direction: Direction = 'outbound',
  until: number | null = null,
): Fact<'BlockImposed'> {
  const terms = { subject: { type, value }, direction, description: '', refusal: 'hold', until } as const;
  return { type: 'BlockImposed', data: { block: 'b1', ...terms, origin: 'admin', renewWhileTrying: false } };
}

const released: BlockFact = { type: 'BlockReleased', data: { block: 'b1', falsePositive: false } };
const letGo: BlockFact = { type: 'HeldMailDecided', data: { block: 'b1', action: 'release' } };

/** What the read models do with these. */
class Folded {
  readonly past = new PastBlocks();
  readonly ledger = new BlockLedger();
  readonly #active = new ActiveBlocks();

  given(...events: readonly RecordedEvent[]): this {
    for (const one of events) {
      this.past.sent(one, this.#active, this.ledger);
      if (one.stream !== 'block-test') continue;
      this.#active.apply(one as BlockEvent);
      this.ledger.apply(one as BlockEvent);
      this.past.apply(one as RecordedEvent & BlockEvent);
    }
    return this;
  }

  lately(now: number): ReturnType<PastBlocks['lately']> {
    return this.past.lately(now, this.#active);
  }

  get found(): PastBlock | undefined {
    return this.past.of('b1');
  }
}

const given = (...events: readonly RecordedEvent[]): Folded => new Folded().given(...events);

describe('mail that goes past a block', () => {
  const block = blockEvent(imposed(), T0, 10);

  test('is what its sender was accepted for more than a minute after it began', () => {
    const { found } = given(
      block,
      sent(T0 + MINUTE, 11),
      sent(T0 + 28 * MINUTE, 12),
      sent(T0 + 29 * MINUTE, 13),
    );
    assert.deepEqual([found?.messages, found?.lastAt], [2, T0 + 29 * MINUTE]);
  });

  test('is none that was sent before and is reported late, nor that of anybody else, nor what was imported', () => {
    const late = { recordedAt: T0 + HOUR };
    const { found } = given(
      block,
      sent(T0 - SECOND, 11, { outboxedAt: T0 - SECOND } as object, late),
      sent(T0 + HOUR, 12, { account: 'bob@example.com', returnPath: 'bob@example.com' }),
      sent(T0 + HOUR, 13, { direction: 'inbound' }),
      sent(T0 + HOUR, 14, { imported: 'postfix-log' } as object),
      sent(T0 + HOUR, 15, { further: true }),
    );
    assert.equal(found, undefined);
  });

  test('is none by a clock that is wrong alone, of who sent, or of who blocked', () => {
    const ahead = sent(T0 + 4 * MINUTE, 11, {}, { recordedAt: T0 + SECOND });
    assert.equal(given(block, ahead).found, undefined);
    const behind = { ...blockEvent(imposed(), T0 - 4 * MINUTE, 10), recordedAt: T0 };
    assert.equal(given(behind, sent(T0 + SECOND, 11)).found, undefined);
  });

  test('is found by whatever the block is on', () => {
    const subjects = [
      ['address', 'alice@example.com'],
      ['domain', 'example.com'],
      ['ehlo', 'pc.example.com'],
      ['ip', '192.0.2.0/24'],
    ] as const;
    for (const [type, value] of subjects) {
      const { found } = given(blockEvent(imposed(type, value), T0, 10), sent(T0 + HOUR, 11));
      assert.equal(found?.messages, 1, type);
    }
    const twice = given(
      blockEvent(imposed('domain', 'example.com'), T0, 10),
      sent(T0 + HOUR, 11, { returnPath: 'sales@example.com' }),
    );
    assert.equal(twice.found?.messages, 1, 'it is found by the login and by the return path');
    const local = given(
      blockEvent(imposed('account', 'uid-33@mx'), T0, 10),
      sent(T0 + HOUR, 11, { account: 'uid-33@mx', returnPath: 'www@example.com' }),
    );
    assert.equal(local.found?.messages, 1);
  });

  test('is none once the block is over, also where nobody has recorded that', () => {
    const over = given(blockEvent(imposed('account', 'alice@example.com', 'all', T0 + HOUR), T0, 10));
    assert.equal(over.given(sent(T0 + HOUR, 11)).found, undefined);
    const { found } = given(block, sent(T0 + HOUR, 11), blockEvent(released, T0 + HOUR, 12));
    assert.equal(found, undefined);
  });

  test('is none that was under way when the block took another direction', () => {
    const inbound = given(blockEvent(imposed('ip', '192.0.2.7', 'inbound'), T0, 10));
    const wider: BlockFact = { type: 'BlockExtended', data: { block: 'b1', until: null, direction: 'all' } };
    const longer: BlockFact = { ...wider, data: { ...wider.data, note: 'longer' } };
    inbound.given(blockEvent(wider, T0 + HOUR, 11), sent(T0 + HOUR + SECOND, 12));
    assert.equal(inbound.found, undefined);
    inbound.given(blockEvent(longer, T0 + 2 * HOUR, 13), sent(T0 + 2 * HOUR + SECOND, 14));
    assert.equal(inbound.past.of('b1')?.messages, 1, 'the same direction begins nothing');
  });

  test('is told of for a day after the last of it', () => {
    const folded = given(block, sent(T0 + HOUR, 11));
    assert.deepEqual(
      folded.lately(T0 + DAY).map((one) => [one.block.id, one.messages]),
      [['b1', 1]],
    );
    assert.deepEqual(folded.lately(T0 + HOUR + DAY), []);
    const ending = given(blockEvent(imposed('account', 'alice@example.com', 'all', T0 + 2 * HOUR), T0, 10));
    ending.given(sent(T0 + HOUR, 11));
    assert.equal(ending.lately(T0 + HOUR).length, 1);
    assert.deepEqual(ending.lately(T0 + 2 * HOUR), [], 'its end need not be recorded');
  });

  test('is none that our own listener had asked about before, and whose upstream answers late', () => {
    const ours = { by: 'smtp:mx' };
    const slow = given(block, sent(T0 + 11 * MINUTE, 11, {}, ours));
    assert.equal(slow.found, undefined);
    assert.equal(
      slow.given(sent(T0 + 12 * MINUTE, 12, {}, ours)).found?.messages,
      1,
      'no answer comes later',
    );
    assert.equal(given(block, sent(T0 + 2 * MINUTE, 11, {}, { by: 'policy:mx' })).found?.messages, 1);
  });

  test('is none that a program of the mail server forwards under a return path that is blocked', () => {
    const named = [imposed('domain', 'example.com', 'all'), imposed('address', 'alice@example.com', 'all')];
    const forwarded = [
      { account: 'uid-33@mx', ip: undefined },
      { account: 'uid-33@mx.example.com', ip: undefined },
      { account: undefined, ip: '127.0.0.1' },
      { account: undefined, ip: '::1' },
      { account: undefined, ip: undefined },
      { account: undefined, direction: 'inbound' },
    ] as const;
    for (const fact of named)
      for (const more of forwarded) {
        const { found } = given(blockEvent(fact, T0, 10), sent(T0 + HOUR, 11, more));
        assert.equal(found, undefined, JSON.stringify([fact.data.subject, more]));
      }
  });

  test('is that of a blocked return path from another login, from a machine that may send without one, and from outside', () => {
    const domain = imposed('domain', 'example.com', 'all');
    for (const more of [{ account: 'bob@example.org' }, { account: undefined, ip: '192.0.2.7' }]) {
      const { found } = given(blockEvent(domain, T0, 10), sent(T0 + HOUR, 11, more));
      assert.equal(found?.messages, 1, JSON.stringify(more));
    }
    const arriving = given(
      blockEvent(imposed('domain', 'example.com', 'inbound'), T0, 10),
      sent(T0 + HOUR, 11, { account: undefined, direction: 'inbound' } as object),
    );
    assert.equal(arriving.found?.messages, 1);
  });

  test('is none that was held, by its queue id alone, also under a later block', () => {
    const hold = (transaction: string, position: number): RecordedEvent => {
      const held = { block: 'b1', transaction, recipients: 1, size: 1, direction: 'outbound' };
      return event('MessageHeld', held, T0 + MINUTE, position, { stream: 'held-b1' });
    };
    const folded = given(block, hold('Q1', 11), hold('Q2', 12));
    const again = new Folded();
    again.given(block).past.restore(folded.past.dump());
    for (const one of [folded, again]) {
      one.given(blockEvent(letGo, T0 + HOUR, 13));
      assert.equal(one.given(sent(T0 + HOUR, 14, { transaction: 'Q1' })).found, undefined);
      const others = one.given(sent(T0 + HOUR + MINUTE, 15, { transaction: 'Q3' })).found;
      assert.equal(others?.messages, 1, 'a release lets nothing else go');
      one.given(blockEvent(released, T0 + 2 * HOUR, 16), blockEvent(imposed(), T0 + 3 * HOUR, 17));
      assert.equal(one.given(sent(T0 + 4 * HOUR, 18, { transaction: 'Q2' })).found, undefined);
    }
  });

  test('is known as judged once it was held for a block on its sender, whenever and for whatever else it is held', () => {
    const hold = (transaction: string, of: string, position: number): RecordedEvent => {
      const held = { block: of, transaction, recipients: 1, size: 1, direction: 'outbound' };
      return event('MessageHeld', held, T0 + MINUTE, position, { stream: `held-${of}` });
    };
    const { data: terms } = imposed('domain', 'example.com');
    const domain: BlockFact = { type: 'BlockImposed', data: { ...terms, block: 'b2' } };
    const folded = given(
      hold('EARLY', 'b1', 8),
      hold('NOBODYS', 'b2', 9),
      block,
      blockEvent(domain, T0, 11),
      hold('MOVED', 'b1', 12),
      hold('DOMAIN', 'b2', 13),
      hold('BOTH', 'b2', 14),
      hold('BOTH', 'b1', 15),
      blockEvent(released, T0 + HOUR, 16),
      hold('MOVED', 'b2', 17),
      hold('EARLY', 'b2', 18),
      hold('LATE', 'b1', 19),
    );
    const again = new PastBlocks();
    again.restore(folded.past.dump());
    for (const past of [folded.past, again]) {
      const judged = ['EARLY', 'NOBODYS', 'MOVED', 'DOMAIN', 'BOTH', 'LATE', 'NEVER'].filter((transaction) =>
        past.wasJudged(transaction, folded.ledger),
      );
      assert.deepEqual(judged, ['EARLY', 'MOVED', 'BOTH', 'LATE']);
    }
  });

  test('is known after a restart too, and what was dumped does not change any more', () => {
    const before = given(block, sent(T0 + HOUR, 11));
    const dumped = structuredClone(before.past.dump());
    const shared = before.past.dump();
    before.given(sent(T0 + 2 * HOUR, 12));
    const again = new PastBlocks();
    again.restore(shared);
    assert.deepEqual(again.dump(), dumped);
    assert.equal(again.of('b1')?.messages, 1);
  });
});
