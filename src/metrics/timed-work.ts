import { Counter, Gauge, Histogram } from 'prom-client';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { ScrapedRegistry } from './registry.js';

/** Measures what falls due: expiries of blocks, lapses of proposals. */
export class TimedWorkMetrics {
  readonly #lateness = new Histogram({
    name: 'stopgap_expiry_lateness_seconds',
    help: 'How long after it fell due an expiry was recorded. Refusals end on time regardless.',
    buckets: [0.01, 0.1, 0.5, 1, 5, 30, 60, 300, 3600],
    registers: [],
  });
  readonly overdue = new Gauge({
    name: 'stopgap_expiry_overdue_seconds',
    help: 'How long ago the most overdue expiry fell due that is not recorded yet; 0 where there is none.',
    registers: [],
  });
  readonly #failures = new Counter({
    name: 'stopgap_expiry_failures_total',
    help: 'Attempts that failed; each is tried again.',
    registers: [],
  });
  readonly jobs = new Gauge({
    name: 'stopgap_expiry_jobs',
    help: 'Jobs of timed work, by where they stand.',
    labelNames: ['state'] as const,
    registers: [],
  });
  readonly unsent = new Gauge({
    name: 'stopgap_expiry_unsent_jobs',
    help: 'Changes of jobs that Redis has not acknowledged.',
    registers: [],
  });
  readonly reconciledAt = new Gauge({
    name: 'stopgap_expiry_reconciled_timestamp_seconds',
    help: 'When the jobs in Redis were last compared with the ledger, in seconds since the epoch.',
    registers: [],
  });
  readonly redisUp = new Gauge({
    name: 'stopgap_redis_up',
    help: 'Whether Redis is there and fit.',
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#lateness, this.overdue, this.#failures, this.jobs]) registry.add(metric);
    for (const metric of [this.unsent, this.reconciledAt, this.redisUp]) registry.add(metric);
    this.reconciledAt.remove();
    this.redisUp.remove();
  }

  done(lateness: Milliseconds): void {
    this.#lateness.observe(lateness / SECOND);
  }

  failed(): void {
    this.#failures.inc();
  }
}
