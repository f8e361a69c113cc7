import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageJson } from '../../../src/api/storage.js';
import { ApiServer } from '../../support/api/server.js';

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
  assert.match(of('rules').oldestAt!, /^\d{4}-/);
});
