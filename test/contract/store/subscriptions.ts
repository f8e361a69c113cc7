import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { categoryOf, type RecordedEvent } from '../../../src/kernel/events.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvent, newEvents, TRACE, uniqueCategory } from '../../support/store/events.js';
import { Gate, isSettled, settle, Tally } from '../../support/gate.js';
import type { Subject } from './suite.js';

export function subscriptionContract(subject: Subject): void {
  describe('a subscription', () => {
    it('hands over the events that are there, then the new ones, and says when it has caught up', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const after = await store.head();
      const old = newEvents(1500);
      await store.append(`${category}-a`, old, 'none');
      const seen: RecordedEvent[] = [];
      const tally = new Tally();
      const subscription = store.subscribe({ after }, (event) => {
        // Others may be writing to a server that is shared.
        if (categoryOf(event.stream) !== category) return;
        seen.push(event);
        tally.add();
      });
      assert.equal(seen.length, 0, 'nothing is handed over inside the call');
      await subscription.caughtUp;
      assert.deepEqual(ids(seen), ids(old));
      const fresh = [...newEvents(2), newEvent({}, { correlation: 'c-1', trace: TRACE })];
      for (const event of fresh) await store.append(`${category}-b`, [event], 'any');
      await tally.reached(1503);
      assert.deepEqual(ids(seen), ids([...old, ...fresh]));
      // An event looks the same whether it came live or from the file.
      assert.deepEqual(seen, await collect(store.readAll({ after, categories: [category] })));
      assert.ok(subscription.position >= seen.at(-1)!.position);
      await subscription.stop();
      await subscription.ended;
    });

    it('starts after a position', async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-mid`;
      const events = newEvents(10);
      await store.append(stream, events, 'none');
      const [third] = await collect(store.readStream(stream, { from: 2, limit: 1 }));
      const seen: string[] = [];
      const subscription = store.subscribe({ after: third!.position }, (event) => {
        if (event.stream === stream) seen.push(event.id);
      });
      await subscription.caughtUp;
      assert.deepEqual(seen, ids(events).slice(3));
      await subscription.stop();
    });

    it('can start at the end of the log', async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-end`;
      await store.append(stream, newEvents(5), 'none');
      const seen: string[] = [];
      const tally = new Tally();
      const subscription = store.subscribe({ after: 'end' }, (event) => {
        if (event.stream !== stream) return;
        seen.push(event.id);
        tally.add();
      });
      await subscription.caughtUp;
      const event = newEvent();
      await store.append(stream, [event], 4);
      await tally.reached(1);
      assert.deepEqual(seen, [event.id]);
      await subscription.stop();
    });

    it('hands over its categories only, and moves its position past the others', async () => {
      const { store } = subject();
      const [mine, other] = [uniqueCategory(), uniqueCategory()];
      const after = await store.head();
      const seen: string[] = [];
      const tally = new Tally();
      await store.append(`${other}-a`, newEvents(700), 'none');
      await store.append(`${mine}-a-b`, newEvents(1), 'none');
      await store.append(`${other}-a`, newEvents(700), 'any');
      const head = await store.head();
      const subscription = store.subscribe({ after, categories: [mine] }, ({ stream }) => {
        seen.push(stream);
        tally.add();
      });
      await subscription.caughtUp;
      assert.ok(subscription.position >= head);
      await store.append(`${other}-b`, newEvents(2), 'none');
      await store.append(mine, newEvents(1), 'none');
      await tally.reached(2);
      assert.deepEqual(seen, [`${mine}-a-b`, mine]);
      await subscription.stop();
    });

    it('says how far it may lag', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const gate = new Gate();
      const called = new Tally();
      const subscription = store.subscribe({ after: 'end', categories: [category] }, () => {
        called.add();
        return gate.opened;
      });
      await subscription.caughtUp;
      await store.append(`${category}-a`, newEvents(2), 'none');
      await called.reached(1);
      const written = performance.now();
      await eventually('an event waits', () => subscription.lag > 50);
      const waited = subscription.lag;
      await eventually('it waits on', () => subscription.lag > waited + 50);
      gate.open();
      await eventually('it is known that none waits', () => subscription.lag < performance.now() - written);
      await subscription.stop();
    });

    it('hands over one event at a time', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      let running = 0;
      let most = 0;
      const tally = new Tally();
      await store.append(`${category}-a`, newEvents(20), 'none');
      const subscription = store.subscribe({ after: 0, categories: [category] }, async () => {
        most = Math.max(most, ++running);
        await settle(2);
        running--;
        tally.add();
      });
      await Promise.all(newEvents(20).map((event) => store.append(`${category}-b`, [event], 'any')));
      await tally.reached(40);
      assert.equal(most, 1);
      await subscription.stop();
    });

    it('has caught up only when its handler is done with the events that were there', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      await store.append(`${category}-a`, newEvents(1), 'none');
      const gate = new Gate();
      const called = new Tally();
      const subscription = store.subscribe({ after: 0, categories: [category] }, () => {
        called.add();
        return gate.opened;
      });
      await called.reached(1);
      assert.equal(await isSettled(subscription.caughtUp), false);
      gate.open();
      await subscription.caughtUp;
      await subscription.stop();
    });

    it('waits for its handler when it is stopped, and hands nothing over afterwards', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const gate = new Gate();
      const called = new Tally();
      const subscription = store.subscribe({ after: 'end', categories: [category] }, () => {
        called.add();
        return gate.opened;
      });
      await store.append(`${category}-a`, newEvents(5), 'none');
      await called.reached(1);
      const stopped = subscription.stop();
      assert.equal(await isSettled(stopped), false);
      assert.equal(await isSettled(subscription.ended), false);
      gate.open();
      await stopped;
      await subscription.ended;
      await store.append(`${category}-a`, newEvents(1), 'any');
      await settle();
      assert.equal(called.count, 1);
      await subscription.stop();
    });

    it('can be stopped by its own handler, and before it has begun', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      await store.append(`${category}-a`, newEvents(5), 'none');
      let seen = 0;
      const subscription = store.subscribe({ after: 0, categories: [category] }, () => {
        if (++seen === 2) void subscription.stop();
      });
      await subscription.ended;
      assert.equal(seen, 2);
      await assert.rejects(subscription.caughtUp);
      const never = store.subscribe({ after: 0, categories: [category] }, () =>
        assert.fail('called after stop'),
      );
      await never.stop();
      await never.ended;
      await settle();
    });

    for (const [how, fail] of [
      [
        'throws',
        () => {
          throw new Error('no good');
        },
      ],
      ['rejects', () => Promise.reject(new Error('no good'))],
    ] as [string, () => Promise<void>][]) {
      it(`ends with the error when its handler ${how}, catching up or live; the others go on`, async () => {
        const { store } = subject();
        const category = uniqueCategory();
        const tally = new Tally();
        let calls = 0;
        const sound = store.subscribe({ after: 'end', categories: [category] }, () => tally.add());
        const live = store.subscribe({ after: 'end', categories: [category] }, () => (calls++, fail()));
        await store.append(`${category}-a`, newEvents(3), 'none');
        await assert.rejects(live.ended, /no good/);
        const late = store.subscribe({ after: 0, categories: [category] }, () => (calls++, fail()));
        await assert.rejects(late.ended, /no good/);
        await assert.rejects(late.caughtUp, /no good/);
        await store.append(`${category}-a`, newEvents(3), 'any');
        await tally.reached(6);
        assert.equal(calls, 2, 'neither was called again');
        await live.stop();
        await sound.stop();
        await sound.ended;
      });
    }
  });
}
