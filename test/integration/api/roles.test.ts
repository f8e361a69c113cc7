import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { Role } from '../../../src/accounts/roles.js';
import { allows, ROLES, SCOPES } from '../../../src/accounts/roles.js';
import type { Caller } from '../../../src/api/index.js';
import { blockStream } from '../../../src/blocks/events.js';
import { cursorOf } from '../../../src/api/shapes.js';
import { formatInstant, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { heldStream, sendStream } from '../../../src/sending/events.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { ApiServer, OWN_DOMAINS, TOKENS } from '../../support/api/server.js';
import type { Reply } from '../../support/api/server.js';

/** What is asked of a route, once of the caller's own and once of somebody else's. */
interface Asks {
  /** One target for both: a list. Its answer names what is the caller's, and nothing else. */
  readonly list?: string;
  /** A target for each thing. Of somebody else's the answer is that of one that there is not. */
  readonly one?: (subject: string, id: string) => string;
  readonly body?: unknown;
  /** The body that names things by id, where the target does not: its answer has a row for each. */
  readonly rows?: (...ids: readonly string[]) => unknown;
  /** Which thing it needs. */
  readonly of?: 'block' | 'proposal' | 'exemption';
  /** What has no id answers for any name of other domains alike. */
  readonly byName?: boolean;
}

const BLOCKS = '/api/v1/blocks';
const encoded = encodeURIComponent;

/** How each route of the scope `own` is asked. A route that is not here fails the test. */
const ASKED: Readonly<Record<string, Asks>> = {
  'GET /api/v1/overview': { list: '/api/v1/overview' },
  'GET /api/v1/blocks': { list: `${BLOCKS}?limit=500` },
  'GET /api/v1/blocks/{id}': { one: (_, id) => `${BLOCKS}/${id}` },
  'GET /api/v1/blocks/{id}/held': { one: (_, id) => `${BLOCKS}/${id}/held` },
  'POST /api/v1/blocks/{id}/approve': { one: (_, id) => `${BLOCKS}/${id}/approve`, of: 'proposal' },
  'POST /api/v1/blocks/{id}/dismiss': { one: (_, id) => `${BLOCKS}/${id}/dismiss`, of: 'proposal' },
  'POST /api/v1/blocks/{id}/release': { one: (_, id) => `${BLOCKS}/${id}/release` },
  'POST /api/v1/blocks/{id}/held': {
    one: (_, id) => `${BLOCKS}/${id}/held`,
    body: { action: 'release' },
  },
  'POST /api/v1/blocks/actions': { rows: (...ids) => ({ action: 'release', ids }) },
  'GET /api/v1/blocks/{id}/report': { one: (_, id) => `${BLOCKS}/${id}/report` },
  'GET /api/v1/blocks/{id}/refusals': { one: (_, id) => `${BLOCKS}/${id}/refusals` },
  'GET /api/v1/changes': { list: '/api/v1/changes?format=ndjson' },
  'GET /api/v1/exemptions': { list: '/api/v1/exemptions?limit=500' },
  'GET /api/v1/exemptions/{id}': { one: (_, id) => `/api/v1/exemptions/${encoded(id)}`, of: 'exemption' },
  'GET /api/v1/overrides': { list: '/api/v1/overrides?limit=500' },
  'GET /api/v1/overrides/{type}/{value}': {
    one: (name) => `/api/v1/overrides/account/${encoded(name)}`,
    byName: true,
  },
  'GET /api/v1/rules/observed': { list: '/api/v1/rules/observed?limit=500' },
  'GET /api/v1/senders': { list: '/api/v1/senders?limit=500' },
  'GET /api/v1/senders/{type}/{value}': {
    one: (name) => `/api/v1/senders/account/${encoded(name)}`,
    byName: true,
  },
  'GET /api/v1/senders/{type}/{value}/volume': {
    one: (name) => `/api/v1/senders/account/${encoded(name)}/volume`,
    byName: true,
  },
  'GET /api/v1/check': { one: (name) => `/api/v1/check?account=${encoded(name)}`, byName: true },
  'GET /api/v1/events': { list: '/api/v1/events?after=0&categories=block,rules,override,send,held,auth' },
};

const OWN = 'a@own.example';
const BELOW = 'b@mail.own.example';
const FOREIGN = 'x@foreign.example';
/** Its name only ends like one of theirs. */
const ALIKE = 'y@notown.example';
const [ADDRESS, EHLO] = ['203.0.113.9', 'bad.own.example'] as const;

/** What no answer to the administrator of a domain may hold. */
const strange = new Set([FOREIGN, ALIKE, 'foreign.example', 'notown.example', ADDRESS, EHLO]);

const server = await ApiServer.start();
const routes = server.api.routes.map((route) => ({
  ...route,
  name: `${route.method.toUpperCase()} ${route.path}`,
}));
/** An active block, a proposal and an exemption of each account. */
const things = new Map<string, Record<'block' | 'proposal' | 'exemption', string>>();

async function populate(name: string): Promise<void> {
  const block = (await server.block(name)).id;
  const proposal = await server.trip(`p-${name}`);
  const exempt = { subject: { type: 'account', value: `e-${name}` }, reason: 'known', indefinite: true };
  const exemption = (await server.post('/api/v1/exemptions', exempt)).json.id;
  things.set(name, { block, proposal, exemption });
  await server.call('PUT', `/api/v1/overrides/account/${encoded(name)}`, { body: { factor: 2 } });
  await server.sent(name, 5);
  const subject: Subject = { type: 'account', value: name };
  const evidence = {
    rule: 'looks',
    version: 1,
    count: 'recipients',
    window: MINUTE,
    limit: 1,
    observed: 2,
    firstPosition: 1,
    lastPosition: 1,
    lastAt: server.clock.now(),
    sentence: `Account ${name}: 2.`,
  };
  await append(blockStream(subject), 'RuleObserved', { subject, evidence, action: 'observe' });
  const held = { account: name, direction: 'outbound', block, transaction: newId(), recipients: 1, size: 10 };
  await append(heldStream(block), 'MessageHeld', held);
}

async function append(stream: string, type: string, data: unknown): Promise<void> {
  const event = { id: newId(), type, at: server.clock.now(), by: 'rule:looks@1', data };
  await server.deps.store.append(stream, [event], 'any');
}

before(async () => {
  for (const name of [OWN, BELOW, FOREIGN, ALIKE]) await populate(name);
  // What comes now is answered when all that came before is folded.
  for (const subject of [
    { type: 'ip', value: ADDRESS },
    { type: 'ehlo', value: EHLO },
  ])
    strange.add((await server.post(BLOCKS, { subject, indefinite: true })).json.id);
  for (const name of [FOREIGN, ALIKE]) for (const id of Object.values(things.get(name)!)) strange.add(id);
});
after(() => server.stop());

function assertNothingStrange(text: string, what: string): void {
  for (const word of strange)
    assert.ok(!text.includes(word), `${what} shows ${word}: ${text.slice(0, 2000)}`);
}

/** The answer, or of a stream what comes until the newest event is there. */
async function ask(method: string, target: string, role: Role, body?: unknown): Promise<Reply> {
  if (!target.startsWith('/api/v1/events')) return server.call(method, target, { role, body });
  const request = http.get(new URL(target, server.url), {
    headers: { authorization: `Bearer ${TOKENS[role]}` },
    agent: false,
  });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.setEncoding('utf8');
  let text = '';
  if (response.statusCode === 200) {
    // Events come in order: after this one there is nothing that is not there yet.
    const last = (await server.block(`last-${newId()}@own.example`)).id;
    for await (const part of response) if ((text += part as string).includes(last)) break;
  }
  response.destroy();
  return { status: response.statusCode!, headers: new Headers(), text, json: undefined as never };
}

/** A thing of this account of the kind that a route needs; of a kind that a call uses up a new one. */
async function idOf(name: string, { of = 'block' }: Asks, isUsedUp: boolean): Promise<string> {
  if (!isUsedUp) return things.get(name)![of];
  const fresh = `${newId()}-${name}`;
  const id = of === 'proposal' ? await server.trip(fresh) : (await server.block(fresh)).id;
  if (name === FOREIGN) strange.add(id);
  return id;
}

/** What two answers that name different things have in common. */
function anonymous({ status, text }: Reply, ...names: readonly string[]): string {
  const plain = names.reduce((rest, name) => rest.replaceAll(name, 'NAME'), text);
  return `${status} ${plain.replace(/"urn:request:[^"]*"/, '')}`;
}

const isRefused = ({ status }: Reply): boolean => status === 401 || status === 403;

describe('what is held for a block of a domain', () => {
  const actions: readonly (readonly [path: string, body: unknown])[] = [
    ['held', { action: 'delete' }],
    ['held', { action: 'release' }],
    ['release', { held: 'delete' }],
    ['release', { held: 'release' }],
    // It withdraws what an operator has decided.
    ['held', { action: 'keep' }],
    ['release', { held: 'keep' }],
  ];

  test('is not sent or deleted by its administrator if some of it is mail of accounts elsewhere, nor counted', async () => {
    const subject = { type: 'domain', value: 'own.example' };
    const { id } = (await server.post(BLOCKS, { subject, duration: '1h' })).json;
    const hold = async (account: string): Promise<void> => {
      const held = { account, returnPath: OWN, direction: 'outbound', block: id, transaction: newId() };
      await append(heldStream(id), 'MessageHeld', { ...held, recipients: 1, size: 10 });
    };
    const as = { role: 'domain' } as const;
    await hold(OWN);
    assert.equal((await server.post(`${BLOCKS}/${id}/held`, { action: 'release' }, as)).status, 200);
    await hold(FOREIGN);
    for (const [path, body] of actions) {
      const reply = await server.post(`${BLOCKS}/${id}/${path}`, body, as);
      assert.deepEqual([reply.status, reply.json['needed']], [403, 'operator'], JSON.stringify(body));
    }
    const rows = await server.post(`${BLOCKS}/actions`, { action: 'release', ids: [id], held: 'delete' }, as);
    assert.equal((rows.json as unknown as { items: { status: number }[] }).items[0]!.status, 403);
    const counts = async (role: Role): Promise<unknown[]> => {
      const held = await server.get(`${BLOCKS}/${id}/held`, { role });
      const report = await server.get(`${BLOCKS}/${id}/report`, { role });
      const { count } = held.json as unknown as { count: number };
      return [count, (report.json as unknown as { held: { waiting: number } }).held.waiting];
    };
    const [theirs, all] = [await counts('domain'), await counts('operator')];
    assert.equal(Number(all[0]) - Number(theirs[0]), 1);
    assert.equal(Number(all[1]) - Number(theirs[1]), 1);
    assert.equal((await server.post(`${BLOCKS}/${id}/release`, {}, as)).status, 200, 'it stays on hold');
    assert.equal((await server.post(`${BLOCKS}/${id}/held`, { action: 'delete' })).status, 200, 'an admin');
  });
});

describe('what each role may ask of each route', () => {
  for (const { name, method, path, role: needed, scope } of routes) {
    const asks = ASKED[name];
    const isRead = method === 'get';

    test('the mail that is held for a block of their domain is shown, but not that of accounts elsewhere', async () => {
      const subject = { type: 'domain', value: 'own.example' };
      const { id } = (await server.post(BLOCKS, { subject, duration: '1h' })).json;
      for (const account of [OWN, FOREIGN]) {
        const held = { account, returnPath: OWN, direction: 'outbound', block: id, transaction: newId() };
        await append(heldStream(id), 'MessageHeld', { ...held, recipients: 1, size: 10 });
      }
      const seen = async (role: Role): Promise<readonly unknown[]> => {
        const { json } = await server.call('GET', `${BLOCKS}/${id}/held`, { role });
        return (json as unknown as { items: readonly { account: string }[] }).items.map(
          ({ account }) => account,
        );
      };
      assert.deepEqual([await seen('domain'), await seen('viewer')], [[OWN], [FOREIGN, OWN]]);
      await server.post(`${BLOCKS}/${id}/release`, {});
    });

    test(`${name} says what it is to the administrator of a domain, and this test how it is asked`, () => {
      assert.ok(SCOPES.includes(scope));
      assert.equal(asks !== undefined, scope === 'own', 'ASKED has just the routes of the scope own');
    });

    if (needed === undefined) continue;
    for (const role of ROLES) {
      const isIn = allows(role, needed, scope);
      const place = path
        .replace('{token}', TOKENS[role])
        .replace('{type}', 'account')
        .replace(/\{\w+\}/g, 'nobody');
      const targetOf = (subject: string, id: string): string =>
        asks?.list ?? asks?.one?.(subject, id) ?? place;

      test(`${name} lets a caller of the role ${role} ${isIn ? 'in' : 'not in'}, whatever domain it asks about`, async () => {
        for (const subject of [OWN, FOREIGN]) {
          const id = asks === undefined ? 'x' : await idOf(subject, asks, !isRead);
          const reply = await ask(
            method.toUpperCase(),
            targetOf(subject, id),
            role,
            isRead ? undefined : (asks?.rows?.(id) ?? asks?.body),
          );
          assert.equal(isRefused(reply), !isIn, `${subject}: ${reply.status} ${reply.text}`);
          // No other role would be theirs: they are told that they are not meant.
          if (role === 'domain' && !isIn)
            assert.match(reply.text, /not for the administrators of single domains/);
        }
      });
    }

    const { list, one, rows } = asks ?? {};
    if (list !== undefined) {
      test(`${name} shows the administrator of a domain what is theirs, subdomains too, and nothing else`, async () => {
        const reply = await ask('GET', list, 'domain');
        assert.equal(reply.status, 200);
        for (const own of [OWN, BELOW]) assert.ok(reply.text.includes(own), own);
        assertNothingStrange(reply.text, name);
        const all = await ask('GET', list, 'viewer');
        for (const each of [OWN, BELOW, FOREIGN, ALIKE]) assert.ok(all.text.includes(each), each);
      });
    }
    if (one !== undefined) {
      test(`${name} answers the administrator of a domain for one of theirs, and for any other as if there were none`, async () => {
        const call = (subject: string, id: string): Promise<Reply> =>
          ask(method.toUpperCase(), one(subject, id), 'domain', asks?.body);
        for (const subject of [OWN, BELOW]) {
          const reply = await call(subject, await idOf(subject, asks!, !isRead));
          assert.equal(reply.status, 200, reply.text);
          assertNothingStrange(reply.text, name);
        }
        const unknown = [newId(), `nobody-${newId()}@foreign.example`] as const;
        const absent = await call(unknown[1], unknown[0]);
        for (const subject of [FOREIGN, ALIKE]) {
          const id = await idOf(subject, asks!, !isRead);
          const reply = await call(subject, id);
          assert.equal(reply.status, 404, reply.text);
          assert.equal(
            anonymous(reply, id, subject),
            anonymous(absent, ...unknown),
            'it is as unknown as one that there is not',
          );
          if (asks!.byName !== true && asks!.of !== 'exemption') {
            const there = await server.get(`${BLOCKS}/${id}`);
            assert.equal(there.json.history.length, 1, 'nothing was done to it');
          }
        }
      });
    }
    if (rows !== undefined) {
      test(`${name} does to one of the administrator's what it is asked to, and has for any other the row of one that there is not`, async () => {
        const own = [await idOf(OWN, asks!, true), await idOf(BELOW, asks!, true)];
        const foreign = [await idOf(FOREIGN, asks!, true), await idOf(ALIKE, asks!, true)];
        const absent = newId();
        const ids = [...own, ...foreign, absent];
        const reply = await server.call(method.toUpperCase(), path, { role: 'domain', body: rows(...ids) });
        assert.equal(reply.status, 200, reply.text);
        const { items } = reply.json;
        assert.deepEqual(
          items.map(({ status }) => status),
          [200, 200, 404, 404, 404],
        );
        const problems = items
          .slice(2)
          .map(({ problem }, index) => JSON.stringify(problem).replace(ids[2 + index]!, 'ID'));
        assert.equal(new Set(problems).size, 1, problems.join());
        for (const id of foreign)
          assert.equal(
            (await server.get(`${BLOCKS}/${id}`)).json.history.length,
            1,
            'nothing was done to it',
          );
      });
    }
  }
});

describe('the administrator of a domain', () => {
  const get = (target: string): Promise<Reply> => server.get(target, { role: 'domain' });

  test('finds nothing of others by any filter, search or page of the list of blocks', async () => {
    const { block } = things.get(FOREIGN)!;
    for (const query of [
      'q=foreign',
      `value=${FOREIGN}`,
      `value=${ADDRESS}`,
      `id=${block}`,
      'type=ip,ehlo',
      'q=203.0.113',
    ])
      assert.deepEqual((await get(`${BLOCKS}?${query}`)).json.items, [], query);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: Reply = await get(`${BLOCKS}?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(page.text);
      cursor = page.json.next;
    }
    assertNothingStrange(seen.join(''), 'a page');
  });

  test('finds only their own blocks in each order, in the total, at a past instant and in exports', async () => {
    const [seen, all] = [
      await get(`${BLOCKS}?limit=500&total=true`),
      await server.get(`${BLOCKS}?limit=500&total=true`),
    ];
    assert.equal(seen.json.next, null);
    assert.equal(seen.json.total, seen.json.items.length);
    assert.ok(all.json.total > seen.json.total);
    const filtered = (await get(`${BLOCKS}?state=active&total=true`)).json;
    assert.equal(filtered.total, (await get(`${BLOCKS}?state=active&limit=500`)).json.items.length);
    for (const sort of ['newest', 'oldest', 'since', 'until', 'refused', 'subject']) {
      const ids: string[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const page: Reply = await get(
          `${BLOCKS}?sort=${sort}&limit=7${cursor === '' ? '' : `&cursor=${cursor}`}`,
        );
        assertNothingStrange(page.text, sort);
        ids.push(...page.json.items.map(({ id }) => id));
        cursor = page.json.next;
      }
      assert.deepEqual(ids.toSorted(), seen.json.items.map(({ id }) => id).toSorted(), sort);
    }
    const at = formatInstant(server.clock.now());
    for (const query of [
      `at=${at}&limit=500`,
      'format=csv',
      'format=ndjson',
      `format=csv&at=${at}&sort=oldest`,
    ]) {
      const { status, text } = await get(`${BLOCKS}?${query}`);
      assert.equal(status, 200);
      assert.ok(text.includes(OWN) && text.includes(BELOW), query);
      assertNothingStrange(text, query);
    }
  });

  test('does not learn by a made-up cursor where the block of somebody else is in an order', async () => {
    const [own, foreign] = await Promise.all(
      [OWN, FOREIGN].map(
        async (name) => (await server.get(`${BLOCKS}/${things.get(name)!.block}`)).json.history[0].position,
      ),
    );
    const page = (begin: number): Promise<Reply> =>
      get(`${BLOCKS}?sort=subject&cursor=${cursorOf(`subject~~${begin}`)}`);
    assert.equal((await page(own!)).status, 200);
    const [strange, absent] = [await page(foreign!), await page(foreign! + 1_000_000)];
    assert.equal(strange.status, 400);
    assert.equal(anonymous(strange), anonymous(absent));
  });

  test('sees changes of what concerns them, also a revoked exemption, and none of the rules', async () => {
    for (const name of [OWN, FOREIGN]) {
      const exempt = { subject: { type: 'account', value: `r-${name}` }, reason: 'known', indefinite: true };
      const { id } = (await server.post('/api/v1/exemptions', exempt)).json;
      if (name === FOREIGN) strange.add(id);
      assert.equal((await server.call('DELETE', `/api/v1/exemptions/${encoded(id)}`)).status, 204);
    }
    const { source } = (await server.get('/api/v1/rules')).json as unknown as { source: string };
    const put = await server.call('PUT', '/api/v1/rules', { body: { source: `${source}\n# Changed.\n` } });
    assert.equal(put.status, 200, put.text);
    const types = 'type=ExemptionRevoked,RulesChanged';
    for (const format of ['json', 'csv', 'ndjson']) {
      const mine = await get(`/api/v1/changes?${types}&format=${format}`);
      assert.ok(mine.text.includes(`r-${OWN}`), mine.text);
      assert.ok(!mine.text.includes('RulesChanged'), mine.text);
      assertNothingStrange(mine.text, format);
    }
    const all = (await server.get(`/api/v1/changes?${types}`)).text;
    assert.ok(all.includes('RulesChanged') && all.includes(`r-${FOREIGN}`), all);
  });

  test('sees of what a block of their domain did only what was sent by accounts of theirs', async () => {
    const [mine, theirs] = ['s@own.example', 's@foreign.example'];
    const { id } = await server.block('own.example', { subject: { type: 'domain', value: 'own.example' } });
    for (const account of [mine, theirs]) {
      const sender = { account, returnPath: mine, ip: '192.0.2.1', direction: 'outbound' };
      const refused = {
        ...sender,
        stage: 'rcpt',
        block: id,
        reply: `550 ${account}`,
        count: 1,
        since: server.clock.now(),
      };
      await append(sendStream(account), 'MessageRefused', refused);
    }
    for (const part of ['refusals', 'report']) {
      const seen = (await get(`${BLOCKS}/${id}/${part}`)).text;
      assert.ok(seen.includes(mine) && !seen.includes(theirs), seen);
      assert.ok((await server.get(`${BLOCKS}/${id}/${part}`)).text.includes(theirs));
    }
    assert.equal((await server.post(`${BLOCKS}/${id}/release`)).status, 200);
  });

  test('sees no busy address, EHLO name or domain of others', async () => {
    for (const by of ['ip', 'ehlo', 'domain', 'address'])
      assertNothingStrange((await get(`/api/v1/senders?by=${by}`)).text, by);
  });

  test('is not told by check of a block that is of none of their domains', async () => {
    const asked = `/api/v1/check?account=${encoded('free@own.example')}&ip=${ADDRESS}&ehlo=${EHLO}`;
    const reply = await get(asked);
    assert.equal(reply.json.refused, true);
    assert.match(reply.json.sentence, /of none of your domains/);
    assert.equal(reply.json.block, null);
    assert.deepEqual(reply.json.matching, []);
    for (const word of strange)
      if (word !== ADDRESS && word !== EHLO) assert.ok(!reply.text.includes(word), word);
    assert.equal((await server.get(asked, { role: 'viewer' })).json.matching.length, 2);
    assert.equal((await get(`/api/v1/check?ip=${ADDRESS}`)).status, 400);
    const mixed = await get(`/api/v1/check?account=${encoded(OWN)}&returnPath=${encoded(FOREIGN)}`);
    assert.equal(mixed.status, 404);
  });

  test('raises no limit of their own by a false positive', async () => {
    const id = await server.trip('tripped@own.example');
    for (const [action, of] of [
      ['dismiss', id],
      ['release', things.get(OWN)!.block],
    ] as const) {
      const reply = await server.post(
        `${BLOCKS}/${of}/${action}`,
        { falsePositive: true },
        { role: 'domain' },
      );
      assert.equal(reply.status, 403, reply.text);
      assert.equal(reply.json.needed, 'operator');
    }
    const [foreign] = [things.get(FOREIGN)!.block];
    const many = { action: 'dismiss', falsePositive: true, ids: [id, foreign] };
    const { items } = (await server.post(`${BLOCKS}/actions`, many, { role: 'domain' })).json;
    assert.deepEqual(
      items.map(({ status, problem }) => [status, problem.code]),
      [
        [403, 'forbidden'],
        [404, 'not-found'],
      ],
    );
    assert.equal((await get(`${BLOCKS}/${id}`)).json.state, 'proposed');
    assert.equal((await server.post(`${BLOCKS}/${id}/dismiss`, {}, { role: 'domain' })).status, 200);
    const [decided] = (await get(`${BLOCKS}/${id}`)).json.history.slice(-1);
    assert.equal(decided!.by, 'admin:the-domain');
  });

  test('gets no answer that was kept for the same name when it had other rights', async () => {
    let caller: Caller = { name: 'same', role: 'operator', domains: [] };
    const tokens = { authenticate: (): Caller => caller, hasName: () => true };
    const other = await ApiServer.start((deps) => ({ ...deps, tokens }));
    try {
      const { id } = await other.block('x@foreign.example');
      const headers = { 'idempotency-key': 'once' };
      const release = (): Promise<Reply> => other.post(`${BLOCKS}/${id}/release`, {}, { headers });
      assert.equal((await release()).status, 200);
      caller = { name: 'same', role: 'domain', domains: OWN_DOMAINS };
      assert.equal((await release()).status, 404);
    } finally {
      await other.stop();
    }
  });
});
