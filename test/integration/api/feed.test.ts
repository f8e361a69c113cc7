import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { createParser } from 'eventsource-parser';
import type { EventSourceMessage } from 'eventsource-parser';
import { newId } from '../../../src/runtime/ids.js';
import { SECOND } from '../../../src/kernel/time.js';
import type { EventStore } from '../../../src/store/port.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { Tally } from '../../support/gate.js';
import { changed } from '../../support/store/changed.js';

/** A client of the feed that reads only while it is told to. */
class FeedClient {
  readonly messages: EventSourceMessage[] = [];
  readonly comments = new Tally();
  readonly #received = new Tally();
  readonly #parser = createParser({
    onEvent: (message) => {
      this.messages.push(message);
      this.#received.add();
    },
    onComment: () => this.comments.add(),
  });

  private constructor(
    readonly response: IncomingMessage,
    reads: boolean,
  ) {
    response.setEncoding('utf8');
    if (reads) this.read();
  }

  static async open(
    server: ApiServer,
    query: string,
    { headers = {}, reads = true }: { headers?: Record<string, string>; reads?: boolean } = {},
  ): Promise<FeedClient> {
    const request = http.get(`${server.url}api/v1/events?${query}`, {
      headers: { authorization: `Bearer ${TOKENS.viewer}`, ...headers },
      agent: false,
    });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.on('error', () => undefined); // a test that closes it has no more to hear from it
    return new FeedClient(response, reads);
  }

  read(): void {
    this.response.on('data', (text: string) => this.#parser.feed(text));
  }

  /** Waits for so many events. */
  async received(count: number): Promise<EventSourceMessage[]> {
    await this.#received.reached(count);
    return this.messages;
  }

  close(): void {
    this.response.destroy();
  }
}

describe('the event feed', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const types = (messages: readonly EventSourceMessage[]) => messages.map(({ event }) => event);

  test('catches up from a position and then goes on live', async () => {
    const block = await server.block('feed@example.com');
    const feed = await FeedClient.open(server, 'after=0');
    assert.match(feed.response.headers['content-type']!, /^text\/event-stream\b/);
    assert.deepEqual(types(await feed.received(2)), ['RulesChanged', 'BlockImposed']);
    await server.post(`/api/v1/blocks/${block.id}/release`, { note: 'two\nlines' });
    const messages = await feed.received(3);
    const last = messages[2]!;
    const data = JSON.parse(last.data) as Record<string, unknown>;
    assert.equal(last.event, 'BlockReleased');
    assert.equal(last.id, String(data['position']));
    assert.deepEqual(Object.keys(data).sort(), [
      'at',
      'by',
      'correlation',
      'data',
      'eventId',
      'position',
      'stream',
      'type',
    ]);
    assert.equal(data['stream'], 'block-account:feed@example.com');
    assert.equal(data['by'], 'admin:the-admin');
    feed.close();
  });

  test('continues after Last-Event-ID, for any value of after, without gap or repetition', async () => {
    const from = await server.deps.store.head();
    for (let index = 0; index < 5; index++) await server.block(`resume${index}@example.com`);
    const first = await FeedClient.open(server, `after=${from}`);
    const seen = (await first.received(2)).slice(0, 2);
    first.close();
    const second = await FeedClient.open(server, 'after=0', { headers: { 'last-event-id': seen[1]!.id! } });
    const rest = await second.received(3);
    second.close();
    const values = [...seen, ...rest].map(({ data }) => (JSON.parse(data) as { stream: string }).stream);
    assert.deepEqual(
      values,
      [0, 1, 2, 3, 4].map((index) => `block-account:resume${index}@example.com`),
    );
  });

  test('begins with what comes next unless told otherwise', async () => {
    const feed = await FeedClient.open(server, '');
    await server.block('fresh@example.com');
    const [first] = await feed.received(1);
    assert.match(first!.data, /fresh@example\.com/);
    feed.close();
  });

  test('gives the categories that are asked for', async () => {
    const from = await server.deps.store.head();
    const event = {
      id: newId(),
      type: 'BounceReceived',
      at: server.clock.now(),
      by: 'smtp:test',
      data: { address: 'a@b.example' },
    };
    await server.deps.store.append('send-a@b.example', [event], 'any');
    await server.block('unwanted@example.com');
    const feed = await FeedClient.open(server, `after=${from}&categories=send,auth`);
    const other = { ...event, id: newId() };
    await server.deps.store.append('send-a@b.example', [other], 'any');
    assert.deepEqual(types(await feed.received(2)), ['BounceReceived', 'BounceReceived']);
    feed.close();
  });

  test('gives the types that are asked for, from whichever category they are of', async () => {
    const from = await server.deps.store.head();
    const event = {
      id: newId(),
      type: 'BounceReceived',
      at: server.clock.now(),
      by: 'smtp:test',
      data: { address: 'a@b.example' },
    };
    const block = await server.block('typed@example.com');
    await server.deps.store.append('send-a@b.example', [event], 'any');
    const feed = await FeedClient.open(server, `after=${from}&types=BlockReleased,BounceReceived`);
    await server.post(`/api/v1/blocks/${block.id}/release`, {});
    assert.deepEqual(types(await feed.received(2)), ['BounceReceived', 'BlockReleased']);
    feed.close();
  });

  test('answers a faulty query with an error, not with a silent feed', async () => {
    for (const [query, headers, field] of [
      ['after=-1', {}, 'after'],
      ['after=999999', {}, 'after'],
      ['categories=mail', {}, 'categories'],
      ['types=RuleObserver', {}, 'types'],
      ['types=RuleObserved&categories=rules', {}, 'types'],
      ['', { 'last-event-id': 'seven' }, 'Last-Event-ID'],
    ] as const) {
      const reply = await server.get(`/api/v1/events?${query}`, { headers });
      assert.equal(reply.status, 400, query);
      assert.equal(reply.json.errors[0].field, field);
    }
    assert.equal((await server.call('HEAD', '/api/v1/events')).status, 200);
  });

  test('is kept alive while nothing happens', async () => {
    const feed = await FeedClient.open(server, '');
    for (let beat = 1; beat <= 3; beat++) {
      server.clock.advance(15 * SECOND);
      await feed.comments.reached(beat);
    }
    feed.close();
  });

  test('ends at its next beat once its token is revoked', async () => {
    let isRevoked = false;
    const own = await ApiServer.start(({ tokens, ...deps }) => ({
      ...deps,
      tokens: {
        authenticate: (token) => (isRevoked ? undefined : tokens.authenticate(token)),
        hasName: (name) => tokens.hasName(name),
      },
    }));
    const reading = await FeedClient.open(own, '');
    const stuck = await FeedClient.open(own, '', { reads: false });
    const over = Promise.all([reading, stuck].map(({ response }) => once(response, 'close')));
    isRevoked = true;
    own.clock.advance(15 * SECOND);
    stuck.read();
    await over;
    assert.equal(own.clock.waiting, 0);
    await own.stop();
  });

  test('leaves nothing open when its client goes', async () => {
    // The server hears of it on its side of the socket: each request gives its event loop a turn.
    const settled = async (alarms: number): Promise<void> => {
      for (let turn = 0; turn < 200 && server.clock.waiting !== alarms; turn++) await server.get('/healthz');
      assert.equal(server.clock.waiting, alarms);
    };
    await settled(0);
    const feed = await FeedClient.open(server, '');
    await settled(1);
    feed.close();
    await settled(0);
  });
});

