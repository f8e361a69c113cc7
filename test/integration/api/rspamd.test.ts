import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
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
