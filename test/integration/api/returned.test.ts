import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, formatInstant } from '../../../src/kernel/time.js';
import type { BounceReceived } from '../../../src/sending/events.js';
import { sendStream } from '../../../src/sending/events.js';
import { ApiServer } from '../../support/api/server.js';

const TRANSACTION = '019ac9d2-5f4b-7c3e-9a71-0c5d1e2f3a4b';

describe('returned mail that is reported', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  let reported = 0;
  const results = async (...items: readonly object[]): Promise<readonly string[]> => {
    const list = items.map((item) => ({ id: `r${++reported}`, ...item }));
    const { json } = await server.post('/api/v1/sends', list, { role: 'server' });
    return (json as unknown as { results: { result: string }[] }).results.map(({ result }) => result);
  };
  const sent = async (account: string, queueId: string, more: object = {}): Promise<void> => {
    const at = formatInstant(server.clock.now());
    const item = { type: 'accepted', account, returnPath: account, ip: '192.0.2.7', queueId, at, ...more };
    assert.deepEqual(await results(item), ['recorded']);
  };
  const back = (senders: readonly string[], ids: readonly string[], more: object = {}) => ({
    type: 'returned',
    kind: 'failed',
    status: '5.1.1',
    senders,
    ids,
    ...more,
  });
  const eventsOf = async (account: string): Promise<readonly RecordedEvent[]> => {
    const events: RecordedEvent[] = [];
    for await (const event of server.deps.store.readStream(sendStream(account))) events.push(event);
    return events;
  };
  const countsOf = async (account: string): Promise<Readonly<Record<string, number>>> => {
    await server.deps.models.reached((await eventsOf(account)).at(-1)!.position);
    const subject = { type: 'account', value: account } as const;
    const readings = server.deps.models.sendVolume.readings(subject, server.clock.now());
    return Object.fromEntries(readings.map(({ rule, observed }) => [rule, observed]));
  };

  test('counts for the account that sent, as a bounce and as a refused recipient, and once', async () => {
    const account = 'back@example.com';
    await sent(account, '4fQaaa1', { returnPath: 'Info@example.com', recipients: 50 });
    const report = back(['Info@example.com', 'BACK@Example.com'], ['x', '4fQaaa1']);
    assert.deepEqual(await results(report, report), ['recorded', 'known']);
    assert.deepEqual(await results(report, { ...report, status: '5.7.1' }), ['known', 'known']);
    const [send, bounce, ...more] = await eventsOf(account);
    assert.deepEqual(more, []);
    assert.equal(bounce!.correlation, '4fQaaa1');
    assert.deepEqual(bounce!.data, {
      address: 'Info@example.com',
      account,
      entitled: false,
      send: send!.id,
      kind: 'failed',
      status: '5.1.1',
    });
    const { 'list-quality': refused, backscatter } = await countsOf(account);
    assert.deepEqual([refused, backscatter], [1, 1]);
    const stranger = server.deps.models.sendVolume.readings(
      { type: 'address', value: 'info@example.com' },
      server.clock.now(),
    );
    assert.ok(stranger.every(({ observed }) => observed === 0));
  });

  test('counts once for a message, also where some of its recipients were recorded later', async () => {
    const account = 'later@example.com';
    await sent(account, '4fQaab1');
    const report = back([account], ['4fQaab1']);
    assert.deepEqual(await results(report), ['recorded']);
    await sent(account, '4fQaab1', { recipients: 50, further: true });
    assert.deepEqual(await results(report), ['known']);
  });

  test('counts as a bounce alone where it could not be delivered in time', async () => {
    const account = 'slow@example.com';
    await sent(account, '4fQbbb1');
    assert.deepEqual(await results(back([account], ['4fQbbb1'], { status: '4.4.7' })), ['recorded']);
    const { 'list-quality': refused, backscatter } = await countsOf(account);
    assert.deepEqual([refused, backscatter], [0, 1]);
  });

  test('counts where a recipient complained, unless it came back already', async () => {
    const account = 'spam@example.com';
    await sent(account, '4fQccc1');
    await sent(account, '4fQccc2');
    const complaint = { kind: 'complaint', status: undefined };
    assert.deepEqual(
      await results(
        back([account], ['4fQccc1'], complaint),
        back([account], ['4fQccc2']),
        back([account], ['4fQccc2'], complaint),
      ),
      ['recorded', 'recorded', 'known'],
    );
    const bounces = (await eventsOf(account)).filter(({ type }) => type === 'BounceReceived');
    assert.deepEqual(
      bounces.map(({ data }) => (data as BounceReceived).kind),
      ['complaint', 'failed'],
    );
    const { 'list-quality': refused } = await countsOf(account);
    assert.equal(refused, 2);
  });

  test('counts for nothing where no message of a sender that it names is known by its ids', async () => {
    const account = 'victim@example.com';
    await sent(account, '4fQddd1', { account: '', direction: 'outbound' });
    await sent(account, '4fQddd2', { direction: 'inbound' });
    await sent('other@example.com', '4fQddd3');
    assert.deepEqual(
      await results(
        back([account], ['4fQddd3']),
        back(['other@example.com'], ['4fQddd1']),
        back([account], ['4fQddd2']),
        back([account], ['4fQddd', '4fQddd10', '*', '%']),
        back(['*', '', '%', 'nobody@example.com'], ['4fQddd1']),
        back([], ['4fQddd1']),
      ),
      Array.from({ length: 6 }, () => 'unproven'),
    );
    assert.deepEqual(await results(back([account], ['4fQddd1'])), ['recorded'], 'the return path will do');
    assert.ok(server.logged.some((line) => line.includes('returned mail is of no message that is known')));
  });

  test('is of a message by the id in the Received line of our own listener', async () => {
    const account = 'front@example.com';
    const data = {
      account,
      returnPath: account,
      direction: 'outbound',
      transaction: TRANSACTION,
      recipients: 1,
      size: 10,
      recipientDomains: [],
      entitled: true,
    };
    const event = { id: TRANSACTION.replace('019a', '019b'), type: 'MessageAccepted', data };
    const written = { ...event, at: server.clock.now(), by: 'smtp:mx.example.com' };
    await server.deps.store.append(sendStream(account), [written], 'any');
    assert.deepEqual(await results(back([account], [TRANSACTION])), ['recorded']);
  });

  test('counts for a week after the message was sent, also after a restart, and never for what was imported', async () => {
    const account = 'week@example.com';
    await sent(account, '4fQeee1');
    await sent(account, '4fQeee2');
    server.clock.advance(6 * DAY);
    await server.restart();
    assert.deepEqual(await results(back([account], ['4fQeee1'])), ['recorded']);
    await server.restart();
    assert.deepEqual(await results(back([account], ['4fQeee1'])), ['known']);
    server.clock.advance(2 * DAY);
    assert.deepEqual(await results(back([account], ['4fQeee2'])), ['unproven']);
    const [send] = await eventsOf(account);
    const data = { ...(send!.data as object), transaction: '4fQeee3', imported: 'postfix-log' };
    const event = { id: TRANSACTION.replace('019a', '019c'), type: 'MessageAccepted', data };
    const written = { ...event, at: server.clock.now(), by: 'system:import' };
    await server.deps.store.append(sendStream(account), [written], 'any');
    assert.deepEqual(await results(back([account], ['4fQeee3'])), ['unproven']);
  });

  test('is refused where it is no such report', async () => {
    const good = back(['a@example.com'], ['4fQfff1']);
    const ids = Array.from({ length: 21 }, (_, index) => `id${index}`);
    for (const [field, faulty] of [
      ['kind', { ...good, kind: 'delayed' }],
      ['ids', { ...good, ids: [] }],
      ['ids', { ...good, ids }],
      ['ids', { ...good, ids: undefined }],
      ['senders', { ...good, senders: ids }],
      ['status', { ...good, status: '5' }],
    ] as const) {
      const { json } = await server.post('/api/v1/sends', [{ id: 'f', ...faulty }], { role: 'server' });
      const [result] = (
        json as unknown as { results: { result: string; errors: readonly { field: string }[] }[] }
      ).results;
      assert.equal(result!.result, 'refused');
      assert.deepEqual(
        result!.errors.map((each) => each.field.split('.')[0]),
        [field],
      );
    }
  });
});
