import type { Clock } from '../kernel/time.js';
import type { ReadModels } from '../read-models.js';
import type { Relay } from '../smtp/relay/port.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import { stateAt } from '../../projections/block-ledger.js';
import type { Metrics } from './metrics.js';

/** What the gauges are read off; a process has as much of it as its roles need. */
interface Gauged {
  readonly models: ReadModels;
  readonly relay: Relay | undefined;
  readonly outbox: { readonly waiting: number } | undefined;
  readonly store: EventStore;
  readonly clock: Clock;
}

/** Brings the gauges up to date that are read off the read models, just before a scrape. */
export async function updateGauges(
  metrics: Metrics,
  { models, relay, outbox, store, clock }: Gauged,
): Promise<void> {
  metrics.activeBlocks.reset();
  for (const { type, byRule, count } of models.activeBlocks.counts()) {
    metrics.activeBlocks.set({ type, origin: byRule ? 'rule' : 'admin' }, count);
  }
  const now = clock.now();
  metrics.pendingProposals.set(
    [...models.ledger.pending()].filter((entry) => stateAt(entry, now) === 'proposed').length,
  );
  if (relay !== undefined) {
    metrics.relaySessions.set({ state: 'open' }, relay.sessions.open);
    metrics.relaySessions.set({ state: 'busy' }, relay.sessions.busy);
  }
  metrics.outboxWaiting.set(outbox?.waiting ?? 0);
  if (store.healthy) await updateLag(metrics, models, store);
}

async function updateLag(metrics: Metrics, models: ReadModels, store: EventStore): Promise<void> {
  try {
    metrics.projectionLag.set(Math.max(0, (await store.head()) - models.feedPosition));
  } catch (error) {
    // Just when the store is away the other metrics are wanted most; how far behind we are nobody knows then.
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}
