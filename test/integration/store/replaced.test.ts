import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import type * as Sqlite from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { collect, ids, newEvents } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';

/** A copy of the program, whose files a test may take away. */
async function installed(folder: string): Promise<void> {
  const built = new URL('../../..', import.meta.url);
  for (const part of ['src', 'projections'])
    await fs.cp(new URL(part, built), path.join(folder, 'dist', part), {
      recursive: true,
      filter: (file) => path.extname(file) === '' || file.endsWith('.js'),
    });
  await fs.copyFile('package.json', path.join(folder, 'package.json'));
  await fs.symlink(path.resolve('node_modules'), path.join(folder, 'node_modules'));
}

test('a store whose files are replaced takes appends while it cannot load what forgets, and says of that alone that it failed', async (t) => {
  const folder = await temporaryDirectory();
  await installed(folder);
  const at = (file: string): string => path.join(folder, 'dist/src', file);
  const { openSqliteStore } = (await import(
    pathToFileURL(at('store/sqlite/index.js')).href
  )) as typeof Sqlite;
  const store = await openSqliteStore({ file: path.join(folder, 'events.db'), clock: new ManualClock() });
  t.after(async () => {
    await store.close();
    await fs.rm(folder, { recursive: true });
  });
  const person = { name: 'alice@example.com', pseudonym: 'forgotten-1' };

  await fs.rm(at('forgetting/person.js'));
  const events = newEvents(100);
  const under = events.map((event) => store.append('send-bob@example.com', [event], 'any'));
  const cannotForget = (): Promise<void> =>
    assert.rejects(store.forget(person), /the store failed: Cannot find module .*person\.js/);
  await Promise.all([cannotForget(), cannotForget()]);
  const after = newEvents(1);
  await Promise.all([...under, store.append('send-bob@example.com', after, 'any')]);
  assert.deepEqual(ids(await collect(store.readAll())), ids([...events, ...after]));
  assert.equal(await store.sweep(0), 0, 'other work of the same thread goes on');
  assert.equal(store.healthy, true);
});
