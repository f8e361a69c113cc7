import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ForgottenJson } from '../../../src/api/forget.js';
import { ApiServer } from '../../support/api/server.js';

const FORGET = '/api/v1/forget';

describe('POST /api/v1/forget', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const forget = async (value: string, type = 'account') => {
    const { status, json } = await server.post(FORGET, { subject: { type, value } });
    return { status, json, forgotten: json as unknown as ForgottenJson };
  };

  test('erases sends, keeps the history of blocks under a pseudonym, and says what remains', async () => {
    await server.sent('Anna@Example.com', 3);
    const { id } = await server.block('anna@example.com');
    await server.post(`/api/v1/blocks/${id}/release`, { note: 'anna@example.com has called' });
    const { status, forgotten } = await forget('anna@example.com');
    assert.equal(status, 200, JSON.stringify(forgotten));
    assert.deepEqual([forgotten.erased, forgotten.rewritten], [1, 2]);
    assert.match(forgotten.pseudonym!, /^forgotten-[0-9a-f]{8}@invalid$/);
    assert.match(forgotten.remains.at(-1)!, /^Backups, the log/);
    const stored = [];
    for await (const event of server.deps.store.readAll()) stored.push(event);
    assert.ok(!JSON.stringify(stored).includes('anna@example.com'));
    const changes = await server.get('/api/v1/changes?type=PersonForgotten');
    assert.deepEqual(
      changes.json.items.map(({ by, subject }: { by: string; subject: unknown }) => [by, subject]),
      [['admin:the-admin', null]],
    );
  });

  test('is refused while a block or a proposal of theirs is open, which the answer names', async () => {
    const { id } = await server.block('bert@example.com');
    const blocked = await forget('bert@example.com');
    assert.deepEqual([blocked.status, blocked.json.block], [409, id]);
    assert.match(blocked.json.detail, /release it first/);
    const proposal = await server.trip('carl@example.com');
    const proposed = await forget('carl@example.com', 'address');
    assert.deepEqual([proposed.status, proposed.json.block], [409, proposal]);
    assert.match(proposed.json.detail, /dismiss it first/);
  });

  test('names what is wrong with a subject', async () => {
    for (const [type, value, field] of [
      ['domain', 'example.com', 'subject.type'],
      ['address', '*@example.com', 'subject.value'],
      ['address', 'nobody', 'subject.value'],
      ['account', '', 'subject.value'],
    ] as const) {
      const { status, json } = await forget(value, type);
      assert.equal(status, 400, `${type} ${value}: ${JSON.stringify(json)}`);
      assert.ok(JSON.stringify(json).includes(field), JSON.stringify(json));
    }
  });

  test('of a name that nothing knows erases nothing, writes nothing, and says so by null', async () => {
    const head = await server.deps.store.head();
    const { status, forgotten } = await forget('stranger@example.org');
    assert.equal(status, 200);
    const { erased, rewritten, pseudonym, position, remains } = forgotten;
    assert.deepEqual([erased, rewritten, pseudonym, position], [0, 0, null, null]);
    assert.match(remains.at(-1)!, /^Backups, the log/);
    assert.equal(await server.deps.store.head(), head);
    // It was begun and ended: the next one completes nothing.
    await server.sent('next@example.org', 1);
    assert.equal((await forget('next@example.org')).forgotten.erased, 1);
    const changes = await server.get('/api/v1/changes?type=PersonForgotten');
    assert.equal(changes.json.items.length, 2);
  });
});
