import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiServer } from '../../support/api/server.js';

describe('a sender whose name has a blank or angle brackets', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const pathOf = (name: string): string => `/api/v1/senders/account/${encodeURIComponent(name)}`;

  for (const name of ['a b@c.example', '<script>@c.example', `${'x'.repeat(400)}@c.example`])
    test(`can be looked at, checked, released, exempted, blocked and forgotten: ${name.slice(0, 20)}`, async () => {
      await server.sent(name, 101);
      const block = await server.trip(name, 'block');
      const { json } = await server.get(pathOf(name));
      assert.equal(json.standing.block.id, block);
      assert.equal((await server.get(`${pathOf(name)}/volume?step=1h`)).status, 200);
      const value = encodeURIComponent(name);
      assert.equal((await server.get(`/api/v1/check?account=${value}`)).json.refused, true);
      const found = await server.get(`/api/v1/blocks?type=account&value=${value}`);
      assert.deepEqual(
        found.json.items.map(({ id }) => id),
        [block],
      );
      const subject = { type: 'account', value: name };
      const exempt = await server.post('/api/v1/exemptions', { subject, reason: 'a device', duration: '1d' });
      assert.equal(exempt.status, 201, exempt.text);
      assert.equal((await server.post(`/api/v1/blocks/${block}/release`, {})).status, 200);
      const again = await server.post('/api/v1/blocks', { subject, duration: '1h' });
      assert.equal(again.status, 201, again.text);
      assert.equal((await server.post(`/api/v1/blocks/${again.json.id}/release`, {})).status, 200);
      const forgotten = await server.post('/api/v1/forget', { subject }, { role: 'admin' });
      assert.equal(forgotten.status, 200, forgotten.text);
      const left = [];
      for await (const event of server.deps.store.readAll()) left.push(event);
      assert.ok(!JSON.stringify(left).includes(name), 'no event holds the name any more');
    });

  test('that nobody has seen is refused where a block or an exemption would begin, as a slip', async () => {
    const subject = { type: 'account', value: 'b c@c.example' };
    for (const [path, body] of [
      ['/api/v1/blocks', { subject, duration: '1h' }],
      ['/api/v1/exemptions', { subject, reason: 'a device', duration: '1d' }],
    ] as const) {
      const { status, json } = await server.post(path, body);
      assert.equal(status, 400);
      assert.equal(json.errors[0].field, 'subject.value');
      assert.match(json.errors[0].message, /without spaces/);
    }
  });

  test('can be a return path without a domain, and such a pattern is refused all the same', async () => {
    assert.equal((await server.get('/api/v1/senders/address/root')).status, 200);
    const subject = { type: 'address', value: 'a b*@c.example' };
    const { status, json } = await server.post('/api/v1/blocks', { subject, duration: '1h' });
    assert.equal(status, 400, JSON.stringify(json));
    for (const value of ['@c.example', '*@c.example'])
      assert.equal(
        (await server.post('/api/v1/forget', { subject: { type: 'address', value } })).status,
        400,
      );
  });
});
