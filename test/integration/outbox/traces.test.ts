import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { NewEvent } from '../../../src/kernel/events.js';
import { SECOND } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvent } from '../../support/store/events.js';
import { filesThatName, temporaryDirectory } from '../../support/store/files.js';
import type { Scene } from './scene.js';
import { openScene } from './scene.js';

const CHILD = fileURLToPath(new URL('../../support/store/clean-child.js', import.meta.url));
const BOB = 'bob@example.com';
const sent = (account: string): NewEvent =>
  newEvent({ account, ip: '192.0.2.1', pad: 'x'.repeat(1000) }, { type: 'MessageAccepted' });

const traces = ({ folder }: Scene): readonly string[] => filesThatName(folder, BOB);

async function isWithoutTraces(scene: Scene): Promise<void> {
  await eventually('no byte of the name is left on this disk', () => traces(scene).length === 0);
}

async function delivered({ outbox }: Scene, clock: ManualClock): Promise<void> {
  await eventually('the outbox is delivered', () => {
    if (outbox.waiting > 0) clock.advance(10 * SECOND);
    return outbox.waiting === 0;
  });
}

describe('an outbox that has delivered what waited', () => {
  test('keeps no byte of a name in any of its files', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    scene.distant.away = true;
    for (let i = 0; i < 300; i++) {
      await scene.outbox.append(`send-${BOB}`, [sent(BOB)], 'any');
      await scene.outbox.append(`send-${i}@example.net`, [sent(`${i}@example.net`)], 'any');
    }
    assert.ok(traces(scene).length > 0);
    scene.distant.away = false;
    await delivered(scene, clock);
    await isWithoutTraces(scene);
    const streams: string[] = [];
    for await (const { stream } of scene.local.countByStream()) streams.push(stream);
    assert.ok(streams.length <= 1 && !streams.join().includes('@'), streams.join());
  });

  test('keeps what is in quarantine, and takes up new events in order', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox, local } = scene;
    distant.away = true;
    const poison = newEvent({}, { type: 'Poison' });
    await outbox.append('send-carol@example.com', [poison], 'any');
    await outbox.append(`send-${BOB}`, [sent(BOB)], 'any');
    Object.assign(distant, { away: false, refuses: 'Poison' });
    await delivered(scene, clock);
    await isWithoutTraces(scene);
    const [kept, ...others] = await collect(local.readAll());
    assert.deepEqual([(kept!.data as { event: NewEvent }).event.id, others], [poison.id, []]);
    distant.away = true;
    const later = [sent(BOB), sent(BOB)];
    for (const event of later) await outbox.append(`send-${BOB}`, [event], 'any');
    assert.equal(outbox.waiting, 2);
    const waiting = await collect(local.readAll({ after: kept!.position }));
    assert.deepEqual(
      waiting.map(({ stream, id }) => [stream, id]),
      later.map(({ id }) => [`send-${BOB}`, id]),
    );
    distant.away = false;
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readStream(`send-${BOB}`))).slice(1), ids(later));
  });

  test('is cleaned at the next start if it was killed before, or an earlier version left it so', async (t) => {
    const scene = await openScene(t, new ManualClock());
    const { position } = await scene.local.append(`send-${BOB}`, [sent(BOB)], 'any');
    await scene.local.remove([position]);
    assert.ok(traces(scene).length > 0, 'the stream has its name');
    await isWithoutTraces(await scene.again());
  });

  for (const [what, method, failures] of [
    ['the disk did not let it be cleaned before', 'clean', 1],
    ['what had arrived could not be deleted before', 'remove', 2],
  ] as const)
    test(`is cleaned when it is told to, if ${what}`, async (t) => {
      const clock = new ManualClock();
      const scene = await openScene(t, clock);
      const { distant, outbox, local } = scene;
      const fails = t.mock.method(local, method, () => Promise.reject(new StoreUnavailable('no room')));
      distant.away = true;
      await outbox.append(`send-${BOB}`, [sent(BOB)], 'any');
      distant.away = false;
      await delivered(scene, clock);
      await eventually('it failed', () => fails.mock.callCount() >= failures);
      assert.ok(traces(scene).length > 0);
      fails.mock.restore();
      outbox.clean();
      await isWithoutTraces(scene);
    });

  test('loses no event that waits, whenever it is killed while it cleans', async (t) => {
    for (const after of [5, 20, 45, 90, 150]) {
      const folder = await temporaryDirectory();
      t.after(() => fs.rm(folder, { recursive: true, force: true }));
      const file = path.join(folder, 'outbox.db');
      const child = spawn(process.execPath, [CHILD, file, BOB], { stdio: ['ignore', 'pipe', 'inherit'] });
      const closed = once(child, 'close');
      let told = '';
      child.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
      await once(child.stdout, 'data');
      // Not a wait for something to happen: the kill comes at another step each time.
      await pause(after);
      child.kill('SIGKILL');
      await closed;
      const local = await openSqliteStore({ file, clock: { now: Date.now } });
      const waiting = await collect(local.readStream('send-waits'));
      const acknowledged = told.split('\n').slice(0, -1);
      assert.ok(acknowledged.length > 0);
      assert.deepEqual(ids(waiting).slice(0, acknowledged.length), acknowledged, `killed after ${after} ms`);
      const left = await collect(local.readAll());
      await local.remove(
        left.filter(({ stream }) => stream === `send-${BOB}`).map(({ position }) => position),
      );
      assert.equal(await local.clean(), true);
      assert.deepEqual(filesThatName(folder, BOB), [], `killed after ${after} ms`);
      await local.close();
    }
  });
});
