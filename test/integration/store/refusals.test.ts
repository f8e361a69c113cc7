import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { StoreRefused } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { LoadChild } from '../../support/store/child.js';
import { ManualClock } from '../../support/manual-clock.js';
import { collect, newEvent, newEvents } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';

describe('opening a store', () => {
  const directories: string[] = [];
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await temporaryDirectory();
    directories.push(directory);
    file = path.join(directory, 'events.db');
  });
  after(() => Promise.all(directories.map((made) => fs.rm(made, { recursive: true }))));

  const open = (at = file) => openSqliteStore({ file: at, clock: new ManualClock() });
  const refuses = (reason: RegExp, at = file) =>
    assert.rejects(open(at), (error) => {
      assert.ok(error instanceof StoreRefused, String(error));
      assert.ok(error.message.includes(at), `${error.message} does not name ${at}`);
      assert.match(error.message, reason);
      assert.ok(!error.message.includes('\n'), 'the last line of a start has it all');
      return true;
    });
  const fill = async (count: number) => {
    const store = await open();
    await store.append('send-a', newEvents(count), 'none');
    await store.close();
  };

  it("makes the directory and keeps everything to its owner's eyes", async () => {
    const at = path.join(directory, 'a', 'b', 'events.db');
    const store = await open(at);
    await store.append('send-a', newEvents(1), 'none');
    const names = await fs.readdir(path.dirname(at));
    const expected = ['events.db', 'events.db-shm', 'events.db-wal', 'events.db.lock', 'events.db.reserve'];
    assert.deepEqual(names.sort(), expected);
    for (const name of names) {
      const { mode } = await fs.stat(path.join(path.dirname(at), name));
      assert.equal(mode & 0o777, 0o600, name);
    }
    await store.close();
  });

  it('shows its events to the sqlite3 tool', async () => {
    await fill(2);
    const db = new Database(file, { readonly: true });
    const [first] = db.prepare('SELECT stream, revision, at, data FROM event_log ORDER BY position').all();
    db.close();
    assert.deepEqual(first, {
      stream: 'send-a',
      revision: 0,
      at: '2026-03-01T12:00:00.000Z',
      data: '{"i":0}',
    });
  });

  it('refuses a file that is no database', async () => {
    await fs.writeFile(file, 'Dear diary, today I was opened as a database.'.repeat(10));
    await refuses(/not a Stopgap store/);
    await fs.writeFile(file, 'SQLite format 3\0');
    await refuses(/cut off/);
    assert.equal((await fs.readFile(file)).length, 16, 'what was refused is left as it is');
  });

  it('refuses a store that was cut off or damaged, and says so', async () => {
    await fill(500);
    const whole = await fs.readFile(file);
    await fs.writeFile(file, whole.subarray(0, whole.length - 4096 * 3));
    await refuses(/cut off.*backup/);
    const damaged = Buffer.from(whole);
    damaged.fill(0xa5, 110, 4000);
    await fs.writeFile(file, damaged);
    await refuses(/damaged.*backup/);
  });

  it('checks the whole file after an unclean end', async () => {
    const child = new LoadChild(file, 'parallel', 1_000_000);
    await child.wrote(200);
    await child.kill();
    const healthy = await open();
    const count = (await collect(healthy.readAll())).length;
    assert.ok(count >= 199);
    await healthy.close();
    const again = new LoadChild(file, 'parallel', 1_000_000);
    await again.wrote(50);
    await again.kill();
    // A leaf somewhere in the middle, which nothing reads at the start.
    const handle = await fs.open(file, 'r+');
    await handle.write(Buffer.alloc(4096, 0xa5), 0, 4096, 4096 * 14);
    await handle.close();
    await refuses(/damaged/);
  });

  it("refuses another program's database", async () => {
    const db = new Database(file);
    db.exec('CREATE TABLE recipes (name TEXT)');
    db.close();
    await refuses(/another program.*recipes/);
  });

  it('refuses a store that a newer version wrote', async () => {
    await fill(1);
    const db = new Database(file);
    db.pragma('user_version = 99');
    db.close();
    await refuses(/newer Stopgap \(format 99.*upgrade/);
  });

  it('upgrades a store that an older version wrote, once', async () => {
    await fill(2);
    const db = new Database(file);
    db.exec('DROP VIEW event_log; ALTER TABLE events DROP COLUMN trace');
    db.pragma('user_version = 1');
    db.close();
    for (const [round, trace] of ['', '00-one', '00-two'].entries()) {
      const store = await open();
      if (round > 0) await store.append('send-a', [newEvent({}, { trace })], round);
      const traces = (await collect(store.readStream('send-a'))).map((event) => event.trace);
      assert.deepEqual(traces, [undefined, undefined, '00-one', '00-two'].slice(0, round + 2));
      await store.close();
    }
    const upgraded = new Database(file, { readonly: true });
    assert.equal(upgraded.prepare('SELECT count(trace) FROM event_log').pluck().get(), 2);
    upgraded.close();
  });

  it('refuses tables that are not as they should be', async () => {
    await fill(1);
    const db = new Database(file);
    db.exec('DROP VIEW event_log; ALTER TABLE events DROP COLUMN correlation');
    db.close();
    await refuses(/damaged/);
  });

  it('refuses a path that cannot be a file', async () => {
    await refuses(/not a file/, directory);
    await fs.writeFile(file, '');
    await refuses(/directory/, path.join(file, 'below', 'events.db'));
  });

  const skip = process.getuid?.() === 0 ? 'root may write anywhere' : false;
  it('refuses a directory that it may not write to', { skip }, async () => {
    await fs.chmod(directory, 0o500);
    await refuses(/cannot be created/);
  });

  it('takes an empty file for a new store', async () => {
    await fs.writeFile(file, '');
    await fill(1);
  });

  it('refuses a second opening, by the same process too, and names the holder', async () => {
    const store = await open();
    await refuses(new RegExp(`in use by process ${process.pid} `));
    const link = path.join(directory, 'link');
    await fs.symlink(directory, link);
    await assert.rejects(open(path.join(link, 'events.db')), StoreRefused);
    const alias = path.join(directory, 'alias.db');
    await fs.symlink(file, alias);
    await assert.rejects(open(alias), /in use by process/);
    await store.append('send-a', newEvents(1), 'none');
    await store.close();
    await (await open()).close();
  });

  it('refuses a file that another process holds, until that process has ended in any way', async () => {
    const child = new LoadChild(file, 'parallel', 1_000_000);
    await child.wrote(10);
    await refuses(new RegExp(`in use by process ${child.pid} `));
    await child.kill();
    const store = await open();
    assert.ok((await store.head()) >= 9);
    await store.close();
  });

  it('lets another process know that it is the second', async () => {
    const store = await open();
    const child = new LoadChild(file, 'parallel', 1);
    await assert.rejects(child.wrote(1), new RegExp(`in use by process ${process.pid} `));
    await store.close();
  });
});
