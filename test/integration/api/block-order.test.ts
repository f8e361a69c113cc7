import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DAY, formatInstant, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import type { Answered } from '../../support/api/answered.js';
import { ApiServer } from '../../support/api/server.js';

const values = (items: readonly Answered[]): string[] => items.map(({ subject }) => subject.value);

async function refused(server: ApiServer, account: string, block: string, count: number): Promise<void> {
  const at = server.clock.now();
  const data = {
    account,
    returnPath: account,
    ip: '192.0.2.7',
    direction: 'outbound',
    stage: 'rcpt',
    block,
    reply: '451 4.7.1 Try again later',
    count,
    since: at,
  };
  const event = { id: newId(), type: 'MessageRefused', data, at, by: 'smtp:test' };
  const { position } = await server.deps.store.append(sendStream(account), [event], 'any');
  await server.deps.models.reached(position);
}

describe('the order of a list of blocks', () => {
  let server: ApiServer;
  const NAMES = ['m', 'b', 'z', 'a', 'q'];
  const SPANS = ['3h', '1h', '5h', '2h', '4h'];
  const REFUSED = [5, 0, 7, 0, 6];
  let middle = '';
  before(async () => {
    server = await ApiServer.start();
    for (const [index, name] of NAMES.entries()) {
      const { id } = await server.block(`${name}@example.com`, { duration: SPANS[index], until: undefined });
      if (REFUSED[index]! > 0) await refused(server, `${name}@example.com`, id, REFUSED[index]!);
      server.clock.advance(MINUTE);
      if (index === 2) middle = formatInstant(server.clock.now() - 1);
    }
  });
  after(() => server.stop());

  const list = async (query: string): Promise<Answered> => {
    const reply = await server.get(`/api/v1/blocks?${query}`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  const named = (letters: string): string[] => [...letters].map((letter) => `${letter}@example.com`);

  const ORDERS = { since: 'qazbm', until: 'bamqz', refused: 'zqmab', subject: 'abmqz' };
  for (const [sort, letters] of Object.entries(ORDERS)) {
    test(`by ${sort} is whole on one page, and page by page`, async () => {
      assert.deepEqual(values((await list(`sort=${sort}`)).items), named(letters));
      const seen: string[] = [];
      let cursor = '';
      do {
        const { items, next } = await list(`sort=${sort}&limit=2${cursor}`);
        seen.push(...values(items));
        cursor = next === null ? '' : `&cursor=${next}`;
      } while (cursor !== '');
      assert.deepEqual(seen, named(letters));
    });
  }

  test('refuses the cursor of another order', async () => {
    const { next } = await list('sort=subject&limit=2');
    const { next: plain } = await list('limit=2');
    for (const query of [`sort=until&cursor=${next}`, `cursor=${next}`, `sort=until&cursor=${plain}`])
      assert.equal((await server.get(`/api/v1/blocks?${query}`)).json.errors[0].field, 'cursor');
  });

  test('tells how much each block has refused, also after a restart from the store', async () => {
    const shown = async (): Promise<unknown[]> =>
      (await list('sort=refused&limit=2')).items.map((item) => [
        item.subject.value,
        (item as unknown as Refused).refused,
        (item as unknown as Refused).lastRefusedAt,
      ]);
    const before = await shown();
    assert.deepEqual(before[0], ['z@example.com', 7, '2026-03-01T12:02:00.000Z']);
    await server.restart();
    assert.deepEqual(await shown(), before);
  });

  test('counts all that match beside a page, where that is asked for', async () => {
    const total = async (query: string): Promise<unknown> =>
      ((await list(query)) as unknown as { total?: number }).total;
    assert.equal(await total('limit=1&total=true'), 5);
    assert.equal(await total('limit=1&total=true&q=z@'), 1);
    assert.equal(await total('limit=1&total=true&value=z@example.com'), 1);
    assert.equal(await total('limit=1'), undefined);
  });

  test('says what was in force or proposed at a past instant, as it was then', async () => {
    assert.deepEqual(values((await list(`at=${middle}`)).items), named('zbm'));
    assert.deepEqual(values((await list(`at=${middle}&sort=subject`)).items), named('bmz'));
    const other = await ApiServer.start();
    try {
      const { id } = await other.block('later@example.com');
      other.clock.advance(MINUTE);
      const inForce = formatInstant(other.clock.now());
      other.clock.advance(MINUTE);
      await other.post(`/api/v1/blocks/${id}/release`, {});
      const waiting = await other.trip('waits@example.com');
      other.clock.advance(MINUTE);
      const proposed = formatInstant(other.clock.now());
      other.clock.advance(MINUTE);
      await other.post(`/api/v1/blocks/${waiting}/approve`, {});
      const then = async (at: string, more = ''): Promise<unknown[]> =>
        (await other.get(`/api/v1/blocks?at=${at}${more}`)).json.items.map((item) => [
          item.subject.value,
          item.state,
          item.endedAt,
          item.history.length,
        ]);
      assert.deepEqual(await then(inForce), [['later@example.com', 'active', null, 1]]);
      assert.deepEqual(await then(proposed), [['waits@example.com', 'proposed', null, 1]]);
      assert.deepEqual(await then(proposed, '&state=released'), [
        ['later@example.com', 'released', '2026-03-01T12:02:00.000Z', 2],
      ]);
      const before = formatInstant(other.clock.now() - DAY);
      assert.deepEqual(await then(before), []);
      const future = await other.get(`/api/v1/blocks?at=${formatInstant(other.clock.now() + HOUR)}`);
      assert.equal(future.json.errors[0].field, 'at');
      const ordered = await other.get(`/api/v1/blocks?at=${before}&sort=until`);
      assert.equal(ordered.json.errors[0].field, 'sort');
    } finally {
      await other.stop();
    }
  });

  test('shows the terms of a block and of a proposal at a past instant, though they were changed later', async () => {
    const other = await ApiServer.start();
    try {
      const instants: string[] = [];
      const pass = (): void => {
        other.clock.advance(MINUTE);
        instants.push(formatInstant(other.clock.now()));
        other.clock.advance(MINUTE);
      };
      const proposal = await other.trip('two@example.com');
      const first = { description: 'phished', direction: 'outbound' };
      await other.block('one@example.com', first);
      pass();
      const changed = { description: 'asked to wait', direction: 'all', refusal: 'honest', duration: '2h' };
      const { id } = await other.block('one@example.com', changed);
      await other.block('two@example.com', changed);
      pass();
      await other.block('one@example.com', { description: 'still phished', duration: '3h' });
      pass();
      const then = async (): Promise<unknown[]> => {
        const all = [];
        for (const at of instants) {
          const { items } = (await other.get(`/api/v1/blocks?at=${at}&sort=subject`)).json;
          all.push(
            items.map((item) => [item.state, item.description, item.direction, item.refusal].join(' / ')),
          );
        }
        return all;
      };
      const want = [
        ['active / phished / outbound / soft', 'proposed / too many / outbound / soft'],
        ['active / asked to wait / all / honest', 'active / asked to wait / all / honest'],
        ['active / still phished / all / honest', 'active / asked to wait / all / honest'],
      ];
      assert.deepEqual(await then(), want);
      // The store has those that ended.
      for (const block of [id, proposal]) await other.post(`/api/v1/blocks/${block}/release`, {});
      assert.deepEqual(await then(), want);
      await other.restart();
      assert.deepEqual(await then(), want);
    } finally {
      await other.stop();
    }
  });

  test('lists the refusals of a block, oldest first, page by page', async () => {
    const { id } = await server.block('refused@example.com');
    for (const count of [1, 2, 3]) await refused(server, 'refused@example.com', id, count);
    await refused(server, 'refused@example.com', newId(), 9);
    const counts = (items: readonly unknown[]): number[] =>
      items.map((item) => (item as { count: number }).count);
    const first = (await server.get(`/api/v1/blocks/${id}/refusals?limit=2`)).json;
    assert.deepEqual(counts(first.items), [1, 2]);
    const next = (await server.get(`/api/v1/blocks/${id}/refusals?cursor=${first.next!}`)).json;
    assert.deepEqual([counts(next.items), next.next], [[3], null]);
    const domain = await server.block('example.org', { subject: { type: 'domain', value: 'example.org' } });
    await refused(server, 'one@example.org', domain.id, 4);
    await refused(server, 'two@example.org', domain.id, 5);
    const page = (await server.get(`/api/v1/blocks/${domain.id}/refusals?limit=1`)).json;
    const rest = (await server.get(`/api/v1/blocks/${domain.id}/refusals?cursor=${page.next!}`)).json;
    assert.deepEqual([counts(page.items), counts(rest.items), rest.next], [[4], [5], null]);
  });
});

interface Refused {
  readonly refused: number;
  readonly lastRefusedAt: string;
}
