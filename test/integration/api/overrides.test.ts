import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { OverrideDetailJson, OverrideJson } from '../../../src/api/overrides.js';
import { overrideDetailShape, overrideShape } from '../../../src/api/overrides.js';
import { HOUR, formatInstant } from '../../../src/kernel/time.js';
import { OverrideCommandHandler } from '../../../src/commands/override-commands.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer } from '../../support/api/server.js';
import type { Call, Reply } from '../../support/api/server.js';
import { RULES, account, domain } from '../../support/overrides.js';
import { changed } from '../../support/store/changed.js';

const OVERRIDES = '/api/v1/overrides';

function detailOf(reply: Reply): OverrideDetailJson {
  return overrideDetailShape.strict().parse(reply.json);
}

describe('overrides over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
    await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
  });
  after(() => server.stop());

  const put = (name: string, body: unknown, call: Call = {}) =>
    server.call('PUT', `${OVERRIDES}/${name}`, { role: 'operator', ...call, body });
  const get = async (name: string) => detailOf(await server.get(`${OVERRIDES}/${name}`, { role: 'viewer' }));
  const limit = (rule: string, name: string) =>
    server.deps.models.overrides.limit(rule, 'account', name, 100, server.clock.now());
  const types = async (name: string): Promise<string[]> => {
    const found: string[] = [];
    for await (const { type } of server.deps.store.readStream(`override-${name}`)) found.push(type);
    return found;
  };

  test('an override is set, in force, read, replaced and removed; its history stays', async () => {
    const set = await put('account/News@Example.com', {
      limits: { burst: 500, day: 'off', gone: 7 },
      plan: 'newsletter',
      reason: 'order 17',
    });
    assert.equal(set.status, 201);
    const detail = detailOf(set);
    assert.deepEqual(detail.subject, account('news@example.com'));
    assert.deepEqual(detail.api?.limits, { burst: 500, day: 'off', gone: 7 });
    assert.equal(detail.api?.by, 'admin:the-operator');
    assert.deepEqual(detail.unused, [{ field: 'limits.gone', message: 'no rule in force has this id' }]);
    assert.deepEqual(
      detail.effective.map(({ rule, limit: now, usual }) => [rule, now, usual]),
      [
        ['burst', 500, 100],
        ['day', 'off', 1000],
      ],
    );
    assert.equal(set.headers.get('etag'), `"${detail.version}"`);
    assert.equal(set.headers.get('location'), `${OVERRIDES}/account/news%40example.com`);
    assert.equal(limit('burst', 'news@example.com'), 500, 'in force when it is answered');
    assert.deepEqual(await get('account/news@example.com'), detail);

    const replaced = await put('account/news@example.com', { factor: 3 });
    assert.equal(replaced.status, 200);
    assert.deepEqual(detailOf(replaced).api?.limits, {}, 'as a whole');
    assert.equal(limit('burst', 'news@example.com'), 300);
    const same = await put('account/news@example.com', { factor: 3 });
    assert.deepEqual([same.status, detailOf(same).version], [200, detailOf(replaced).version]);

    const target = `${OVERRIDES}/account/news@example.com`;
    const removed = await server.call('DELETE', target, { role: 'operator', body: { note: 'cancelled' } });
    assert.equal(removed.status, 204);
    assert.equal(limit('burst', 'news@example.com'), 100);
    const after = await get('account/news@example.com');
    assert.deepEqual([after.api, after.file, after.effective], [null, null, []]);
    assert.deepEqual(
      after.history.map(({ type, by, note, set: terms }) => [type, by, note, terms?.factor]),
      [
        ['OverrideSet', 'admin:the-operator', undefined, null],
        ['OverrideSet', 'admin:the-operator', undefined, 3],
        ['OverrideRemoved', 'admin:the-operator', 'cancelled', undefined],
      ],
    );
    assert.equal((await server.call('DELETE', target)).status, 404);
  });

  test("a domain's shows what holds for each account and for all of it, and is inherited", async () => {
    await put('domain/shop.example', { limits: { burst: 150 }, total: { factor: 2 }, plan: 'pro' });
    const shop = await get('domain/shop.example');
    assert.deepEqual(
      shop.effective.map(({ rule, per, limit: now }) => [rule, per, now]),
      [
        ['burst', 'account', 150],
        ['domain', 'domain', 4000],
      ],
    );
    const clerk = await get('account/clerk@eu.shop.example');
    assert.deepEqual([clerk.version, clerk.api, clerk.history], [0, null, []]);
    assert.deepEqual(clerk.effective, [
      {
        rule: 'burst',
        per: 'account',
        limit: 150,
        usual: 100,
        lowest: false,
        sentence: '150 instead of 100, by the override of domain shop.example (plan "pro")',
      },
    ]);
  });

  test('what is shown to hold is what check enforces, for every kind of count', async () => {
    const counts = ['messages', 'bytes', 'bounces', 'refusedRecipients', 'recipientDomains'];
    const rules = counts.map(
      (count) =>
        `  - { id: ${count}, per: account, count: ${count}, window: 1h, limit: 10, then: propose, for: 1h }\n`,
    );
    await server.call('PUT', '/api/v1/rules', { body: { source: `${RULES}${rules.join('')}` } });
    const name = 'every@kind.example';
    const shown = detailOf(
      await put(`account/${name}`, { factor: 2, limits: { recipientDomains: 1_000_000 } }),
    );
    const holds = new Map(shown.effective.map((each) => [each.rule, each.limit]));
    const { json } = await server.get(`/api/v1/check?account=${name}`);
    const enforced = json.windows.filter(({ subject }) => subject.type === 'account');
    assert.ok(enforced.length > counts.length);
    for (const { rule, limit: now } of enforced)
      assert.equal(now, holds.get(rule) ?? (rule === 'burst' ? 100 : 10), rule);
    await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
  });

  test('of a rule that follows baselines multiplies what it would be, and names it for good', async () => {
    const baselines =
      '  - { id: habit, per: account, count: messages, window: 1h, limit: { baseline: 3x, floor: 20 }, then: block, for: 1h }\n';
    await server.call('PUT', '/api/v1/rules', { body: { source: `${RULES}${baselines}` } });
    const twice = detailOf(await put('account/habit@example.com', { factor: 2 }));
    assert.deepEqual(
      twice.effective
        .filter(({ rule }) => rule === 'habit')
        .map(({ limit: now, lowest, sentence }) => [now, lowest, sentence]),
      [[40, true, 'at least 40 instead of 20, times 2 by the override of account habit@example.com']],
    );
    const named = detailOf(await put('account/habit@example.com', { limits: { habit: 7 } }));
    assert.deepEqual(
      named.effective.map(({ limit: now, lowest }) => [now, lowest]),
      [[7, false]],
    );
  });

  test('ends by itself, and cannot begin in the past', async () => {
    const until = formatInstant(server.clock.now() + HOUR);
    await put('account/trial@example.com', { factor: 5, until });
    assert.equal(limit('burst', 'trial@example.com'), 500);
    server.clock.advance(HOUR);
    assert.equal(limit('burst', 'trial@example.com'), 100);
    assert.equal((await get('account/trial@example.com')).api?.inForce, false);
    const past = await put('account/trial@example.com', { factor: 5, until });
    assert.equal(past.status, 400);
    assert.match(past.json.detail, /until: must lie in the future/);
  });

  test('If-Match guards a change; the same change again is none', async () => {
    const first = await put('account/tagged@example.com', { factor: 2 }, { headers: { 'if-match': '"0"' } });
    assert.equal(first.status, 201);
    const tag = first.headers.get('etag')!;
    const stale = await put('account/tagged@example.com', { factor: 3 }, { headers: { 'if-match': '"0"' } });
    assert.equal(stale.status, 412);
    assert.equal(`"${stale.json.version}"`, tag);
    const again = await put('account/tagged@example.com', { factor: 2 }, { headers: { 'if-match': '"0"' } });
    assert.equal(again.status, 200, 'RFC 9110, 13.1.1');
    const next = await put('account/tagged@example.com', { factor: 3 }, { headers: { 'if-match': tag } });
    assert.equal(next.status, 200);
    const target = `${OVERRIDES}/account/tagged@example.com`;
    assert.equal((await server.call('DELETE', target, { headers: { 'if-match': tag } })).status, 412);
    assert.deepEqual(await types('account:tagged@example.com'), ['OverrideSet', 'OverrideSet']);
  });

  test('an Idempotency-Key makes one change of two requests, also over a restart', async () => {
    const keyed = { headers: { 'idempotency-key': 'o1' } };
    const first = await put('account/keyed@example.com', { factor: 2 }, keyed);
    const second = await put('account/keyed@example.com', { factor: 2 }, keyed);
    assert.equal(second.headers.get('idempotency-replayed'), 'true');
    assert.equal(second.text, first.text);
    await put('account/keyed@example.com', { factor: 9 });
    await server.restart();
    const third = await put('account/keyed@example.com', { factor: 2 }, keyed);
    assert.equal(third.headers.get('idempotency-replayed'), 'true');
    assert.equal(detailOf(third).api?.factor, 9, 'the thing as it is now');
    assert.deepEqual(await types('account:keyed@example.com'), ['OverrideSet', 'OverrideSet']);
  });

  test('an override of the file applies below that of the API, and changes only in the file', async () => {
    const overrideCommands = new OverrideCommandHandler(server.deps.store, server.clock);
    const subject = account('filed@example.com');
    const entry = { subject, terms: { limits: { burst: 20, day: 30 } }, until: null };
    const { position: version } = await overrideCommands.execute(
      { kind: 'set', origin: 'file', ...entry },
      { by: 'system:overrides-file' },
    );
    await server.deps.models.reached(version);
    await put('account/filed@example.com', { limits: { burst: 900 } });
    const both = await get('account/filed@example.com');
    assert.deepEqual([both.api?.limits, both.file?.limits], [{ burst: 900 }, { burst: 20, day: 30 }]);
    assert.deepEqual(
      both.effective.map(({ rule, limit: now }) => [rule, now]),
      [
        ['burst', 900],
        ['day', 30],
      ],
    );
    const target = `${OVERRIDES}/account/filed@example.com`;
    assert.equal((await server.call('DELETE', target)).status, 204);
    assert.equal(limit('burst', 'filed@example.com'), 20);
    const refused = await server.call('DELETE', target);
    assert.equal(refused.status, 409);
    assert.match(refused.json.detail, /is in the overrides file/);
  });

  test('a faulty request is 400 and says what is wrong', async () => {
    const faults = async (name: string, body: unknown) =>
      (await put(name, body)).json.errors.map(({ field }) => field);
    assert.deepEqual(await faults('account/x@example.com', { limits: { burst: -1 }, size: 3 }), [
      'limits.burst',
      'size',
    ]);
    assert.deepEqual(await faults('account/x@example.com', {}), ['body']);
    assert.deepEqual(await faults('account/x@example.com', { total: { factor: 2 } }), ['total']);
    assert.deepEqual(await faults('ip/192.0.2.1', { factor: 2 }), ['type']);
    assert.deepEqual(await faults('domain/com', { factor: 2 }), ['override.value']);
    assert.equal((await put('account/x@example.com', { factor: 2 }, { role: 'viewer' })).status, 403);
    assert.deepEqual(await types('account:x@example.com'), []);
  });

  test('are listed in pages, by type and by how they begin', async () => {
    for (const name of ['p3', 'p1', 'p2']) await put(`account/${name}@page.example`, { factor: 2 });
    await put('domain/page.example', { factor: 2 });
    const all: OverrideJson[] = [];
    for (let cursor = ''; ;) {
      const { json } = await server.get(`${OVERRIDES}?limit=2${cursor}`, { role: 'viewer' });
      all.push(...json.items.map((item) => overrideShape.strict().parse(item)));
      if (json.next === null) break;
      cursor = `&cursor=${json.next}`;
    }
    const names = all.map(({ subject }) => `${subject.type} ${subject.value}`);
    assert.deepEqual(names, [...names].sort(), 'in order');
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.includes('account p2@page.example') && names.includes('domain page.example'));
    const some = await server.get(`${OVERRIDES}?type=account&prefix=p`);
    assert.deepEqual(
      some.json.items.map(({ subject }) => subject.value),
      ['p1@page.example', 'p2@page.example', 'p3@page.example'],
    );
    assert.equal((await server.get(`${OVERRIDES}?cursor=nonsense`)).status, 400);
  });
});

