import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { countEvents, inspectStore } from '../../../src/store/sqlite/inspect.js';
import { ManualClock } from '../../support/manual-clock.js';
import { newEvents, START } from '../../support/store/events.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

/** What lies in a folder, to the byte. */
function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder).sort();
  const digest = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(path.join(folder, name)))
      .digest('hex');
  return Object.fromEntries(names.map((name) => [name, digest(name)]));
}

/** A store with three events in two streams, closed again. */
async function closedStore(t: TestContext): Promise<{ folder: string; file: string }> {
  const folder = path.join(temporaryDirectory(t), 'data');
  const file = path.join(folder, 'events.db');
  const store = await openSqliteStore({ file, clock: new ManualClock() });
  await store.append('send-a', newEvents(2), 'any');
  await store.append('send-b', newEvents(1), 'any');
  await store.close();
  return { folder, file };
}

describe('a look at a store from outside', () => {
  test('finds nothing and makes nothing if there is no store', (t) => {
    const folder = temporaryDirectory(t);
    assert.deepEqual(inspectStore(path.join(folder, 'events.db')), { state: 'absent', size: 0, logSize: 0 });
    assert.deepEqual(readdirSync(folder), []);
  });

  test('reads and counts a store that no process has open, and changes nothing', async (t) => {
    const { folder, file } = await closedStore(t);
    const before = contents(folder);
    const found = inspectStore(file);
    assert.equal(found.state, 'free');
    assert.equal(found.fault ?? found.unread, undefined);
    assert.ok(found.lastRecordedAt! >= START);
    const { events, streams, types } = countEvents(file);
    assert.deepEqual([events, streams, Object.values(types)], [3, 2, [3]]);
    assert.deepEqual(contents(folder), before);
  });

  test('says that its process was killed, and leaves the store to the next start', async (t) => {
    const folder = path.join(temporaryDirectory(t), 'data');
    const store = await openSqliteStore({ file: path.join(folder, 'events.db'), clock: new ManualClock() });
    await store.append('send-a', newEvents(1), 'any');
    // The files that a kill would leave.
    const left = path.join(path.dirname(folder), 'left');
    mkdirSync(left);
    for (const name of ['events.db', 'events.db-wal', 'events.db-shm'])
      cpSync(path.join(folder, name), path.join(left, name));
    await store.close();
    const before = contents(left);
    const found = inspectStore(path.join(left, 'events.db'));
    assert.equal(found.state, 'unclean');
    assert.ok(found.logSize > 0);
    assert.match(found.unread!, /did not close it/);
    assert.throws(() => countEvents(path.join(left, 'events.db')), /did not close it/);
    assert.deepEqual(contents(left), before);
  });

  const faults: readonly (readonly [what: string, spoil: (file: string) => void, fault: RegExp])[] = [
    ['is no database', (file) => writeFileSync(file, 'x'.repeat(500)), /^it is no SQLite database$/],
    ['is cut off', (file) => writeFileSync(file, 'SQLite format 3\0'), /^it is cut off$/],
    [
      'belongs to another program',
      (file) => setPragma(file, 'application_id = 7'),
      /^it is a database of another program$/,
    ],
    [
      'is newer',
      (file) => setPragma(file, 'user_version = 99'),
      /^a newer Stopgap wrote it \(format 99, not \d+\)$/,
    ],
    [
      'is damaged',
      (file) => {
        const bytes = readFileSync(file);
        // Everything after the first page, where the tables begin.
        bytes.fill(0xff, 4096);
        writeFileSync(file, bytes);
      },
      /^it is damaged \(/,
    ],
  ];
  for (const [what, spoil, fault] of faults) {
    test(`that ${what} says so`, async (t) => {
      const { file } = await closedStore(t);
      spoil(file);
      assert.match(inspectStore(file).fault!, fault);
      assert.throws(() => countEvents(file));
    });
  }
});

function setPragma(file: string, pragma: string): void {
  const db = new Database(file);
  db.pragma(pragma);
  db.close();
}
