import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { NewEvent, RecordedEvent } from '../../../src/kernel/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import type { EventStore } from '../../../src/store/port.js';
import { logOf, START } from '../../support/history.js';
import { ManualClock } from '../../support/manual-clock.js';
import { observables } from '../../support/restored.js';
import { node, snapshotsIn } from '../../support/snapshots.js';
import type { Node } from '../../support/snapshots.js';

const LOG = logOf(
  Array.from({ length: 400 }, (_, n) =>
    n % 40 === 39
      ? [MINUTE, { kind: 'person', what: n % 80 === 39 ? 'impose' : 'release', subject: 4 }]
      : [20_000, { kind: 'send', user: n % 4, recipients: 1 + (n % 9), skew: 0 }],
  ),
);

/** As a store that has its own ids and time takes it. */
function toAppend({ type, data, at, by }: RecordedEvent): NewEvent {
  return { id: newId(), type, data, at, by };
}

async function follow(store: EventStore, folder: string, clock: ManualClock, every?: number): Promise<Node> {
  const started = await node(folder, clock, {
    within: 1000 * HOUR,
    ...(every === undefined ? {} : { every }),
  });
  await started.snapshots.restore(store);
  await started.models.follow(store, undefined, () => started.snapshots.folded());
  return started;
}

test('the read models over SQLite are the same after a clean end, after a kill, and without snapshots', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-snapshots-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const folder = path.join(dir, 'snapshots');
  const clock = new ManualClock(START);
  const store = await openSqliteStore({ file: path.join(dir, 'events.db'), clock });
  t.after(() => store.close());
  const append = async (from: number, to: number): Promise<void> => {
    for (const event of LOG.slice(from, to)) {
      clock.advance(Math.max(0, event.recordedAt - clock.now()));
      await store.append(event.type === 'RulesChanged' ? 'rules' : event.stream, [toAppend(event)], 'any');
    }
  };
  const same = async (one: Node, what: string): Promise<void> => {
    await one.models.reached(await store.head());
    const whole = await follow(store, path.join(dir, 'none'), clock);
    assert.deepEqual(one.models.dump(), whole.models.dump(), what);
    const now = clock.now() + HOUR / 4;
    assert.deepEqual(observables(one.models, now), observables(whole.models, now), what);
    await whole.models.stop();
  };
  const from = (one: Node): number => {
    const line = one.logs.find((text) => text.includes('start from a snapshot'));
    return line === undefined ? 0 : (JSON.parse(line) as { position: number }).position;
  };

  await append(0, 100);
  const first = await follow(store, folder, clock);
  await append(100, 200);
  await same(first, 'followed live');
  await first.models.stop();
  await first.snapshots.close();
  assert.equal((await snapshotsIn(folder)).length, 1);
  const after = first.models.position;

  const second = await follow(store, folder, clock, 50);
  assert.equal(from(second), after);
  // Each is written before more comes: otherwise a slow disk decides which event it ends with.
  for (let n = 200; n < 330; n += 10) {
    await append(n, n + 10);
    await second.models.reached(await store.head());
    await second.snapshots.idle();
  }
  await same(second, 'after a clean end');
  // Ended at once: nothing of it is closed, and what came after its last snapshot is lost with it.
  await second.models.stop();

  const third = await follow(store, folder, clock);
  assert.equal(from(third), after + 100);
  await append(330, LOG.length);
  await same(third, 'after an end that nobody announced');
  assert.ok(third.verdicts.length > 0 && third.models.ledger.size > 0, 'it shows something');
  await third.models.stop();
  await third.snapshots.close();

  await rm(folder, { recursive: true });
  const fourth = await follow(store, folder, clock);
  assert.equal(from(fourth), 0);
  await same(fourth, 'without snapshots');
  await fourth.models.stop();
});
