import { Counter, Gauge } from 'prom-client';
import type { ScrapedRegistry } from './registry.js';

const FILES = ['rules', 'users', 'senders', 'tokens', 'certificate', 'overrides', 'geoip'] as const;
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
