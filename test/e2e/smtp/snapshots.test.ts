import assert from 'node:assert/strict';
import { readdir, rm, truncate } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { BlockExpired, BlockImposed } from '../../../src/blocks/events.js';
import { HOUR } from '../../../src/kernel/time.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { StoreRefused, StoreUnavailable } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

const FROM_SNAPSHOT = 'start from a snapshot';
const SOFT = /^451 4\.3\.2 /;

/** One message to so many recipients. */
async function send(stopgap: Stopgap, recipients: number, name: string): Promise<string> {
  const session = await stopgap.loggedIn();
  const to = Array.from({ length: recipients }, (_, n) => `${name}${n}@elsewhere.test`);
  const reply = await session.send(ALICE, to);
  await session.quit();
  return reply;
}

function startedFromSnapshot(stopgap: Stopgap): boolean {
  const started = stopgap.logs.some((line) => line.includes(FROM_SNAPSHOT));
  stopgap.logs.length = 0;
  return started;
}

for (const snapshot of [true, false]) {
  test(`98 recipients, a restart ${snapshot ? 'with' : 'without'} a snapshot, 3 more: blocked`, async (t) => {
    const stopgap = await Stopgap.start(t);
    assert.equal(startedFromSnapshot(stopgap), false);
    assert.match(await send(stopgap, 98, 'a'), /^250 /);
    await stopgap.stop();
    if (!snapshot) await rm(path.join(stopgap.dir, 'data/snapshots'), { recursive: true });
    await stopgap.open();
    assert.equal(startedFromSnapshot(stopgap), snapshot);
    assert.match(await send(stopgap, 2, 'b'), /^250 /);
    assert.deepEqual(await stopgap.all('BlockImposed'), []);
    const session = await stopgap.loggedIn();
    assert.match(await session.send(ALICE, ['c@elsewhere.test']), /^250 /);
    const [imposed] = await stopgap.all<BlockImposed>('BlockImposed');
    assert.equal(imposed!.data.evidence!.observed, 101);
    assert.match(await session.send(ALICE, ['d@elsewhere.test']), SOFT);
    await session.quit();

    await stopgap.restart();
    assert.equal(startedFromSnapshot(stopgap), true);
    assert.equal(stopgap.app.models.activeBlocks.size, 1);
    assert.match(await (await stopgap.hello()).login(ALICE, 'whatever'), /^535 /);
  });
}

test('a block that a snapshot holds expires at its time', async (t) => {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  const block = await stopgap.block('account', ALICE, { until: clock.now() + HOUR });
  await stopgap.restart();
  assert.equal(startedFromSnapshot(stopgap), true);
  clock.advance(HOUR);
  const expired = await stopgap.event(({ type }) => type === 'BlockExpired');
  assert.equal((expired.data as BlockExpired).block, block);
  await stopgap.app.models.reached(expired.position);
  assert.match(await send(stopgap, 1, 'a'), /^250 /);
});

test('what tripped before a snapshot and could not be recorded is blocked after the start', async (t) => {
  let broken = true;
  const stopgap = await Stopgap.start(t, {
    throughStore: (store) => {
      const append = store.append.bind(store);
      return changed(store, {
        append: (...args: Parameters<typeof append>) =>
          broken && args[0].startsWith('block-')
            ? Promise.reject(new StoreUnavailable('broken'))
            : append(...args),
      });
    },
  });
  assert.match(await send(stopgap, 60, 'a'), /^250 /);
  assert.match(await send(stopgap, 41, 'b'), /^250 /);
  await eventually('it has tripped', () =>
    stopgap.logs.some((line) => line.includes('could not be recorded')),
  );
  assert.deepEqual(await stopgap.all('BlockImposed'), []);
  await stopgap.stop();
  broken = false;
  await stopgap.open();
  assert.equal(startedFromSnapshot(stopgap), true);
  const { data } = await stopgap.event(({ type }) => type === 'BlockImposed');
  assert.equal((data as BlockImposed).evidence!.observed, 101);
});

for (const [state, lose] of [
  ['has no bytes', (file: string) => truncate(file)],
  ['has no events', (file: string) => withoutEvents(file)],
] as const)
  test(`each start is refused while the store ${state} beside a snapshot, and takes nothing away`, async (t) => {
    const stopgap = await Stopgap.start(t);
    await stopgap.stop();
    const kept = await readdir(path.join(stopgap.dir, 'data/snapshots'));
    await lose(path.join(stopgap.dir, 'data/events.db'));
    for (let start = 1; start <= 2; start++) {
      await assert.rejects(stopgap.open(), (error) => {
        assert.ok(error instanceof StoreRefused);
        assert.match(error.message, /events\.db holds no event, but .*\.snapshot of .*--new-store/);
        return true;
      });
      assert.deepEqual(await readdir(path.join(stopgap.dir, 'data/snapshots')), kept);
    }
  });

/** A store as an interrupted restore leaves it: laid out, and empty. */
async function withoutEvents(file: string): Promise<void> {
  await rm(file);
  await (await openSqliteStore({ file, clock: systemClock })).close();
}
