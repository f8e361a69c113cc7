import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReadAllOptions, ReadStreamOptions } from '../../../src/store/port.js';
import {
  collect,
  ids,
  newEvent,
  newEvents,
  positions,
  revisions,
  rising,
  uniqueCategory,
} from '../../support/store/events.js';
import type { Subject } from './suite.js';

/** More than a reader is likely to fetch at once. */
const MANY = 2500;

export function readContract(subject: Subject): void {
  const stream = (name: string, options?: ReadStreamOptions) =>
    collect(subject().store.readStream(name, options));
  const all = (options?: ReadAllOptions) => collect(subject().store.readAll(options));

  describe('a read of one stream', () => {
    it('finds nothing in a stream that does not exist', async () => {
      const name = `${uniqueCategory()}-nothing`;
      assert.deepEqual(await stream(name), []);
      assert.deepEqual(await stream(name, { direction: 'backwards' }), []);
    });

    it('goes forwards and backwards, from any revision, up to a limit', async () => {
      const name = `${uniqueCategory()}-ten`;
      await subject().store.append(name, newEvents(10), 'none');
      const at = async (options: ReadStreamOptions) => revisions(await stream(name, options));
      assert.deepEqual(await at({ from: 7 }), [7, 8, 9]);
      assert.deepEqual(await at({ from: 10 }), []);
      assert.deepEqual(await at({ limit: 3 }), [0, 1, 2]);
      assert.deepEqual(await at({ from: 4, limit: 2 }), [4, 5]);
      assert.deepEqual(await at({ direction: 'backwards' }), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
      assert.deepEqual(await at({ direction: 'backwards', limit: 1 }), [9]);
      assert.deepEqual(await at({ direction: 'backwards', from: 2 }), [2, 1, 0]);
      assert.deepEqual(await at({ direction: 'backwards', from: 99, limit: 2 }), [9, 8]);
    });

    it('gives long streams whole in both directions, and no other stream', async () => {
      const category = uniqueCategory();
      const events = newEvents(MANY);
      await subject().store.append(`${category}-other`, newEvents(5), 'none');
      await subject().store.append(`${category}-long`, events, 'none');
      await subject().store.append(`${category}-other`, newEvents(5), 'any');
      assert.deepEqual(ids(await stream(`${category}-long`)), ids(events));
      assert.deepEqual(
        ids(await stream(`${category}-long`, { direction: 'backwards' })),
        ids(events).reverse(),
      );
      const limited = await stream(`${category}-long`, { direction: 'backwards', limit: MANY - 1 });
      assert.deepEqual(ids(limited), ids(events).reverse().slice(0, -1));
    });

    it('can be left half-way', async () => {
      const name = `${uniqueCategory()}-left`;
      await subject().store.append(name, newEvents(20), 'none');
      const seen: number[] = [];
      for await (const { revision } of subject().store.readStream(name)) {
        seen.push(revision);
        if (revision === 4) break;
      }
      assert.deepEqual(seen, [0, 1, 2, 3, 4]);
    });
  });

  describe('a read of the whole log', () => {
    it('follows the order of writing across streams', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const start = await store.head();
      const events = newEvents(MANY);
      for (let i = 0; i < MANY; i += 50) {
        await Promise.all(
          events
            .slice(i, i + 50)
            .map((event, j) => store.append(`${category}-${(i + j) % 7}`, [event], 'any')),
        );
      }
      const read = await all({ after: start, categories: [category] });
      assert.deepEqual(ids(read).sort(), ids(events).sort());
      assert.ok(rising(positions(read)));
      for (let key = 0; key < 7; key++) {
        const own = await stream(`${category}-${key}`);
        assert.deepEqual(
          own,
          read.filter((event) => event.stream === `${category}-${key}`),
        );
        assert.deepEqual(
          revisions(own),
          own.map((_, i) => i),
        );
      }
      // Others may be writing to a server that is shared.
      assert.ok((await store.head()) >= read.at(-1)!.position);
    });

    it('keeps to its bounds: after `after`, or from `from`, up to `until`, at most `limit`', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const start = await store.head();
      await store.append(`${category}-a`, newEvents(10), 'none');
      const own = (options: ReadAllOptions) => all({ ...options, categories: [category] });
      const full = positions(await own({ after: start }));
      assert.equal(full.length, 10);
      assert.deepEqual(positions(await own({ after: full[3]! })), full.slice(4));
      assert.deepEqual(positions(await own({ after: start, until: full[3]! })), full.slice(0, 4));
      assert.deepEqual(
        positions(await own({ after: full[1]!, until: full[7]!, limit: 3 })),
        full.slice(2, 5),
      );
      assert.deepEqual(await own({ after: full[9]! }), []);
      assert.deepEqual(await own({ after: full[5]!, until: full[2]! }), []);
      assert.deepEqual(positions(await own({ from: full[3]! })), full.slice(3));
      assert.deepEqual(positions(await own({ from: full[9]! })), [full[9]]);
      assert.deepEqual(positions(await own({ from: full[2]!, limit: 2 })), full.slice(2, 4));
    });

    it('gives only the categories asked for', async () => {
      const { store } = subject();
      const [a, b, c] = [uniqueCategory(), uniqueCategory(), uniqueCategory()];
      // Names that begin alike, and a stream without a key, whose category is its whole name.
      const streams = [`${a}-1`, `${b}-1`, `${a}x-1`, a, `${c}-${a}`, `${a}-2-3`, b];
      for (let i = 0; i < 1400; i++)
        await store.append(streams[i % streams.length]!, [newEvent({ i })], 'any');
      const seen = async (...categories: string[]) =>
        new Set((await all({ categories })).map((e) => e.stream));
      assert.deepEqual(await seen(a), new Set([`${a}-1`, a, `${a}-2-3`]));
      assert.deepEqual(await seen(a, c), new Set([`${a}-1`, a, `${a}-2-3`, `${c}-${a}`]));
      assert.deepEqual(await seen(uniqueCategory()), new Set());
      assert.deepEqual(await seen(), new Set());
      const both = await all({ categories: [b, a, b] });
      assert.equal(both.length, 1000);
      assert.ok(rising(positions(both)));
      const part = await all({
        categories: [a, b],
        after: both[100]!.position,
        until: both[899]!.position,
        limit: 750,
      });
      assert.deepEqual(part, both.slice(101, 851));
    });

    it('ends however much is written meanwhile', async () => {
      const { store } = subject();
      const category = uniqueCategory();
      await store.append(`${category}-grow`, newEvents(3), 'none');
      let seen = 0;
      for await (const _event of store.readAll({ categories: [category] })) {
        seen++;
        await store.append(`${category}-grow`, newEvents(2), 'any');
        assert.ok(seen < 1000, 'the read chases what it writes');
      }
      assert.ok(seen >= 3);
    });
  });
}
