import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { ComparedCase } from '../../../projections/blocks/shadow.js';
import { rulesShape } from '../../../src/api/rule-set.js';
import { precisionShape } from '../../../src/api/rules.js';
import { differenceShape, shadowShape } from '../../../src/api/shadow-rules.js';
import { HOUR } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import type { Reply } from '../../support/api/server.js';
import { ApiServer } from '../../support/api/server.js';
import { terms } from '../../support/given.js';
import { sent } from '../../support/sends.js';

const RULES = '/api/v1/rules';
const SHADOW = `${RULES}/shadow`;
const DIFFERENCES = `${SHADOW}/differences`;
const PROMOTE = `${SHADOW}/promote`;
const rules = (limit: number, more = ''): string => `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h }
${more}`;
const DAY_RULE =
  '  - { id: week, per: account, count: recipients, window: 7d, limit: 30, then: propose, for: 1h }\n';
const FAULTY = rules(50).replace('10m', 'soon');

let server: ApiServer;
before(async () => {
  server = await ApiServer.start();
});
after(() => server.stop());

const put = (source: string, headers: Record<string, string> = {}, target = SHADOW): Promise<Reply> =>
  server.call('PUT', target, { body: { source }, headers });
const tagOf = (reply: Reply): string => reply.headers.get('etag')!;

/** So many recipients from this account now, folded. */
async function send(account: string, recipients: number): Promise<void> {
  const { store, models, clock } = server.deps;
  const sender = { account, returnPath: account, ip: '198.51.100.9' };
  const { data, type } = sent(clock.now(), 0, { ...sender, recipients });
  const message = { type, data, id: newId(), at: clock.now(), by: 'smtp:test' };
  const { position } = await store.append(sendStream(account), [message], 'any');
  await models.reached(position);
}

/** Blocks on what the rules in force saw in the newest difference, as the responder does. @returns the block's id */
async function actOnNewest(): Promise<string> {
  const { blockCommands, models } = server.deps;
  const [{ subject, live }] = models.shadow.comparison!.differences() as [ComparedCase];
  const { evidence } = live!;
  const act = { kind: 'act', action: 'block', subject, terms: terms(), evidence, newId: newId() } as const;
  const { position } = await blockCommands.execute(subject, act, { by: `rule:${evidence.rule}@1` });
  await models.reached(position);
  return act.newId;
}

async function lastTypes(count: number): Promise<readonly string[]> {
  const types: string[] = [];
  for await (const { type } of server.deps.store.readStream('rules', {
    direction: 'backwards',
    limit: count,
  }))
    types.unshift(type);
  return types;
}

