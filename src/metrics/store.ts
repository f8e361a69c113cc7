import { Counter, Gauge, Histogram } from 'prom-client';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { EventStore } from '../store/port.js';
import { WrongExpectedRevision } from '../store/port.js';
import type { ScrapedRegistry } from './registry.js';
import { histogramFrom0 } from './registry.js';

/** Seconds: from memory to a disk that is in trouble. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

const OPERATIONS = ['stream', 'all', 'head'] as const;
export type ReadOperation = (typeof OPERATIONS)[number];

/** Measures the store, its followers, and its outbox. */
export class StoreMetrics {
  readonly up = new Gauge({
    name: 'stopgap_store_up',
    help: '1 while the store takes events.',
    registers: [],
  });
  readonly #appends = new Histogram({
    name: 'stopgap_store_append_seconds',
    help: 'From handing events to the store until they are durable.',
    buckets: BUCKETS,
    registers: [],
  });
  readonly #appendFailures = new Counter({
    name: 'stopgap_store_append_failures_total',
    help: 'Appends that the store did not take (lost races are none).',
    registers: [],
  });
  readonly #reads = new Histogram({
    name: 'stopgap_store_read_seconds',
    help: 'Until the store gave the first event of a stream, of everything, or the position of the last one.',
    labelNames: ['operation'] as const,
    buckets: BUCKETS,
    registers: [],
  });
  readonly #readFailures = new Counter({
    name: 'stopgap_store_read_failures_total',
    help: 'Reads that failed.',
    labelNames: ['operation'] as const,
    registers: [],
  });
  readonly ready = new Gauge({
    name: 'stopgap_read_models_ready',
    help: '1 once everything that stood in the store at the start is folded.',
    registers: [],
  });
  readonly baselinesReady = new Gauge({
    name: 'stopgap_baselines_ready',
    help: '1 once it is known here what senders usually do, for when the store is away.',
    registers: [],
  });
  readonly lagEvents = new Gauge({
    name: 'stopgap_projection_lag_events',
    help: 'Events written that the read models have not folded yet.',
    registers: [],
  });
  readonly lagSeconds = new Gauge({
    name: 'stopgap_projection_lag_seconds',
    help: 'How long ago the oldest event was written that the read models have not folded yet.',
    registers: [],
  });
  readonly lag = new Gauge({
    name: 'stopgap_feed_lag_seconds',
    help: 'How old what the read models show may be; with a store on a server up to a few seconds say nothing.',
    registers: [],
  });
  readonly logReplaced = new Counter({
    name: 'stopgap_log_replaced_total',
    help: 'How often the store was back with another log than the one that was followed.',
    registers: [],
  });
  readonly clockSkew = new Gauge({
    name: 'stopgap_store_clock_skew_seconds',
    help: "The clock of the store's server less ours.",
    registers: [],
  });
  readonly skippedEvents = new Counter({
    name: 'stopgap_skipped_events_total',
    help: 'Stored events that could not be read or are of an unknown type.',
    registers: [],
  });
  readonly outboxWaiting = new Gauge({
    name: 'stopgap_outbox_events',
    help: 'Events that wait on this disk for a store that is away.',
    registers: [],
  });
  readonly outboxLimit = new Gauge({
    name: 'stopgap_outbox_limit_events',
    help: 'Events that may wait on this disk; 0 without an outbox.',
    registers: [],
  });
  readonly outboxOldest = new Gauge({
    name: 'stopgap_outbox_oldest_age_seconds',
    help: 'How long the oldest event in the outbox has waited; 0 where none waits.',
    registers: [],
  });
  readonly outboxQuarantined = new Gauge({
    name: 'stopgap_outbox_quarantined_events',
    help: 'Events on this disk that the store refuses for a reason of their own.',
    registers: [],
  });
  readonly outboxLost = new Counter({
    name: 'stopgap_outbox_lost_events_total',
    help: 'Events that were not recorded, the outbox being full.',
    registers: [],
  });
  readonly #snapshotAt = new Gauge({
    name: 'stopgap_snapshot_timestamp_seconds',
    help: 'When the newest snapshot of the read models was written, in seconds since the epoch.',
    registers: [],
  });
  readonly snapshotFailures = new Counter({
    name: 'stopgap_snapshot_failures_total',
    help: 'Snapshots that could not be written.',
    registers: [],
  });
  readonly #append: Histogram.Internal<string>;

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.up, this.#appends, this.#appendFailures, this.#reads, this.#readFailures])
      registry.add(metric);
    for (const metric of [
      this.ready,
      this.baselinesReady,
      this.lagEvents,
      this.lagSeconds,
      this.skippedEvents,
    ])
      registry.add(metric);
    for (const metric of [this.lag, this.logReplaced, this.clockSkew]) registry.add(metric);
    for (const metric of [this.outboxWaiting, this.outboxLimit, this.outboxOldest]) registry.add(metric);
    for (const metric of [this.outboxQuarantined, this.outboxLost]) registry.add(metric);
    for (const metric of [this.#snapshotAt, this.snapshotFailures]) registry.add(metric);
    this.#append = histogramFrom0(this.#appends, {});
    for (const operation of OPERATIONS) {
      this.#reads.zero({ operation });
      this.#readFailures.inc({ operation }, 0);
    }
    this.#snapshotAt.remove();
    this.baselinesReady.remove();
    this.clockSkew.remove();
  }

  /** @param began by `performance.now()` */
  appended(began: number): void {
    this.#append.observe((performance.now() - began) / SECOND);
  }

  appendFailed(): void {
    this.#appendFailures.inc();
  }

  /** @param began by `performance.now()` */
  read(operation: ReadOperation, began: number): void {
    this.#reads.observe({ operation }, (performance.now() - began) / SECOND);
  }

  readFailed(operation: ReadOperation): void {
    this.#readFailures.inc({ operation });
  }

  /** A snapshot was written, or begun with, that was made at this time. */
  snapshot(at: Instant): void {
    this.#snapshotAt.set(at / SECOND);
  }
}

/** The same store, with its appends and reads timed and their failures counted. */
export function metered(store: EventStore, metrics: StoreMetrics): EventStore {
  return {
    append(stream, events, expected) {
      const began = performance.now();
      const over = (): void => metrics.appended(began);
      const appending = store.append(stream, events, expected);
      appending.then(over, (error: unknown) => {
        if (!(error instanceof WrongExpectedRevision)) metrics.appendFailed();
        over();
      });
      return appending;
    },
    readStream: (stream, options) => reading(store.readStream(stream, options), 'stream', metrics),
    readAll: (options) => reading(store.readAll(options), 'all', metrics),
    subscribe: (options, handler) => store.subscribe(options, handler),
    head: () => measured(() => store.head(), 'head', metrics),
    setRetention: (category, maxAge) => store.setRetention(category, maxAge),
    lastWrittenBy: (at) => store.lastWrittenBy(at),
    sweep: (now, journals) => store.sweep(now, journals),
    forget: (person, mayGoOn) => store.forget(person, mayGoOn),
    storage: () => store.storage(),
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
