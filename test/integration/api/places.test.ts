import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiServer } from '../../support/api/server.js';
import { sent } from '../../support/sends.js';

test("a sender's latest sends show the country and the network operator if they are known", async (context) => {
  const server = await ApiServer.start();
  context.after(() => server.stop());
  const { store, models } = server.deps;
  const known = sent(server.clock.now(), 1, { country: 'FR', asn: 64_500 });
  const unknown = sent(server.clock.now(), 2);
  const { position } = await store.append('send-alice@example.com', [known, unknown], 'any');
  await models.reached(position);
  const { json } = await server.get('/api/v1/senders/account/alice@example.com', { role: 'viewer' });
  const places = json.sends.items.map(({ data }) => {
    const { country, asn } = data as unknown as { country?: string; asn?: number };
    return [country, asn];
  });
  assert.deepEqual(places, [
    [undefined, undefined],
    ['FR', 64_500],
  ]);
});
