import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer, onStore } from '../../support/api/server.js';
import { Gate } from '../../support/gate.js';
import { changed } from '../../support/store/changed.js';

const BLOCKS = '/api/v1/blocks';
const keyed = (key: string) => ({ headers: { 'idempotency-key': key } });
const bodyOf = (value: string) => ({ subject: { type: 'account', value }, duration: '1h' });

describe('Idempotency-Key', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const events = async (value: string): Promise<string[]> => {
    const types: string[] = [];
    for await (const { type } of server.deps.store.readStream(`block-account:${value}`)) types.push(type);
    return types;
  };

  test('gives the first result again, even after other changes', async () => {
    const body = bodyOf('same@example.com');
    const first = await server.post(BLOCKS, body, keyed('k1'));
    assert.equal(first.status, 201);
    assert.equal(first.headers.get('idempotency-replayed'), null);
    await server.post(`${BLOCKS}/${first.json.id}/release`);
    const again = await server.post(BLOCKS, body, keyed('k1'));
    assert.equal(again.status, 201);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(again.headers.get('location'), first.headers.get('location'));
    assert.equal(again.text, first.text);
    assert.deepEqual(await events('same@example.com'), ['BlockImposed', 'BlockReleased']);
  });

  test('gives the first problem again too', async () => {
    const block = await server.block('ended@example.com');
    await server.post(`${BLOCKS}/${block.id}/release`);
    const first = await server.post(`${BLOCKS}/${block.id}/release`, {}, keyed('k2'));
    const again = await server.post(`${BLOCKS}/${block.id}/release`, {}, keyed('k2'));
    assert.deepEqual([first.status, again.status], [409, 409]);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(again.headers.get('content-type'), 'application/problem+json; charset=utf-8');
    assert.equal(again.text, first.text);
  });

  test('another request under the same key is 422, also with another path or If-Match', async () => {
    const first = await server.post(BLOCKS, bodyOf('first@example.com'), keyed('k3'));
    const other = await server.post(BLOCKS, bodyOf('other@example.com'), keyed('k3'));
    assert.equal(other.status, 422);
    assert.equal(other.json.errors[0].field, 'Idempotency-Key');
    assert.deepEqual(await events('other@example.com'), []);
    const elsewhere = await server.post(`${BLOCKS}/${first.json.id}/release`, {}, keyed('k3'));
    assert.equal(elsewhere.status, 422);
  });

  test('belongs to one token: two tokens can use the same key', async () => {
    const body = bodyOf('shared@example.com');
    assert.equal((await server.post(BLOCKS, body, keyed('k4'))).status, 201);
    const other = await server.post(BLOCKS, body, { ...keyed('k4'), role: 'operator' });
    assert.equal(other.status, 200);
    assert.equal(other.headers.get('idempotency-replayed'), null);
  });

  test('is 1 to 255 visible ASCII characters', async () => {
    for (const key of ['', 'with space', 'x'.repeat(256)]) {
      const reply = await server.post(BLOCKS, bodyOf('key@example.com'), keyed(key));
      assert.equal(reply.status, 400, JSON.stringify(key));
      assert.equal(reply.json.errors[0].field, 'Idempotency-Key');
    }
    assert.equal((await server.post(BLOCKS, bodyOf('key@example.com'), keyed('x'.repeat(255)))).status, 201);
  });

  test('is forgotten after a day', async () => {
    const body = bodyOf('daily@example.com');
    await server.post(BLOCKS, body, keyed('k5'));
    server.clock.advance(DAY + HOUR);
    const other = await server.post(BLOCKS, bodyOf('daily-other@example.com'), keyed('k5'));
    assert.equal(other.status, 201);
  });

  test('after a restart nothing is written twice, and the block is answered as it is', async () => {
    const body = bodyOf('restart@example.com');
    const created = await server.post(BLOCKS, body, keyed('k6'));
    const target = `${BLOCKS}/${created.json.id}`;
    const headers = { ...keyed('k7').headers, 'if-match': `"${created.json.version}"` };
    const released = await server.post(`${target}/release`, { note: 'clean' }, { headers });
    assert.equal(released.status, 200);
    await server.restart();
    const again = await server.post(BLOCKS, body, keyed('k6'));
    assert.equal(again.status, 201);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(again.json.id, created.json.id);
    assert.equal(again.json.state, 'released');
    const releasedAgain = await server.post(`${target}/release`, { note: 'clean' }, { headers });
    assert.equal(releasedAgain.status, 200);
    assert.equal(releasedAgain.headers.get('idempotency-replayed'), 'true');
    assert.deepEqual(await events('restart@example.com'), ['BlockImposed', 'BlockReleased']);
  });

  test('rules and exemptions too are written once across a restart', async () => {
    const source = 'version: 1\nrules: []\n';
    const first = await server.call('PUT', '/api/v1/rules', { body: { source }, ...keyed('k8') });
    await server.call('PUT', '/api/v1/rules', { body: { source: 'version: 1\nmode: observe\nrules: []\n' } });
    const exempt = {
      subject: { type: 'account', value: 'spared@example.com' },
      reason: 'list',
      duration: '1d',
    };
    const granted = await server.post('/api/v1/exemptions', exempt, keyed('k9'));
    await server.restart();
    const again = await server.call('PUT', '/api/v1/rules', { body: { source }, ...keyed('k8') });
    assert.equal(again.status, 200);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(again.headers.get('etag'), first.headers.get('etag'));
    assert.deepEqual([again.json.version, again.json.source], [first.json.version, source]);
    const grantedAgain = await server.post('/api/v1/exemptions', exempt, keyed('k9'));
    assert.equal(grantedAgain.status, 201);
    assert.equal(grantedAgain.json.id, granted.json.id);
    assert.deepEqual(await events('spared@example.com'), ['ExemptionGranted']);
  });
});

describe('Idempotency-Key while the store is slow or away', () => {
  test('the same request gets the answer of the first, also while that is under way; a failure is tried again', async () => {
    const asked = new Gate();
    const go = new Gate();
    let fails = false;
    const server = await ApiServer.start((deps) => {
      const real = deps.store;
      const append: EventStore['append'] = async (...args) => {
        if (fails) throw new StoreUnavailable('away');
        asked.open();
        await go.opened;
        return real.append(...args);
      };
      return onStore(deps, changed(real, { append }));
    });
    try {
      const body = bodyOf('slow@example.com');
      const first = server.post(BLOCKS, body, keyed('k'));
      await asked.opened;
      const others = Array.from({ length: 29 }, () => server.post(BLOCKS, body, keyed('k')));
      const different = await server.post(BLOCKS, bodyOf('x@example.com'), keyed('k'));
      assert.equal(different.status, 422);
      go.open();
      assert.equal((await first).status, 201);
      for (const other of await Promise.all(others)) {
        assert.deepEqual([other.status, other.text], [201, (await first).text]);
        assert.equal(other.headers.get('idempotency-replayed'), 'true');
      }
      assert.equal((await server.post(BLOCKS, body, keyed('k'))).text, (await first).text);

      fails = true;
      const away = await Promise.all(
        [1, 2].map(() => server.post(BLOCKS, bodyOf('away@example.com'), keyed('away'))),
      );
      assert.deepEqual(
        away.map(({ status }) => status),
        [503, 503],
      );
      fails = false;
      const retried = await server.post(BLOCKS, bodyOf('away@example.com'), keyed('away'));
      assert.equal(retried.status, 201);
    } finally {
      await server.stop();
    }
  });
});
