import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { UNSETTLED_DAYS } from '../../../projections/baselines/profile.js';
import { newId } from '../../../src/runtime/ids.js';
import { HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { blockShape } from '../../../src/api/block-view.js';
import type { BlockReleased } from '../../../src/blocks/events.js';
import { dayOf, profileStream } from '../../../src/sending/day-summary.js';
import { sendStream } from '../../../src/sending/events.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import { ApiServer, onStore } from '../../support/api/server.js';
import { summary } from '../../support/days.js';
import { Gate } from '../../support/gate.js';
import { changed } from '../../support/store/changed.js';
import { collect } from '../../support/store/events.js';

const BLOCKS = '/api/v1/blocks';

describe('blocks over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  test('a block is created, located, read and in force', async () => {
    const created = await server.post(
      BLOCKS,
      { subject: { type: 'account', value: 'Alice@Example.COM' }, duration: '1h30m', description: 'phished' },
      { role: 'operator' },
    );
    assert.equal(created.status, 201);
    const { clock } = server;
    const block = blockShape.strict().parse(created.json);
    assert.deepEqual(block.subject, { type: 'account', value: 'alice@example.com' });
    assert.equal(block.state, 'active');
    assert.equal(block.direction, 'outbound');
    assert.equal(block.refusal, 'soft');
    assert.equal(block.origin, 'admin');
    assert.equal(block.since, formatInstant(clock.now()));
    assert.equal(block.until, formatInstant(clock.now() + 90 * MINUTE));
    assert.equal(block.indefinite, false);
    assert.deepEqual(
      block.history.map(({ type, by }) => [type, by]),
      [['BlockImposed', 'admin:the-operator']],
    );
    const location = created.headers.get('location')!;
    const read = await server.get(location, { role: 'viewer' });
    assert.equal(read.status, 200);
    assert.deepEqual(read.json, created.json);
    assert.equal(read.headers.get('etag'), `"${block.version}"`);
  });

  test('a block needs exactly one of duration, until and indefinite', async () => {
    const subject = { type: 'domain', value: 'spans.example' };
    const none = await server.post(BLOCKS, { subject });
    assert.equal(none.status, 400);
    assert.match(none.json.detail, /exactly one of duration, until or indefinite: true/);
    const two = await server.post(BLOCKS, { subject, duration: '1h', indefinite: true });
    assert.equal(two.status, 400);
    const nothing = await server.post(BLOCKS, { subject, until: null });
    assert.deepEqual(nothing.json.errors, [{ field: 'until', message: 'must be an ISO 8601 time' }]);
    const past = await server.post(BLOCKS, { subject, until: '2020-01-01' });
    assert.equal(past.status, 400);
    assert.equal(past.json.errors[0].field, 'until');
    const endless = await server.post(BLOCKS, { subject, indefinite: true });
    assert.equal(endless.status, 201);
    assert.equal(endless.json.until, null);
    assert.equal(endless.json.indefinite, true);
  });

  test('an account cannot be blocked for mail that arrives, which has none', async () => {
    const inbound = { subject: { type: 'account', value: 'arrives@x.example' }, direction: 'inbound' };
    const reply = await server.post(BLOCKS, { ...inbound, duration: '1h' });
    assert.equal(reply.status, 400);
    assert.deepEqual(reply.json.errors, [
      {
        field: 'direction',
        message:
          'must be outbound for an account: inbound mail has none; block an address, a domain or an ip',
      },
    ]);
    const both = await server.post(BLOCKS, inbound);
    assert.deepEqual(both.json.errors.map(({ field }) => field).sort(), ['direction', 'duration']);
    const all = await server.post(BLOCKS, { ...inbound, direction: 'all', duration: '1h' });
    assert.equal(all.status, 201);
  });

  test('every wrong field is named', async () => {
    const reply = await server.post(BLOCKS, {
      subject: { type: 'person', value: 7 },
      direction: 'up',
      duration: 'soon',
      reason: 'x',
    });
    assert.equal(reply.status, 400);
    assert.equal(reply.headers.get('content-type'), 'application/problem+json; charset=utf-8');
    assert.equal(reply.json.type, '/problems/invalid-input');
    const fields = reply.json.errors.map((error) => error.field).sort();
    assert.deepEqual(fields, ['direction', 'duration', 'reason', 'subject.type', 'subject.value']);
  });

  for (const [path, body, fields] of [
    [BLOCKS, {}, ['direction', 'duration', 'subject.value']],
    [BLOCKS, { duration: '1h', indefinite: true }, ['direction', 'duration', 'subject.value']],
    ['/api/v1/exemptions', { reason: '' }, ['direction', 'duration', 'reason', 'subject.value']],
    ['/api/v1/forget', {}, ['direction', 'subject.value']],
    [`${BLOCKS}/actions`, { action: 'approve', ids: [], duration: '1h', indefinite: true }, undefined],
    ['/api/v1/backtests', { from: '2026-02-01T00:00:00Z', to: '2026-01-01T00:00:00Z', rules: 7 }, undefined],
  ] as const)
    test(`POST ${path} names every field of ${JSON.stringify(body)} at once, whatever is wrong with it`, async () => {
      // A sender whose name has a space can be forgotten.
      const subject = { type: 'account', value: path === '/api/v1/forget' ? 'all*' : 'no name' };
      const sent = fields === undefined ? body : { ...body, subject, direction: 'up' };
      const reply = await server.post(path, sent, { role: 'admin' });
      assert.equal(reply.status, 400);
      const named = reply.json.errors.map(({ field }) => field).sort();
      const other = 'ids' in body ? ['duration', 'ids'] : ['from', 'rules'];
      assert.deepEqual(named, fields ?? other);
    });

  test('if a block is in force, all that another asks for holds, or nothing is changed', async () => {
    const first = await server.block('strong@example.com', { duration: '2h' });
    const subject = { type: 'account', value: 'strong@example.com' };
    const same = await server.post(BLOCKS, { subject, duration: '2h' });
    assert.equal(same.status, 200);
    assert.deepEqual(same.json, first);
    const asked = { direction: 'all', description: 'phished', refusal: 'honest' };
    const stronger = await server.post(BLOCKS, { subject, duration: '3h', ...asked });
    assert.equal(stronger.status, 200);
    const { id, until, direction, description, refusal } = stronger.json;
    assert.deepEqual([id, until], [first.id, formatInstant(server.clock.now() + 3 * HOUR)]);
    assert.deepEqual({ direction, description, refusal }, asked);
    const { note, refusal: told } = stronger.json.history.at(-1)!;
    assert.deepEqual([note, told], ['phished', 'honest']);
    const sender = senderIdentity({ account: subject.value, direction: 'inbound' });
    const verdict = server.deps.models.activeBlocks.find(sender, server.clock.now());
    assert.equal(verdict?.refusal, 'honest', 'it refuses as was asked');
    const silent = await server.post(BLOCKS, { subject, duration: '4h' });
    assert.deepEqual([silent.json.description, silent.json.refusal], ['phished', 'honest']);
    const earlier = await server.post(BLOCKS, { subject, duration: '1h', description: 'never mind' });
    assert.equal(earlier.status, 409);
    assert.match(
      earlier.json.detail,
      /is in force until 2026-03-01T16:00:00\.000Z, which is later: nothing was/,
    );
    assert.deepEqual(earlier.json.current, silent.json);
    assert.deepEqual((await server.get(`${BLOCKS}/${first.id}`)).json, silent.json);
  });

  test('a proposal is put in force for as long as the approval says', async () => {
    const approve = async (name: string, body: object) => {
      const proposal = await server.trip(name, 'propose');
      return server.post(`${BLOCKS}/${proposal}/approve`, body);
    };
    const now = server.clock.now();
    const plain = await approve('plain@example.com', { note: 'seen' });
    assert.equal(plain.json.until, formatInstant(now + HOUR));
    const longer = await approve('longer@example.com', { duration: '12h', note: 'seen' });
    assert.equal(longer.status, 200, longer.text);
    assert.equal(longer.json.until, formatInstant(now + 12 * HOUR));
    assert.equal(longer.json.duration, '12h');
    assert.equal(longer.json.history.at(-2)!.note, 'seen');
    const dated = await approve('dated@example.com', { until: formatInstant(now + 5 * MINUTE) });
    assert.equal(dated.json.until, formatInstant(now + 5 * MINUTE));
    const endless = await approve('endless@example.com', { indefinite: true });
    assert.equal(endless.json.indefinite, true);
    const both = await approve('both@example.com', { duration: '1h', indefinite: true });
    assert.equal(both.status, 400);
    assert.match(both.json.detail, /more than one/);
    const past = await approve('past@example.com', { until: '2020-01-01' });
    assert.deepEqual([past.status, past.json.errors[0].field], [400, 'until']);
  });

  test('ETag saves reading, If-Match keeps others from being overwritten', async () => {
    const block = await server.block('tagged@example.com');
    const at = `${BLOCKS}/${block.id}`;
    const tag = `"${block.version}"`;
    const known = await server.get(at, { headers: { 'if-none-match': `W/"1", ${tag}` } });
    assert.equal(known.status, 304);
    assert.equal(known.text, '');
    const changed = await server.call('PATCH', at, {
      body: { duration: '2h', note: 'longer' },
      headers: { 'if-match': tag },
    });
    assert.equal(changed.status, 200);
    assert.notEqual(changed.headers.get('etag'), tag);
    assert.equal(changed.json.history.at(-1)!.note, 'longer');
    for (const [method, target] of [
      ['PATCH', at],
      ['POST', `${at}/release`],
    ] as const) {
      const body = method === 'PATCH' ? { duration: '3h' } : {};
      const late = await server.call(method, target, { body, headers: { 'if-match': tag } });
      assert.equal(late.status, 412);
      assert.equal(late.json.code, 'precondition-failed');
      assert.equal(late.json.version, changed.json.version);
    }
    const now = await server.get(at, { headers: { 'if-none-match': tag } });
    assert.equal(now.status, 200);
    const any = await server.post(`${at}/release`, {}, { headers: { 'if-match': '*' } });
    assert.equal(any.json.state, 'released');
    const malformed = await server.post(`${at}/release`, {}, { headers: { 'if-match': '7' } });
    assert.equal(malformed.status, 400);
    assert.equal(malformed.json.errors[0].field, 'If-Match');
  });

  test('of many changes with the same If-Match just one goes through', async () => {
    const block = await server.block('raced@example.com');
    const replies = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        server.call('PATCH', `${BLOCKS}/${block.id}`, {
          body: { duration: `${index + 2}h` },
          headers: { 'if-match': `"${block.version}"` },
        }),
      ),
    );
    assert.deepEqual(replies.map(({ status }) => status).sort(), [200, ...Array<number>(7).fill(412)]);
  });

  test('an expiry that nobody has recorded shows all the same, and is not "not modified"', async () => {
    const block = await server.block('expiring@example.com', { duration: '10s' });
    server.clock.advance(11_000);
    const read = await server.get(`${BLOCKS}/${block.id}`, {
      headers: { 'if-none-match': `"${block.version}"` },
    });
    assert.equal(read.status, 200);
    assert.equal(read.json.state, 'expired');
    assert.equal(read.json.endedAt, block.until);
    const late = await server.call('PATCH', `${BLOCKS}/${block.id}`, { body: { duration: '1h' } });
    assert.equal(late.status, 409);
    assert.equal(late.json.state, 'expired');
    assert.equal(late.json.current.state, 'expired');
  });

  test('a proposal is approved or dismissed, once', async () => {
    const [wanted, unwanted] = [
      await server.trip('wanted@example.com'),
      await server.trip('unwanted@example.com'),
    ];
    const proposal = await server.get(`${BLOCKS}/${wanted}`);
    assert.equal(proposal.json.state, 'proposed');
    assert.equal(proposal.json.duration, '1h');
    assert.equal(proposal.json.since, null);
    assert.equal(proposal.json.evidence.window, '10m');
    blockShape.strict().parse(proposal.json);
    const approved = await server.post(
      `${BLOCKS}/${wanted}/approve`,
      { note: 'spam indeed' },
      { role: 'operator' },
    );
    assert.equal(approved.status, 200);
    assert.equal(approved.json.state, 'active');
    assert.equal(approved.json.until, formatInstant(server.clock.now() + HOUR));
    const again = await server.post(`${BLOCKS}/${wanted}/approve`);
    assert.equal(again.status, 409);
    assert.equal(again.json.code, 'conflict');
    assert.equal(again.json.current.id, wanted);
    const dismissed = await server.post(`${BLOCKS}/${unwanted}/dismiss`);
    assert.equal(dismissed.json.state, 'dismissed');
    const release = await server.post(`${BLOCKS}/${unwanted}/release`);
    assert.equal(release.status, 409);
  });

  test('a release keeps the note and whether the rule was wrong', async () => {
    const id = await server.trip('wronged@example.com', 'block');
    const released = await server.post(`${BLOCKS}/${id}/release`, {
      falsePositive: true,
      note: 'newsletter',
    });
    assert.equal(released.json.state, 'released');
    assert.equal(released.json.falsePositive, true);
    assert.equal(released.json.endedAt, formatInstant(server.clock.now()));
    assert.deepEqual(
      [released.json.history.at(-1)!.falsePositive, released.json.history.at(-1)!.note],
      [true, 'newsletter'],
    );
  });

  test('a release as a false positive records what the owner tried in vain, and not what others tried', async () => {
    const account = 'tried@example.com';
    const { store, models } = server.deps;
    const fold = async (stream: string, type: string, data: object): Promise<void> => {
      const event = { id: newId(), type, at: server.clock.now(), by: 'smtp:test', data };
      const { position } = await store.append(stream, [event], 'any');
      await models.reached(position);
    };
    const longAgo = summary(dayOf(server.clock.now()) - UNSETTLED_DAYS, {
      subject: { type: 'account', value: account },
      networks: ['192.0.2.7'],
      ehlos: ['laptop.example'],
    });
    await fold(profileStream(longAgo.subject), 'SenderDaySummarised', longAgo);
    const block = await server.trip(account, 'block');
    const attempt = {
      account,
      returnPath: account,
      direction: 'outbound',
      stage: 'auth',
      reply: '535',
      block,
    };
    const [own, other] = [
      { ip: '192.0.2.7', ehlo: 'laptop.example' },
      { ip: '203.0.113.9', ehlo: 'bot.example' },
    ];
    const since = server.clock.now();
    await fold(sendStream(account), 'MessageRefused', { ...attempt, ...own, count: 7, since });
    await fold(sendStream(account), 'MessageRefused', { ...attempt, ...other, count: 100, since });
    await server.post(`${BLOCKS}/${block}/release`, { falsePositive: true });
    const recorded = await collect(store.readAll({ categories: ['block'] }));
    const release = recorded.findLast(({ type }) => type === 'BlockReleased')!.data as BlockReleased;
    assert.deepEqual([release.block, release.withheld], [block, 7]);
  });

  test('a dismissal keeps the note and whether the rule was wrong', async () => {
    const [wrong, other] = [await server.trip('wrong@example.com'), await server.trip('other@example.com')];
    const body = { falsePositive: true, note: 'newsletter' };
    const dismissed = await server.post(`${BLOCKS}/${wrong}/dismiss`, body);
    blockShape.strict().parse(dismissed.json);
    assert.deepEqual([dismissed.json.state, dismissed.json.falsePositive], ['dismissed', true]);
    const { falsePositive, note } = dismissed.json.history.at(-1)!;
    assert.deepEqual({ falsePositive, note }, body);
    const plain = await server.post(`${BLOCKS}/${other}/dismiss`, { falsePositive: false });
    assert.deepEqual([plain.json.state, plain.json.falsePositive], ['dismissed', false]);
    assert.equal(plain.json.history.at(-1)!.falsePositive, undefined);
    const faulty = await server.post(`${BLOCKS}/${other}/dismiss`, { falsePositive: 'yes' });
    assert.equal(faulty.status, 400);
    assert.deepEqual(faulty.json.errors, [{ field: 'falsePositive', message: 'must be true or false' }]);
  });

  test('an unknown id is 404', async () => {
    for (const [method, target] of [
      ['GET', `${BLOCKS}/nope`],
      ['PATCH', `${BLOCKS}/nope`],
      ['POST', `${BLOCKS}/nope/approve`],
      ['POST', `${BLOCKS}/nope/dismiss`],
      ['POST', `${BLOCKS}/nope/release`],
    ] as const) {
      const body = method === 'PATCH' ? { duration: '1h' } : undefined;
      const reply = await server.call(method, target, { body });
      assert.equal(reply.status, 404, target);
      assert.equal(reply.json.code, 'not-found');
    }
  });

  for (const which of [0, 1]) {
    test(`a subject that two writers blocked at once has one block, released as the ${which === 0 ? 'first' : 'second'}`, async () => {
      const value = `spoilt${which}@example.com`;
      const first = await server.block(value);
      const stream = `block-account:${value}`;
      const { store, models } = server.deps;
      const [event] = await collect(store.readStream(stream));
      const ids = [first.id, newId()] as const;
      const until = server.clock.now() + 2 * HOUR;
      const data = { ...(event!.data as object), block: ids[1], until, direction: 'inbound' };
      const { position } = await store.append(stream, [{ ...event!, id: newId(), data }], 'any');
      await models.reached(position);
      for (const id of ids) {
        const { json } = await server.get(`${BLOCKS}/${id}`);
        assert.deepEqual([json.id, json.state], [ids[0], 'active']);
        assert.deepEqual([json.until, json.direction], [formatInstant(until), 'all']);
        assert.equal(json.version, position);
      }
      const { json } = await server.get(`${BLOCKS}?state=active&q=${value}`);
      assert.equal(json.items.length, 1);
      const stale = { headers: { 'if-match': `"${first.version}"` } };
      assert.equal((await server.post(`${BLOCKS}/${ids[which]}/release`, {}, stale)).status, 412);
      const match = { headers: { 'if-match': `"${position}"` } };
      const released = await server.post(`${BLOCKS}/${ids[which]}/release`, {}, match);
      assert.deepEqual([released.status, released.json.state], [200, 'released']);
      assert.equal(models.activeBlocks.on({ type: 'account', value }), undefined);
      for (const id of ids) {
        assert.equal((await server.get(`${BLOCKS}/${id}`)).json.state, 'released');
        assert.equal((await server.post(`${BLOCKS}/${id}/release`)).status, 409);
      }
    });
  }
});

