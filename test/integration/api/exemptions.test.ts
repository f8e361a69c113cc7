import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exemptionShape } from '../../../src/api/shapes.js';
import { DAY, HOUR, formatInstant } from '../../../src/kernel/time.js';
import { ApiServer } from '../../support/api/server.js';

const EXEMPTIONS = '/api/v1/exemptions';
const RULES = `version: 1
rules: []
exempt:
  - { subject: { type: ip, value: 192.0.2.0/24 }, reason: our scanners }
`;

describe('exemptions over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
    await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
  });
  after(() => server.stop());

  const grant = (value: string, more: Readonly<Record<string, unknown>> = { duration: '1d' }) =>
    server.post(
      EXEMPTIONS,
      { subject: { type: 'account', value }, reason: 'weekly list', ...more },
      { role: 'operator' },
    );

  test('one is granted, read, in force for the rules, and revoked', async () => {
    const granted = await grant('News@example.com');
    assert.equal(granted.status, 201);
    exemptionShape.strict().parse(granted.json);
    assert.equal(granted.json.subject.value, 'news@example.com');
    assert.equal(granted.json.until, formatInstant(server.clock.now() + DAY));
    assert.equal(granted.json.by, 'admin:the-operator');
    const location = granted.headers.get('location')!;
    assert.deepEqual((await server.get(location, { role: 'viewer' })).json, granted.json);
    await server.trip('news@example.com', 'block');
    const sender = await server.get('/api/v1/senders/account/news@example.com');
    assert.equal(sender.json.standing.block, null);
    assert.equal(sender.json.standing.exemption.id, granted.json.id);
    assert.equal((await server.get(location)).json.saved, 1);
    const revoked = await server.call('DELETE', location, { role: 'operator' });
    assert.equal(revoked.status, 204);
    assert.equal(revoked.text, '');
    assert.equal((await server.get(location)).status, 404);
    assert.equal((await server.call('DELETE', location)).status, 404);
  });

  test('the very same again is 200, a different one replaces it', async () => {
    const until = formatInstant(server.clock.now() + HOUR);
    const first = await grant('twice@example.com', { until });
    const same = await grant('twice@example.com', { until });
    assert.deepEqual([first.status, same.status], [201, 200]);
    assert.equal(same.json.id, first.json.id);
    const other = await grant('twice@example.com', { indefinite: true });
    assert.equal(other.status, 201);
    assert.equal(other.json.until, null);
    assert.equal((await server.get(`${EXEMPTIONS}/${first.json.id}`)).status, 404);
  });

  test('those of the rules are listed, and are changed in the rules only', async () => {
    const { json } = await server.get(`${EXEMPTIONS}?origin=rules`);
    assert.deepEqual(
      json.items.map(({ id }) => id),
      ['rules:ip:192.0.2.0/24'],
    );
    const target = `${EXEMPTIONS}/${encodeURIComponent('rules:ip:192.0.2.0/24')}`;
    assert.equal((await server.get(target)).json.reason, 'our scanners');
    const refused = await server.call('DELETE', target);
    assert.equal(refused.status, 409);
    assert.match(refused.json.detail, /edit the rules file, or PUT \/api\/v1\/rules/);
    assert.equal((await server.call('DELETE', `${EXEMPTIONS}/built-in`)).status, 409);
  });

  test('pages, filters, and the clock', async () => {
    for (const name of ['p1', 'p2', 'p3']) await grant(`${name}@example.com`, { duration: '1h' });
    const all: string[] = [];
    for (let cursor = ''; ;) {
      const { json } = await server.get(`${EXEMPTIONS}?limit=2${cursor}`);
      all.push(...json.items.map(({ subject }) => subject.value));
      if (json.next === null) break;
      cursor = `&cursor=${json.next}`;
    }
    assert.equal(new Set(all).size, all.length);
    assert.ok(
      all.includes('192.0.2.0/24') && all.includes('p1@example.com') && all.includes('p3@example.com'),
    );
    const networks = await server.get(`${EXEMPTIONS}?type=ip`);
    assert.equal(networks.json.items.length, 1);
    server.clock.advance(2 * HOUR);
    const { json } = await server.get(`${EXEMPTIONS}?limit=500`);
    assert.equal(
      json.items.some(({ subject }) => subject.value === 'p1@example.com'),
      false,
    );
  });

  test('a reason and one span are needed', async () => {
    const subject = { type: 'account', value: 'x@example.com' };
    const silent = await server.post(EXEMPTIONS, { subject, reason: ' ', indefinite: true });
    assert.deepEqual(silent.json.errors, [{ field: 'reason', message: 'must say why' }]);
    const endless = await server.post(EXEMPTIONS, { subject, reason: 'why' });
    assert.match(endless.json.detail, /exactly one/);
  });
});