/** Events that do not fit into any socket buffer: 40 MB. */
const LARGE = 400;

async function startWithLargeEvents(change?: (deps: ApiDependencies) => ApiDependencies): Promise<ApiServer> {
  const server = await ApiServer.start(change);
  for (let first = 0; first < LARGE; first += 20) {
    const events = Array.from({ length: 20 }, (_, index) => ({
      id: newId(),
      type: 'BounceReceived',
      at: server.clock.now(),
      by: 'smtp:test',
      data: { index: first + index, padding: 'x'.repeat(100_000) },
    }));
    await server.deps.store.append('send-slow@b.example', events, 'any');
  }
  return server;
}

describe('the event feed and a client that does not read', () => {
  test('has the store wait, and loses nothing', async () => {
    let handed = 0;
    const server = await startWithLargeEvents((deps) => {
      const subscribe: EventStore['subscribe'] = (options, handler) =>
        deps.store.subscribe(options, (event) => {
          handed++;
          return handler(event);
        });
      return { ...deps, store: changed(deps.store, { subscribe }) };
    });
    try {
      const feed = await FeedClient.open(server, 'after=0&categories=send', { reads: false });
      for (let turn = 0; turn < 50; turn++) await server.get('/healthz');
      assert.ok(handed > 0 && handed < LARGE / 2, `${handed} events were handed over`);
      feed.read();
      const messages = await feed.received(LARGE);
      const order = messages.map(({ data }) => (JSON.parse(data) as { data: { index: number } }).data.index);
      assert.deepEqual(
        order,
        Array.from({ length: LARGE }, (_, index) => index),
      );
      feed.close();
    } finally {
      await server.stop();
    }
  });

  test('ends with the server, like the feeds of clients that read', async () => {
    const server = await startWithLargeEvents();
    const reading = await FeedClient.open(server, '');
    const stuck = await FeedClient.open(server, 'after=0&categories=send', { reads: false });
    const ended = once(reading.response, 'end');
    const closed = server.stop();
    await ended;
    await closed;
    stuck.close();
    assert.equal(server.clock.waiting, 0);
  });

  test('are ten at a time for one token, which leaves room for the others', async () => {
    const own = await ApiServer.start();
    const feeds = await Promise.all(Array.from({ length: 10 }, () => FeedClient.open(own, '')));
    const refused = await own.get('/api/v1/events', { role: 'viewer' });
    assert.equal(refused.status, 503);
    assert.match(refused.json.detail, /10 feeds of the token the-viewer are open already/);
    assert.equal(refused.headers.get('retry-after'), '30');
    const authorization = `Bearer ${TOKENS.operator}`;
    const other = await FeedClient.open(own, '', { headers: { authorization } });
    assert.equal(other.response.statusCode, 200);
    for (const { response } of [...feeds, other]) response.destroy();
    await own.stop();
  });
});
