import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { LoadChild } from '../../support/store/child.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { collect, positions, rising } from '../../support/store/events.js';

const KILLS = 20;

describe('a store whose process is killed in mid-load', () => {
  let directory: string;
  before(async () => {
    directory = await temporaryDirectory();
  });
  after(() => fs.rm(directory, { recursive: true }));

  it(`has every acknowledged append, each whole and once, after ${KILLS} kills`, async () => {
    const file = path.join(directory, 'events.db');
    const acknowledged: string[][] = [];
    for (let round = 0; round < KILLS; round++) {
      const child = new LoadChild(file, 'parallel', 1_000_000);
      // A different moment each time: now after a few appends, now after a thousand.
      await child.wrote(2 + ((round * 379) % 1000));
      await child.kill();
      // A line that the kill cut off may have lost the end of an id: an acknowledgement is a whole line.
      for (const line of child.lines.slice(0, -1)) {
        const [word, , ...ids] = line.split(' ');
        if (word === 'ack') acknowledged.push(ids);
      }
      if (round % 5 !== 4) continue;
      const store = await openSqliteStore({ file, clock: { now: Date.now } });
      const events = await collect(store.readAll());
      await store.close();
      const found = new Set(events.map(({ id }) => id));
      assert.equal(found.size, events.length);
      assert.ok(rising(positions(events)));
      assert.deepEqual(
        acknowledged.flat().filter((id) => !found.has(id)),
        [],
      );
      assertWhole(events);
    }
    assert.ok(acknowledged.length > KILLS, 'the load was under way at the kills');
  });
});

/** No gap in a stream, and no append of which only the first events stand there. */
function assertWhole(events: readonly RecordedEvent[]): void {
  const last = new Map<string, { revision: number; part: number; count: number }>();
  for (const { stream, revision, data } of events) {
    const { part, count } = data as { part: number; count: number };
    const before = last.get(stream) ?? { revision: -1, part: 0, count: 1 };
    assert.equal(revision, before.revision + 1, stream);
    const open = before.part + 1 < before.count;
    assert.equal(part, open ? before.part + 1 : 0, `${stream} at ${revision}`);
    last.set(stream, { revision, part, count });
  }
  for (const [stream, { part, count }] of last) assert.equal(part, count - 1, stream);
}
