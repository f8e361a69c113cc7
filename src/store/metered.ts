import type { ReadOperation, StoreMetrics } from '../metrics/store.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { EventStore } from './port.js';
import { WrongExpectedRevision } from './port.js';

/** The same store, with its appends and reads timed and their failures counted. */
export function metered(store: EventStore, metrics: StoreMetrics): EventStore {
  return {
    async append(stream, events, expected) {
      const began = performance.now();
      try {
        return await store.append(stream, events, expected);
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision)) metrics.appendFailed();
        throw error;
      } finally {
        metrics.appended(began);
      }
    },
    readStream: (stream, options) => reading(store.readStream(stream, options), 'stream', metrics),
    readAll: (options) => reading(store.readAll(options), 'all', metrics),
    subscribe: (options, handler) => store.subscribe(options, handler),
    head: () => measured(() => store.head(), 'head', metrics),
    setRetention: (category, maxAge) => store.setRetention(category, maxAge),
    sweep: (now) => store.sweep(now),
    get maxAppendBytes() {
      return store.maxAppendBytes;
    },
    get healthy() {
      return store.healthy;
    },
    get clockSkew() {
      return store.clockSkew;
    },
    probe: () => store.probe(),
    close: () => store.close(),
  };
}

/** Times the first step only: the pace of the others depends on the reader. */
function reading(
  events: AsyncIterable<RecordedEvent>,
  operation: ReadOperation,
  metrics: StoreMetrics,
): AsyncIterable<RecordedEvent> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = events[Symbol.asyncIterator]();
      let isFirst = true;
      return {
        next() {
          if (!isFirst) return iterator.next();
          isFirst = false;
          return measured(() => iterator.next(), operation, metrics);
        },
        ...(iterator.return === undefined ? {} : { return: () => iterator.return!() }),
      };
    },
  };
}

async function measured<T>(
  work: () => Promise<T>,
  operation: ReadOperation,
  metrics: StoreMetrics,
): Promise<T> {
  const began = performance.now();
  try {
    return await work();
  } catch (error) {
    metrics.readFailed(operation);
    throw error;
  } finally {
    metrics.read(operation, began);
  }
}