describe('shadow rules over HTTP', () => {
  beforeEach(async () => {
    await server.call('DELETE', SHADOW);
    await put(rules(100), {}, RULES);
  });

  test('are none at first: there is nothing to read, remove or promote', async () => {
    for (const [method, path] of [
      ['GET', SHADOW],
      ['GET', DIFFERENCES],
      ['DELETE', SHADOW],
      ['POST', PROMOTE],
    ] as const) {
      const reply = await server.call(method, path);
      assert.equal(reply.status, 404, `${method} ${path}`);
      assert.equal(reply.json.code, 'not-found');
    }
  });

  test('are for administrators to change, and for everybody to read', async () => {
    await put(rules(50));
    for (const [method, path, body] of [
      ['PUT', SHADOW, { source: rules(60) }],
      ['DELETE', SHADOW, undefined],
      ['POST', PROMOTE, undefined],
    ] as const) {
      assert.equal((await server.call(method, path, { role: 'operator', body })).status, 403, method);
    }
    for (const path of [SHADOW, DIFFERENCES, `${RULES}/precision`]) {
      assert.equal((await server.get(path, { role: 'viewer' })).status, 200, path);
    }
  });

  test('run beside the rules in force, which stay', async () => {
    const made = await put(rules(50));
    assert.equal(made.status, 201);
    shadowShape.strict().parse(made.json);
    assert.deepEqual(
      [made.json.source, made.json.by, made.json.rules[0].limit],
      [rules(50), 'admin:the-admin', 50],
    );
    const { models } = server.deps;
    assert.equal(tagOf(made), `"${made.json.version}.${models.sendVolume.rules.version}"`);
    assert.deepEqual((await server.get(SHADOW)).json, made.json);
    assert.equal((await server.get(RULES)).json.rules[0].limit, 100);
    const same = await put(rules(50));
    assert.deepEqual([same.status, same.json.version], [200, made.json.version]);
    const next = await put(rules(60));
    assert.deepEqual([next.status, next.json.version], [200, made.json.version + 1]);
  });

  test('are refused as a whole if they are faulty, with line and reason', async () => {
    const before = await put(rules(50));
    const refused = await server.call('PUT', SHADOW, {
      body: FAULTY,
      headers: { 'content-type': 'application/yaml' },
    });
    assert.equal(refused.status, 422);
    assert.deepEqual(
      refused.json.faults.map(({ line, path }) => [line, path]),
      [[3, 'rules[0].window']],
    );
    assert.deepEqual((await server.get(SHADOW)).json, before.json);
  });

  test('change under If-Match only while neither they nor the rules in force have changed', async () => {
    const made = await put(rules(50));
    const tag = { 'if-match': tagOf(made) };
    await put(rules(99), {}, RULES);
    for (const reply of [
      await put(rules(60), tag),
      await server.call('DELETE', SHADOW, { headers: tag }),
      await server.call('POST', PROMOTE, { headers: tag }),
    ]) {
      assert.equal(reply.status, 412);
      assert.equal(reply.json.code, 'precondition-failed');
    }
    assert.equal((await put(rules(50), tag)).status, 200, 'what is asked for is so already');
    const now = { 'if-match': tagOf(await server.get(SHADOW)) };
    const [type] = await lastTypes(1);
    assert.equal(type, 'RulesChanged', 'nothing was written by what was refused');
    assert.equal((await server.call('DELETE', SHADOW, { headers: now })).status, 204);
    for (const reply of [await put(rules(60), now), await server.call('POST', PROMOTE, { headers: now })]) {
      assert.equal(reply.status, 412, 'what is gone matches nothing');
      assert.equal((reply.json as unknown as { version: null }).version, null);
    }
  });

  test('differ: each difference says what would have been, in which case, and how near it was', async () => {
    await put(rules(50));
    await send('early@example.com', 60);
    const open = await server.get(DIFFERENCES);
    const [item] = open.json.items;
    differenceShape.strict().parse(item);
    const { kind, settled, sentence } = item as unknown as Record<string, unknown>;
    assert.deepEqual([kind, settled], ['shadowOnly', false]);
    assert.equal(
      sentence,
      'Would have been blocked. Account early@example.com: 60 recipients within 10m; rule "burst" allows 50. ' +
        'The nearest rule in force, "burst", stood at 60 recipients, of 100 that it allows.',
    );
    const none = { both: 0, shadowOnly: 0, liveOnly: 0, stronger: 0, weaker: 0 };
    const { json: early } = await server.get(SHADOW);
    shadowShape.strict().parse(early);
    const so = early as unknown as { compared: object; byRule: readonly object[]; open: number };
    assert.deepEqual([so.compared, so.byRule, so.open], [none, [{ rule: 'burst', ...none, open: 1 }], 1]);
    server.clock.advance(HOUR);
    await send('other@example.com', 1);
    const { json } = await server.get(SHADOW);
    const { compared, byRule } = json as unknown as { compared: object; byRule: readonly object[] };
    const counts = { both: 0, shadowOnly: 1, liveOnly: 0, stronger: 0, weaker: 0 };
    assert.deepEqual([compared, byRule], [counts, [{ rule: 'burst', ...counts, open: 0 }]]);
  });

  test('differ if they would have let pass what was blocked, and name the block and whether it was wrong', async () => {
    await put(rules(50), {}, RULES);
    await put(rules(200));
    await send('let-pass@example.com', 60);
    const id = await actOnNewest();
    await server.post(`/api/v1/blocks/${id}/release`, { falsePositive: true });
    const item = (await server.get(DIFFERENCES)).json.items[0] as unknown as Record<string, unknown>;
    assert.deepEqual([item['kind'], item['block'], item['falsePositive']], ['liveOnly', id, true]);
    assert.match(
      String(item['sentence']),
      /^Would not have been blocked\. .* in the shadow, "burst", stood at 60/,
    );
  });

  test('differ if they exempt what was blocked, and say so in place of a window', async () => {
    await put(rules(50), {}, RULES);
    const exempt = 'exempt: [{ subject: { type: account, value: spared@example.com }, reason: our own }]';
    await put(`${rules(50)}\n${exempt}`);
    await send('spared@example.com', 60);
    const item = (await server.get(DIFFERENCES)).json.items[0] as unknown as Record<string, unknown>;
    assert.deepEqual([item['kind'], item['nearest']], ['liveOnly', null]);
    assert.match(
      String(item['sentence']),
      /^Would not have been blocked\. .* The rules in the shadow exempt it: our own\.$/,
    );
  });

  test('are listed by page, by kind and by rule', async () => {
    await put(rules(50));
    for (let user = 0; user < 5; user++) await send(`page${user}@example.com`, 60);
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = await server.get(`${DIFFERENCES}?limit=2${cursor}`);
      seen.push(
        ...page.json.items.map((item) => (item as unknown as { subject: { value: string } }).subject.value),
      );
      // What comes meanwhile shifts no page.
      await send(`late${seen.length}@example.com`, 60);
      cursor = page.json.next === null ? '' : `&cursor=${page.json.next}`;
    } while (cursor !== '');
    assert.deepEqual(
      seen,
      [4, 3, 2, 1, 0].map((user) => `page${user}@example.com`),
    );
    const count = async (query: string): Promise<number> =>
      (await server.get(`${DIFFERENCES}?${query}`)).json.items.length;
    assert.equal(await count('rule=burst'), 8);
    assert.equal(await count('rule=day'), 0);
    assert.equal(await count('kind=liveOnly,stronger'), 0);
    assert.equal(await count('kind=shadowOnly'), 8);
    const { next } = (await server.get(`${DIFFERENCES}?limit=1`)).json;
    await put(rules(55));
    for (const [query, field] of [
      [`cursor=${next}`, 'cursor'],
      ['cursor=MToxMg', 'cursor'],
      ['kind=both', 'kind'],
      ['limit=0', 'limit'],
      ['state=open', 'state'],
    ] as const) {
      const reply = await server.get(`${DIFFERENCES}?${query}`);
      assert.deepEqual([reply.status, reply.json.errors?.[0].field], [400, field], query);
    }
  });

  test('are promoted in one call: in force, gone from the shadow, with the windows that they have counted', async () => {
    await put(rules(100, DAY_RULE));
    await send('warm@example.com', 29);
    const before = (await server.get(RULES)).json.version;
    const shadow = await server.get(SHADOW);
    const reply = await server.call('POST', PROMOTE, { headers: { 'if-match': tagOf(shadow) } });
    assert.equal(reply.status, 200);
    rulesShape.strict().parse(reply.json);
    assert.deepEqual(
      [reply.json.version, reply.json.origin, reply.json.source, tagOf(reply)],
      [before + 1, 'shadow', rules(100, DAY_RULE), `"${before + 1}"`],
    );
    assert.deepEqual((await server.get(RULES)).json, reply.json);
    assert.equal((await server.get(SHADOW)).status, 404);
    assert.deepEqual(await lastTypes(2), ['ShadowRulesPromoted', 'RulesChanged']);
    const sender = await server.get('/api/v1/senders/account/warm@example.com');
    const windows = (sender.json as unknown as { windows: { rule: string; observed: number }[] }).windows;
    assert.equal(windows.find(({ rule }) => rule === 'week')?.observed, 29);
  });

  test('that were promoted before an origin said so are shown with the one that was recorded', async () => {
    const { store, models, clock } = server.deps;
    await put(rules(60));
    const { version } = (await server.get(SHADOW)).json;
    const next = (await server.get(RULES)).json.version + 1;
    const recorded = [
      { type: 'ShadowRulesPromoted', data: { version } },
      {
        type: 'RulesChanged',
        data: { version: next, rules: parseRules(rules(60)), source: rules(60), origin: 'api' },
      },
    ].map((fact) => ({ ...fact, id: newId(), at: clock.now(), by: 'admin:test' }));
    const { position } = await store.append('rules', recorded, 'any');
    await models.reached(position);
    const { json } = await server.get(RULES);
    rulesShape.strict().parse(json);
    assert.deepEqual([json.version, json.origin], [next, 'api']);
  });

  for (const [how, headers, other] of [
    ['without If-Match', false, 404],
    ['under If-Match', true, 412],
  ] as const) {
    test(`of two administrators who promote at once ${how} one succeeds, and it happens once`, async () => {
      const made = await put(rules(50));
      const match: Record<string, string> = headers ? { 'if-match': tagOf(made) } : {};
      const before = (await server.get(RULES)).json.version;
      const both = await Promise.all([1, 2].map(() => server.call('POST', PROMOTE, { headers: match })));
      assert.deepEqual(both.map(({ status }) => status).sort(), [200, other]);
      assert.equal((await server.get(RULES)).json.version, before + 1);
      assert.deepEqual(await lastTypes(3), ['ShadowRulesChanged', 'ShadowRulesPromoted', 'RulesChanged']);
    });
  }

  test('a promotion that meets a change of the rules in force is decided again, or refused if it asked to be', async () => {
    const made = await put(rules(50));
    const [promoted, changed] = await Promise.all([
      server.call('POST', PROMOTE, { headers: { 'if-match': tagOf(made) } }),
      put(rules(77), {}, RULES),
    ]);
    assert.ok(
      (promoted.status === 200 && [200, 409].includes(changed.status)) ||
        (promoted.status === 412 && changed.status === 200),
      `${promoted.status} ${changed.status}`,
    );
    const inForce = (await server.get(RULES)).json;
    assert.equal(server.deps.models.sendVolume.rules.version, inForce.version);
  });

  test('are promoted once under the same Idempotency-Key, also after a restart', async () => {
    const first = await put(rules(50), { 'idempotency-key': 'load-1' });
    assert.equal(first.status, 201);
    const promote = () => server.call('POST', PROMOTE, { headers: { 'idempotency-key': 'promote-1' } });
    const done = await promote();
    assert.equal(done.status, 200);
    assert.equal((await promote()).headers.get('idempotency-replayed'), 'true');
    await server.restart();
    const again = await promote();
    assert.deepEqual(
      [again.status, again.headers.get('idempotency-replayed'), again.json.version],
      [200, 'true', done.json.version],
    );
  });

  test('go on after a restart with what they had counted', async () => {
    await put(rules(50));
    await send('stays@example.com', 60);
    const before = [(await server.get(SHADOW)).json, (await server.get(DIFFERENCES)).json];
    await server.restart();
    assert.deepEqual([(await server.get(SHADOW)).json, (await server.get(DIFFERENCES)).json], before);
  });
});

describe('the precision of rules over HTTP', () => {
  test('counts what people and time have made of blocks and proposals', async () => {
    await put(rules(100), {}, RULES);
    const judged = async () => {
      const { json } = await server.get(`${RULES}/precision`);
      for (const item of json.items) precisionShape.strict().parse(item);
      return (json.items as unknown as Record<string, unknown>[]).find(({ rule }) => rule === 'precise')!;
    };
    const act = async (action: 'propose' | 'block', then: string, body: object = {}): Promise<void> => {
      const id = await server.trip(`${newId()}@example.com`, action, 'precise');
      if (then !== '') assert.equal((await server.post(`/api/v1/blocks/${id}/${then}`, body)).status, 200);
    };
    await act('block', '');
    assert.deepEqual([(await judged())['precision'], (await judged())['open']], [null, 1]);
    await act('block', 'release');
    await act('block', 'release', { falsePositive: true });
    await act('propose', 'approve');
    await act('propose', 'dismiss');
    assert.deepEqual(await judged(), {
      rule: 'precise',
      inForce: false,
      imposed: 3,
      proposed: 2,
      confirmed: 2,
      falsePositives: 1,
      dismissed: 1,
      lapsed: 0,
      open: 1,
      precision: 0.5,
    });
  });
});
