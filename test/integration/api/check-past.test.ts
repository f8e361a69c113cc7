import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newId } from '../../../src/runtime/ids.js';
import { DAY, HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { dayOf, profileStream } from '../../../src/sending/day-summary.js';
import { sendStream } from '../../../src/sending/events.js';
import { summary } from '../../support/days.js';
import { sent as message } from '../../support/sends.js';
import { ApiServer } from '../../support/api/server.js';

describe('checks of a past instant over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const check = async (query: string) => {
    const reply = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };

  test('a check of a time before the first event says that nothing is known of it', async () => {
    const { json } = await server.get('/api/v1/rules');
    const first = json.installedAt;
    const early = formatInstant(Date.parse(first) - HOUR);
    const then = await check(`account=early@example.com&at=${early}`);
    assert.equal(
      then.sentence,
      `Nothing is recorded of ${early}: the first event here is of ${first}. Whether this sender was refused is not known.`,
    );
    assert.equal(then.refused, false);
    assert.deepEqual([then.auth.outcome, then.rcpt.outcome], ['not asked', 'not asked']);
    server.clock.advance(SECOND);
    const later = await check(`account=early@example.com&at=${first}`);
    assert.match(later.sentence, /^This sender was not refused/);
  });

  test('a check of a time of which there are imported events alone says that nothing is known of it', async () => {
    const other = await ApiServer.start();
    try {
      const [account, now] = ['imported@example.com', other.clock.now()];
      const { type, data } = message(now - 9 * DAY, 0, { account, returnPath: account });
      const subject = { type: 'account', value: account } as const;
      const imported = { at: now - 9 * DAY, by: 'system:import' } as const;
      const event = Object.assign(
        { type, data: Object.assign({ imported: 'postfix-log' }, data), id: newId() },
        imported,
      );
      await other.deps.store.append(sendStream(account), [event], 'any');
      const day = summary(dayOf(now - 9 * DAY), { subject });
      const summarised = Object.assign({ type: 'SenderDaySummarised', data: day, id: newId() }, imported);
      const { position } = await other.deps.store.append(profileStream(subject), [summarised], 'any');
      await other.deps.models.reached(position);
      other.clock.advance(HOUR);
      const at = (time: number) =>
        other.get(`/api/v1/check?account=${account}&at=${formatInstant(time)}`).then(({ json }) => json);
      const then = await at(now - DAY);
      assert.match(
        then.sentence,
        /^Nothing is recorded of \S+: Stopgap began here at \S+, and what there is of before was imported\. Whether this sender was refused is not known\.$/,
      );
      assert.deepEqual([then.auth.outcome, then.rcpt.outcome], ['not asked', 'not asked']);
      assert.match((await at(now + MINUTE)).sentence, /^This sender was not refused/);
    } finally {
      await other.stop();
    }
  });

  test('a past instant is judged by what was in force then', async () => {
    const before = server.clock.now();
    server.clock.advance(MINUTE);
    const block = await server.block('past@example.com', { duration: '1h' });
    server.clock.advance(10 * MINUTE);
    const during = server.clock.now();
    server.clock.advance(MINUTE);
    await server.post(`/api/v1/blocks/${block.id}/release`);
    server.clock.advance(HOUR);
    const at = (instant: number) => check(`account=past@example.com&at=${formatInstant(instant)}`);
    assert.equal((await at(before)).refused, false);
    const then = await at(during);
    assert.equal(then.refused, true);
    assert.match(then.sentence, /^This sender was refused: account past@example\.com was blocked/);
    assert.equal(then.windows, null);
    const [matching] = then.matching;
    assert.deepEqual([matching.id, matching.state, matching.endedAt], [block.id, 'active', null]);
    assert.deepEqual(
      matching.history.map(({ type }) => type),
      ['BlockImposed'],
      'what came later is not told',
    );
    assert.deepEqual([then.block.state, then.block.version], ['active', block.version]);
    assert.equal((await check('account=past@example.com')).refused, false);
  });

  test('a block refused only mail of the direction that it had then', async () => {
    const subject = { type: 'domain', value: 'wider.example' };
    const begin = server.clock.now();
    server.clock.advance(MINUTE);
    const block = await server.block('', { subject, direction: 'inbound' });
    server.clock.advance(MINUTE);
    const inbound = formatInstant(server.clock.now());
    server.clock.advance(MINUTE);
    await server.block('', { subject, direction: 'outbound' });
    const both = formatInstant(server.clock.now());
    server.clock.advance(MINUTE);
    const refused = async (query: string) => (await check(query)).refused;
    assert.equal(await refused(`account=x@wider.example&at=${inbound}`), false);
    assert.equal(await refused(`account=x@wider.example&at=${both}`), true);
    assert.equal(await refused('account=x@wider.example'), true);
    const arriving = 'returnPath=x@wider.example&direction=inbound';
    assert.equal(await refused(`${arriving}&at=${inbound}`), true);
    assert.equal(await refused(`${arriving}&at=${formatInstant(begin)}`), false);
    const { auth, rcpt, matching } = await check(`account=x@wider.example&at=${inbound}`);
    assert.deepEqual([auth.outcome, rcpt.outcome, matching], ['passes', 'passes', []]);
    await server.post(`/api/v1/blocks/${block.id}/release`);
    assert.equal(await refused(`account=x@wider.example&at=${inbound}`), false, 'also once it has ended');
  });

  test('of several blocks at a past instant the one that was then to end last refuses, whichever was released first', async () => {
    const value = 'past-two@example.com';
    const long = await server.block(value, { duration: '1h', refusal: 'defer' });
    const short = await server.block('', { subject: { type: 'address', value }, duration: '2h' });
    server.clock.advance(MINUTE);
    await server.call('PATCH', `/api/v1/blocks/${long.id}`, { body: { indefinite: true } });
    const during = server.clock.now();
    const now = await check(`account=${value}`);
    server.clock.advance(MINUTE);
    await server.post(`/api/v1/blocks/${long.id}/release`);
    server.clock.advance(MINUTE);
    await server.post(`/api/v1/blocks/${short.id}/release`);
    const then = await check(`account=${value}&at=${formatInstant(during)}`);
    assert.deepEqual([then.block.id, then.block.indefinite], [long.id, true]);
    assert.equal(then.auth.reply, now.auth.reply);
    assert.deepEqual(
      then.matching.map(({ id }) => id),
      [long.id, short.id],
    );
  });

  test('of two blocks without an end the one that refused then is named, also once it has been changed or has ended', async () => {
    const ends: readonly ((id: string) => Promise<unknown>)[] = [
      (id) => server.call('PATCH', `/api/v1/blocks/${id}`, { body: { duration: '1m' } }),
      (id) => server.post(`/api/v1/blocks/${id}/release`),
    ];
    for (const [n, end] of ends.entries()) {
      const value = `equals-${n}@example.com`;
      const [account, ip] = [{ type: 'account', value }, `203.0.113.${n}`];
      await server.block('', { subject: account, indefinite: true, refusal: 'honest' });
      server.clock.advance(MINUTE);
      await server.block('', { subject: { type: 'ip', value: ip }, indefinite: true });
      server.clock.advance(MINUTE);
      const during = formatInstant(server.clock.now());
      const query = `account=${value}&returnPath=${value}&ip=${ip}`;
      const live = await check(query);
      server.clock.advance(MINUTE);
      await end(live.block.id);
      server.clock.advance(HOUR);
      const then = await check(`${query}&at=${during}`);
      assert.deepEqual([then.block.id, then.rcpt.reply], [live.block.id, live.rcpt.reply]);
      assert.deepEqual(
        then.matching.map(({ id }) => id),
        live.matching.map(({ id }) => id),
      );
    }
  });

  test('a block by hand has no evidence at an instant before a rule added some', async () => {
    const value = 'by-hand@example.com';
    await server.block(value, { duration: '5m', description: 'phished' });
    server.clock.advance(MINUTE);
    const before = formatInstant(server.clock.now());
    server.clock.advance(MINUTE);
    await server.trip(value, 'block');
    const after = formatInstant(server.clock.now());
    server.clock.advance(HOUR);
    const then = async (at: string) => {
      const reply = await server.get(`/api/v1/blocks?value=${value}&at=${at}`);
      const [listed] = reply.json.items;
      const { block, sentence } = await check(`account=${value}&at=${at}`);
      assert.deepEqual(block.evidence, listed.evidence);
      return { evidence: block.evidence, sentence };
    };
    const early = await then(before);
    assert.equal(early.evidence, null);
    assert.doesNotMatch(early.sentence, /101 recipients/);
    assert.equal((await then(after)).evidence?.observed, 101);
  });
});
