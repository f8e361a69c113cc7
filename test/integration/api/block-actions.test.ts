import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Answered } from '../../support/api/answered.js';
import { ApiServer } from '../../support/api/server.js';

const ACTIONS = '/api/v1/blocks/actions';

interface Row {
  readonly id: string;
  readonly status: number;
  readonly block: Answered | null;
  readonly problem: { readonly code: string; readonly detail: string } | null;
}

describe('one action on many blocks', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const act = async (body: unknown, headers: Record<string, string> = {}): Promise<readonly Row[]> => {
    const reply = await server.post(ACTIONS, body, { role: 'operator', headers });
    assert.equal(reply.status, 200, reply.text);
    return reply.json.items;
  };

  test('gives a row for each, in their order, and one at fault holds no other up', async () => {
    const ids = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => (await server.block(`${name}@example.com`)).id),
    );
    await server.post(`/api/v1/blocks/${ids[1]}/release`, {});
    const rows = await act({ action: 'release', ids: [...ids, 'nothing'], note: 'all of them' });
    assert.deepEqual(
      rows.map(({ id, status, block, problem }) => [id, status, block?.state, problem?.code]),
      [
        [ids[0], 200, 'released', undefined],
        [ids[1], 409, undefined, 'conflict'],
        [ids[2], 200, 'released', undefined],
        ['nothing', 404, undefined, 'not-found'],
      ],
    );
    assert.equal(rows[0]!.block!.history.at(-1)!.note, 'all of them');
  });

  test('approves and dismisses proposals', async () => {
    const ids = [await server.trip('p1@example.com'), await server.trip('p2@example.com')];
    const approved = await act({ action: 'approve', ids: [ids[0]], duration: '4h' });
    assert.deepEqual([approved[0]!.block!.state, approved[0]!.block!.duration], ['active', '4h']);
    const dismissed = await act({ action: 'dismiss', ids: [ids[1]], falsePositive: true });
    assert.deepEqual([dismissed[0]!.block!.state, dismissed[0]!.block!.falsePositive], ['dismissed', true]);
  });

  test('is done once where the request is sent again with its key', async () => {
    const ids = [(await server.block('k1@example.com')).id, (await server.block('k2@example.com')).id];
    const headers = { 'idempotency-key': 'bulk-1' };
    const first = await act({ action: 'release', ids }, headers);
    await server.restart();
    const again = await act({ action: 'release', ids }, headers);
    assert.deepEqual(
      again.map(({ status, block }) => [status, block?.version]),
      first.map(({ status, block }) => [status, block?.version]),
    );
  });

  test('is refused as a whole where the request is at fault, and by a role that may not', async () => {
    const { id } = await server.block('untouched@example.com');
    for (const [body, field] of [
      [{ action: 'burn', ids: [id] }, 'action'],
      [{ action: 'release', ids: [] }, 'ids'],
      [{ action: 'release', ids: [id, id] }, 'ids'],
      [{ action: 'release', ids: Array.from({ length: 501 }, (_, n) => `${n}`) }, 'ids'],
      [{ action: 'approve', ids: [id], duration: '1h', indefinite: true }, 'duration'],
      [{ action: 'dismiss', ids: [id], held: 'release' }, 'held'],
    ] as const) {
      const { status, json } = await server.post(ACTIONS, body);
      assert.deepEqual([status, json.errors[0].field], [400, field], JSON.stringify(body).slice(0, 80));
    }
    assert.equal(
      (await server.post(ACTIONS, { action: 'release', ids: [id] }, { role: 'viewer' })).status,
      403,
    );
    assert.equal((await server.get(`/api/v1/blocks/${id}`)).json.state, 'active');
  });
});
