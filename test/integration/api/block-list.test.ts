import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HOUR, MINUTE, formatInstant } from '../../../src/kernel/time.js';
import type { Answered } from '../../support/api/answered.js';
import { ApiServer } from '../../support/api/server.js';

const values = (items: readonly Answered[]): string[] => items.map(({ subject }) => subject.value);

describe('the list of blocks', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) {
      await server.block(`${name}@example.com`, { description: `Case ${name.toUpperCase()}` });
      server.clock.advance(MINUTE);
    }
  });
  after(() => server.stop());

  const list = async (query: string): Promise<Answered> => {
    const reply = await server.get(`/api/v1/blocks?${query}`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };

  test('is newest first, or oldest first', async () => {
    const newest = values((await list('')).items);
    assert.deepEqual(newest.slice(0, 2), ['g@example.com', 'f@example.com']);
    assert.deepEqual(values((await list('sort=oldest')).items), [...newest].reverse());
  });

  for (const sort of ['newest', 'oldest']) {
    test(`pages (${sort}) stay as they are while others are added`, async () => {
      const all = values((await list(`sort=${sort}&q=@example.com`)).items);
      const seen: string[] = [];
      let cursor = '';
      for (let page = 0; ; page++) {
        const { items, next } = await list(`sort=${sort}&q=@example.com&limit=2${cursor}`);
        seen.push(...values(items));
        if (next === null) break;
        assert.equal(items.length, 2);
        await server.block(`added-${sort}-${page}@example.com`);
        cursor = `&cursor=${next}`;
      }
      // Newest first, added blocks come before the first page; oldest first, after the last.
      assert.deepEqual(seen.slice(0, all.length), all);
      assert.equal(new Set(seen).size, seen.length);
      if (sort === 'newest') assert.equal(seen.length, all.length);
    });
  }

  test('a page that is just full has no next if nothing follows', async () => {
    const { items, next } = await list('q=@example.com&limit=500');
    const exact = await list(`q=@example.com&limit=${items.length}`);
    assert.equal(next, null);
    assert.equal(exact.items.length, items.length);
    assert.equal(exact.next, null);
  });

  test('filters', async () => {
    await server.block('in@example.net', {
      direction: 'inbound',
      subject: { type: 'domain', value: 'Filter.Example' },
    });
    const proposal = await server.trip('list@example.org', 'propose', 'day');
    const [first] = (await list('value=filter.example.')).items;
    assert.equal(first.subject.value, 'filter.example');
    assert.deepEqual(values((await list('direction=inbound')).items), ['filter.example']);
    assert.deepEqual(values((await list('type=domain,ehlo')).items), ['filter.example']);
    assert.deepEqual(
      (await list('rule=day')).items.map(({ id }) => id),
      [proposal],
    );
    assert.deepEqual(
      (await list('origin=rule')).items.map(({ id }) => id),
      [proposal],
    );
    assert.deepEqual(
      (await list('state=proposed')).items.map(({ id }) => id),
      [proposal],
    );
    assert.deepEqual(
      (await list(`id=${proposal.slice(0, 20)}`)).items.map(({ id }) => id),
      [proposal],
    );
    assert.deepEqual(values((await list('q=case%20C')).items), ['c@example.com']);
    assert.deepEqual(values((await list('value=A@example.com&type=account')).items), ['a@example.com']);
    assert.deepEqual((await list('value=nobody@example.com')).items, []);
    const both = await list('state=proposed&state=active&limit=500');
    const comma = await list('state=proposed,active&limit=500');
    assert.deepEqual(both, comma);
    assert.ok(both.items.length > 7);
  });

  test('a text finds a domain of letters beyond ASCII as people write it, and as it is kept', async () => {
    const value = 'büro.müller.example';
    await server.block('', { subject: { type: 'domain', value } });
    await server.block('jörg@müller.example', { description: 'Büro' });
    const domain = 'xn--bro-hoa.xn--mller-kva.example';
    const account = 'jörg@xn--mller-kva.example';
    const found = async (text: string) => values((await list(`q=${encodeURIComponent(text)}`)).items);
    for (const text of ['müller.example', 'MÜLLER', 'xn--mller'])
      assert.deepEqual(await found(text), [account, domain], text);
    assert.deepEqual(await found('jörg@müller.example'), [account]);
    assert.deepEqual(await found('jörg'), [account]);
    assert.deepEqual(await found('büro'), [account, domain], 'in the description and in the subject');
    assert.deepEqual(await found('mülheim'), []);
  });

  test('since and until bound when a block began: from, and before', async () => {
    const { items } = await list('sort=oldest&limit=3');
    const read = async (id: string) => (await server.get(`/api/v1/blocks/${id}`)).json.since;
    const [a, , c] = await Promise.all(items.map(({ id }) => read(id)));
    assert.deepEqual(values((await list(`since=${a}&until=${c}&sort=oldest`)).items), [
      'a@example.com',
      'b@example.com',
    ]);
  });

  test('a block that a person approved is in the hour of its proposal and in that of its approval', async () => {
    const proposedAt = server.clock.now();
    const proposal = await server.trip('late@example.org', 'propose', 'day');
    const hour = async (from: number) => {
      const query = `since=${formatInstant(from)}&until=${formatInstant(from + HOUR)}&total=true`;
      const { items, total } = await list(`${query}&sort=since`);
      assert.equal(total, items.length);
      const lines = await server.get(`/api/v1/blocks?${query}&format=ndjson`);
      assert.equal(lines.text.trim().split('\n').filter(Boolean).length, total);
      return values(items).includes('late@example.org');
    };
    server.clock.advance(3 * HOUR);
    const approvedAt = server.clock.now();
    assert.equal((await server.post(`/api/v1/blocks/${proposal}/approve`, {})).status, 200);
    assert.equal(await hour(proposedAt), true);
    assert.equal(await hour(proposedAt + HOUR), false);
    assert.equal(await hour(approvedAt), true);
  });

  test('states follow the clock', async () => {
    const before = (await list('state=active&limit=500')).items.length;
    assert.ok(before > 0);
    server.clock.advance(2 * HOUR);
    assert.equal((await list('state=active&limit=500')).items.length, 0);
    assert.ok((await list('state=expired&limit=500')).items.length >= before);
    const future = formatInstant(server.clock.now() + HOUR);
    assert.equal((await list(`since=${future}`)).items.length, 0);
  });

  test('a faulty query is 400 and names each fault', async () => {
    const wrong: ReadonlyArray<readonly [query: string, field: string, message: RegExp]> = [
      ['stat=active', 'stat', /not known/],
      ['state=asleep', 'state', /proposed, active/],
      ['limit=0', 'limit', /1 to 500/],
      ['limit=501', 'limit', /1 to 500/],
      ['limit=ten', 'limit', /1 to 500/],
      ['limit=5&limit=6', 'limit', /only once/],
      ['cursor=abc', 'cursor', /take next/],
      ['cursor=MTphYmM', 'cursor', /another list/],
      ['since=yesterday', 'since', /ISO 8601/],
      ['value=', 'value', /1 to 1024/],
      ['sort=up', 'sort', /newest, oldest/],
    ];
    for (const [query, field, message] of wrong) {
      const reply = await server.get(`/api/v1/blocks?${query}`);
      assert.equal(reply.status, 400, query);
      assert.equal(reply.json.errors[0].field, field, query);
      assert.match(reply.json.errors[0].message, message, query);
    }
  });

  test('shows of the extensions by rules the newest, and says how many it leaves out', async () => {
    const id = await server.trip('goes-on@example.org', 'block');
    for (let trip = 0; trip < 22; trip++) {
      server.clock.advance(40 * MINUTE);
      await server.trip('goes-on@example.org', 'block');
      if (trip === 0)
        await server.call('PATCH', `/api/v1/blocks/${id}`, { body: { description: 'watched' } });
    }
    const types = ({ history }: Answered): string[] =>
      history.map(({ type, by }: Answered) => `${type} ${by.split(':')[0]}`);
    const extensions = (count: number): string[] => Array<string>(count).fill('BlockExtended rule');
    const whole = (await server.get(`/api/v1/blocks/${id}`)).json;
    assert.deepEqual(types(whole), [
      'BlockImposed rule',
      'BlockExtended rule',
      'BlockExtended admin',
      ...extensions(21),
    ]);
    assert.equal(whole.historyLeftOut, undefined);
    const shown = ['BlockImposed rule', 'BlockExtended admin', ...extensions(20)];
    const past = `at=${formatInstant(server.clock.now())}`;
    for (const one of [
      (await list('value=goes-on@example.org')).items[0],
      (await list(`value=goes-on@example.org&${past}`)).items[0],
      (await server.get('/api/v1/senders/account/goes-on@example.org')).json.blocks[0],
      (await server.get('/api/v1/check?account=goes-on@example.org')).json.matching[0],
    ]) {
      assert.deepEqual(types(one), shown);
      assert.equal(one.historyLeftOut, 2);
      assert.deepEqual(one.history.at(-1), whole.history.at(-1));
    }
  });
});
