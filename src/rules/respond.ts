import type { Act, Observe, Renew, RuleTerms } from '../blocks/commands.js';
import type { Evidence, Refusal, Until } from '../blocks/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { Direction, Subject } from '../sending/subjects.js';
import { despiteBreaker } from './explain.js';
import type { Breaker, Rule, RuleSet } from './model.js';
import { ceilingOf, countsNewcomers, FAR_BEYOND, isSum } from './model.js';

/** A rule tripped: what it saw, and what it asks for. */
export interface Verdict {
  /**
   * `act`: the volume is abnormal. `renew`: refused attempts go on, so the block may stay up. `beyond`: a rule that
   * blocks has tripped, and the sender has gone on far beyond its limit with too little new evidence for another trip.
   * Nothing has stopped it, so a proposal must not wait.
   */
  readonly kind: 'act' | 'renew' | 'beyond';
  readonly rule: Rule;
  readonly mode: RuleSet['mode'];
  readonly subject: Subject;
  readonly evidence: Evidence;
  /** When the send that tripped it happened. */
  readonly at: Instant;
  /** The traceparent of that send, if it is traced. */
  readonly trace?: string;
}

/** What the response to a verdict depends on, as of `now`. */
export interface Circumstances {
  readonly now: Instant;
  /** The circuit breaker of the rules in force. */
  readonly breaker: Breaker;
  /** What keeps rules from acting on a subject: an exemption, or the never-block list. */
  exemptedBy(subject: Subject): Act['exemptedBy'] | undefined;
  /**
   * How many blocks rules imposed within the window that ends now and that count for a breaker, including those under
   * way.
   */
  automaticBlocks(breaker: string, window: Milliseconds): number;
  /** The waiting proposal on a subject: a block takes over its id. */
  pending?(subject: Subject): string | undefined;
  /** The id of the case, if this begins one. */
  newId(): string;
}

/** A block that is in force before its event is durable. */
export interface Anticipated extends Subject {
  readonly id: string;
  readonly direction: Direction;
  readonly until: Until;
  readonly refusal: Refusal;
  readonly byRule: true;
}

export interface Response {
  readonly command: Act | Renew | Observe;
  readonly anticipated: Anticipated | undefined;
  /** The circuit breaker that the anticipated block counts for until its event counts; undefined for none. */
  readonly counts: string | undefined;
  /** The circuit breaker that was consulted, and whether it is open; undefined if none was. */
  readonly asked: { readonly breaker: string; readonly open: boolean } | undefined;
}

/**
 * The circuit breaker that blocks of this kind count for, and that stops them. Each type of subject and each cause has
 * its own: what anybody can cause without an account (wrong passwords, inbound mail, bounces) must never switch off the
 * guard of accounts.
 *
 * @param count the rule's count; `direction`: what it blocks
 */
export function breakerOf({ type }: Pick<Subject, 'type'>, count: string, direction: Direction): string {
  if (count === 'authFailures') return `${type} by logins`;
  if (count === 'bounces') return `${type} by bounces`;
  return direction === 'inbound' ? `${type} by arrivals` : `${type} by sends`;
}

/**
 * Whether a rule may block, with so many blocks in its circuit breaker. An open breaker blocks only senders far beyond
 * their limit: otherwise a thief sacrifices a few accounts, and the next one sends freely. If even those are far too
 * many, it stops them too.
 */
export function mayBlock(verdict: Verdict, blocks: number, { max }: Pick<Breaker, 'max'>): boolean {
  return blocks < (isFarBeyond(verdict) ? FAR_BEYOND * max : max);
}

/** An unanswered verdict is acted upon while its block would still be in force, but no longer than this. */
const UNANSWERED: Milliseconds = DAY;

/** Whether its block would be in force now if it had been imposed in time. */
export function isWanting(
  { kind, mode, rule, at }: Pick<Verdict, 'kind' | 'mode' | 'rule' | 'at'>,
  now: Instant,
): boolean {
  if (kind === 'renew' || mode !== 'enforce' || rule.then === 'observe') return false;
  const lasts = rule.then === 'block' ? (rule.for ?? UNANSWERED) : rule.lapse;
  return at + Math.min(lasts, UNANSWERED) > now;
}

/** A count of different values, or of accounts, says nothing about how much a sender sends. */
function isFarBeyond({ rule, evidence }: Verdict): boolean {
  return isSum(rule.count) && evidence.observed >= ceilingOf(evidence.limit);
}

/** The response to a verdict. Live traffic and a back-test both use it. */
export function respond(verdict: Verdict, circumstances: Circumstances): Response {
  const { rule, subject, evidence, kind, mode } = verdict;
  if (rule.then === 'observe' || mode === 'observe') {
    return only({ kind: 'observe', subject, action: rule.then, evidence });
  }
  const { now, breaker } = circumstances;
  const exemptedBy = circumstances.exemptedBy(subject);
  if (kind === 'renew') {
    const renew = { kind, duration: rule.for!, direction: rule.direction, evidence };
    return only(exemptedBy === undefined ? renew : { ...renew, exemptedBy });
  }
  const terms = termsOf(rule, evidence.sentence);
  const id = circumstances.newId();
  const act: Act = {
    kind: 'act',
    action: rule.then,
    subject,
    terms,
    evidence,
    newId: id,
    ...(kind === 'beyond' ? { onlyPending: true } : {}),
  };
  if (exemptedBy !== undefined) return only({ ...act, exemptedBy });
  if (rule.then !== 'block') return only(act);
  const own = breakerOf(subject, rule.count, rule.direction);
  // Too many automatic blocks in a short time are more likely our mistake than an attack.
  const blocks = circumstances.automaticBlocks(own, breaker.window);
  const open = blocks >= breaker.max;
  const asked = { breaker: own, open };
  if (!mayBlock(verdict, blocks, breaker)) {
    return { ...only({ ...act, action: 'propose' }), asked };
  }
  const command = open ? despite(act, rule) : act;
  const pending = circumstances.pending?.(subject);
  // Usually it is blocked by now, and a proposal under way becomes a block when it is recorded.
  if (kind === 'beyond' && pending === undefined) return { ...only(command), asked };
  const { direction, refuse: refusal } = rule;
  const until = rule.for === null ? null : now + rule.for;
  const anticipated = {
    id: pending ?? id,
    ...subject,
    direction,
    until,
    refusal,
    byRule: true as const,
  };
  // Accounts that turned abnormal together are one finding: only the first of their blocks counts.
  const counts = rule.count === 'accounts' && !countsNewcomers(rule) ? undefined : own;
  return { command, anticipated, counts, asked };
}

/** A block in spite of the open circuit breaker; its sentence says so. */
function despite(act: Act, rule: Rule): Act {
  const sentence = despiteBreaker(act.evidence.sentence);
  return { ...act, terms: termsOf(rule, sentence), evidence: { ...act.evidence, sentence } };
}

function only(command: Response['command']): Response {
  return { command, anticipated: undefined, counts: undefined, asked: undefined };
}

function termsOf(rule: Rule, sentence: string): RuleTerms {
  const { direction, refuse: refusal, for: duration, escalate, lapse, renewWhileTrying } = rule;
  return {
    direction,
    refusal,
    duration,
    escalate,
    lapse,
    renewWhileTrying,
    description: rule.description ?? sentence,
  };
}