describe('a duration while the store is slow', () => {
  test('counts from the decision: it is never over before it has begun', async () => {
    const [asked, go] = [new Gate(), new Gate()];
    let isSlow = false;
    const server = await ApiServer.start((deps) => {
      const real = deps.store;
      return onStore(
        deps,
        changed(real, {
          async *readStream(...args) {
            if (isSlow) {
              asked.open();
              await go.opened;
            }
            yield* real.readStream(...args);
          },
        }),
      );
    });
    try {
      const subject = { type: 'account', value: 'slow@example.com' };
      const block = await server.block('changed@example.com');
      const proposal = await server.trip('approved@example.com', 'propose');
      isSlow = true;
      const replies = Promise.all([
        server.post(BLOCKS, { subject, duration: '5s' }),
        server.call('PATCH', `${BLOCKS}/${block.id}`, { body: { duration: '5s' } }),
        server.post(`${BLOCKS}/${proposal}/approve`, { duration: '5s' }),
        server.post('/api/v1/exemptions', { subject, duration: '5s', reason: 'list' }),
      ]);
      await asked.opened;
      server.clock.advance(6 * SECOND);
      go.open();
      const ends = formatInstant(server.clock.now() + 5 * SECOND);
      for (const { status, json, text } of await replies)
        assert.deepEqual([status < 300, json.until], [true, ends], text);
    } finally {
      go.open();
      await server.stop();
    }
  });
});
