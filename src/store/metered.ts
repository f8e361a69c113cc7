import { SECOND } from '../kernel/time.js';
import type { Metrics } from '../metrics/metrics.js';
import type { EventStore } from './port.js';
import { WrongExpectedRevision } from './port.js';

/** The same store, with its appends timed and its failures counted. */
export function metered(store: EventStore, metrics: Metrics): EventStore {
  return {
    async append(stream, events, expected) {
      const began = performance.now();
      try {
        return await store.append(stream, events, expected);
      } catch (error) {
        if (!(error instanceof WrongExpectedRevision)) metrics.appendFailures.inc();
        throw error;
      } finally {
        metrics.appendSeconds.observe((performance.now() - began) / SECOND);
      }
    },
    readStream: (stream, options) => store.readStream(stream, options),
    readAll: (options) => store.readAll(options),
    subscribe: (options, handler) => store.subscribe(options, handler),
    head: () => store.head(),
    setRetention: (category, maxAge) => store.setRetention(category, maxAge),
    sweep: (now) => store.sweep(now),
    get healthy() {
      return store.healthy;
    },
    close: () => store.close(),
  };
}
