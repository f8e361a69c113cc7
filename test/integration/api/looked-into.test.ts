import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { DAY, formatInstant, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { sendStream } from '../../../src/sending/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { ApiServer, onStore } from '../../support/api/server.js';
import { settle, Tally } from '../../support/gate.js';

const BUSY = 'busy@example.com';

/** How many streams without an end are read now, and were most at a time. */
const reading = { now: 0, most: 0, begun: new Tally() };

/** What is read backwards of a busy sender has no end here. */
function endless(store: EventStore): EventStore {
  return new Proxy(store, {
    get(target, name) {
      if (name === 'readStream')
        return ((stream, options) =>
          options?.direction === 'backwards' && stream.startsWith(sendStream('busy'))
            ? again(store)
            : store.readStream(stream, options)) as EventStore['readStream'];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function* again(store: EventStore): ReturnType<EventStore['readStream']> {
  reading.most = Math.max(reading.most, ++reading.now);
  reading.begun.add();
  try {
    for await (const event of store.readStream(sendStream(BUSY), { limit: 1 }))
      for (;;) {
        yield event;
        await setImmediate();
      }
  } finally {
    reading.now--;
  }
}

describe('what is reported of senders who have sent much', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start((deps) => onStore(deps, endless(deps.store)));
    await server.sent(BUSY, 1);
  });
  after(() => server.stop());
  beforeEach(() => {
    Object.assign(reading, { now: 0, most: 0, begun: new Tally() });
  });

  const report = async (item: (index: number) => object): Promise<void> => {
    const items = Array.from({ length: 100 }, (_, index) => ({ id: `r${index}`, ...item(index) }));
    const answers = [1, 2, 3].map(() => server.post('/api/v1/sends', items, { role: 'server' }));
    await reading.begun.reached(2);
    await settle(50);
    assert.equal(reading.now, 2);
    assert.equal((await server.get('/healthz')).status, 200);
    server.clock.advance(10 * SECOND);
    for (const { status } of await Promise.all(answers)) assert.equal(status, 503);
    await settle(50);
    assert.deepEqual([reading.now, reading.most], [0, 2]);
  };

  test('is looked into two at a time, and no longer than the reporter waits', () =>
    report(() => ({ type: 'returned', kind: 'failed', ids: ['none'], senders: [BUSY] })));

  test('near midnight is compared with what was recorded before, likewise', async () => {
    const now = server.clock.now();
    const at = formatInstant(now - (now % DAY) + MINUTE);
    await report((index) => {
      const account = `busy${index}@example.com`;
      return { type: 'accepted', account, queueId: `4fQ${index}`, at, recipients: 1 };
    });
  });
});
