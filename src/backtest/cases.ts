import type { BlockEvent, Evidence, Until } from '../blocks/events.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';

/** Messages, and how many recipients they had. */
export interface Mail {
  messages: number;
  recipients: number;
}

/** Whether it was right to stop somebody; null if nobody has said. */
export type CaseVerdict = 'right' | 'wrong' | null;

/** A block or proposal of the rules under test, from its first event to its last. */
export interface BacktestCase {
  readonly id: string;
  readonly subject: Subject;
  /** The rule that blocked; before that the one that proposed. */
  rule: string;
  /** All that asked for it: who proposed, who made the proposal longer, who blocked. */
  readonly rules: Set<string>;
  /** On which it did. */
  evidence: Evidence;
  /** What its account had sent that day, the message that tripped the rule included; null if it is about no account. */
  sentThatDay: Readonly<Mail> | null;
  readonly proposedAt: Instant | null;
  blockedAt: Instant | null;
  /** Of a block: when it ends or would have ended; null is never. */
  until: Until;
  ended: 'expired' | 'released' | 'lapsed' | 'dismissed' | null;
  endedAt: Instant | null;
  /** What it stopped. */
  readonly refused: Mail;
  /** Whether a message of an attack was among what it covers, or was what tripped it. */
  caught: boolean;
  judged: CaseVerdict;
  /** Of a block in a comparison: whether the other rules blocked the same subject meanwhile. */
  shared: boolean;
}

/** What one rule did. */
export interface RuleTally {
  blocks: number;
  proposals: number;
  /** Tripped, and was only to observe. */
  observed: number;
  /** Tripped, and an exemption kept it from acting. */
  exempted: number;
  right: number;
  wrong: number;
  readonly refused: Mail;
}

export interface CaseListener {
  opened?(one: BacktestCase): void;
  /** A case became a block: at once, or when its proposal was approved. */
  blocked?(one: BacktestCase): void;
  closed?(one: BacktestCase): void;
}

/** Keeps the open cases and hands over each that is over: its memory does not grow with the past. */
export class CaseBook {
  readonly #open = new Map<string, BacktestCase>();
  readonly #rules = new Map<string, RuleTally>();
  /** Cases: of one that several rules asked for each of them has its part, and it is one. */
  readonly totals = { proposals: 0, right: 0, wrong: 0 };
  readonly #listener: CaseListener;
  readonly #sentThatDay: (subject: Subject) => Readonly<Mail> | null;

  constructor(listener: CaseListener, sentThatDay: (subject: Subject) => Readonly<Mail> | null) {
    this.#listener = listener;
    this.#sentThatDay = sentThatDay;
  }

  /** The open case with this id; undefined for a block that only a person has set. */
  get(id: string): BacktestCase | undefined {
    return this.#open.get(id);
  }

  /** By id of the rule, in the order in which they first tripped. */
  rules(): ReadonlyMap<string, RuleTally> {
    return this.#rules;
  }

  tallyOf(rule: string): RuleTally {
    let tally = this.#rules.get(rule);
    if (tally === undefined) {
      const refused = { messages: 0, recipients: 0 };
      tally = { blocks: 0, proposals: 0, observed: 0, exempted: 0, right: 0, wrong: 0, refused };
      this.#rules.set(rule, tally);
    }
    return tally;
  }

