import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageJson } from '../../../src/api/storage.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer } from '../../support/api/server.js';
import { Gate, Tally, settle } from '../../support/gate.js';

test('GET /api/v1/storage says by category what is kept, how long, how much, and since when', async (t) => {
  const server = await ApiServer.start();
  t.after(() => server.stop());
  await server.sent('anna@example.com', 3);
  await server.block('anna@example.com');
  const { status, json } = await server.get('/api/v1/storage');
  assert.equal(status, 200);
  const { store, categories, bytes, free, givesBack } = json as unknown as StorageJson;
  assert.ok(store === 'sqlite' && bytes! > 0 && free! > 0 && givesBack);
  const of = (name: string) => categories.find((one) => one.name === name)!;
  assert.deepEqual([of('sends').retention, of('sends').events, of('sends').isEstimate], ['5w', 1, false]);
  assert.deepEqual([of('blocks').retention, of('blocks').events], [null, 1]);
  assert.deepEqual([of('days').retention, of('days').events, of('days').oldestAt], ['400d', 0, null]);
  assert.equal(of('held').retention, '400d');
  assert.match(of('rules').oldestAt!, /^\d{4}-/);
});

test('one reading of the storage serves all who wait for it, and those who come later get a new one', async (t) => {
  const server = await ApiServer.start();
  t.after(() => server.stop());
  const { store } = server.deps;
  const use = await store.storage();
  const begun = new Tally();
  const gate = new Gate();
  t.mock.method(store, 'storage', async () => {
    begun.add();
    await gate.opened;
    return use;
  });
  const asked = Array.from({ length: 5 }, () => server.get('/api/v1/storage'));
  await begun.reached(1);
  // What was asked after them is answered, so all of them wait.
  await server.get('/api/v1/rules');
  await settle(50);
  gate.open();
  const answers = await Promise.all(asked);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
  assert.equal(begun.count, 1);
  await server.get('/api/v1/storage');
  assert.equal(begun.count, 2);
});

test('a reading of the storage that fails is told to those who wait, and the next one is made', async (t) => {
  const server = await ApiServer.start();
  t.after(() => server.stop());
  const { store } = server.deps;
  const failing = t.mock.method(store, 'storage', () => Promise.reject(new StoreUnavailable('it is away')));
  assert.equal((await server.get('/api/v1/storage')).status, 503);
  failing.mock.restore();
  assert.equal((await server.get('/api/v1/storage')).status, 200);
});
