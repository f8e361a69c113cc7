import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import Database from 'better-sqlite3';
import { HOUR } from '../../../src/kernel/time.js';
import { compactStore } from '../../../src/store/sqlite/compact.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { newEvents } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';

const large = (count: number) => newEvents(count, (i) => ({ i, text: 'x'.repeat(800) }));

describe('the room that a file takes', () => {
  test('is told by category, with what is free, and given back once retention has deleted much', async (t) => {
    const folder = await temporaryDirectory();
    const clock = new ManualClock();
    const file = path.join(folder, 'events.db');
    const store = await openSqliteStore({ file, clock });
    t.after(async () => {
      await store.close();
      await fs.rm(folder, { recursive: true });
    });
    const began = clock.now();
    for (let i = 0; i < 20; i++) await store.append('send-a', large(300), 'any');
    await store.append('block-a', large(20), 'none');
    const before = await store.storage();
    assert.deepEqual(before.categories, [
      { category: 'send', events: 6000, isEstimate: false, oldestAt: began },
      { category: 'block', events: 20, isEstimate: false, oldestAt: began },
    ]);
    assert.ok(before.bytes! > 6e6 && before.free! > 0 && before.givesBack);
    await store.setRetention('send', HOUR);
    clock.advance(2 * HOUR);
    assert.equal(await store.sweep(clock.now()), 6000);
    const after = await store.storage();
    assert.deepEqual(
      after.categories!.map(({ category }) => category),
      ['block'],
    );
    assert.ok(after.reclaimable! < 2e6, `${after.reclaimable} bytes are free in the file`);
    // The write-ahead log goes into the file at the next checkpoint, which shortens it.
    assert.equal(await store.writer.call({ kind: 'compact', most: Infinity }), 1);
    assert.ok((await store.storage()).bytes! < 1e6);
  });

  test('is estimated where there are many events, within a tenth', async (t) => {
    const folder = await temporaryDirectory();
    const store = await openSqliteStore({ file: path.join(folder, 'events.db'), clock: { now: Date.now } });
    t.after(async () => {
      await store.close();
      await fs.rm(folder, { recursive: true });
    });
    for (let i = 0; i < 60; i++) {
      await store.append(`send-${i % 7}`, newEvents(1000), 'any');
      if (i % 3 === 0) await store.append('profile-a', newEvents(100), 'any');
    }
    const { categories } = await store.storage();
    const [sends, days] = categories!;
    assert.ok(sends!.isEstimate && Math.abs(sends!.events - 60_000) < 6000, JSON.stringify(sends));
    assert.deepEqual([days!.isEstimate, days!.events], [false, 2000]);
  });

  test('of a file of an earlier version is given back once it is written anew', async (t) => {
    const folder = await temporaryDirectory();
    t.after(() => fs.rm(folder, { recursive: true }));
    const file = path.join(folder, 'events.db');
    const clock = new ManualClock();
    const open = () => openSqliteStore({ file, clock });
    await (await open()).close();
    const db = new Database(file);
    db.pragma('journal_mode = DELETE');
    db.pragma('auto_vacuum = NONE');
    db.exec('VACUUM');
    db.pragma('journal_mode = WAL');
    db.close();
    let store = await open();
    await store.append('send-a', large(2000), 'none');
    await store.setRetention('send', HOUR);
    clock.advance(2 * HOUR);
    await store.sweep(clock.now());
    const { givesBack, reclaimable } = await store.storage();
    assert.ok(!givesBack && reclaimable! > 1e6);
    assert.throws(() => compactStore(file, clock), /in use by process/);
    await store.close();
    const before = (await fs.stat(file)).size;
    compactStore(file, clock);
    assert.ok((await fs.stat(file)).size < before / 4);
    store = await open();
    assert.ok((await store.storage()).givesBack);
    assert.equal((await store.append('send-a', large(1), 'none')).revision, 2000, 'revisions go on');
    await store.close();
  });
});