  apply(event: BlockEvent): void {
    switch (event.type) {
      case 'BlockProposed': {
        const { block, subject, rule, evidence } = event.data;
        const one = this.#open.get(block);
        if (one?.rules.has(rule) === true) return; // the same proposal, made longer or wider
        this.tallyOf(rule).proposals++;
        if (one !== undefined) return void one.rules.add(rule);
        this.totals.proposals++;
        this.#begin(block, subject, rule, evidence, event.at);
        return;
      }
      case 'BlockImposed': {
        const { block, subject, rule, evidence, until } = event.data;
        let one = this.#open.get(block);
        if (one === undefined) {
          if (rule === undefined || evidence === undefined) return; // a person's alone
          one = this.#begin(block, subject, rule, evidence, null);
        }
        if (evidence !== undefined) one.evidence = evidence;
        if (rule !== undefined) one.rules.add((one.rule = rule));
        this.tallyOf(one.rule).blocks++;
        one.sentThatDay = this.#sentThatDay(subject);
        one.blockedAt = event.at;
        one.until = until;
        this.#listener.blocked?.(one);
        return;
      }
      case 'BlockExtended':
      case 'BlockShortened': {
        const one = this.#open.get(event.data.block);
        if (one !== undefined) one.until = event.data.until;
        return;
      }
      case 'BlockExpired':
        return this.#end(event.data.block, 'expired', event.data.dueAt);
      case 'BlockReleased':
        return this.#end(event.data.block, 'released', event.at);
      case 'ProposalLapsed':
        return this.#end(event.data.block, 'lapsed', event.at);
      case 'ProposalDismissed':
        return this.#end(event.data.block, 'dismissed', event.at);
      case 'RuleObserved':
        this.tallyOf(event.data.evidence.rule).observed++;
        return;
      case 'ExemptionApplied':
        this.tallyOf(event.data.evidence.rule).exempted++;
        return;
      case 'ProposalApproved':
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  /** What it was, is said of every rule that asked for it. */
  judge(one: BacktestCase, judged: CaseVerdict): void {
    one.judged = judged;
    if (judged === null) return;
    this.totals[judged]++;
    for (const rule of one.rules) this.tallyOf(rule)[judged]++;
  }

  /** Hands over what is still open when nothing more comes. */
  close(): void {
    for (const one of this.#open.values()) this.#listener.closed?.(one);
    this.#open.clear();
  }

  #begin(
    id: string,
    subject: Subject,
    rule: string,
    evidence: Evidence,
    proposedAt: Instant | null,
  ): BacktestCase {
    const one: BacktestCase = {
      id,
      subject,
      rule,
      rules: new Set([rule]),
      evidence,
      proposedAt,
      sentThatDay: this.#sentThatDay(subject),
      blockedAt: null,
      until: null,
      ended: null,
      endedAt: null,
      caught: false,
      judged: null,
      shared: false,
      refused: { messages: 0, recipients: 0 },
    };
    this.#open.set(id, one);
    this.#listener.opened?.(one);
    return one;
  }

  #end(id: string, how: NonNullable<BacktestCase['ended']>, at: Instant): void {
    const one = this.#open.get(id);
    if (one === undefined) return;
    one.ended = how;
    one.endedAt = at;
    this.#open.delete(id);
    this.#listener.closed?.(one);
  }
}

/** One decision, as a line of JSON says it; a block is told once it is over, with the end that it came to have. */
export interface Decision {
  readonly time: string;
  readonly action: 'propose' | 'block' | 'release';
  readonly type: string;
  readonly value: string;
  /** Of a block: when it ends; null is never. */
  readonly until: string | null;
  readonly rule: string;
  readonly sentence: string;
}

/** What a case comes to, in the order in which it was decided. */
export function decisionsOf(one: BacktestCase): readonly Decision[] {
  const { subject, rule, evidence, proposedAt, blockedAt, until, ended, endedAt } = one;
  const decision = (action: Decision['action'], time: Instant, end: Until): Decision => ({
    time: formatInstant(time),
    action,
    type: subject.type,
    value: subject.value,
    until: end === null ? null : formatInstant(end),
    rule,
    sentence: evidence.sentence,
  });
  return [
    ...(proposedAt === null ? [] : [decision('propose', proposedAt, null)]),
    ...(blockedAt === null ? [] : [decision('block', blockedAt, until)]),
    ...(ended === 'released' ? [decision('release', endedAt!, null)] : []),
  ];
}
