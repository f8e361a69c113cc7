import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { envelope, newId } from '../../../src/runtime/ids.js';
import { NoticeCommands } from '../../../src/notices/commands.js';
import type { Notice } from '../../../src/notices/events.js';
import { ApiServer } from '../../support/api/server.js';
import { channelOf } from '../../support/notices/channels.js';

const NOTICES = '/api/v1/notices';

describe('the API of notices', () => {
  let server: ApiServer;
  before(async () => {
    const channels = [channelOf(), channelOf({ name: 'chat', type: 'slack', secret: undefined })];
    server = await ApiServer.start((deps) => ({
      ...deps,
      notices: new NoticeCommands({ ...deps, channels }),
    }));
  });
  after(() => server.stop());

  async function record(type: string, data: unknown): Promise<void> {
    const events = envelope([{ type, data }], { by: 'system:notices' }, server.clock.now());
    await server.deps.store.append('notices-ops', events, 'any');
  }

  async function dead(): Promise<string> {
    const id = newId();
    const notice: Notice = { id, kind: 'events', at: server.clock.now(), items: [], counts: { imposed: 2 } };
    await record('NoticeDue', { notice, through: 0 });
    await record('NoticeAttempted', { notice: id });
    await record('NoticeFailed', { notice: id, error: 'HTTP 410', retryAt: null, gone: true });
    return id;
  }

  test('lists channels without their secrets, and what became of notices', async () => {
    const id = await dead();
    const { status, json, text } = await server.get(NOTICES, { role: 'viewer' });
    assert.equal(status, 200);
    assert.doesNotMatch(text, /127\.0\.0\.1:9|whsec_/);
    const [ops, chat] = (json as unknown as { channels: Record<string, unknown>[] }).channels;
    assert.deepEqual([ops!['name'], ops!['dead'], ops!['disabled']], ['ops', 1, true]);
    const [notice] = ops!['notices'] as Record<string, unknown>[];
    assert.deepEqual(
      [
        notice!['id'],
        notice!['state'],
        notice!['attempts'],
        notice!['error'],
        notice!['title'],
        notice!['events'],
      ],
      [id, 'dead', 1, 'HTTP 410', 'Stopgap: 2 senders blocked', 2],
    );
    assert.deepEqual([chat!['name'], chat!['notices']], ['chat', []]);
  });

  test('lets an operator resend what was given up, once, and a viewer not', async () => {
    const id = await dead();
    assert.equal((await server.post(`${NOTICES}/${id}/resend`, {}, { role: 'viewer' })).status, 403);
    const resent = await server.post(`${NOTICES}/${id}/resend`, {}, { role: 'operator' });
    assert.deepEqual([resent.status, resent.json], [202, { id, channel: 'ops' }]);
    assert.equal((await server.post(`${NOTICES}/${id}/resend`, {}, { role: 'operator' })).status, 409);
    assert.equal((await server.post(`${NOTICES}/${newId()}/resend`, {}, { role: 'operator' })).status, 404);
    const [last] = await lastEvents(1);
    assert.deepEqual([last!.type, last!.by], ['NoticeResent', 'admin:the-operator']);
  });

  test('tests a channel with the body of the newest block, and with an example while there is none', async () => {
    const send = () => server.post(`${NOTICES}/test`, { channel: 'ops' }, { role: 'operator' });
    assert.equal((await send()).status, 202);
    const example = (await lastEvents(1))[0]!.data as { notice: Notice };
    assert.equal(example.notice.items[0]!.subject!.value, 'somebody@example.com');
    await server.block('alice@example.com');
    await server.trip('bob@example.com');
    assert.equal((await send()).status, 202);
    const { notice } = (await lastEvents(1))[0]!.data as { notice: Notice };
    assert.equal(notice.kind, 'test');
    assert.deepEqual(
      [notice.items[0]!.event, notice.items[0]!.subject, notice.items[0]!.by],
      ['proposed', { type: 'account', value: 'bob@example.com' }, 'rule:burst@1'],
    );
    assert.match(notice.items[0]!.why, /101 recipients within 10m/);
  });

  test('refuses a test of a channel that is not there, a bad body, and a viewer', async () => {
    const send = (body: unknown, role: 'viewer' | 'operator' = 'operator') =>
      server.post(`${NOTICES}/test`, body, { role });
    assert.equal((await send({ channel: 'none' })).status, 404);
    assert.equal((await send({ channel: 7 })).status, 400);
    assert.equal((await send({ channel: 'ops', url: 'http://x.example' })).status, 400);
    assert.equal((await send({ channel: 'ops' }, 'viewer')).status, 403);
  });

  async function lastEvents(limit: number) {
    const found = [];
    for await (const event of server.deps.store.readStream('notices-ops', { direction: 'backwards', limit }))
      found.push(event);
    return found;
  }
});

test('without channels the list is empty and nothing can be tested', async () => {
  const server = await ApiServer.start();
  try {
    assert.deepEqual((await server.get(NOTICES)).json, { channels: [] });
    assert.equal((await server.post(`${NOTICES}/test`, { channel: 'ops' })).status, 404);
  } finally {
    await server.stop();
  }
});
