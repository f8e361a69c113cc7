import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import { StoreUnavailable, WrongExpectedRevision } from '../../../src/store/port.js';
import {
  collect,
  ids,
  newEvents,
  positions,
  revisions,
  rising,
  uniqueCategory,
} from '../../support/store/events.js';
import type { StoreHarness } from './harness.js';
import type { Subject } from './suite.js';

export function retentionContract(subject: Subject, harness: StoreHarness): void {
  const read = (...categories: string[]) => collect(subject().store.readAll({ categories }));

  describe('retention', { skip: harness.unsupported?.clock ?? false }, () => {
    it('deletes what is too old in that category alone, and says how much', async () => {
      const { store, clock } = subject();
      const [brief, lasting] = [uniqueCategory(), uniqueCategory()];
      await store.setRetention(brief, DAY);
      await store.append(`${brief}-a`, newEvents(1200), 'none');
      await store.append(`${lasting}-a`, newEvents(5), 'none');
      clock.advance(HOUR);
      const young = newEvents(3);
      await store.append(`${brief}-a`, young, 'any');
      clock.advance(DAY - HOUR);
      assert.equal(await store.sweep(clock.now()), 0, 'what is exactly as old as allowed stays');
      clock.advance(1);
      assert.equal(await store.sweep(clock.now()), 1200);
      assert.equal(await store.sweep(clock.now()), 0);
      assert.deepEqual(ids(await read(brief)), ids(young));
      assert.deepEqual(revisions(await read(brief)), [1200, 1201, 1202]);
      assert.equal((await read(lasting)).length, 5);
      assert.deepEqual(
        revisions(await collect(store.readStream(`${brief}-a`, { direction: 'backwards', limit: 1 }))),
        [1202],
      );
    });

    it('lets appends through while it deletes', async () => {
      const { store, clock } = subject();
      const [brief, busy] = [uniqueCategory(), uniqueCategory()];
      // Events of other tests must not count here.
      clock.advance(DAY + 1);
      await store.sweep(clock.now());
      await store.setRetention(brief, DAY);
      await store.append(`${brief}-a`, newEvents(5000), 'none');
      clock.advance(DAY + 1);
      let swept = false;
      const sweep = store.sweep(clock.now()).finally(() => (swept = true));
      let meanwhile = 0;
      while (!swept) {
        await store.append(`${busy}-a`, newEvents(1), 'any');
        if (!swept) meanwhile++;
      }
      assert.equal(await sweep, 5000);
      assert.ok(meanwhile >= 2, `${meanwhile} appends were answered during the sweep`);
      assert.equal((await read(busy)).length, meanwhile + 1);
    });

    it('never gives a revision or a position twice, even after it deleted the last event and a restart', async () => {
      const category = uniqueCategory();
      await subject().store.setRetention(category, DAY);
      const before = await subject().store.append(`${category}-a`, newEvents(3), 'none');
      subject().clock.advance(DAY + 1);
      assert.equal(await subject().store.sweep(subject().clock.now()), 3);
      assert.deepEqual(await read(category), []);
      assert.equal(await subject().store.head(), before.position);
      await subject().reopen();
      assert.equal(await subject().store.head(), before.position);
      const next = await subject().store.append(`${category}-a`, newEvents(1), before.revision);
      assert.equal(next.revision, 3);
      assert.ok(next.position > before.position);
    });

    it('remembers the age until it is set to another', async () => {
      const category = uniqueCategory();
      await subject().store.setRetention(category, DAY);
      await subject().store.append(`${category}-a`, newEvents(2), 'none');
      await subject().reopen();
      await subject().store.setRetention(category, undefined);
      subject().clock.advance(400 * DAY);
      await subject().store.sweep(subject().clock.now());
      assert.equal((await read(category)).length, 2);
      await subject().store.setRetention(category, 3 * DAY);
      await subject().reopen();
      await subject().store.sweep(subject().clock.now());
      assert.deepEqual(positions(await read(category)), []);
    });

    it('deletes events that subscriptions then pass over', async () => {
      const { store, clock } = subject();
      const category = uniqueCategory();
      await store.setRetention(category, DAY);
      await store.append(`${category}-a`, newEvents(4), 'none');
      clock.advance(DAY + 1);
      await store.sweep(clock.now());
      const rest = newEvents(2);
      await store.append(`${category}-a`, rest, 'any');
      const seen: string[] = [];
      const subscription = store.subscribe(
        { after: 0, categories: [category] },
        ({ id }) => void seen.push(id),
      );
      await subscription.caughtUp;
      assert.deepEqual(seen, ids(rest));
      await subscription.stop();
    });

    it('lets streams of a journal begin anew once they are empty, at revisions that it never gave before', async () => {
      const { store, clock } = subject();
      const [journal, kept] = [uniqueCategory(), uniqueCategory()];
      await store.setRetention(journal, DAY);
      await store.setRetention(kept, DAY);
      const before = await store.append(`${journal}-a`, newEvents(3), 'none');
      await store.append(`${journal}-b`, newEvents(5), 'none');
      await store.append(`${kept}-a`, newEvents(3), 'none');
      const seen: string[] = [];
      const subscription = store.subscribe(
        { after: 'end', categories: [journal] },
        ({ stream, id }) => void seen.push(`${stream} ${id}`),
      );
      clock.advance(DAY + 1);
      const young = newEvents(1);
      await store.append(`${journal}-b`, young, 'any');
      await store.sweep(clock.now(), [journal]);
      assert.deepEqual(ids(await read(journal)), ids(young));
      assert.equal((await store.append(`${kept}-a`, newEvents(1), 2)).revision, 3, 'no journal goes on');
      assert.equal(
        (await store.append(`${journal}-b`, newEvents(1), 5)).revision,
        6,
        'nor does what holds events',
      );
      await assert.rejects(store.append(`${journal}-a`, newEvents(1), 0), WrongExpectedRevision);
      const anew = newEvents(2);
      const first = await store.append(`${journal}-a`, anew.slice(0, 1), 'none');
      assert.ok(first.revision > before.revision && first.position > before.position);
      await subject().reopen();
      const second = await subject().store.append(`${journal}-a`, anew.slice(1), first.revision);
      assert.equal(second.revision, first.revision + 1);
      const after = await collect(subject().store.readStream(`${journal}-a`, { from: before.revision + 1 }));
      assert.deepEqual(ids(after), ids(anew));
      assert.deepEqual(seen.at(0), `${journal}-b ${young[0]!.id}`);
      assert.deepEqual(seen.at(-1), `${journal}-a ${anew[0]!.id}`);
      assert.equal(seen.length, 3);
      await assert.rejects(subscription.ended, StoreUnavailable);
    });

    it('keeps in mind over several sweeps and restarts how far the revisions of a journal went', async () => {
      const journal = uniqueCategory();
      await subject().store.setRetention(journal, DAY);
      const given: number[] = [];
      for (const count of [4, 1, 2]) {
        const stream = `${journal}-a`;
        const { revision } = await subject().store.append(stream, newEvents(count), 'none');
        given.push(...revisions(await collect(subject().store.readStream(stream))));
        assert.equal(given.at(-1), revision);
        subject().clock.advance(DAY + 1);
        await subject().store.sweep(subject().clock.now(), [journal]);
        await subject().reopen();
      }
      assert.equal(given.length, 7);
      assert.ok(rising(given), given.join());
    });
  });
}
