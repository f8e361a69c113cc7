import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exemptionShape } from '../../../src/api/exemptions.js';
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

  test('an exemption is granted, read, in force for the rules, and revoked', async () => {
    const granted = await grant('News@example.com');
    assert.equal(granted.status, 201);
    const { blocks, replaced, dismissed, ...exemption } = granted.json;
    assert.deepEqual([blocks, replaced, dismissed], [[], null, null]);
    exemptionShape.strict().parse(exemption);
    assert.equal(granted.json.subject.value, 'news@example.com');
    assert.equal(granted.json.until, formatInstant(server.clock.now() + DAY));
    assert.equal(granted.json.by, 'admin:the-operator');
    const location = granted.headers.get('location')!;
    assert.deepEqual((await server.get(location, { role: 'viewer' })).json, exemption);
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

  test('an exemption of one IPv6 address is shown of each address in its /64, names the block there, and a person can block one', async () => {
    const value = '2a01:4f8:1:2::/64';
    const block = await server.block('', { subject: { type: 'ip', value } });
    const subject = { type: 'ip', value: '2a01:4f8:1:2::5' };
    const granted = await server.post(EXEMPTIONS, { subject, reason: 'webmail', indefinite: true });
    assert.deepEqual(
      granted.json.blocks.map(({ id }) => id),
      [block.id],
    );
    await server.post(granted.json.blocks[0].release);
    for (const ip of [subject.value, '2a01:4f8:1:2::9']) {
      const { json } = await server.get(`/api/v1/senders/ip/${encodeURIComponent(ip)}`);
      assert.equal(json.standing.exemption?.id, granted.json.id, ip);
      const checked = await server.get(`/api/v1/check?ip=${ip}`);
      assert.deepEqual(
        checked.json.exemptions.map(({ id }) => id),
        [granted.json.id],
      );
    }
    const own = await server.block('', { subject });
    const refused = async (ip: string): Promise<unknown> =>
      (await server.get(`/api/v1/check?ip=${ip}&direction=inbound`)).json.block?.id;
    await server.block('', { subject, direction: 'inbound' });
    assert.equal(own.subject.value, subject.value);
    assert.notEqual(await refused(subject.value), undefined);
    assert.equal(await refused('2a01:4f8:1:2::9'), undefined);
    await server.call('DELETE', `${EXEMPTIONS}/${granted.json.id}`);
  });

  test('an exemption says which blocks go on all the same, and how to release them', async () => {
    const own = await server.block('blocked@lists.example');
    const other = await server.block('other@sub.lists.example', { direction: 'all', duration: '2h' });
    const elsewhere = await server.block('blocked@elsewhere.example');
    const ended = await server.block('ended@lists.example');
    await server.post(`/api/v1/blocks/${ended.id}/release`);
    const named = (block: typeof own) => ({
      id: block.id,
      subject: block.subject,
      direction: block.direction,
      until: block.until,
      release: `/api/v1/blocks/${block.id}/release`,
    });
    const account = await grant('blocked@lists.example');
    assert.deepEqual(account.json.blocks, [named(own)]);
    const subject = { type: 'domain', value: 'lists.example' };
    const domain = await server.post(EXEMPTIONS, { subject, reason: 'lists', indefinite: true });
    assert.equal(domain.status, 201);
    assert.deepEqual(domain.json.blocks, [named(own), named(other)]);
    const again = await server.post(EXEMPTIONS, { subject, reason: 'lists', indefinite: true });
    assert.deepEqual([again.status, again.json.blocks], [200, domain.json.blocks]);
    const released = await server.post(again.json.blocks[0].release);
    assert.deepEqual([released.status, released.json.state], [200, 'released']);
    assert.equal((await server.get(`/api/v1/blocks/${elsewhere.id}`)).json.state, 'active');
  });

  test('new rules say which blocks of exempt subjects go on', async () => {
    const block = await server.block('ruled@example.com');
    const exempt = '{ subject: { type: account, value: ruled@example.com }, reason: list }';
    const source = `${RULES}  - ${exempt}\n`;
    const { json } = await server.call('PUT', '/api/v1/rules', { body: { source } });
    assert.deepEqual(json.warnings, [
      `account ruled@example.com is exempt, and is blocked all the same: to end that, stopgap block release ${block.id}`,
    ]);
    await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
  });

  test('a proposal of an exempt subject is dismissed, with the reason', async () => {
    const proposal = await server.trip('proposed@example.com', 'propose');
    assert.equal((await grant('proposed@example.com')).json.dismissed, proposal);
    const { json } = await server.get(`/api/v1/blocks/${proposal}`);
    assert.equal(json.state, 'dismissed');
    const { type, by, note } = json.history.at(-1)!;
    assert.deepEqual([type, by, note], ['ProposalDismissed', 'admin:the-operator', 'exempt: weekly list']);
  });

  test('the same exemption again is 200, another one replaces it', async () => {
    const until = formatInstant(server.clock.now() + HOUR);
    const first = await grant('twice@example.com', { until });
    const same = await grant('twice@example.com', { until });
    assert.deepEqual([first.status, same.status], [201, 200]);
    assert.equal(same.json.id, first.json.id);
    const other = await grant('twice@example.com', { indefinite: true });
    assert.equal(other.status, 201);
    assert.equal(other.json.until, null);
    const { reason } = first.json;
    assert.deepEqual(
      [first, same, other].map(({ json }) => json.replaced),
      [null, null, { reason, until }],
    );
    assert.equal((await server.get(`${EXEMPTIONS}/${first.json.id}`)).status, 404);
  });

  test('exemptions of the rules are listed, and change only with the rules', async () => {
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

  test('exemptions are listed in pages, by type and origin, until their time is over', async () => {
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

  test('an exemption needs a reason and one span', async () => {
    const subject = { type: 'account', value: 'x@example.com' };
    const silent = await server.post(EXEMPTIONS, { subject, reason: ' ', indefinite: true });
    assert.deepEqual(silent.json.errors, [{ field: 'reason', message: 'must say why' }]);
    const endless = await server.post(EXEMPTIONS, { subject, reason: 'why' });
    assert.match(endless.json.detail, /exactly one/);
  });
});
