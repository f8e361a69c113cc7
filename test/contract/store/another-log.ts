import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LogReplaced } from '../../../src/store/port.js';
import { Tally } from '../../support/gate.js';
import { collect, ids, newEvents, uniqueCategory } from '../../support/store/events.js';
import type { StoreHarness, StoreUnderTest } from './harness.js';

export function anotherLogContract(harness: StoreHarness): void {
  const apart = async (play: (subject: StoreUnderTest) => Promise<void>): Promise<void> => {
    const subject = await harness.open();
    try {
      await play(subject);
    } finally {
      await subject.destroy();
    }
  };

  /** Follows a category from the beginning, and resolves when it has seen so many. */
  const follow = async ({ store }: StoreUnderTest, category: string, count: number) => {
    const tally = new Tally();
    const seen: string[] = [];
    const subscription = store.subscribe({ after: 0, categories: [category] }, ({ id }) => {
      seen.push(id);
      tally.add();
    });
    await tally.reached(count);
    return { subscription, seen };
  };

  describe('when the log is replaced by another one', () => {
    const skip = harness.unsupported?.replacement ?? false;

    it('a subscription ends that is to begin beyond the end of the log', () =>
      apart(async ({ store }) => {
        const { position } = await store.append(`${uniqueCategory()}-a`, newEvents(2), 'none');
        const subscription = store.subscribe({ after: position + 1_000_000 }, () =>
          assert.fail('it gave an event'),
        );
        await assert.rejects(subscription.ended, LogReplaced);
        await assert.rejects(subscription.caughtUp, LogReplaced);
      }));

    it('a subscription ends when the log is emptied, and the new log can be followed', { skip }, () =>
      apart(async (subject) => {
        const { store, history } = subject;
        const category = uniqueCategory();
        const lost = newEvents(20);
        await store.append(`${category}-a`, lost, 'none');
        const before = await follow(subject, category, 20);
        await history!.empty();
        await assert.rejects(before.subscription.ended, LogReplaced);
        assert.deepEqual(before.seen, ids(lost));

        assert.equal(await store.head(), 0);
        const fresh = newEvents(3);
        for (const [i, event] of fresh.entries()) {
          const { duplicate, revision } = await store.append(
            `${category}-a`,
            [event],
            i === 0 ? 'none' : i - 1,
          );
          assert.deepEqual({ duplicate, revision }, { duplicate: false, revision: i });
        }
        const after = await follow(subject, category, 3);
        assert.deepEqual(after.seen, ids(fresh));
        await after.subscription.stop();
      }),
    );

    it(
      'a subscription ends when an older log is restored, unless it has seen no more than that log holds',
      { skip },
      () =>
        apart(async (subject) => {
          const { store, history } = subject;
          const [all, old] = [uniqueCategory(), uniqueCategory()];
          await store.append(`${all}-a`, newEvents(5), 'none');
          const kept = newEvents(2);
          await store.append(`${old}-a`, kept, 'none');
          await history!.save();
          await store.append(`${all}-a`, newEvents(5), 4);
          const both = await follow(subject, all, 10);
          const first = await follow(subject, old, 2);
          await history!.restore();
          await assert.rejects(both.subscription.ended, LogReplaced);
          const more = newEvents(1);
          await store.append(`${old}-a`, more, 1);
          assert.deepEqual(ids(await collect(store.readStream(`${old}-a`))), ids([...kept, ...more]));
          await first.subscription.stop();
        }),
    );
  });
}
