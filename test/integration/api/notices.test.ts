import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { envelope, newId } from '../../../src/runtime/ids.js';
import { ChannelState } from '../../../src/notices/channel-state.js';
import { NoticeCommands } from '../../../src/notices/commands.js';
import type { Notice } from '../../../src/notices/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { ApiServer } from '../../support/api/server.js';
import { channelOf } from '../../support/notices/channels.js';
import { Terminal } from '../cli-client/support.js';

const NOTICES = '/api/v1/notices';

describe('the API of notices', () => {
  let server: ApiServer;
  let gathers: ChannelState;
  before(async () => {
    const mail = { type: 'mail', url: undefined, secret: undefined, smtp: 'smtp://127.0.0.1:9' };
    const channels = [
      channelOf(),
      channelOf({ name: 'chat', type: 'slack', secret: undefined, quietHours: '00:00-23:59' }),
      channelOf({ ...mail, name: 'owners', owners: 'customer.example=admin@office.example' }),
    ];
    const live = new Map(channels.slice(0, 2).map((channel) => [channel.name, new ChannelState(channel)]));
    for (const state of live.values())
      state.apply({ type: 'ChannelFollowed', data: { through: 0 }, at: 0, revision: 0 });
    gathers = live.get('chat')!;
    server = await ApiServer.start((deps) => ({
      ...deps,
      notices: new NoticeCommands({
        ...deps,
        channels,
        live: (name) => (name === 'chat' ? gathers : undefined),
      }),
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

  test('says how many events are kept back, and until when; null where another process sends', async () => {
    const at = server.clock.now();
    const about = { event: 'imposed', by: 'rule:burst@1', why: 'too many' } as const;
    for (const position of [1, 2])
      gathers.gather(position, { ...about, position, at, block: `b${position}` }, at);
    const { json } = await server.get(NOTICES, { role: 'viewer' });
    const { channels } = json as unknown as { channels: Record<string, unknown>[] };
    assert.deepEqual(
      channels.map(({ name, waiting, gathered, gatheredUntil }) => [name, waiting, gathered, gatheredUntil]),
      [
        ['ops', 0, null, null],
        ['chat', 0, 2, '2026-03-01T23:59:00.000Z'],
        ['owners', 0, null, null],
      ],
    );
    const terminal = await Terminal.at(server);
    try {
      const { out } = await terminal.run('notify', 'list');
      assert.match(out, /^chat +slack +on +0 +2 until 2026-03-01T23:59:00.000Z /m);
      assert.match(out, /^ops +webhook +\w+ +0 +unknown /m);
    } finally {
      await terminal.close();
    }
  });

  test('tests no channel of owners alone, who are customers, but tells what it would send', async () => {
    const { status, json } = await server.post(
      `${NOTICES}/test`,
      { channel: 'owners' },
      { role: 'operator' },
    );
    assert.equal(status, 200);
    const { channel, wouldSay } = json as unknown as { channel: string; wouldSay: string };
    assert.equal(channel, 'owners');
    assert.match(wouldSay, /^Stopgap \(test\): sender blocked: account somebody@example\.com\n/);
    assert.match(wouldSay, /Somebody else may have the password/);
    const noted = [];
    for await (const event of server.deps.store.readStream('notices-owners')) noted.push(event);
    assert.deepEqual(noted, []);
    const terminal = await Terminal.at(server);
    try {
      const { code, out, err } = await terminal.run('notify', 'test', 'owners');
      assert.equal(code, 0, err);
      assert.match(err, /nothing was sent: owners tells owners alone; it would say:/);
      assert.match(out, /^Stopgap \(test\): sender blocked/);
    } finally {
      await terminal.close();
    }
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

  test('resends one notice after the other while the worker records what became of them', async () => {
    const ids = [await dead(), await dead()];
    const { store } = server.deps;
    const appends: string[] = [];
    const busy: Pick<EventStore, 'append' | 'readStream'> = {
      readStream: (...args) => store.readStream(...args),
      async append(stream, events, expected) {
        // The worker was faster: the first one is on its way already.
        if (appends.push(stream) === 2) await record('NoticeAttempted', { notice: ids[0] });
        return store.append(stream, events, expected);
      },
    };
    const commands = new NoticeCommands({ ...server.deps, channels: [channelOf()], store: busy });
    for (const id of ids) await commands.resend(id, 'admin:me', 'request:1');
    assert.deepEqual(
      (await lastEvents(3)).map(({ type, data }) => [type, (data as { notice: string }).notice]),
      [
        ['NoticeResent', ids[1]],
        ['NoticeAttempted', ids[0]],
        ['NoticeResent', ids[0]],
      ],
    );
    assert.equal(appends.length, 3);
  });

  test('two who have one notice resent at once have it sent once', async () => {
    const id = await dead();
    const { store } = server.deps;
    let isFirst = true;
    const raced: Pick<EventStore, 'append' | 'readStream'> = {
      readStream: (...args) => store.readStream(...args),
      async append(stream, events, expected) {
        if (isFirst) await record('NoticeResent', { notice: id });
        isFirst = false;
        return store.append(stream, events, expected);
      },
    };
    const commands = new NoticeCommands({ ...server.deps, channels: [channelOf()], store: raced });
    await assert.rejects(commands.resend(id, 'admin:me', 'request:1'), /this notice is waiting/);
    const [last] = await lastEvents(1);
    assert.deepEqual([last!.type, last!.by], ['NoticeResent', 'system:notices']);
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
