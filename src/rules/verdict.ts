import type { Instant } from '../kernel/time.js';
import type { Evidence } from '../blocks/events.js';
import type { Subject } from '../sending/subjects.js';
import type { Rule, RuleSet } from './model.js';

/** A rule tripped: what it saw, and what it asks for. */
export interface Verdict {
  /**
   * `act`: the volume is abnormal. `renew`: refused attempts go on, so the block may stay up. `beyond`: a rule that blocks
   * has tripped, and the sender has gone on far beyond its limit: nothing has stopped it, so a proposal must wait no longer.
   */
  readonly kind: 'act' | 'renew' | 'beyond';
  readonly rule: Rule;
  readonly mode: RuleSet['mode'];
  readonly subject: Subject;
  readonly evidence: Evidence;
  /** When the send that tripped it happened. */
  readonly at: Instant;
  /** The traceparent of that send, where it is traced. */
  readonly trace?: string;
}
