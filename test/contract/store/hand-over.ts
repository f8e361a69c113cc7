import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EventHandler, Subscription } from '../../../src/store/port.js';
import { collect, ids, newEvent, newEvents, uniqueCategory } from '../../support/store/events.js';
import { Gate, settle, Tally } from '../../support/gate.js';
import type { Subject } from './suite.js';

/** More than a subscription is likely to keep in memory for a slow handler. */
const FLOOD = 6000;

export function handOverContract(subject: Subject): void {
  describe('a subscription between catching up and live', () => {
    it('neither loses nor repeats an event, whenever it joins and however slow its handlers are', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const total = 1200;
      const followers: { seen: string[]; tally: Tally; subscription: Subscription }[] = [];
      const follow = (kind: number): void => {
        const seen: string[] = [];
        const tally = new Tally();
        const note: EventHandler = ({ id }) => {
          seen.push(id);
          tally.add();
        };
        const handlers: EventHandler[] = [
          note,
          async (event) => note(event),
          (event) => {
            const done = note(event);
            return seen.length % 50 === 0 ? settle(3) : done;
          },
        ];
        const subscription = store.subscribe({ after: 0, categories: [category] }, handlers[kind]!);
        followers.push({ seen, tally, subscription });
      };
      let begun = 0;
      await Promise.all(
        Array.from({ length: 8 }, async (_, appender) => {
          for (let i = 0; i < total / 8; i++) {
            // Followers join one by one all along.
            if (++begun % 50 === 0) follow((begun / 50) % 3);
            await store.append(`${category}-${appender}`, [newEvent()], 'any');
          }
        }),
      );
      const written = ids(await collect(store.readAll({ categories: [category] })));
      assert.equal(written.length, total);
      assert.equal(followers.length, 24);
      for (const { seen, tally, subscription } of followers) {
        await tally.reached(total);
        assert.deepEqual(seen, written);
        await subscription.stop();
      }
    });

    it('waits for a slow handler, then hands over everything in order', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const gate = new Gate();
      const tally = new Tally();
      const seen: string[] = [];
      const subscription = store.subscribe({ after: 'end', categories: [category] }, (event) => {
        seen.push(event.id);
        tally.add();
        return seen.length === 1 ? gate.opened : undefined;
      });
      const first = newEvent();
      await store.append(`${category}-a`, [first], 'none');
      await tally.reached(1);
      const flood = newEvents(FLOOD);
      for (let i = 0; i < FLOOD; i += 100)
        await store.append(`${category}-a`, flood.slice(i, i + 100), 'any');
      await settle();
      assert.deepEqual(seen, [first.id], 'nothing was handed over while the handler was at work');
      gate.open();
      await tally.reached(FLOOD + 1);
      assert.deepEqual(seen, ids([first, ...flood]));
      const last = newEvent();
      await store.append(`${category}-a`, [last], 'any');
      await tally.reached(FLOOD + 2);
      assert.equal(seen.at(-1), last.id);
      await subscription.stop();
    });

    it('lets a handler append to the store it follows', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const tally = new Tally();
      await store.append(`${category}-seed`, [newEvent({ n: 0 })], 'none');
      const subscription = store.subscribe({ after: 0, categories: [category] }, async ({ data }) => {
        const { n } = data as { n: number };
        if (n < 20) await store.append(`${category}-chain`, [newEvent({ n: n + 1 })], 'any');
        tally.add();
      });
      await tally.reached(21);
      await subscription.stop();
      const chain = await collect(store.readStream(`${category}-chain`));
      assert.deepEqual(
        chain.map(({ data }) => (data as { n: number }).n),
        Array.from({ length: 20 }, (_, i) => i + 1),
      );
    });

    it('begins again at the position of another one, also after a restart', async () => {
      const category = uniqueCategory();
      const events = newEvents(50);
      await subject().store.append(`${category}-a`, events.slice(0, 30), 'none');
      const seen: string[] = [];
      const first = subject().store.subscribe(
        { after: 0, categories: [category] },
        ({ id }) => void seen.push(id),
      );
      await first.caughtUp;
      await first.stop();
      await subject().reopen();
      await subject().store.append(`${category}-a`, events.slice(30), 29);
      const second = subject().store.subscribe(
        { after: first.position, categories: [category] },
        ({ id }) => void seen.push(id),
      );
      await second.caughtUp;
      assert.deepEqual(seen, ids(events));
      await second.stop();
    });
  });
}
