import { Histogram } from 'prom-client';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { BlockEvent, Evidence } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Verdict } from '../rules/verdict.js';
import type { Subject } from '../sending/subjects.js';
import { traceIdOf } from '../tracing/traceparent.js';
import type { ScrapedRegistry } from './registry.js';
import type { Through } from './through.js';
import { ThroughCounts } from './through.js';

/** Seconds: from what a machine takes to what a person takes. */
const SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600, 3600, 14_400, 86_400];
const THROUGH = [0, 1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];

/** After these a sender is free to send, or was never to be blocked. */
const ENDS: ReadonlySet<BlockEvent['type']> = new Set([
  'BlockReleased',
  'BlockExpired',
  'ProposalDismissed',
  'ProposalLapsed',
]);

const DECIDERS = ['rule', 'admin'] as const;

/** Measures how fast senders are contained, and what they get through until then. */
export class ContainmentMetrics {
  #through = new ThroughCounts();
  /** When verdicts came into force that are not recorded yet. */
  readonly #inForce = new Map<string, Instant>();

  readonly #seconds = histogram(
    'stopgap_containment_seconds',
    'From the first abnormal send until its sender was refused.',
    SECONDS,
  );
  readonly #recordSeconds = histogram(
    'stopgap_containment_record_seconds',
    'From the first abnormal send until the block was durable.',
    SECONDS,
  );
  readonly #sends = histogram(
    'stopgap_containment_sends',
    'Messages accepted from the sender after the first abnormal one.',
    THROUGH,
  );
  readonly #recipients = histogram(
    'stopgap_containment_recipients',
    'Recipients of the messages accepted from the sender after the first abnormal one.',
    THROUGH,
  );

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#seconds, this.#recordSeconds, this.#sends, this.#recipients]) {
      registry.add(metric);
      for (const decided_by of DECIDERS) metric.zero({ decided_by });
    }
  }

  /** Forgets what it follows by positions of a log that is gone. */
  startAnew(): void {
    this.#through = new ThroughCounts();
    this.#inForce.clear();
  }

  /** A rule tripped, live. */
  tripped(verdict: Verdict): void {
    const { kind, mode, rule } = verdict;
    if (kind === 'act' && mode === 'enforce' && rule.then !== 'observe') this.#through.begin(verdict);
  }

  /** Its subject is refused here, ahead of the event. */
  anticipated({ evidence }: Verdict, now: Instant): void {
    this.#inForce.set(keyOf(evidence), now);
  }

  /** The verdict was carried out. @param contains whether it led to a block, or a proposal, or to neither */
  settled({ subject, evidence }: Verdict, contains: boolean): void {
    this.#inForce.delete(keyOf(evidence));
    if (!contains) this.#through.drop(subject, evidence);
  }

  /** This process has blocked on that evidence. @param trace the traceparent of that, where it is traced */
  contained(
    subject: Subject,
    evidence: Evidence,
    by: string,
    durableAt: Instant,
    trace: string | undefined,
  ): void {
    const decidedBy = by.startsWith('rule:') ? 'rule' : 'admin';
    const inForceAt = this.#inForce.get(keyOf(evidence)) ?? durableAt;
    const since = (at: Instant): number => Math.max(0, at - evidence.lastAt) / SECOND;
    const about = this.#about(decidedBy, evidence.lastPosition, trace);
    this.#seconds.observe({ ...about, value: since(inForceAt) });
    this.#recordSeconds.observe({ ...about, value: since(durableAt) });
    this.#through.blocked(subject, durableAt);
    this.#through.decided(subject, evidence, decidedBy);
  }

  /** A send was folded, live. */
  folded(event: RecordedEvent): void {
    this.#through.fold(event);
  }

  /** A block event was folded, live. */
  foldedBlock(event: BlockEvent, ledger: Pick<BlockLedger, 'get'>, now: Instant): void {
    if (event.type === 'BlockImposed') this.#through.blocked(event.data.subject, now);
    const over =
      'block' in event.data && ENDS.has(event.type) ? ledger.get(event.data.block)?.subject : undefined;
    const exempted = event.type === 'ExemptionGranted' ? event.data.subject : undefined;
    for (const subject of [over, exempted]) if (subject !== undefined) this.#tell(this.#through.end(subject));
  }

  /** Tells what got through before blocks that are ten seconds old. To be called before a scrape. */
  settleThrough(now: Instant): void {
    this.#tell(this.#through.settle(now));
  }

  #tell(through: readonly Through[]): void {
    for (const { decidedBy, position, messages, recipients } of through) {
      const about = this.#about(decidedBy, position);
      this.#sends.observe({ ...about, value: messages });
      this.#recipients.observe({ ...about, value: recipients });
    }
  }

  /** The exemplar is the verdict's correlation, as it stands in the log: far below the 128 characters of OpenMetrics. */
  #about(decided_by: 'rule' | 'admin', position: number, trace?: string) {
    const exemplarLabels: Record<string, string> = { correlation: `event:${position}` };
    if (trace !== undefined) exemplarLabels['trace_id'] = traceIdOf(trace);
    return { labels: { decided_by }, exemplarLabels };
  }
}

function histogram(name: string, help: string, buckets: number[]): Histogram<'decided_by'> {
  const labelNames = ['decided_by'] as const;
  return new Histogram({ name, help, buckets, labelNames, enableExemplars: true, registers: [] });
}

/** One event trips a rule only once. */
const keyOf = ({ rule, lastPosition }: Evidence): string => `${rule} ${lastPosition}`;
