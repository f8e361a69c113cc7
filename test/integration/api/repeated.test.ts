import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createParser } from 'eventsource-parser';
import { newId } from '../../../src/runtime/ids.js';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { sendStream } from '../../../src/sending/events.js';
import type { EventStore } from '../../../src/store/port.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';
import { collect } from '../../support/store/events.js';

const ALICE = 'alice@example.com';
const BLOCKS = '/api/v1/blocks';

/** Hands every event over, and then all that a stream holds again, as one does that a server has written twice. */
function twice(store: EventStore): EventStore {
  return changed(store, {
    async *readStream(stream, options = {}) {
      const { limit = Infinity, ...rest } = options;
      const events = await collect(store.readStream(stream, rest));
      yield* [...events.flatMap((event) => [event, event]), ...events].slice(0, limit);
    },
    subscribe: (options, handler) =>
      store.subscribe(options, async (event) => {
        await handler(event);
        await handler(event);
      }),
  });
}

/** The read models follow the store itself; every other reader gets each event several times. */
function reading(deps: ApiDependencies): ApiDependencies {
  const store = twice(deps.store);
  return {
    ...deps,
    store,
    blockCommands: new BlockCommandHandler(store, deps.clock),
    rulesCommands: new RulesCommandHandler(store, deps.clock),
  };
}

describe('the API over a store that holds events twice', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start(reading);
  });
  after(() => server.stop());

  test('shows a send once', async () => {
    const data = {
      account: ALICE,
      returnPath: ALICE,
      ehlo: 'pc.example',
      ip: '192.0.2.7',
      direction: 'outbound',
    };
    const more = { transaction: 't', recipients: 1, size: 1, recipientDomains: [], entitled: true };
    const ids = Array.from({ length: 60 }, newId);
    for (const id of ids) {
      const event = { id, type: 'MessageAccepted', at: server.clock.now(), by: 'smtp:test' };
      await server.deps.store.append(sendStream(ALICE), [{ ...event, data: { ...data, ...more } }], 'any');
    }
    const { json } = await server.get(`/api/v1/senders/account/${ALICE}`);
    const positions = json.sends.items.map(({ position }) => position);
    assert.deepEqual([positions.length, new Set(positions).size], [50, 50]);
  });

  test('gives an event once on its feed, and tells its id', async () => {
    const from = await server.deps.store.head();
    for (const name of ['first', 'second', 'third']) await server.block(`${name}@example.com`);
    const abort = new AbortController();
    const response = await fetch(`${server.url}api/v1/events?after=${from}`, {
      headers: { authorization: `Bearer ${TOKENS.viewer}` },
      signal: abort.signal,
    });
    type Told = { eventId: string; stream: string };
    const told: Told[] = [];
    const parser = createParser({ onEvent: ({ data }) => void told.push(JSON.parse(data) as Told) });
    for await (const bytes of response.body!) {
      parser.feed(Buffer.from(bytes as Uint8Array).toString());
      if (told.length >= 3) break;
    }
    abort.abort();
    assert.deepEqual(
      told.map(({ stream }) => stream),
      ['first', 'second', 'third'].map((name) => `block-account:${name}@example.com`),
    );
    const [recorded] = await collect(server.deps.store.readStream('block-account:first@example.com'));
    assert.equal(told[0]!.eventId, recorded!.id);
  });

  test('decides on what has happened once: a release ends a block for good, and escalation counts it once', async () => {
    const id = await server.trip(ALICE, 'block');
    const released = await server.post(`${BLOCKS}/${id}/release`, { falsePositive: false });
    assert.deepEqual([released.status, released.json.state], [200, 'released']);
    const again = await server.post(`${BLOCKS}/${id}/release`);
    assert.equal(again.status, 409, 'not in force again by the imposition that comes again');
    const standing = await server.deps.blockCommands.standing({ type: 'account', value: ALICE });
    assert.deepEqual([standing.block, standing.strikes.length], [undefined, 1]);
    assert.deepEqual([...standing.ended], [[id, 'released']]);
  });

  test('knows which rules are in force, and numbers on from these', async () => {
    const source = (limit: number): string =>
      `version: 1\nrules:\n  - { id: burst, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h }\n`;
    for (const [limit, version] of [
      [10, 2],
      [20, 3],
      [10, 4],
    ] as const) {
      const { json } = await server.call('PUT', '/api/v1/rules', { body: { source: source(limit) } });
      assert.deepEqual([json.version, json.source], [version, source(limit)]);
      assert.equal((await server.get('/api/v1/rules')).json.version, version);
    }
  });

  test('shows what was set for an account, and its history, once', async () => {
    const target = '/api/v1/overrides/account/bought@example.com';
    await server.call('PUT', target, { body: { factor: 2 } });
    await server.call('PUT', target, { body: { factor: 3 } });
    const { json } = await server.get(target);
    assert.equal((json as unknown as { api: { factor: number } }).api.factor, 3);
    assert.deepEqual(
      json.history.map(({ type }) => type),
      ['OverrideSet', 'OverrideSet'],
    );
  });
});
