import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { MessageRefused } from '../../../src/sending/events.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';

describe('the routes for rspamd', () => {
  let server: ApiServer;
  before(async () => (server = await ApiServer.start()));
  after(() => server.stop());

  test('answer 200 for an account that is blocked, and 404 for any other', async () => {
    await server.block('bob@example.com');
    const blocked = (key: string) => server.get(`/rspamd/${TOKENS.server}/blocked?key=${key}`);
    assert.deepEqual(
      [(await blocked('bob@example.com')).text, (await blocked('ann@example.com')).status],
      ['blocked\n', 404],
    );
  });

  test('record that rspamd refuses mail which is to be held', async () => {
    await server.block('kept@example.com', { refusal: 'hold' });
    await server.get(`/rspamd/${TOKENS.server}/blocked?key=kept@example.com`);
    await server.written();
    const refused: MessageRefused[] = [];
    for await (const { type, data } of server.deps.store.readAll())
      if (type === 'MessageRefused') refused.push(data as MessageRefused);
    assert.match(refused.find(({ account }) => account === 'kept@example.com')!.reply, /^451 4\.3\.2 /);
  });

  test('record a message that was accepted, and pass over one that was not', async () => {
    const sent = async (action: string) =>
      (
        await server.post(`/rspamd/${TOKENS.server}/sent`, {
          user: 'ann@example.com',
          from: 'ann@example.com',
          ip: '192.0.2.7',
          qid: 'A1',
          action,
        })
      ).json;
    assert.deepEqual(await sent('reject'), { result: 'skipped' });
    assert.deepEqual(await sent('no action'), { result: 'recorded' });
  });
});
