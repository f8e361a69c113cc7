import { Counter, Gauge, collectDefaultMetrics } from 'prom-client';
import type { ScrapedRegistry } from './registry.js';

/** Gauges named like counters, which they are not: each is the sum over `type` of one that stays. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `stopgap_nodejs_active_${what}_total`);

/** What runs here, how it is set up, and how the process does. */
export class ProcessMetrics {
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
