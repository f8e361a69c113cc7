import { Counter, Gauge } from 'prom-client';
import type { HookAction } from '../blocks/events.js';
import type { ScrapedRegistry } from './registry.js';

const ACTIONS: readonly HookAction[] = ['hold-queue', 'release', 'delete'];
const OUTCOMES = ['done', 'retried', 'failed'] as const;

/** Measures what becomes of calls of the hook. */
export class HookMetrics {
  readonly #runs = new Counter({
    name: 'stopgap_hook_runs_total',
    help: 'Calls of the hook, by what for and what came of them.',
    labelNames: ['action', 'outcome'] as const,
    registers: [],
  });
  readonly #waiting = new Gauge({
    name: 'stopgap_hook_waiting',
    help: 'Blocks for which the hook is still to be called.',
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#runs, this.#waiting]) registry.add(metric);
    for (const action of ACTIONS) for (const outcome of OUTCOMES) this.#runs.inc({ action, outcome }, 0);
  }

  ran(action: HookAction, outcome: (typeof OUTCOMES)[number]): void {
    this.#runs.inc({ action, outcome });
  }

  waiting(blocks: number): void {
    this.#waiting.set(blocks);
  }
}
