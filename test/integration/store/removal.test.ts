import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { collect, ids, newEvents, revisions } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';

test('single events are removed; what is left is counted, and neither revision nor position is given again', async () => {
  const directory = await temporaryDirectory();
  const open = () => openSqliteStore({ file: path.join(directory, 'outbox.db'), clock: new ManualClock() });
  let store = await open();
  try {
    const [a, b] = [newEvents(4), newEvents(2)];
    await store.append('send-a', a, 'any');
    const { position } = await store.append('send-b', b, 'any');
    const all = await collect(store.readAll());
    const taken = all.filter(({ id }) => [a[1]!.id, a[3]!.id, ...ids(b)].includes(id));
    await store.remove(taken.map((event) => event.position));
    await store.remove([position, position + 100]);
    assert.deepEqual(ids(await collect(store.readAll())), [a[0]!.id, a[2]!.id]);
    const counts: [string, number][] = [];
    for await (const { stream, events } of store.countByStream()) counts.push([stream, events]);
    assert.deepEqual(counts, [
      ['send-a', 2],
      ['send-b', 0],
    ]);
    await store.close();
    store = await open();
    const next = await store.append('send-a', newEvents(1), 'any');
    assert.equal(next.position, position + 1);
    assert.deepEqual(revisions(await collect(store.readStream('send-a'))), [0, 2, 4]);
  } finally {
    await store.close();
    await fs.rm(directory, { recursive: true });
  }
});
