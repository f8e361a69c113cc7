import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Answered } from '../../support/api/answered.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer } from '../../support/api/server.js';

const ACTIONS = '/api/v1/blocks/actions';

interface Row {
  readonly id: string;
  readonly status: number;
  readonly block: Answered | null;
  readonly already: string | null;
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
    const waits = await server.trip('waits@example.com');
    const rows = await act({ action: 'release', ids: [...ids, waits, 'nothing'], note: 'all of them' });
    assert.deepEqual(
      rows.map(({ id, status, block, problem }) => [id, status, block?.state, problem?.code]),
      [
        [ids[0], 200, 'released', undefined],
        [ids[1], 200, 'released', undefined],
        [ids[2], 200, 'released', undefined],
        [waits, 409, undefined, 'conflict'],
        ['nothing', 404, undefined, 'not-found'],
      ],
    );
    assert.equal(rows[0]!.block!.history.at(-1)!.note, 'all of them');
  });

  test('says of what was decided before how, and by whom, and calls that no failure', async () => {
    const released = (await server.block('r@example.com')).id;
    await server.post(`/api/v1/blocks/${released}/release`, {});
    const dismissed = await server.trip('d@example.com');
    await server.post(`/api/v1/blocks/${dismissed}/dismiss`, {});
    const approved = await server.trip('y@example.com');
    await server.post(`/api/v1/blocks/${approved}/approve`, {});
    const rows = [
      ...(await act({ action: 'release', ids: [released] })),
      ...(await act({ action: 'dismiss', ids: [dismissed, approved] })),
      ...(await act({ action: 'approve', ids: [approved, dismissed] })),
    ];
    assert.deepEqual(
      rows.map(({ id, status, already, block, problem }) => [id, status, already, block?.state, problem]),
      [
        [released, 200, 'released already, by the-admin', 'released', null],
        [dismissed, 200, 'dismissed already, by the-admin', 'dismissed', null],
        [approved, 200, 'blocked already, by the-admin', 'active', null],
        [approved, 200, 'blocked already, by the-admin', 'active', null],
        [dismissed, 200, 'dismissed already, by the-admin', 'dismissed', null],
      ],
    );
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

  test('does the rest where the request is sent again with its key after the store was away for some', async (t) => {
    const away = new Set<string>();
    const halting = await ApiServer.start((deps) => {
      const execute: typeof deps.blockCommands.execute = async (...asked) => {
        if (away.has(asked[0].value)) throw new StoreUnavailable('the database is locked');
        return deps.blockCommands.execute(...asked);
      };
      const blockCommands = new Proxy(deps.blockCommands, {
        get(target, name) {
          if (name === 'execute') return execute;
          const own: unknown = Reflect.get(target, name, target);
          return typeof own === 'function' ? (own.bind(target) as unknown) : own;
        },
      });
      return { ...deps, blockCommands };
    });
    t.after(() => halting.stop());
    const ids = [(await halting.block('s1@example.com')).id, (await halting.block('s2@example.com')).id];
    const headers = { 'idempotency-key': 'bulk-2' };
    const release = async (): Promise<readonly number[]> => {
      const reply = await halting.post(ACTIONS, { action: 'release', ids }, { role: 'operator', headers });
      return (reply.json.items as readonly Row[]).map(({ status }) => status);
    };
    away.add('s2@example.com');
    assert.deepEqual(await release(), [200, 503]);
    assert.deepEqual(await release(), [200, 503]);
    away.clear();
    assert.deepEqual(await release(), [200, 200]);
  });

  test('lets the event loop turn between the ids, also of those that there are not', async (t) => {
    const { rows } = server.deps.models.ledger;
    const find = rows.find.bind(rows);
    let [now, most, isOver] = [0, 0, false];
    const turn = (): void => {
      now = 0;
      if (!isOver) setImmediate(turn);
    };
    turn();
    t.mock.method(rows, 'find', (id: string) => {
      most = Math.max(most, ++now);
      return find(id);
    });
    const found = await act({ action: 'release', ids: Array.from({ length: 500 }, (_, n) => `none-${n}`) });
    isOver = true;
    assert.ok(found.every(({ status }) => status === 404));
    // Two look-ups for each of ten, and as many where two slices fall into one turn.
    assert.ok(most <= 40, `${most} without a turn of the event loop`);
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
