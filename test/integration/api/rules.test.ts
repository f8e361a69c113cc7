import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { rulesShape } from '../../../src/api/rule-set.js';
import { ApiServer } from '../../support/api/server.js';

const RULES = '/api/v1/rules';
const VALID = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 50, then: block, for: 1h }
`;
const FAULTY = `version: 1
rules:
  - { id: a, per: account, count: messages, window: 1x, limit: 3, then: block, for: 1h }
  - id: b
    per: planet
    count: messages
    window: 10m
    limit: 3
    then: observe
`;

describe('rules over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  test('are read with their source, parsed, and with what each blocks', async () => {
    await server.trip('counted@example.com', 'block', 'burst');
    const reply = await server.get(RULES, { role: 'viewer' });
    rulesShape.strict().parse(reply.json);
    assert.equal(reply.json.version, 1);
    assert.equal(reply.json.origin, 'defaults');
    assert.equal(reply.headers.get('etag'), '"1"');
    const [burst] = reply.json.rules;
    assert.deepEqual(
      [burst.id, burst.window, burst.for, burst.escalate, burst.activeBlocks],
      ['burst', '10m', '1h', { factor: 4, max: '7d', forget: '30d' }, 1],
    );
    assert.equal(reply.json.maxAutomaticBlocks, '20 in 10m');
  });

  for (const [how, body, type] of [
    ['YAML', FAULTY, 'application/yaml'],
    ['YAML as text', FAULTY, 'text/yaml; charset=utf-8'],
    ['YAML within JSON', JSON.stringify({ source: FAULTY }), 'application/json'],
  ] as const) {
    test(`are validated with line and reason: ${how}`, async () => {
      const reply = await server.call('POST', `${RULES}/validate`, {
        role: 'viewer',
        body,
        headers: { 'content-type': type },
      });
      assert.equal(reply.status, 200);
      assert.equal(reply.json.valid, false);
      const faults = reply.json.faults.map(({ line, path }) => [line, path]);
      assert.deepEqual(faults, [
        [3, 'rules[0].window'],
        [5, 'rules[1].per'],
      ]);
    });
  }

  test('come as a JSON object too, and faults then have no lines', async () => {
    const rule = { id: 'a', per: 'account', count: 'messages', window: '10m', limit: 3, then: 'observe' };
    const valid = await server.post(`${RULES}/validate`, { version: 1, rules: [rule] });
    assert.deepEqual(valid.json, { valid: true, faults: [], warnings: [] });
    const faulty = await server.post(`${RULES}/validate`, { version: 1, rules: [{ ...rule, limit: 0 }] });
    assert.equal(faulty.json.faults[0].line, null);
    assert.equal(faulty.json.faults[0].path, 'rules[0].limit');
  });

  const most = (count: number, line: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => line(index)).join('');
  for (const [what, body, fault] of [
    ['many keys', most(25_000, (index) => `k${index}: 1\n`), /more than 20000 tokens/],
    ['many elements', `version: 1\nrules: [${most(30_000, () => '1,')}]`, /more than 20000 tokens/],
    ['many aliases', `version: &a 1\nrules:\n${most(6_000, () => '- *a\n')}`, /more than 100 aliases|tokens/],
    [
      'a hundred aliases too many',
      `version: &a 1\nrules:\n${most(200, () => '- *a\n')}`,
      /more than 100 aliases/,
    ],
  ] as const) {
    test(`are refused by the validation before they are worked on: ${what}`, async () => {
      const headers = { 'content-type': 'application/yaml' };
      const call = { role: 'viewer', body, headers } as const;
      const reply = await server.call('POST', `${RULES}/validate`, call);
      assert.equal(reply.status, 200);
      assert.match(reply.json.faults[0].message, fault);
      assert.equal(reply.json.faults.length, 1);
    });
  }

  const flood = `version: 1\nrules: [${most(450_000, () => '1,')}]`;
  for (const [method, path, send] of [
    ['PUT', RULES, (source: string) => ({ source })],
    ['PUT', `${RULES}/shadow`, (source: string) => ({ source })],
    ['POST', '/api/v1/backtests', (rules: string) => ({ rules })],
  ] as const)
    test(`of too many tokens are refused before they are worked on: ${method} ${path}`, async () => {
      const reply = await server.call(method, path, { role: 'admin', body: send(flood) });
      assert.equal(reply.status, 422);
      assert.equal(reply.json.faults.length, 1);
      assert.match(reply.json.faults[0].message, /^has more than (400000|20000) tokens$/);
    });

  test('of more values than any body needs are refused unread, but text may hold anything', async () => {
    const reply = await server.call('PUT', RULES, {
      body: `{"version":1,"rules":[${most(160_000, () => '{},')}{}]}`,
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(reply.status, 400);
    assert.match(reply.json.detail, /holds more values than any body needs/);
    const text = most(100_000, () => ',:"\\');
    const source = `${VALID}# ${text}\n`;
    assert.equal((await server.call('PUT', `${RULES}/shadow`, { body: { source } })).status, 201);
  });

  for (const path of [`${RULES}/validate`, '/api/v1/backtests', '/api/v1/blocks']) {
    test(`are refused as JSON that is nested too deeply: ${path}`, async () => {
      const body = `{"version":1,"rules":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
      const headers = { 'content-type': 'application/json' };
      const reply = await server.call('POST', path, { role: 'operator', body, headers });
      assert.equal(reply.status, 400);
      assert.match(reply.json.detail, /nested more than 100 levels deep/);
    });
  }

  test('are replaced under If-Match, and only as a whole', async () => {
    const before = await server.get(RULES);
    const tag = before.headers.get('etag')!;
    const refused = await server.call('PUT', RULES, { body: { source: FAULTY } });
    assert.equal(refused.status, 422);
    assert.equal(refused.json.code, 'invalid-input');
    assert.equal(refused.json.faults[0].line, 3);
    assert.deepEqual((await server.get(RULES)).json, before.json);
    const replaced = await server.call('PUT', RULES, {
      body: VALID,
      headers: { 'content-type': 'application/yaml', 'if-match': tag },
    });
    assert.equal(replaced.status, 200);
    assert.equal(replaced.json.origin, 'api');
    assert.equal(replaced.json.source, VALID);
    assert.equal(replaced.json.rules[0].limit, 50);
    assert.equal(server.deps.models.sendVolume.rules.version, replaced.json.version);
    const late = await server.call('PUT', RULES, {
      body: { source: `${VALID}# more\n` },
      headers: { 'if-match': tag },
    });
    assert.equal(late.status, 412);
    assert.equal(late.json.version, replaced.json.version);
    const same = await server.call('PUT', RULES, { body: { source: VALID }, headers: { 'if-match': tag } });
    assert.equal(same.status, 200);
    assert.equal(same.json.version, replaced.json.version);
  });

  test('of two that are put at once under the same If-Match one is refused', async () => {
    const tag = (await server.get(RULES)).headers.get('etag')!;
    const put = (text: string) =>
      server.call('PUT', RULES, { body: { source: `${VALID}# ${text}\n` }, headers: { 'if-match': tag } });
    const replies = await Promise.all([put('one'), put('two')]);
    assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 412]);
  });

  test('a body that is not YAML, or too large, is refused', async () => {
    const broken = await server.call('PUT', RULES, {
      body: 'version: [1\n',
      headers: { 'content-type': 'application/yaml' },
    });
    assert.equal(broken.status, 422);
    assert.ok(broken.json.faults[0].line >= 1);
    const alias = await server.call('PUT', RULES, {
      body: 'version: 1\nrules: *all\n',
      headers: { 'content-type': 'application/yaml' },
    });
    assert.equal(alias.status, 422);
    assert.equal(alias.json.faults[0].line, 2);
    const large = await server.post(`${RULES}/validate`, { source: '#'.repeat(1024 * 1024) });
    assert.equal(large.status, 413);
    const scalar = await server.post(`${RULES}/validate`, 7);
    assert.equal(scalar.status, 400);
  });
});
