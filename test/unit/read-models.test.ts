import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { UNREADABLE } from '../../src/kernel/events.js';
import { ReadModels } from '../../src/detector/read-models.js';
import { StoreUnavailable } from '../../src/store/port.js';
import { Gate, settle } from '../support/gate.js';

const AT = Date.UTC(2026, 0, 1);

function recorded(position: number, type: string, data: unknown, id = `id-${position}`): RecordedEvent {
  const envelope = { id, at: AT, recordedAt: AT, by: 'test' };
  return { ...envelope, type, data, stream: 'send-a', revision: position, position };
}

function imposed(position: number, id?: string): RecordedEvent {
  const subject = { type: 'account', value: `a${position}@example.com` };
  const terms = {
    subject,
    direction: 'outbound',
    description: 'test',
    refusal: 'soft',
    renewWhileTrying: false,
  };
  return recorded(
    position,
    'BlockImposed',
    { ...terms, block: `b${position}`, until: null, origin: 'admin' },
    id,
  );
}

function models(): { models: ReadModels; skipped: { position: number; reason: string }[] } {
  const skipped: { position: number; reason: string }[] = [];
  const listeners = {
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ position }: RecordedEvent, reason: string) => skipped.push({ position, reason }),
  };
  return { models: new ReadModels(listeners), skipped };
}

describe('the read models', () => {
  it('wake those that wait for a position as it is folded, in whatever order they came', async () => {
    const { models: folding } = models();
    const woken: number[] = [];
    const waiting = [3, 1, 4, 2, 2, 9].map(async (position) => {
      await folding.reached(position);
      woken.push(position);
    });
    const after: number[][] = [];
    for (const position of [1, 2, 4, 9]) {
      folding.apply(imposed(position));
      await settle();
      after.push(woken.splice(0));
    }
    await Promise.all(waiting);
    assert.deepEqual(after, [[1], [2, 2], [3, 4], [9]]);
  });

  it('skip an unreadable event, name it, and fold the next ones', () => {
    const { models: folding, skipped } = models();
    folding.apply(recorded(1, 'MessageAccepted', null));
    folding.apply(recorded(2, 'BlockImposed', { block: 'x' }));
    folding.apply(recorded(3, 'RulesChanged', { rules: 7 }));
    folding.apply(recorded(4, 'FromTheFuture', {}));
    folding.apply(recorded(5, UNREADABLE, { type: 'MessageAccepted', error: 'no JSON' }));
    folding.apply(imposed(6));
    assert.deepEqual(
      skipped.map(({ position }) => position),
      [1, 2, 3, 4, 5],
    );
    for (const { reason } of skipped) assert.notEqual(reason, '');
    assert.equal(folding.position, 6);
    assert.equal(folding.activeBlocks.size, 1);
  });

  it('fold an event once, whether its position comes again or its id at another position', () => {
    const { models: folding } = models();
    folding.apply(imposed(1));
    folding.apply(imposed(1));
    folding.apply(imposed(2, 'id-1'));
    assert.equal(folding.ledger.size, 1);
    assert.equal(folding.position, 2);
  });

  it('tell when a position is reached, at once if it was', async () => {
    const { models: folding } = models();
    const reached = folding.reached(2);
    folding.apply(imposed(1));
    folding.apply(imposed(2));
    await reached;
    await folding.reached(1);
  });

  it('start again with nothing, and refuse by what they knew until they have caught up', async () => {
    const { models: folding } = models();
    folding.apply(imposed(7));
    const waiting = folding.reached(9);
    await folding.startAnew();
    await assert.rejects(waiting, StoreUnavailable);
    assert.deepEqual([folding.position, folding.ledger.size, folding.activeBlocks.size], [0, 0, 0]);
    assert.equal(folding.refusing.size, 1);
    await folding.startAnew();
    assert.equal(folding.refusing.size, 1, 'though the log was replaced once more before that');

    const feed = new Gate();
    let hand: (event: RecordedEvent) => unknown = () => undefined;
    const caughtUp = folding.follow({
      subscribe(_options, handler) {
        hand = handler;
        const never = new Promise<void>(() => undefined);
        const stop = () => Promise.resolve();
        return { caughtUp: feed.opened, ended: never, position: 0, lag: 0, stop };
      },
    });
    hand(imposed(2, 'of the other log'));
    assert.deepEqual(
      [...folding.refusing.all()].map(({ id }) => id),
      ['b7'],
    );
    feed.open();
    await caughtUp;
    assert.deepEqual(
      [...folding.refusing.all()].map(({ id }) => id),
      ['b2'],
    );
    assert.equal(folding.ready, true);
  });

  it('let nobody wait for what will not be folded: from the moment they are stopped until they follow again', async () => {
    const { models: folding } = models();
    const handler = new Gate();
    const follow = (): Promise<unknown> =>
      folding.follow({
        subscribe() {
          const never = new Promise<void>(() => undefined);
          return {
            caughtUp: Promise.resolve(),
            ended: never,
            position: 0,
            lag: 0,
            stop: () => handler.opened,
          };
        },
      });
    await follow();
    folding.apply(imposed(1));
    const before = folding.reached(2);
    const stopped = folding.stop();
    await assert.rejects(folding.reached(2), StoreUnavailable);
    await folding.reached(1);
    handler.open();
    await assert.rejects(before, StoreUnavailable);
    await stopped;
    await assert.rejects(folding.reached(2), StoreUnavailable);
    await folding.startAnew();
    await assert.rejects(folding.reached(2), StoreUnavailable);
    await follow();
    const after = folding.reached(2);
    folding.apply(imposed(2));
    await after;
  });
});
