import type { EventStore } from '../store/port.js';
import { failed } from './spans.js';
import type { Tracing } from './tracing.js';

/** The same store, with a span for each append whose events belong to a trace. */
export function tracedStore(store: EventStore, tracing: Tracing): EventStore {
  return {
    append(stream, events, expected) {
      const parent = events[0]?.trace;
      if (parent === undefined) return store.append(stream, events, expected);
      const types = events.map(({ type }) => type);
      const span = tracing.append(stream, types, parent);
      const appended = store.append(stream, events, expected);
      appended.then(
        ({ position, duplicate }) => {
          // At 0 it waits in this node's outbox.
          span.setAttributes({ 'stopgap.position': position, 'stopgap.duplicate': duplicate });
          span.end();
        },
        (error: unknown) => failed(span, error),
      );
      return appended;
    },
    readStream: (stream, options) => store.readStream(stream, options),
    readAll: (options) => store.readAll(options),
    subscribe: (options, handler) => store.subscribe(options, handler),
    head: () => store.head(),
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
