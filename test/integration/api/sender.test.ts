import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newId } from '../../../src/runtime/ids.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { sendStream } from '../../../src/sending/events.js';
import { ApiServer } from '../../support/api/server.js';
import { sent as message } from '../../support/sends.js';

describe('senders over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  test('the list of senders begins with the busiest', async () => {
    await server.sent('few@example.com', 3);
    await server.sent('many@example.com', 30);
    await server.sent('some@example.com', 10);
    const { json } = await server.get('/api/v1/senders?by=account&count=recipients&limit=2');
    const found = json.items.map(({ subject, amount }: { subject: { value: string }; amount: number }) => [
      subject.value,
      amount,
    ]);
    assert.deepEqual(found, [
      ['many@example.com', 30],
      ['some@example.com', 10],
    ]);
    assert.equal(json.items[0].window, '24h');
    assert.equal(json.next, null);
    const uncounted = await server.get('/api/v1/senders?by=ehlo&count=bytes');
    assert.deepEqual(uncounted.json, { items: [], next: null });
    assert.equal((await server.get('/api/v1/senders?by=planet')).json.errors[0].field, 'by');
  });

  test('one sender: windows against limits, sends newest first, blocks so far', async () => {
    await server.sent('one@example.com', 4);
    await server.sent('one@example.com', 5);
    const block = await server.block('one@example.com');
    const { json } = await server.get(`/api/v1/senders/account/${encodeURIComponent('One@EXAMPLE.com')}`);
    assert.equal(json.subject.value, 'one@example.com');
    const burst = json.windows.find(({ rule }) => rule === 'burst')!;
    assert.deepEqual([burst.observed, burst.limit, burst.window], [9, 100, '10m']);
    assert.equal(json.standing.block.id, block.id);
    assert.equal(json.standing.proposal, null);
    assert.deepEqual(
      json.blocks.map(({ id }) => id),
      [block.id],
    );
    assert.deepEqual(
      json.sends.items.map(({ data }) => data.recipients),
      [5, 4],
    );
    await server.post(`/api/v1/blocks/${block.id}/release`);
    const after = await server.get('/api/v1/senders/account/one@example.com');
    assert.equal(after.json.standing.block, null);
    const graced = after.json.windows.find(({ rule }) => rule === 'burst')!;
    assert.deepEqual([graced.observed, graced.limit], [0, 300]);
  });

  test('a sender that nobody has seen is empty, one that is no sender is 400', async () => {
    const unseen = await server.get('/api/v1/senders/domain/unseen.example');
    assert.equal(unseen.status, 200);
    assert.equal(unseen.json.windows[0].observed, 0);
    assert.equal(unseen.json.sends.available, false);
    assert.match(unseen.json.sends.note, /kept by account/);
    assert.equal((await server.get('/api/v1/senders/ip/300.1.1.1')).json.errors[0].field, 'sender.value');
    assert.equal((await server.get('/api/v1/senders/planet/x')).json.errors[0].field, 'sender.type');
  });

  test('what has tripped a rule stays in its window, beside what has come since', async () => {
    const other = await ApiServer.start();
    try {
      const source =
        'version: 1\nrules: [{ id: minute, per: account, count: messages, window: 1m, limit: 8, then: observe }, { id: wide, per: account, count: ehlos, window: 1h, limit: 1, then: observe }]';
      await other.call('PUT', '/api/v1/rules', { body: { source } });
      const account = 'nine@example.com';
      const send = async (ehlo: string): Promise<void> => {
        const { store, models, clock } = other.deps;
        const { type, data } = message(clock.now(), 0, { account, returnPath: account, ehlo });
        const event = { id: newId(), type, data, at: clock.now(), by: 'smtp:test' };
        const { position } = await store.append(sendStream(account), [event], 'any');
        await models.reached(position);
      };
      const windows = async () =>
        (await other.get(`/api/v1/check?account=${account}`)).json.windows.map(
          ({ rule, observed, sinceTrip }) => [rule, observed, sinceTrip],
        );
      for (let count = 0; count < 8; count++) await send('pc.example');
      assert.deepEqual(await windows(), [
        ['minute', 8, null],
        ['wide', 1, null],
      ]);
      await send('phone.example');
      assert.deepEqual(await windows(), [
        ['minute', 9, 0],
        ['wide', 2, 0],
      ]);
      other.clock.advance(2 * SECOND);
      await send('phone.example');
      assert.deepEqual((await windows())[0], ['minute', 10, 1]);
      other.clock.advance(2 * MINUTE);
      assert.deepEqual((await windows())[0], ['minute', 0, null]);
    } finally {
      await other.stop();
    }
  });
});
