import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ChangeJson } from '../../../src/api/changes.js';
import { changesRoute } from '../../../src/api/changes.js';
import type { ApiRequest } from '../../../src/api/http/route.js';
import { LongReads } from '../../../src/api/long-reads.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { CHANGES_KEPT, Changes } from '../../../projections/blocks/changes.js';
import { DAY, formatInstant, MINUTE } from '../../../src/kernel/time.js';
import { event } from '../../support/sends.js';
import type { ApiServer } from '../../support/api/server.js';
import { besideServer } from '../cli-client/support.js';
import type { Terminal } from '../cli-client/support.js';

describe('the list of changes', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  const changes = async (query = ''): Promise<readonly ChangeJson[]> => {
    const reply = await server.get(`/api/v1/changes?${query}`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json.items as unknown as readonly ChangeJson[];
  };
  const told = (items: readonly ChangeJson[]): unknown[] =>
    items.map(({ by, type, via, subject, why }) => [by, type, via, subject?.value ?? null, why]);

  test('says who decided what, when, why and through what, newest first, and nothing that rules did', async () => {
    const ruled = await server.trip('changes@example.com');
    await server.post(
      `/api/v1/blocks/${ruled}/approve`,
      { note: 'sure' },
      { role: 'operator', headers: { 'x-request-id': 'page-17' } },
    );
    server.clock.advance(MINUTE);
    const { code, err } = await terminal.run('block', 'release', ruled, '--note', 'called them');
    assert.equal(code, 0, err);
    await server.call('PUT', '/api/v1/overrides/account/changes@example.com', {
      body: { factor: 2, reason: 'newsletter' },
    });
    const items = await changes('value=changes@example.com');
    assert.deepEqual(told(items), [
      ['admin:the-admin', 'OverrideSet', 'api', 'changes@example.com', 'newsletter'],
      ['admin:the-admin', 'BlockReleased', 'cli', 'changes@example.com', 'called them'],
      ['admin:the-operator', 'BlockImposed', 'page', 'changes@example.com', 'too many'],
      ['admin:the-operator', 'ProposalApproved', 'page', 'changes@example.com', 'sure'],
    ]);
    assert.equal(items[1]!.block, ruled);
    assert.equal(items[1]!.at, formatInstant(server.clock.now()));
    assert.match(items[1]!.requestId!, /^cli-/);
  });

  test('tells of no person what time alone has ended, though no worker had recorded it', async () => {
    const { id } = await server.block('timed@example.com', { duration: '1m' });
    const proposal = await server.trip('lapsing@example.com');
    server.clock.advance(2 * DAY);
    await server.block('timed@example.com');
    await server.block('lapsing@example.com');
    for (const [block, type] of [
      [id, 'BlockExpired'],
      [proposal, 'ProposalLapsed'],
    ]) {
      const { json } = await server.get(`/api/v1/blocks/${block}`);
      const ends = json.history.filter((event) => event.type === type);
      assert.deepEqual(
        ends.map(({ by }) => by),
        ['system:expiry'],
      );
    }
    for (const value of ['timed@example.com', 'lapsing@example.com']) {
      const items = await changes(`value=${value}`);
      assert.deepEqual([...new Set(items.map(({ type }) => type))], ['BlockImposed']);
    }
  });

  test('lets the event loop turn while it looks at all of them, and looks no further than a page needs', async () => {
    const subject = { type: 'account', value: 'x@example.com' } as const;
    const one = { at: 0, by: 'admin:a', type: 'OverrideSet', correlation: undefined, block: undefined };
    const kept = Array.from({ length: CHANGES_KEPT }, (_, position) => ({
      ...one,
      position,
      subject,
      why: undefined,
    }));
    const models = { ...server.deps.models, changes: { newest: () => kept } };
    const route = changesRoute({ ...server.deps, models } as unknown as ApiDependencies, new LongReads());
    const look = async (isTheirs: boolean): Promise<readonly [all: number, most: number]> => {
      let [all, now, most, isOver] = [0, 0, 0, false];
      const turn = (): void => {
        now = 0;
        if (!isOver) setImmediate(turn);
      };
      turn();
      const concerns = (): boolean => {
        all++;
        most = Math.max(most, ++now);
        return isTheirs;
      };
      const request = { accepts: () => 'application/json' };
      const asked = { query: { limit: 50 }, caller: { role: 'domain' }, concerns, request, response: {} };
      await route.handle(asked as unknown as ApiRequest<unknown, unknown>);
      isOver = true;
      return [all, most];
    };
    const [all, most] = await look(false);
    assert.equal(all, CHANGES_KEPT);
    assert.ok(most <= 1000, `${most} without a turn of the event loop`);
    assert.ok((await look(true))[0] <= 1000);
  });

  test('is filtered by person, kind, way and time, and goes page by page', async () => {
    for (const name of ['one', 'two', 'three']) {
      server.clock.advance(MINUTE);
      const { id } = await server.block(`${name}@filtered.example`);
      await server.post(`/api/v1/blocks/${id}/release`, {}, { role: 'operator' });
    }
    const since = `since=${formatInstant(server.clock.now())}`;
    assert.equal((await changes(`${since}&type=BlockReleased,BlockImposed`)).length, 2);
    assert.equal((await changes(`${since}&by=the-operator`)).length, 1);
    assert.equal((await changes(`${since}&by=admin:the-operator`)).length, 1);
    assert.equal((await changes(`${since}&via=cli`)).length, 0);
    assert.equal((await changes(`until=${formatInstant(0)}`)).length, 0);
    const all = await changes('limit=500');
    const seen: number[] = [];
    let cursor = '';
    do {
      const { json } = await server.get(`/api/v1/changes?limit=2${cursor}`);
      seen.push(...json.items.map(({ position }) => position));
      cursor = json.next === null ? '' : `&cursor=${json.next}`;
    } while (cursor !== '');
    assert.deepEqual(
      seen,
      all.map(({ position }) => position),
    );
    assert.equal((await server.get('/api/v1/changes?type=Nothing')).json.errors[0].field, 'type');
  });

  test('says what was decided on held mail, by the API, the command line and as CSV', async () => {
    const { id } = await server.block('wishes@example.com', { refusal: 'hold' });
    await server.post(`/api/v1/blocks/${id}/release`, { held: 'keep' });
    await server.post(`/api/v1/blocks/${id}/held`, { action: 'delete' });
    const items = await changes('value=wishes@example.com');
    assert.deepEqual(
      items.map(({ type, held }) => [type, held]),
      [
        ['HeldMailDecided', 'delete'],
        ['BlockReleased', 'keep'],
        ['BlockImposed', null],
      ],
    );
    const { out } = await terminal.run('changes', '--value', 'wishes@example.com');
    assert.match(out, / HeldMailDecided \(held mail: delete\) +api /);
    assert.match(out, / BlockImposed +api /);
    const csv = (await server.get('/api/v1/changes?value=wishes@example.com&format=csv')).text;
    assert.match(csv, /^at,.*,position,held\r?\n.*HeldMailDecided.*,delete\r?\n/);
  });

  test('is the same after a restart', async () => {
    const before = await changes('limit=500');
    await server.restart();
    assert.deepEqual(await changes('limit=500'), before);
  });
});

test('the newest ten thousand changes are kept, also through a snapshot', () => {
  const changes = new Changes();
  for (let n = 1; n <= 3 * CHANGES_KEPT; n++)
    changes.apply(
      event('BlockReleased', { block: 'b', note: `n${n}` }, n, n, {
        by: n % 2 === 0 ? 'admin:a' : 'rule:r@1',
      }),
    );
  const again = new Changes();
  again.restore(structuredClone(changes.dump()));
  for (const one of [changes, again]) {
    const newest = one.newest();
    assert.equal(newest.length, CHANGES_KEPT);
    assert.deepEqual([newest[0]!.position, newest.at(-1)!.position], [3 * CHANGES_KEPT, CHANGES_KEPT + 2]);
  }
});
