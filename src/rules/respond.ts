import type { Act, Observe, Renew, RuleTerms } from '../blocks/commands.js';
import type { Refusal, Until } from '../blocks/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import type { Direction, Subject } from '../sending/subjects.js';
import type { Breaker, Rule } from './model.js';
import type { Verdict } from './verdict.js';

/** What the answer to a verdict depends on, as it is at `now`. */
export interface Circumstances {
  readonly now: Instant;
  /** The circuit breaker of the rules in force. */
  readonly breaker: Breaker;
  /** What keeps rules from acting on a subject: an exemption, or the never-block list. */
  sparedBy(subject: Subject): Act['sparedBy'] | undefined;
  /** How many blocks rules imposed within the window that ends now, those on their way included. */
  automaticBlocks(window: Milliseconds): number;
  /** The proposal that waits on a subject: a block takes over its id. */
  pending?(subject: Subject): string | undefined;
  /** The id of the case, should this begin one. */
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
  /** Whether what is anticipated counts for the circuit breaker until its event does. */
  readonly counts: boolean;
  /** Whether the circuit breaker made a proposal of a block; undefined where it was not asked. */
  readonly breakerOpen: boolean | undefined;
}

/** What is to be done about a verdict. Live traffic and a back-test come through here alike. */
export function respond(verdict: Verdict, circumstances: Circumstances): Response {
  const { rule, subject, evidence, kind, mode } = verdict;
  if (kind === 'renew' && mode === 'enforce') {
    return only({ kind, duration: rule.for!, direction: rule.direction, evidence });
  }
  if (rule.then === 'observe' || mode === 'observe') {
    return only({ kind: 'observe', subject, action: rule.then, evidence });
  }
  const { now, breaker } = circumstances;
  const sparedBy = circumstances.sparedBy(subject);
  const terms = termsOf(rule, evidence.sentence);
  const id = circumstances.newId();
  const act: Act = { kind: 'act', action: rule.then, subject, terms, evidence, newId: id };
  if (sparedBy !== undefined) return only({ ...act, sparedBy });
  if (rule.then !== 'block') return only(act);
  // Too many automatic blocks in a short time are more likely our mistake than an attack.
  if (circumstances.automaticBlocks(breaker.window) >= breaker.max) {
    return {
      command: { ...act, action: 'propose' },
      anticipated: undefined,
      counts: false,
      breakerOpen: true,
    };
  }
  const { direction, refuse: refusal } = rule;
  const until = rule.for === null ? null : now + rule.for;
  const anticipated = {
    id: circumstances.pending?.(subject) ?? id,
    ...{ ...subject, direction, until, refusal, byRule: true as const },
  };
  // Accounts that turned abnormal together are one finding, which the first of their blocks stands for.
  return { command: act, anticipated, counts: rule.count !== 'accounts', breakerOpen: false };
}

function only(command: Response['command']): Response {
  return { command, anticipated: undefined, counts: false, breakerOpen: undefined };
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
