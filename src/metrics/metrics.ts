import { collectDefaultMetrics, Counter, Gauge, Histogram } from 'prom-client';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { BlockMetrics, FeedbackMetrics } from './blocks.js';
import { ContainmentMetrics } from './containment.js';
import { HookMetrics } from './hooks.js';
import { NoticeMetrics } from './notices.js';
import type { PolicyMeter, ReportMeter } from './policy.js';
import { PolicyMetrics } from './policy.js';
import { ScrapedRegistry } from './registry.js';
import type { SmtpMeter } from './smtp.js';
import { SmtpMetrics, UNMEASURED_SMTP } from './smtp.js';
import { StoreMetrics } from './store.js';

export interface MetricsOptions {
  /** False: nothing is measured on the way of a message, which shows what measuring costs. True by default. */
  readonly measuresMessages?: boolean;
}

/**
 * Every metric there is, by subject, on a registry of its own; docs/reference/metrics.md lists them. Labels come from fixed
 * lists, from the configuration or from the rule set: never from the wire, and never an address.
 */
export class Metrics {
  readonly registry = new ScrapedRegistry();
  /** Whether the way of a message is measured. */
  readonly measuresMessages: boolean;
  readonly smtp: SmtpMeter;
  /** What is read off the SMTP side at a scrape. */
  readonly smtpGauges: Pick<SmtpMetrics, 'passwordChecks' | 'relayUp' | 'relaySessions'>;
  readonly policy: PolicyMeter & ReportMeter;
  readonly containment: ContainmentMetrics;
  readonly blocks: BlockMetrics;
  readonly rules = new RulesMetrics(this.registry);
  readonly judgements = new FeedbackMetrics(this.registry);
  readonly store = new StoreMetrics(this.registry);
  readonly timedWork = new TimedWorkMetrics(this.registry);
  readonly hooks = new HookMetrics(this.registry);
  readonly notices = new NoticeMetrics(this.registry);
  readonly api = new ApiMetrics(this.registry);
  readonly process = new ProcessMetrics(this.registry);

  constructor({ measuresMessages = true }: MetricsOptions = {}) {
    this.measuresMessages = measuresMessages;
    const smtp = new SmtpMetrics(this.registry);
    this.smtp = measuresMessages ? smtp : UNMEASURED_SMTP;
    this.smtpGauges = smtp;
    this.policy = new PolicyMetrics(this.registry);
    this.containment = new ContainmentMetrics(this.registry);
    this.blocks = new BlockMetrics(this.registry, this.containment);
  }

  /** An event was folded, live. */
  folded(event: RecordedEvent, ledger: BlockLedger): void {
    if (!this.measuresMessages) return;
    this.containment.folded(event);
    this.blocks.folded(event, ledger);
  }
}

/** Measures the API. Methods and routes come from the route table. */
class ApiMetrics {
  readonly #requests = new Counter({
    name: 'stopgap_api_requests_total',
    help: 'Requests answered.',
    labelNames: ['method', 'route', 'status'] as const,
    registers: [],
  });
  readonly #seconds = new Histogram({
    name: 'stopgap_api_request_seconds',
    help: 'Time to answer an API request, by route.',
    labelNames: ['method', 'route'] as const,
    // Few: there are some dozen routes.
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5],
    registers: [],
  });
  readonly feeds = new Gauge({
    name: 'stopgap_api_feeds',
    help: 'Event feeds that are open.',
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#requests, this.#seconds, this.feeds]) registry.add(metric);
  }

  answered(method: string, route: string, status: string, took: Milliseconds): void {
    this.#requests.inc({ method, route, status });
    this.#seconds.observe({ method, route }, took / SECOND);
  }
}

/** Gauges named like counters, which they are not: each is the sum over `type` of one that stays. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `stopgap_nodejs_active_${what}_total`);

/** What runs here, how it is set up, and how the process does. */
class ProcessMetrics {
  readonly #build = new Gauge({
    name: 'stopgap_build_info',
    help: 'Always 1: what runs here.',
    labelNames: ['version', 'node', 'store'] as const,
    registers: [],
  });
  readonly #roles = new Gauge({
    name: 'stopgap_role_info',
    help: '1 for each role that this process has.',
    labelNames: ['role'] as const,
    registers: [],
  });

  readonly #logLinesLost = new Counter({
    name: 'stopgap_log_lines_lost_total',
    help: 'Lines of the log that a place for them did not take.',
    labelNames: ['place'] as const,
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#build, this.#roles, this.#logLinesLost]) registry.add(metric);
    collectDefaultMetrics({ register: registry, prefix: 'stopgap_' });
    for (const name of MISNAMED) registry.removeSingleMetric(name);
  }

  /** @param lost lines since the start, by place */
  logLinesLost(lost: Readonly<Record<string, number>>): void {
    this.#logLinesLost.reset();
    for (const [place, lines] of Object.entries(lost)) this.#logLinesLost.inc({ place }, lines);
  }

  runs(version: string, store: string, roles: readonly string[]): void {
    this.#build.set({ version, node: process.versions.node, store }, 1);
    for (const role of roles) this.#roles.set({ role }, 1);
  }
}

/** Measures what falls due: expiries of blocks, lapses of proposals. */
class TimedWorkMetrics {
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

const FILES = ['rules', 'users', 'senders', 'tokens', 'admins', 'certificate', 'overrides', 'geoip'] as const;
/** Files that are picked up again when they change. */
export type ReloadedFile = (typeof FILES)[number];

/** Measures what the rules are that are in force, and whether they may act. */
export class RulesMetrics {
  readonly version = new Gauge({
    name: 'stopgap_rules_version',
    help: 'Version of the rule set in force; 0 before the first.',
    registers: [],
  });
  readonly inForce = new Gauge({
    name: 'stopgap_rules_in_force',
    help: 'Rules in the rule set in force.',
    registers: [],
  });
  readonly observing = new Gauge({
    name: 'stopgap_rules_observing',
    help: '1 where `mode: observe` keeps rules from acting.',
    registers: [],
  });
  readonly breakerOpen = new Gauge({
    name: 'stopgap_circuit_breaker_open',
    help: '1 while rules only propose below five times their limit, after too many automatic blocks.',
    registers: [],
  });
  readonly breakerBlocks = new Gauge({
    name: 'stopgap_circuit_breaker_blocks',
    help: "Automatic blocks within the circuit breaker's window.",
    registers: [],
  });
  readonly breakerLimit = new Gauge({
    name: 'stopgap_circuit_breaker_limit',
    help: 'Automatic blocks within its window at which the circuit breaker opens.',
    registers: [],
  });
  readonly #refusals = new Counter({
    name: 'stopgap_file_refusals_total',
    help: 'Changed files that could not be used, or had lost most of their entries; what was in force stays.',
    labelNames: ['file'] as const,
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.version, this.inForce, this.observing]) registry.add(metric);
    for (const metric of [this.breakerOpen, this.breakerBlocks, this.breakerLimit, this.#refusals])
      registry.add(metric);
    for (const file of FILES) this.#refusals.inc({ file }, 0);
  }

  fileRefused(file: ReloadedFile): void {
    this.#refusals.inc({ file });
  }
}
