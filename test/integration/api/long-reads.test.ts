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
    stream === sendStream(ACCOUNT) ? again(store, stream) : store.readStream(stream, options);
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

function* endlessSteps(): Generator<readonly never[], never> {
  reading.most = Math.max(reading.most, ++reading.now);
  reading.begun.add();
  try {
    for (;;) yield [];
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

  /** Asks twelve times for some things in turn. Two are looked at, and none once the clients are gone. */
  async function areMadeTwoAtATime(
    targets: readonly string[],
    meanwhile: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    const gone = new AbortController();
    const asked = Array.from({ length: 12 }, (_, index) =>
      ask(targets[index % targets.length]!, gone.signal),
    );
    await reading.begun.reached(2);
    await settle(50);
    assert.equal(reading.now, 2);
    await meanwhile();
    gone.abort();
    await Promise.all(asked);
    await settle(200);
    assert.deepEqual([reading.now, reading.most], [0, 2]);
  }

  test('are made two at a time, and not at all for clients that are gone', () =>
    areMadeTwoAtATime([VOLUME, `/api/v1/blocks/${block}/report`, `/api/v1/blocks/${block}/refusals`]));

  test('are made two at a time of a sender too, each after a turn of the event loop', () =>
    areMadeTwoAtATime([`/api/v1/senders/account/${ACCOUNT}`]));

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
    await areMadeTwoAtATime(['/api/v1/overview', '/api/v1/senders'], async () =>
      assert.equal((await server.get('/healthz')).status, 200),
    );
  });

  const LISTS = [
    '?q=e&total=true',
    '?sort=subject',
    '?sort=oldest&state=expired',
    '?format=csv',
    '?format=ndjson',
  ];
  for (const asks of LISTS)
    test(`are made two at a time of a list of blocks too: ${asks}`, async (t) => {
      const { rows } = server.deps.models.ledger;
      t.mock.method(rows, 'search', endlessSteps);
      t.mock.method(rows, 'searchBy', endlessSteps);
      await areMadeTwoAtATime([`/api/v1/blocks${asks}`], async () =>
        assert.equal((await server.get('/api/v1/overview', { role: 'viewer' })).status, 200),
      );
    });

  test('are made two at a time of exports of changes, and all of them in the end', async (t) => {
    const { changes } = server.deps.models;
    const pieces = { now: 0, most: 0 };
    const newest = changes.newest.bind(changes);
    t.mock.method(changes, 'newest', () => {
      pieces.most = Math.max(pieces.most, ++pieces.now);
      void setImmediate().then(() => pieces.now--);
      return newest();
    });
    const asked = Array.from({ length: 12 }, () =>
      server.get('/api/v1/changes?format=csv', { role: 'viewer' }),
    );
    for (const { status, text } of await Promise.all(asked))
      assert.deepEqual([status, text.trim().split('\r\n').length > 1], [200, true]);
    assert.ok(pieces.most <= 2, `${pieces.most}`);
  });

  test('are made no more than two in one turn of the event loop of a list of overrides, exemptions or observations', async (t) => {
    const { overrides, exemptions, ledger } = server.deps.models;
    const lists = [
      ['/api/v1/overrides?type=account', overrides, 'page'],
      ['/api/v1/exemptions', exemptions, 'list'],
      ['/api/v1/rules/observed', ledger.observed, 'newest'],
    ] as const;
    for (const [target, model, method] of lists) {
      let [now, most, isOver] = [0, 0, false];
      const turn = (): void => {
        now = 0;
        if (!isOver) globalThis.setImmediate(turn);
      };
      turn();
      const look = (model as unknown as Record<string, (...asked: unknown[]) => unknown>)[method]!.bind(
        model,
      );
      t.mock.method(model as unknown as Record<string, () => unknown>, method, (...asked: unknown[]) => {
        most = Math.max(most, ++now);
        return look(...asked);
      });
      const replies = await Promise.all(
        Array.from({ length: 40 }, () => server.get(target, { role: 'viewer' })),
      );
      isOver = true;
      assert.ok(replies.every(({ status }) => status === 200));
      assert.ok(most > 0 && most <= 4, `${target}: ${most} in a turn of the event loop`);
    }
  });
});
