import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreUnavailable } from '../../../src/store/port.js';
import { collect, ids, newEvents, uniqueCategory } from '../../support/store/events.js';
import { Gate, Tally } from '../../support/gate.js';
import type { StoreHarness } from './harness.js';

export function lifecycleContract(harness: StoreHarness): void {
  describe('a store that opens or closes', () => {
    it('finishes the appends that it accepted, keeps them, and takes no more', async () => {
      const subject = await harness.open();
      try {
        const { store } = subject;
        const category = uniqueCategory();
        assert.equal(store.healthy, true);
        const events = newEvents(300);
        const accepted = events.map((event) => store.append(`${category}-a`, [event], 'any'));
        const closed = store.close();
        await assert.rejects(store.append(`${category}-a`, newEvents(1), 'any'), StoreUnavailable);
        await Promise.all(accepted);
        await closed;
        await store.close();
        assert.equal(store.healthy, false);
        await assert.rejects(store.head(), StoreUnavailable);
        await assert.rejects(store.sweep(0), StoreUnavailable);
        await assert.rejects(store.setRetention(category, 1), StoreUnavailable);
        await assert.rejects(collect(store.readStream(`${category}-a`)), StoreUnavailable);
        await assert.rejects(collect(store.readAll()), StoreUnavailable);
        assert.throws(() => store.subscribe({ after: 0 }, () => undefined), StoreUnavailable);
        await subject.reopen();
        assert.deepEqual(ids(await collect(subject.store.readStream(`${category}-a`))), ids(events));
      } finally {
        await subject.destroy();
      }
    });

    it('ends the subscriptions and reads that are under way', async () => {
      const subject = await harness.open();
      try {
        const { store } = subject;
        const category = uniqueCategory();
        await store.append(`${category}-a`, newEvents(2000), 'none');
        const idle = store.subscribe({ after: 'end' }, () => undefined);
        const gate = new Gate();
        const called = new Tally();
        const busy = store.subscribe({ after: 0 }, () => {
          called.add();
          return gate.opened;
        });
        await called.reached(1);
        const read = store.readAll()[Symbol.asyncIterator]();
        await read.next();
        await store.close();
        await assert.rejects(idle.ended, StoreUnavailable);
        gate.open();
        await assert.rejects(busy.ended, StoreUnavailable);
        assert.equal(called.count, 1);
        await assert.rejects(async () => {
          while (!(await read.next()).done);
        }, StoreUnavailable);
      } finally {
        await subject.destroy();
      }
    });

    it('begins empty', async () => {
      const subject = await harness.open();
      try {
        const seen = await collect(subject.store.readAll({ categories: [uniqueCategory()] }));
        assert.deepEqual(seen, []);
        const subscription = subject.store.subscribe(
          { after: 0, categories: [uniqueCategory()] },
          () => undefined,
        );
        await subscription.caughtUp;
        await subscription.stop();
      } finally {
        await subject.destroy();
      }
    });
  });
}
