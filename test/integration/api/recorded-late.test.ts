import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { DAY, formatInstant, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { authStream, sendStream } from '../../../src/sending/events.js';
import { sent as message } from '../../support/sends.js';
import { ApiServer } from '../../support/api/server.js';

const ALICE = 'alice@example.com';
const LATER = '451 4.3.2 Try again later';
const SERVER = { role: 'server' } as const;

async function started(t: TestContext): Promise<ApiServer> {
  const server = await ApiServer.start();
  t.after(() => server.stop());
  return server;
}

/** Sends that `stopgap import` read from a log of forty days ago. */
async function imported(server: ApiServer, many: number, of = server.clock.now() - 40 * DAY): Promise<void> {
  const events = Array.from({ length: many }, (_, index) => {
    const { type, data } = message(0, 0, { account: ALICE, returnPath: ALICE, transaction: `old-${index}` });
    const at = of + index * SECOND;
    return {
      id: newId(),
      type,
      at,
      by: 'system:import',
      data: { ...(data as object), imported: 'postfix-log' },
    };
  });
  await server.deps.store.append(sendStream(ALICE), events, 'any');
}

/** A mail server whose follower was away reports what it sent in the day before. */
async function caughtUp(server: ApiServer, many: number): Promise<void> {
  const now = server.clock.now();
  const items = Array.from({ length: many }, (_, index) => ({
    type: 'accepted',
    id: `late-${index}`,
    queueId: `4L${index}AAA`,
    account: ALICE,
    returnPath: ALICE,
    at: formatInstant(now - 23 * HOUR + index * MINUTE),
  }));
  const { text } = await server.post('/api/v1/sends', items, SERVER);
  assert.match(text, new RegExp(`"recorded":${many},`));
}

/** Five sends, and a block that refuses three. */
async function incident(server: ApiServer): Promise<{ readonly block: string; readonly at: number }> {
  await server.sent(ALICE, 7);
  server.clock.advance(2 * DAY);
  for (let left = 5; left > 0; left--) await server.sent(ALICE, 2);
  server.clock.advance(MINUTE);
  const { id: block } = await server.block(ALICE);
  for (let left = 3; left > 0; left--) {
    server.clock.advance(SECOND);
    await server.refused(ALICE, block, 'rcpt', LATER);
  }
  return { block, at: server.clock.now() };
}

const LATE = {
  'an import': (server: ApiServer) => imported(server, 150),
  'a follower that catches up': (server: ApiServer) => caughtUp(server, 150),
} as const;

describe('what was recorded before others that had happened earlier', () => {
  for (const [what, record] of Object.entries(LATE))
    test(`is in the report, the list of refusals and the check of that time after ${what}`, async (t) => {
      // Given an incident, and a day later old events, and a new one
      const server = await started(t);
      const { block, at } = await incident(server);
      server.clock.advance(20 * HOUR);
      await record(server);
      server.clock.advance(5 * HOUR);
      await server.sent(ALICE, 1);
      // When somebody asks for what the block stopped, and why mail was refused then
      const report = (await server.get(`/api/v1/blocks/${block}/report`)).json;
      const refusals = (await server.get(`/api/v1/blocks/${block}/refusals`)).json;
      const check = (await server.get(`/api/v1/check?account=${ALICE}&at=${formatInstant(at)}`)).json;
      // Then all of it is there
      const { before, stopped } = report as unknown as {
        before: { recipients: number };
        stopped: readonly { refusals: number }[];
      };
      assert.equal(before.recipients, 10);
      assert.deepEqual(
        stopped.map((one) => one.refusals),
        [3],
      );
      assert.equal((refusals['items'] as readonly unknown[]).length, 3);
      assert.equal((check['refusals'] as readonly unknown[]).length, 3);
    });

  test('is in the check of now, just after an import', async (t) => {
    const server = await started(t);
    await incident(server);
    await imported(server, 150);
    const { json } = await server.get(`/api/v1/check?account=${ALICE}`);
    assert.equal((json['refusals'] as readonly unknown[]).length, 3);
  });

  test('comes before it in the latest events of the sender', async (t) => {
    // Given nine events, and what an import brings
    const server = await started(t);
    const { block } = await incident(server);
    await imported(server, 150);
    // When somebody asks for the sender
    const { json } = await server.get(`/api/v1/senders/account/${ALICE}`);
    // Then what happened last comes first, and what is old after it
    const { items } = json['sends'] as unknown as {
      items: readonly { at: string; type: string; data: { block?: string } }[];
    };
    assert.equal(items[0]!.data.block, block);
    const old = items.findIndex(({ at }) => Date.parse(at) < server.clock.now() - 30 * DAY);
    assert.equal(old, 9);
    const times = items.map(({ at }) => at);
    assert.deepEqual(times, times.toSorted().reverse());
  });

  test('what waited in an outbox is told of the time when it happened, and newest first', async (t) => {
    const server = await started(t);
    const { block, at } = await incident(server);
    // Another node delivers what it refused; the first one has recorded sends of after the block by then.
    server.clock.advance(5 * HOUR);
    await server.sent(ALICE, 1);
    const store = server.deps.store;
    const data = { account: ALICE, direction: 'outbound', stage: 'rcpt', block, reply: LATER, count: 1 };
    const then = at - 2 * SECOND;
    const waited = { ...data, since: then, outboxedAt: then };
    await store.append(
      sendStream(ALICE),
      [{ id: newId(), type: 'MessageRefused', at: then, by: 'smtp:b', data: waited }],
      'any',
    );
    await server.post(`/api/v1/blocks/${block}/release`);
    const { json } = await server.get(`/api/v1/check?account=${ALICE}&at=${formatInstant(at)}`);
    const times = (json['refusals'] as unknown as readonly { at: string }[]).map((one) => one.at);
    assert.equal(times.length, 4);
    assert.deepEqual(times, times.toSorted().reverse());
    const report = (await server.get(`/api/v1/blocks/${block}/report`)).json;
    assert.equal((report as unknown as { stopped: { refusals: number }[] }).stopped[0]!.refusals, 4);
    const { items } = (await server.get(`/api/v1/blocks/${block}/refusals`)).json as unknown as {
      items: readonly unknown[];
    };
    assert.equal(items.length, 4);
  });

  test('what an import brings is in the chart of its time, and in no other one', async (t) => {
    const server = await started(t);
    const begin = server.clock.now();
    await server.sent(ALICE, 1);
    server.clock.advance(DAY);
    await imported(server, 4, begin - 10 * DAY);
    server.clock.advance(DAY);
    await server.sent(ALICE, 1);
    const messages = async (from: number, to: number): Promise<number> => {
      const range = `from=${formatInstant(from)}&to=${formatInstant(to)}&step=1h`;
      const { json } = await server.get(`/api/v1/senders/account/${ALICE}/volume?${range}`);
      const items = json['items'] as unknown as readonly { messages: number }[];
      return items.reduce((sum, item) => sum + item.messages, 0);
    };
    assert.equal(await messages(begin - 10 * DAY, begin - 9 * DAY), 4);
    assert.equal(await messages(begin, begin + DAY), 1);
    assert.equal(await messages(begin + DAY, begin + 2 * DAY + HOUR), 1);
  });

  test('a failed login that is reported late hides none that a block has feigned', async (t) => {
    const server = await started(t);
    const failure = (kind: string) => ({ network: '192.0.2.7', kind, count: 1, since: server.clock.now() });
    const event = { id: newId(), type: 'AuthenticationFailed', at: server.clock.now(), by: 'smtp:test' };
    await server.deps.store.append(authStream('192.0.2.7'), [{ ...event, data: failure('feigned') }], 'any');
    const at = formatInstant(server.clock.now() - 2 * HOUR);
    const late = { type: 'login-failed', id: 'l1', at, account: 'x@example.net', ip: '192.0.2.7' };
    await server.post('/api/v1/sends', [late], SERVER);
    const { text } = await server.get('/api/v1/feigned?ip=192.0.2.7', SERVER);
    assert.match(text, /"feigned":1,"genuine":0/);
  });
});