describe('many overrides in one request', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
    await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
  });
  after(() => server.stop());

  const put = (body: unknown, headers: Readonly<Record<string, string>> = {}) =>
    server.call('PUT', OVERRIDES, { role: 'operator', body, headers });
  const ndjson = { 'content-type': 'application/x-ndjson' };
  const counts = ({ json }: Reply) => {
    const { set, removed, unchanged } = json as unknown as Record<string, number>;
    return [set, removed, unchanged];
  };

  test('ten thousand are set as NDJSON; the same again are all unchanged', async () => {
    const lines = Array.from({ length: 10_000 }, (_, index) =>
      JSON.stringify({
        subject: account(`u${index}@d${index % 100}.example`),
        limits: { burst: 200 + index },
      }),
    );
    const first = await put(`${lines.join('\n')}\n`, ndjson);
    assert.deepEqual([first.status, counts(first)], [200, [10_000, 0, 0]]);
    const { overrides } = server.deps.models;
    assert.equal(overrides.size, 10_000);
    assert.equal(overrides.limit('burst', 'account', 'u77@d77.example', 100, server.clock.now()), 277);
    const head = await server.deps.store.head();
    const second = await put(lines.join('\r\n'), ndjson);
    assert.deepEqual(counts(second), [0, 0, 10_000]);
    assert.equal(await server.deps.store.head(), head, 'nothing was written');
  });

  for (const [what, body, type, message] of [
    [
      'a fault in the last of many',
      `[\n${'{"a":[",]"]},\n'.repeat(5000)}x]`,
      'json',
      /line 5002, column 1: unexpected "x"/,
    ],
    [
      'a list that is cut short',
      `[\n${'1,'.repeat(5000)}2`,
      'json',
      /line 2, column 10002: it ends too early/,
    ],
    ['something after the list', '[1] 2', 'json', /line 1, column 5: unexpected "2"/],
    ['a fault in a line', '{}\n\n{"a"}\n', 'x-ndjson', /line 3, column 5: unexpected "}"/],
    ['too many lines', '1\n'.repeat(2_000_000), 'x-ndjson', /at most 10000 entries at once/],
    ['too many elements', `[${'1,'.repeat(2_000_000)}x`, 'json', /at most 10000 entries at once/],
    ['one long value', `["${'\\"'.repeat(100_000)}`, 'json', /holds a value of more than 65536 characters/],
    [
      'many names',
      JSON.stringify([Object.fromEntries(Array.from({ length: 1001 }, (_, n) => [n, 1]))]),
      'json',
      /an object with more than 1000 names/,
    ],
  ] as const)
    test(`a body with ${what} is refused, with its place where it has one`, async () => {
      const reply = await put(body, { 'content-type': `application/${type}` });
      assert.equal(reply.status, 400);
      assert.match(reply.json.detail, message);
    });

  test('a list sets, changes and removes; others are left alone', async () => {
    await put([
      { subject: account('a@list.example'), factor: 2 },
      { subject: account('b@list.example'), factor: 2 },
      { subject: account('c@list.example'), factor: 2 },
    ]);
    const next = await put([
      { subject: account('A@list.example'), factor: 3, limits: { nowhere: 4 } },
      { subject: account('b@list.example'), remove: true, note: 'left' },
      { subject: account('d@list.example'), remove: true },
      { subject: domain('list.example'), total: { limits: { domain: 9 } } },
    ]);
    assert.deepEqual([next.status, counts(next)], [200, [2, 1, 1]]);
    const { unused } = next.json as unknown as { unused: unknown };
    assert.deepEqual(unused, [
      {
        subject: account('a@list.example'),
        field: 'limits.nowhere',
        message: 'no rule in force has this id',
      },
    ]);
    const { json } = await server.get(`${OVERRIDES}?prefix=c@list`);
    assert.equal(json.items.length, 1);
    const removed = await server.get(`${OVERRIDES}/account/b@list.example`);
    assert.equal(detailOf(removed).history.at(-1)?.note, 'left');
  });

  test('one fault refuses all, and each entry at fault is named', async () => {
    const head = await server.deps.store.head();
    const refused = await put([
      { subject: account('good@bad.example'), factor: 2 },
      { subject: account('bad@bad.example'), factor: 1000 },
      { subject: account('GOOD@bad.example'), factor: 2 },
      7,
      { subject: account('late@bad.example'), factor: 2, until: '2020-01-01' },
      { subject: account('x@bad.example'), remove: false },
    ]);
    assert.equal(refused.status, 400);
    assert.deepEqual(
      refused.json.errors.map(({ field, message }) => `${field}: ${message}`),
      [
        '[1].factor: must be at most 100',
        '[2].subject: is the same as that of [0]',
        '[3]: must be an object with subject, and limits or factor',
        '[4].until: must lie in the future',
        '[5].remove: must be true, or be left out',
      ],
    );
    const broken = await put(
      '{"subject":{"type":"account","value":"a@bad.example"},"factor":2}\n{"subj',
      ndjson,
    );
    assert.deepEqual([broken.status, broken.json.line], [400, 2]);
    const all = await put(Array.from({ length: 100 }, () => ({})));
    assert.equal(all.json.errors.length, 21, 'not every one of a flood of faults');
    assert.equal((await put([])).status, 400);
    assert.equal((await put(Array.from({ length: 10_001 }, () => ({})))).status, 400);
    assert.equal((await put('a: 1', { 'content-type': 'application/yaml' })).status, 415);
    assert.equal(await server.deps.store.head(), head, 'nothing was written');
  });

  test('if the store fails half-way, the same request again does the rest and answers for all', async () => {
    let left = Infinity;
    const failing = await ApiServer.start((deps) => {
      const store = changed(deps.store, {
        append: (stream, events, expected) => {
          if (stream.startsWith('override-') && left-- <= 0) throw new StoreUnavailable('away');
          return deps.store.append(stream, events, expected);
        },
      });
      return { ...deps, store };
    });
    try {
      const list = Array.from({ length: 500 }, (_, index) => ({
        subject: account(`h${index}@half.example`),
        factor: 2,
      }));
      const request = () =>
        failing.call('PUT', OVERRIDES, { body: list, headers: { 'idempotency-key': 'half' } });
      left = 200;
      assert.equal((await request()).status, 503);
      left = Infinity;
      const rest = await request();
      assert.equal(rest.status, 200);
      assert.equal(failing.deps.models.overrides.size, 500);
      assert.deepEqual(counts(rest), [500, 0, 0]);
    } finally {
      await failing.stop();
    }
  });
});
