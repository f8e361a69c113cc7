import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { metered } from '../../../src/metrics/store.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable, WrongExpectedRevision } from '../../../src/store/port.js';
import { Figures } from '../../support/metrics.js';
import { event } from '../../support/sends.js';

const EVENTS = [1, 2, 3].map((position) => event('X', {}, 0, position));

async function* three(): AsyncGenerator<RecordedEvent> {
  yield* EVENTS;
}

/** A store that does as it is told. */
function behind(parts: Partial<EventStore>): { store: EventStore; figures: () => Promise<Figures> } {
  const metrics = new Metrics();
  const store = metered(parts as EventStore, metrics.store);
  return { store, figures: async () => new Figures(await metrics.registry.metrics()) };
}

const all = async (events: AsyncIterable<RecordedEvent>): Promise<RecordedEvent[]> => {
  const found: RecordedEvent[] = [];
  for await (const one of events) found.push(one);
  return found;
};

describe('a metered store', () => {
  test('gives what the store gives, and counts a read of any length once', async () => {
    const { store, figures } = behind({ readStream: three, readAll: three, head: () => Promise.resolve(3) });
    assert.deepEqual(await all(store.readStream('x')), EVENTS);
    assert.deepEqual(await all(store.readAll()), EVENTS);
    assert.equal(await store.head(), 3);
    const counts = (await figures()).nonzero('stopgap_store_read_seconds_count');
    assert.deepEqual(counts, { stream: 1, all: 1, head: 1 });
    assert.deepEqual((await figures()).nonzero('stopgap_store_read_failures_total'), {});
  });

  test('lets a reader that stops early let go of the store', async () => {
    let closed = 0;
    async function* closing(): AsyncGenerator<RecordedEvent> {
      try {
        yield* EVENTS;
      } finally {
        closed++;
      }
    }
    const { store } = behind({ readAll: closing });
    for await (const one of store.readAll()) {
      assert.equal(one.position, 1);
      break;
    }
    assert.equal(closed, 1);
  });

  test('counts what fails, and passes it on', async () => {
    async function* failing(): AsyncGenerator<RecordedEvent> {
      yield* [];
      throw new StoreUnavailable('away');
    }
    const head = () => Promise.reject(new StoreUnavailable('away'));
    const { store, figures } = behind({ readStream: failing, head });
    await assert.rejects(all(store.readStream('x')), StoreUnavailable);
    await assert.rejects(store.head(), StoreUnavailable);
    const failures = (await figures()).nonzero('stopgap_store_read_failures_total');
    assert.deepEqual(failures, { stream: 1, head: 1 });
  });

  test('times appends; a lost race is no failure', async () => {
    const answers: (() => Promise<never>)[] = [
      () => Promise.reject(new WrongExpectedRevision('x', 1, 2)),
      () => Promise.reject(new StoreUnavailable('away')),
    ];
    const { store, figures } = behind({ append: () => answers.shift()!() });
    await assert.rejects(store.append('x', [], 1), WrongExpectedRevision);
    await assert.rejects(store.append('x', [], 'any'), StoreUnavailable);
    assert.equal((await figures()).of('stopgap_store_append_seconds_count'), 2);
    assert.equal((await figures()).of('stopgap_store_append_failures_total'), 1);
  });
});
