import { Counter, Gauge } from 'prom-client';
import type { ScrapedRegistry } from './registry.js';
import { counterFrom0 } from './registry.js';

const STAGES = ['auth', 'rcpt', 'data', 'end_of_message', 'other'] as const;
const ACTIONS = ['dunno', 'refused', 'held', 'put_off'] as const;
const CUT = ['full', 'attributes', 'bytes', 'syntax', 'partial', 'idle'] as const;
const LOST = ['full', 'store'] as const;
const REPORTED = ['accepted', 'recipients-refused', 'bounce', 'returned', 'login-failed', 'other'] as const;
const RESULTS = ['recorded', 'known', 'unproven', 'refused', 'unavailable'] as const;
type Stage = (typeof STAGES)[number];
type Action = (typeof ACTIONS)[number];
/** Why a connection was refused or dropped. */
export type CutFor = (typeof CUT)[number];

/** What the policy service tells of itself. */
export interface PolicyMeter {
  opened(): void;
  closed(): void;
  cut(reason: CutFor): void;
  answered(stage: Stage, action: Action): void;
  /** A send could not be recorded. */
  lost(reason: (typeof LOST)[number]): void;
}

/** What is told of events that mail servers report over HTTP. */
export interface ReportMeter {
  reported(type: (typeof REPORTED)[number], result: (typeof RESULTS)[number]): void;
}

/** Measures the policy service. */
export class PolicyMetrics implements PolicyMeter, ReportMeter {
  readonly #requests = new Counter({
    name: 'stopgap_policy_requests_total',
    help: 'Requests of mail servers, by stage and answer.',
    labelNames: ['stage', 'action'] as const,
    registers: [],
  });
  readonly #connections = new Gauge({
    name: 'stopgap_policy_connections',
    help: 'Connections of mail servers open now.',
    registers: [],
  });
  readonly #cut = new Counter({
    name: 'stopgap_policy_cut_total',
    help: 'Connections that were refused or dropped, by what they exceeded.',
    labelNames: ['reason'] as const,
    registers: [],
  });
  readonly #lost = new Counter({
    name: 'stopgap_policy_sends_lost_total',
    help: 'Sends that could not be recorded.',
    labelNames: ['reason'] as const,
    registers: [],
  });
  readonly #reported = new Counter({
    name: 'stopgap_policy_reports_total',
    help: 'Events that mail servers reported over HTTP, by what became of them.',
    labelNames: ['type', 'result'] as const,
    registers: [],
  });
  readonly #answered: Readonly<Record<Stage, Readonly<Record<Action, Counter.Internal>>>>;

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#requests, this.#connections, this.#cut, this.#lost, this.#reported])
      registry.add(metric);
    const ofStage = (stage: Stage) =>
      Object.fromEntries(
        ACTIONS.map((action) => [action, counterFrom0(this.#requests, { stage, action })]),
      ) as Record<Action, Counter.Internal>;
    this.#answered = Object.fromEntries(STAGES.map((stage) => [stage, ofStage(stage)])) as Record<
      Stage,
      Record<Action, Counter.Internal>
    >;
    for (const reason of CUT) this.#cut.inc({ reason }, 0);
    for (const reason of LOST) this.#lost.inc({ reason }, 0);
    for (const type of REPORTED) for (const result of RESULTS) this.#reported.inc({ type, result }, 0);
  }

  opened(): void {
    this.#connections.inc();
  }

  closed(): void {
    this.#connections.dec();
  }

  cut(reason: CutFor): void {
    this.#cut.inc({ reason });
  }

  answered(stage: Stage, action: Action): void {
    this.#answered[stage][action].inc();
  }

  lost(reason: (typeof LOST)[number]): void {
    this.#lost.inc({ reason });
  }

  reported(type: (typeof REPORTED)[number], result: (typeof RESULTS)[number]): void {
    this.#reported.inc({ type, result });
  }
}
