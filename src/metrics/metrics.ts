import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** A registry that can look something up before it is read. */
class ScrapedRegistry extends Registry {
  beforeScrape: (() => Promise<void>) | undefined;

  override async metrics(): Promise<string> {
    await this.beforeScrape?.();
    return super.metrics();
  }
}

/**
 * Every metric there is, on a registry of its own. Labels come from fixed lists or from the rule set: never
 * from the wire, and never an address.
 */
export class Metrics {
  readonly registry = new ScrapedRegistry();
  readonly #registers = [this.registry];

  readonly sends = new Counter({
    name: 'stopgap_sends_total',
    help: 'Messages accepted for relay.',
    labelNames: ['direction'] as const,
    registers: this.#registers,
  });
  readonly recipients = new Counter({
    name: 'stopgap_recipients_total',
    help: 'Recipients of the messages accepted for relay.',
    labelNames: ['direction'] as const,
    registers: this.#registers,
  });
  readonly refusals = new Counter({
    name: 'stopgap_refusals_total',
    help: 'Commands refused, by stage and reason.',
    labelNames: ['stage', 'reason'] as const,
    registers: this.#registers,
  });
  readonly auth = new Counter({
    name: 'stopgap_auth_total',
    help: 'AUTH attempts, by outcome. A feigned failure is a block that looks like a wrong password.',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly verdicts = new Counter({
    name: 'stopgap_verdicts_total',
    help: 'Rules that tripped, by what came of it.',
    labelNames: ['rule', 'action'] as const,
    registers: this.#registers,
  });
  readonly activeBlocks = new Gauge({
    name: 'stopgap_active_blocks',
    help: 'Blocks in force.',
    labelNames: ['type', 'origin'] as const,
    registers: this.#registers,
  });
  readonly pendingProposals = new Gauge({
    name: 'stopgap_pending_proposals',
    help: 'Proposals that wait for an administrator.',
    registers: this.#registers,
  });
  readonly expiryLateness = new Histogram({
    name: 'stopgap_expiry_lateness_seconds',
    help: 'How long after it fell due an expiry was recorded. Refusals end on time regardless.',
    buckets: [0.01, 0.1, 0.5, 1, 5, 30, 60, 300, 3600],
    registers: this.#registers,
  });
  readonly projectionLag = new Gauge({
    name: 'stopgap_projection_lag_events',
    help: 'Events written that the read models have not folded yet.',
    registers: this.#registers,
  });
  readonly skippedEvents = new Counter({
    name: 'stopgap_skipped_events_total',
    help: 'Stored events that could not be read or are of an unknown type.',
    registers: this.#registers,
  });
  readonly appendSeconds = new Histogram({
    name: 'stopgap_store_append_seconds',
    help: 'From handing events to the store until they are durable.',
    buckets: SECONDS,
    registers: this.#registers,
  });
  readonly appendFailures = new Counter({
    name: 'stopgap_store_append_failures_total',
    help: 'Appends that the store did not take (lost races are none).',
    registers: this.#registers,
  });
  readonly outboxWaiting = new Gauge({
    name: 'stopgap_outbox_events',
    help: 'Events that wait on this disk for a store that is away.',
    registers: this.#registers,
  });
  readonly outboxLost = new Counter({
    name: 'stopgap_outbox_lost_events_total',
    help: 'Events that were not recorded, the outbox being full (onStoreLost: accept).',
    registers: this.#registers,
  });
  readonly smtpSessions = new Gauge({
    name: 'stopgap_smtp_sessions',
    help: 'SMTP sessions open now.',
    labelNames: ['direction'] as const,
    registers: this.#registers,
  });
  readonly relaySessions = new Gauge({
    name: 'stopgap_relay_sessions',
    help: 'Upstream sessions.',
    labelNames: ['state'] as const,
    registers: this.#registers,
  });
  readonly certificateExpiry = new Gauge({
    name: 'stopgap_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of a listener ends, in seconds since the epoch.',
    labelNames: ['listener'] as const,
    registers: this.#registers,
  });
  readonly apiSeconds = new Histogram({
    name: 'stopgap_api_request_seconds',
    help: 'Time to answer an API request, by route.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: SECONDS,
    registers: this.#registers,
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: 'stopgap_' });
  }
}
