import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { NewEvent } from '../../../src/kernel/events.js';
import type { SqliteEventStore } from '../../../src/store/sqlite/index.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { filesThatName, temporaryDirectory } from '../../support/store/files.js';
import { collect, newEvent } from '../../support/store/events.js';

const CHILD = fileURLToPath(new URL('../../support/store/forget-child.js', import.meta.url));
const clock = { now: Date.now };
const person = { name: 'alice@example.com', pseudonym: 'forgotten-1a2b3c4d@invalid' };

const sent = (account: string, i: number): NewEvent =>
  newEvent(
    {
      account,
      returnPath: `${account.toUpperCase()}`,
      ip: '192.0.2.1',
      direction: 'outbound',
      transaction: `t${i}`,
      recipients: 1,
      size: i,
    },
    { type: 'MessageAccepted' },
  );

/** A store with many sends of several, and a note of each kind that names them. */
async function filled(
  t: Pick<TestContext, 'after'>,
  rounds: number,
): Promise<{ folder: string; file: string }> {
  const folder = await temporaryDirectory();
  t.after(() => fs.rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'events.db');
  const store = await openSqliteStore({ file, clock });
  for (let i = 0; i < rounds; i++)
    await Promise.all(
      [person.name, 'bob@example.com', `c${i}@example.com`].map((account) =>
        store.append(`send-${account}`, [sent(account, i)], 'any'),
      ),
    );
  const note = (text: string) => newEvent({ block: 'b', note: text }, { type: 'BlockReleased' });
  await store.append(`block-account:${person.name}`, [note('one'), note(`of ${person.name}`)], 'none');
  await store.append('block-account:bob@example.com', [note(`as ${person.name} said`)], 'none');
  // What retention has deleted before may be in the free space.
  await store.append(
    'old-a',
    Array.from({ length: 500 }, () => note(`old ${person.name}`)),
    'any',
  );
  await store.setRetention('old', 0);
  await store.sweep(Date.now() + 10_000);
  await store.close();
  return { folder, file };
}

async function assertForgotten(store: SqliteEventStore, rounds: number): Promise<void> {
  const events = await collect(store.readAll());
  assert.ok(!JSON.stringify(events).toLowerCase().includes(person.name));
  const history = await collect(store.readStream(`block-account:${person.pseudonym}`));
  assert.deepEqual(
    history.map(({ data, revision }) => [(data as { note: string }).note, revision]),
    [
      ['one', 0],
      [`of ${person.pseudonym}`, 1],
    ],
  );
  assert.equal((await collect(store.readStream('send-bob@example.com'))).length, rounds);
}

describe('forgetting somebody in a file', () => {
  test('leaves no byte of the name in the database, its log or beside them, while it is open', async (t) => {
    const { folder, file } = await filled(t, 700);
    const store = await openSqliteStore({ file, clock });
    t.after(() => store.close());
    assert.ok(filesThatName(folder, 'alice@example').includes('events.db'));
    const { erased, rewritten, remains } = await store.forget(person);
    assert.deepEqual([erased, rewritten, remains], [700, 2, []]);
    assert.deepEqual(filesThatName(folder, 'alice@example'), []);
    await assertForgotten(store, 700);
  });

  test('lets appends through meanwhile', async (t) => {
    const { file } = await filled(t, 1500);
    const store = await openSqliteStore({ file, clock });
    t.after(() => store.close());
    let isDone = false;
    const forgetting = store.forget(person).finally(() => (isDone = true));
    let meanwhile = 0;
    while (!isDone) {
      await store.append('send-bob@example.com', [sent('bob@example.com', 0)], 'any');
      meanwhile++;
    }
    await forgetting;
    assert.ok(meanwhile > 3, `${meanwhile} appends were answered`);
  });

  test('is completed by doing it again, whenever it was killed', async (t) => {
    const { file: original } = await filled(t, 700);
    for (const after of [0, 5, 15, 30, 50, 80, 120, 170, 250, 400]) {
      const folder = await temporaryDirectory();
      t.after(() => fs.rm(folder, { recursive: true, force: true }));
      const file = path.join(folder, 'events.db');
      await fs.copyFile(original, file);
      const child = spawn(process.execPath, [CHILD, file, person.name, person.pseudonym], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const closed = once(child, 'close');
      await once(child.stdout, 'data');
      // Not a wait for something to happen: the kill comes at another step each time.
      await pause(after);
      child.kill('SIGKILL');
      await closed;
      const store = await openSqliteStore({ file, clock });
      await store.forget(person);
      await assertForgotten(store, 700);
      assert.deepEqual(filesThatName(folder, 'alice@example'), [], `killed after ${after} ms`);
      await store.close();
    }
  });
});
