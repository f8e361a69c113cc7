import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { sendStream } from '../../../src/sending/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { Tally, settle } from '../../support/gate.js';

const ACCOUNT = 'busy@example.com';
const VOLUME = `/api/v1/senders/account/${ACCOUNT}/volume`;

/** How many streams without an end are read now, and were at most at a time. */
const reading = { now: 0, most: 0, begun: new Tally() };

/** A stream of sends has no end here: it gives its first event again and again. */
function endless(store: EventStore): EventStore {
  const readStream: EventStore['readStream'] = (stream, options) =>
    stream === sendStream(ACCOUNT) && options?.limit === undefined
      ? again(store, stream)
      : store.readStream(stream, options);
  return new Proxy(store, {
    get(target, name) {
      if (name === 'readStream') return readStream;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function* again(store: EventStore, stream: string): ReturnType<EventStore['readStream']> {
  reading.most = Math.max(reading.most, ++reading.now);
  reading.begun.add();
  try {
    for await (const event of store.readStream(stream, { limit: 1 }))
      for (;;) {
        yield event;
        await setImmediate();
      }
  } finally {
    reading.now--;
  }
}

function* endlessSteps(): Generator<void, never> {
  reading.most = Math.max(reading.most, ++reading.now);
  reading.begun.add();
  try {
    for (;;) yield;
  } finally {
    reading.now--;
  }
}

describe('answers for which much is looked at', () => {
  let server: ApiServer;
  let block = '';
  before(async () => {
    server = await ApiServer.start((deps) => ({ ...deps, store: endless(deps.store) }));
    await server.sent(ACCOUNT, 1);
    block = (await server.block(ACCOUNT)).id;
  });
  after(() => server.stop());
  beforeEach(() => {
    Object.assign(reading, { now: 0, most: 0, begun: new Tally() });
  });

  const ask = (target: string, signal: AbortSignal): Promise<unknown> =>
    fetch(new URL(target, server.url), {
      headers: { authorization: `Bearer ${TOKENS.viewer}` },
      signal,
    }).catch(() => undefined);

  test('are made two at a time, and not at all for clients that are gone', async () => {
    const gone = new AbortController();
    const targets = [VOLUME, `/api/v1/blocks/${block}/report`, `/api/v1/blocks/${block}/refusals`];
    const asked = Array.from({ length: 12 }, (_, index) => ask(targets[index % 3]!, gone.signal));
    await reading.begun.reached(2);
    await settle(50);
    assert.equal(reading.now, 2);
    gone.abort();
    await Promise.all(asked);
    await settle(200);
    assert.deepEqual([reading.now, reading.most], [0, 2]);
  });

  test('are not made any further once the client was told that it takes too long', async () => {
    const answer = server.get(VOLUME, { role: 'viewer' });
    await reading.begun.reached(1);
    server.clock.advance(15 * SECOND);
    assert.equal((await answer).status, 503);
    await settle(50);
    assert.equal(reading.now, 0);
  });

  test('are not made all at once of what is in memory either: the event loop turns, and two are made at a time', async (t) => {
    t.mock.method(server.deps.models.sendVolume, 'busiest', endlessSteps);
    const gone = new AbortController();
    const targets = ['/api/v1/overview', '/api/v1/senders'];
    const asked = Array.from({ length: 12 }, (_, index) => ask(targets[index % 2]!, gone.signal));
    await reading.begun.reached(2);
    await settle(50);
    assert.equal(reading.now, 2);
    assert.equal((await server.get('/healthz')).status, 200);
    gone.abort();
    await Promise.all(asked);
    await settle(200);
    assert.deepEqual([reading.now, reading.most], [0, 2]);
  });
});
