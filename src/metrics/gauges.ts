import type { Clock } from '../kernel/time.js';
import type { ReadModels } from '../read-models.js';
import type { Relay } from '../smtp/relay/port.js';
import type { EventStore } from '../store/port.js';
import { stateAt } from '../../projections/block-ledger.js';
import type { Metrics } from './metrics.js';

/** Brings the gauges up to date that are read off the read models, just before a scrape. */
export async function updateGauges(
  metrics: Metrics,
  { models, relay, store, clock }: { models: ReadModels; relay: Relay; store: EventStore; clock: Clock },
): Promise<void> {
  metrics.activeBlocks.reset();
  for (const { type, byRule, count } of models.activeBlocks.counts()) {
    metrics.activeBlocks.set({ type, origin: byRule ? 'rule' : 'admin' }, count);
  }
  const now = clock.now();
  metrics.pendingProposals.set(
    [...models.ledger.pending()].filter((entry) => stateAt(entry, now) === 'proposed').length,
  );
  metrics.relaySessions.set({ state: 'open' }, relay.sessions.open);
  metrics.relaySessions.set({ state: 'busy' }, relay.sessions.busy);
  metrics.projectionLag.set(Math.max(0, (await store.head()) - models.position));
}
