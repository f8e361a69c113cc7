import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import Database from 'better-sqlite3';
import { DAY, MINUTE } from '../../../src/kernel/time.js';
import { openSqliteStore, type SqliteEventStore } from '../../../src/store/sqlite/index.js';
import { openSqliteForReading } from '../../../src/store/sqlite/reader.js';
import { tracedStore } from '../../../src/tracing/tracing.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { collect, newEvent, newEvents } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { recordedTracing } from '../../support/tracing/recorded.js';

const JOURNALS = ['send', 'auth'];

interface Scene {
  readonly file: string;
  readonly clock: ManualClock;
  store: SqliteEventStore;
  reopen(): Promise<void>;
  /** The names that the file holds, as somebody finds them who opens it. */
  readonly names: () => string[];
}

function namesIn(file: string): string[] {
  const db = new Database(file, { readonly: true });
  const names = db.prepare<[], string>('SELECT name FROM streams ORDER BY id').pluck().all();
  db.close();
  return names;
}

async function scene(t: TestContext): Promise<Scene> {
  const folder = await temporaryDirectory();
  const clock = new ManualClock();
  const file = path.join(folder, 'events.db');
  const open = () => openSqliteStore({ file, clock });
  const there: Scene = {
    file,
    clock,
    store: await open(),
    async reopen() {
      await there.store.close();
      there.store = await open();
    },
    names: () => namesIn(file),
  };
  t.after(async () => {
    await there.store.close();
    await fs.rm(folder, { recursive: true });
  });
  for (const category of [...JOURNALS, 'held']) await there.store.setRetention(category, DAY);
  return there;
}

describe('the names of streams', () => {
  test('leave the file with the last event of a journal, and no others do', async (t) => {
    const there = await scene(t);
    const { clock } = there;
    for (const stream of [
      'block-bob',
      'held-1',
      'send-alice',
      'auth-192.0.2.0/24',
      'send-carol',
      'send-dave',
    ])
      await there.store.append(stream, newEvents(2), 'none');
    clock.advance(DAY + 1);
    await there.store.append('send-carol', newEvents(1), 'any');
    assert.equal(await there.store.sweep(clock.now(), JOURNALS), 10);
    // The newest row keeps its id, which must not be given again, and loses its name.
    assert.deepEqual(there.names(), ['block-bob', 'held-1', 'send-carol', 'send-erased:6']);
    await there.reopen();
    await there.store.append('send-dave', newEvents(1), 'none');
    assert.deepEqual((await collect(there.store.readStream('send-dave'))).length, 1);
    await there.store.sweep(clock.now(), JOURNALS);
    assert.deepEqual(there.names(), ['block-bob', 'held-1', 'send-carol', 'send-dave']);
  });

  test('leave a file where an earlier version had left them, however many', async (t) => {
    const there = await scene(t);
    const { clock } = there;
    await Promise.all(
      Array.from({ length: 2500 }, (_, i) => there.store.append(`send-${i}`, newEvents(1), 'none')),
    );
    clock.advance(DAY + 1);
    assert.equal(await there.store.sweep(clock.now()), 2500);
    assert.equal(there.names().length, 2500);
    await there.reopen();
    assert.equal(await there.store.sweep(clock.now(), JOURNALS), 0);
    assert.deepEqual(there.names(), ['send-erased:2500']);
  });

  test('leave later where somebody is called as the newest without a name would be', async (t) => {
    const { store, clock, names } = await scene(t);
    for (const stream of ['send-erased:2', 'send-alice']) await store.append(stream, newEvents(1), 'none');
    clock.advance(DAY + 1);
    await store.append('send-erased:2', newEvents(1), 'any');
    assert.equal(await store.sweep(clock.now(), JOURNALS), 2);
    assert.deepEqual(names(), ['send-erased:2', 'send-alice']);
    await store.append('send-bob', newEvents(1), 'none');
    assert.equal(await store.sweep(clock.now(), JOURNALS), 0);
    assert.deepEqual(names(), ['send-erased:2', 'send-bob']);
  });

  test('let appends through while they leave', async (t) => {
    const { store, clock } = await scene(t);
    await Promise.all(
      Array.from({ length: 5000 }, (_, i) => store.append(`send-${i}`, newEvents(1), 'none')),
    );
    clock.advance(DAY + 1);
    await store.sweep(clock.now());
    let done = false;
    const sweep = store.sweep(clock.now(), JOURNALS).finally(() => (done = true));
    let meanwhile = 0;
    while (!done) {
      await store.append('block-a', newEvents(1), 'any');
      if (!done) meanwhile++;
    }
    await sweep;
    assert.ok(meanwhile >= 3, `${meanwhile} appends were answered meanwhile`);
  });

  test('are those of a slice that another process reads while they leave', async (t) => {
    const { file, store, clock } = await scene(t);
    await store.append('send-alice', newEvents(1), 'none');
    await store.append('send-bob', newEvents(1), 'none');
    await store.append('block-a', [newEvent()], 'none');
    clock.advance(DAY + 1);
    const reader = openSqliteForReading(file);
    t.after(() => reader.close());
    const other = new Database(file);
    t.after(() => other.close());
    let isLate = false;
    const { parse } = JSON;
    t.mock.method(JSON, 'parse', (text: string) => {
      // Between two rows of the slice: its rows are read, and not all of its names.
      if (!isLate) other.exec("DELETE FROM events; DELETE FROM streams WHERE name <> 'block-a'");
      isLate = true;
      return parse(text) as unknown;
    });
    const streams = (await collect(reader.readAll())).map(({ stream }) => stream);
    assert.ok(isLate);
    assert.deepEqual(streams, ['send-alice', 'send-bob', 'block-a']);
  });

  test('are of senders and networks no longer than what they did is kept, and of blocks for ever', async (t) => {
    const clock = new ManualClock();
    const { tracing } = recordedTracing(0);
    const stopgap = await Stopgap.start(t, { clock, throughStore: (store) => tracedStore(store, tracing) });
    const { store } = stopgap.app;
    for (const stream of [`send-${ALICE}`, 'auth-192.0.2.0/24', `profile-${ALICE}`, 'held-1', `send-${BOB}`])
      await store.append(stream, newEvents(1), 'none');
    await stopgap.block('account', ALICE);
    const names = () => namesIn(path.join(stopgap.dir, 'data', 'events.db'));
    const sweep = async (after: number): Promise<void> => {
      const since = stopgap.logs.length;
      clock.skip(after);
      clock.advance(MINUTE);
      await eventually('the sweep is over', () =>
        stopgap.logs.slice(since).some((line) => line.includes('events beyond their retention were deleted')),
      );
    };
    await sweep(36 * DAY);
    const left = names().filter((name) => /^(send|auth|profile|held|block)-/.test(name));
    assert.deepEqual(left, [`profile-${ALICE}`, 'held-1', `block-account:${ALICE}`]);
    await sweep(401 * DAY);
    assert.ok(!names().includes(`profile-${ALICE}`) && names().includes(`block-account:${ALICE}`));
    assert.ok(names().includes('held-1'), 'what is on hold is counted by revisions, which go on');
  });
});
