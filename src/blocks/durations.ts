import type { Instant, Milliseconds } from '../kernel/time.js';
import type { RuleTerms, Span } from './commands.js';
import type { Evidence, Until } from './events.js';
import type { Standing } from './state.js';
import { activeBlock } from './state.js';

/** A block in force is strengthened from the send that tripped, so that the same verdict told late adds nothing. */
export function tripped(evidence: Evidence, now: Instant): Instant {
  return Math.min(now, evidence.lastAt);
}

/** How long this rule's next block lasts: longer with each strike that is not forgotten; null is for ever. */
export function escalated(
  terms: RuleTerms,
  rule: string,
  standing: Standing,
  now: Instant,
): Milliseconds | null {
  const { duration, escalate } = terms;
  if (duration === null || escalate === undefined) return duration;
  // The block in force is this very incident: it is no earlier one.
  const present = activeBlock(standing, now)?.id;
  // What mail that arrived brought about makes no block longer of those who send.
  const arriving = terms.direction === 'inbound';
  const earlier = standing.strikes.filter(
    (strike) =>
      strike.rule === rule &&
      (strike.direction === 'inbound') === arriving &&
      strike.block !== present &&
      strike.at > now - escalate.forget,
  ).length;
  return Math.max(duration, Math.min(escalate.max, duration * escalate.factor ** earlier));
}

/** A duration counts from the decision: a store that was away for a while shortens nothing. */
export function endOf(span: Span, now: Instant): Until {
  return 'until' in span ? span.until : after(now, span.duration);
}

export function after(now: Instant, duration: Milliseconds | null): Until {
  return duration === null ? null : now + duration;
}
