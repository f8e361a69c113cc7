import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import type { NewEvent } from '../../../src/kernel/events.js';
import { UNREADABLE } from '../../../src/kernel/events.js';
import { DAY } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { LiveFeed } from '../../../src/store/sqlite/subscription.js';
import { openSqliteStore, type SqliteEventStore } from '../../../src/store/sqlite/index.js';
import { WriterClient } from '../../../src/store/sqlite/writer-client.js';
import { ManualClock } from '../../support/manual-clock.js';
import { shortOfDescriptors } from '../../support/short-of-descriptors.js';
import { collect, ids, newEvent, newEvents, revisions } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { settle, Tally } from '../../support/gate.js';

describe('a store in trouble', () => {
  let directory: string;
  let file: string;
  let store: SqliteEventStore;
  let clock: ManualClock;
  const open = async (options: { appendTimeout?: number; maxPages?: number } = {}) => {
    store = await openSqliteStore({ file, clock, ...options });
  };
  beforeEach(async () => {
    directory = await temporaryDirectory();
    file = path.join(directory, 'events.db');
    clock = new ManualClock();
  });
  afterEach(async () => {
    await store.close();
    await fs.rm(directory, { recursive: true });
  });

  it('marks a stored event that it cannot read as unreadable, in every kind of read', async () => {
    await open();
    await store.append('send-a', newEvents(3), 'none');
    await store.close();
    const db = new Database(file);
    db.prepare('UPDATE events SET data = ? WHERE revision = 1').run('{"cut": "of');
    db.close();
    await open();
    const all = await collect(store.readAll());
    assert.deepEqual(
      all.map(({ type }) => type),
      ['Noted', UNREADABLE, 'Noted'],
    );
    const { type, error } = all[1]!.data as { type: string; error: string };
    assert.equal(type, 'Noted');
    assert.match(error, /JSON/);
    assert.deepEqual(await collect(store.readStream('send-a')), all);
    const seen: string[] = [];
    const subscription = store.subscribe({ after: 0 }, (event) => void seen.push(event.type));
    await subscription.caughtUp;
    assert.deepEqual(seen, ['Noted', UNREADABLE, 'Noted']);
  });

  it('refuses appends while the disk is full, loses nothing, and goes on when there is space', async () => {
    await open({ maxPages: 60 });
    await store.setRetention('send', DAY);
    const kept: string[] = [];
    const fill = async () => {
      for (let n = 0; n < 1000; n++) {
        const event = newEvent({ pad: 'x'.repeat(1000) });
        await store.append('send-a', [event], 'any');
        kept.push(event.id);
      }
    };
    await assert.rejects(fill(), (error) => error instanceof StoreUnavailable && /full/.test(error.message));
    assert.ok(kept.length > 20);
    assert.equal(store.healthy, false);
    const many = newEvents(3, () => ({ pad: 'y'.repeat(5000) }));
    await assert.rejects(store.append('send-b', many, 'any'), StoreUnavailable);
    assert.deepEqual(ids(await collect(store.readAll())), kept, 'nothing is lost, nothing half written');
    clock.advance(DAY + 1);
    assert.equal(await store.sweep(clock.now()), kept.length);
    const next = await store.append('send-a', newEvents(1), kept.length - 1);
    assert.equal(next.revision, kept.length);
    assert.equal((await store.append('send-b', many, 'none')).revision, 2);
    assert.equal(store.healthy, true);
  });

  it('rejects the appends that a dying writer had not answered, starts another, and misses no event', async () => {
    await open();
    const seen: string[] = [];
    const tally = new Tally();
    store.subscribe({ after: 0 }, ({ id }) => {
      seen.push(id);
      tally.add();
    });
    const events: NewEvent[] = [];
    let rejected: readonly PromiseRejectedResult[] = [];
    // On a busy machine the writer may have answered all before it is killed.
    while (rejected.length === 0) {
      const batch = newEvents(2000);
      events.push(...batch);
      const appends = batch.map((event) => store.append('send-a', [event], 'any'));
      // They go to the writer in one batch, which is mostly far from done when it is killed.
      await settle(1);
      const outcomes = Promise.allSettled(appends);
      await store.writer.thread.kill();
      rejected = (await outcomes).filter((result) => result.status === 'rejected');
    }
    for (const { reason } of rejected) assert.ok(reason instanceof StoreUnavailable, String(reason));
    // A retry of everything is safe: what had been written is found again by its ids.
    for (const event of events) await store.append('send-a', [event], 'any');
    assert.equal(store.healthy, true);
    await tally.reached(events.length);
    const written = await collect(store.readStream('send-a'));
    assert.deepEqual(ids(written).sort(), ids(events).sort());
    assert.deepEqual(
      revisions(written),
      events.map((_, i) => i),
    );
    assert.deepEqual(seen, ids(written));
  });

  it('is unhealthy from the death of the writer until an append succeeds', async () => {
    await open();
    const lost = store.append('send-a', newEvents(1), 'any');
    const rejected = assert.rejects(lost, StoreUnavailable);
    await store.writer.thread.kill();
    await rejected;
    assert.equal(store.healthy, false);
    await store.append('send-a', newEvents(1), 'any');
    assert.equal(store.healthy, true);
  });

  it('becomes healthy again by itself, without an append', async () => {
    await open();
    const lost = assert.rejects(store.append('send-a', newEvents(1), 'any'), StoreUnavailable);
    await store.writer.thread.kill();
    await lost;
    assert.equal(store.healthy, false);
    const deadline = performance.now() + 20_000;
    while (!store.healthy && performance.now() < deadline) await settle(1);
    assert.equal(store.healthy, true);
  });

  it('goes on trying where no thread can be had for another writer', async () => {
    await open();
    await store.close();
    let [tries, refusing] = [0, false];
    const options = {
      file,
      get maxPages(): undefined {
        tries++;
        // Stands for a system that has no thread left: no function can be handed to one.
        return refusing ? ((() => undefined) as unknown as undefined) : undefined;
      },
    };
    const writer = new WriterClient(options, clock, 5000, new LiveFeed());
    try {
      writer.thread.start();
      await writer.started;
      const before = tries;
      refusing = true;
      await writer.thread.kill();
      while (tries < before + 2) await settle(1);
      assert.equal(writer.thread.ready, false);
      refusing = false;
      while (!writer.thread.ready) await settle(1);
      assert.equal((await writer.append('send-a', newEvents(1), 'any')).position, 1);
    } finally {
      await writer.close();
    }
  });

  it('forgets once descriptors are free again, though its writer could not load what forgets', async () => {
    const module = (name: string): string => new URL(`../../../src/${name}.js`, import.meta.url).href;
    const { printed, code, signal } = await shortOfDescriptors(`
      import { openSqliteStore } from '${module('store/sqlite/index')}';
      import { systemClock } from '${module('runtime/clock')}';
      const store = await openSqliteStore({ file: ${JSON.stringify(file)}, clock: systemClock });
      const person = { name: 'alice@example.com', pseudonym: 'forgotten-1' };
      const forget = () => store.forget(person).then(({ erased }) => ['forgotten', erased], (error) => error.message);
      let last = 0;
      const append = async () => {
        const id = '00000000-0000-4000-8000-' + String(++last).padStart(12, '0');
        const event = { id, type: 'Tested', at: 0, by: 'test', data: {} };
        return (await store.append('send-a', [event], 'any')).position;
      };
      const told = [];
      leave(0);
      told.push(await forget(), await forget(), await append());
      leave(80);
      const forgotten = [forget(), forget()];
      told.push(await append(), ...(await Promise.all(forgotten)), store.healthy, await append());
      await store.close();
      console.log(JSON.stringify(told));
    `);
    assert.deepEqual([code, signal], [0, null], printed);
    const [first, second, ...rest] = JSON.parse(printed) as unknown[];
    assert.match(String(first), /^the store failed: .*/);
    assert.match(String(second), /^the store cannot load what forgets: EMFILE/);
    assert.deepEqual(rest, [1, 2, ['forgotten', 0], ['forgotten', 0], true, 3]);
  });

  it('gives up on an append that is not answered in time, and recovers', async () => {
    await open({ appendTimeout: 150 });
    const other = new Database(file);
    other.exec('BEGIN IMMEDIATE');
    const event = newEvent();
    await assert.rejects(
      store.append('send-a', [event], 'any'),
      (error) => error instanceof StoreUnavailable && /within 150 ms/.test(error.message),
    );
    assert.equal(store.healthy, false);
    other.exec('ROLLBACK');
    other.close();
    await store.append('send-a', [event], 'any').catch(() => store.append('send-a', [event], 'any'));
    assert.equal(store.healthy, true);
    assert.deepEqual(ids(await collect(store.readStream('send-a'))), [event.id]);
  });

  it('takes a bounded number of appends at once', async () => {
    await open();
    const appends = newEvents(20_001).map((event, i) => store.append(`send-${i % 50}`, [event], 'any'));
    const last = appends.pop()!;
    await assert.rejects(last, (error) => error instanceof StoreUnavailable && /waiting/.test(error.message));
    await Promise.all(appends);
    assert.equal(await store.head(), 20_000);
    assert.equal(store.healthy, true);
  });

  it('stays healthy after a wrong revision', async () => {
    await open();
    await assert.rejects(store.append('send-a', newEvents(1), 7));
    assert.equal(store.healthy, true);
  });

  it('hands an event to a live handler before its append resolves', async () => {
    await open();
    const seen = new Set<string>();
    const subscription = store.subscribe({ after: 0 }, ({ id }) => void seen.add(id));
    await subscription.caughtUp;
    await Promise.all(
      Array.from({ length: 500 }, async (_, i) => {
        const event = newEvent();
        await store.append(`send-${i}`, [event], 'any');
        assert.ok(seen.has(event.id));
      }),
    );
    assert.equal(seen.size, 500);
  });

  it('lets a stream begin again that retention has emptied', async () => {
    await open();
    await store.setRetention('send', DAY);
    await store.append('send-a', newEvents(2), 'none');
    clock.advance(DAY + 1);
    await store.sweep(clock.now());
    await assert.rejects(store.append('send-a', newEvents(1), 0));
    assert.equal((await store.append('send-a', newEvents(1), 'none')).revision, 2);
  });

  it('deletes old events although one claims to come from the future', async () => {
    await open();
    await store.setRetention('send', DAY);
    clock.advance(400 * DAY);
    const wrong = newEvent();
    await store.append('send-a', [wrong], 'none');
    clock.advance(-400 * DAY);
    await store.append('send-a', newEvents(3), 'any');
    clock.advance(DAY + 1);
    assert.equal(await store.sweep(clock.now()), 3);
    assert.deepEqual(ids(await collect(store.readAll())), [wrong.id]);
  });
});
