import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { Reader, SliceSize } from '../../../src/store/sqlite/reader.js';
import { ManualClock } from '../../support/manual-clock.js';
import { newEvents } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';

test('the first slice of a read ends early where events are large, and the next ones miss none', async (t) => {
  const folder = await temporaryDirectory();
  const file = path.join(folder, 'events.db');
  const store = await openSqliteStore({ file, clock: new ManualClock() });
  const reader = new Reader(file);
  t.after(async () => {
    reader.close();
    await store.close();
    await fs.rm(folder, { recursive: true });
  });
  const large = newEvents(10, (i) => ({ i, text: 'x'.repeat(700_000) }));
  for (const event of large) await store.append('rules', [event], 'any');
  const size = new SliceSize();
  const lengths: number[] = [];
  const read: string[] = [];
  for (let more = true; more;) {
    const slice = reader.stream('rules', 'forwards', read.length, 1000, size);
    lengths.push(slice.events.length);
    read.push(...slice.events.map(({ id }) => id));
    ({ more } = slice);
  }
  assert.deepEqual(lengths, [3, 2, 2, 2, 1]);
  assert.deepEqual(
    read,
    large.map(({ id }) => id),
  );
});
