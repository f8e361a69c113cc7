import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { RecordedEvent } from '../kernel/events.js';
import { ApiMetrics } from './api.js';
import { BlockMetrics } from './blocks.js';
import { ContainmentMetrics } from './containment.js';
import { FeedbackMetrics } from './feedback.js';
import { ProcessMetrics } from './process.js';
import { ScrapedRegistry } from './registry.js';
import { RulesMetrics } from './rules.js';
import { SmtpMetrics, UNMEASURED_SMTP } from './smtp.js';
import type { SmtpMeter } from './smtp.js';
import { StoreMetrics } from './store.js';
import { TimedWorkMetrics } from './timed-work.js';

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
  readonly containment: ContainmentMetrics;
  readonly blocks: BlockMetrics;
  readonly rules = new RulesMetrics(this.registry);
  readonly judgements = new FeedbackMetrics(this.registry);
  readonly store = new StoreMetrics(this.registry);
  readonly timedWork = new TimedWorkMetrics(this.registry);
  readonly api = new ApiMetrics(this.registry);
  readonly process = new ProcessMetrics(this.registry);

  constructor({ measuresMessages = true }: MetricsOptions = {}) {
    this.measuresMessages = measuresMessages;
    const smtp = new SmtpMetrics(this.registry);
    this.smtp = measuresMessages ? smtp : UNMEASURED_SMTP;
    this.smtpGauges = smtp;
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
