import type { Check, Fact, RecordedEvent, Shape } from '../kernel/events.js';
import { oneOf, optional, shaped, streamName, text, whole, wholeOrNull } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import type { Direction, Subject } from '../sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, subjectKey } from '../sending/subjects.js';

/** Streams `block-<subject key>`: everything that ever happened to one subject. */
export const BLOCK_CATEGORY = 'block';

export const blockStream = (subject: Subject): string => streamName(BLOCK_CATEGORY, subjectKey(subject));

export const REFUSALS = ['soft', 'defer', 'honest'] as const;
/**
 * How a block refuses. `soft`: AUTH fails like a wrong password, RCPT TO temporarily. `defer`: AUTH and RCPT TO both
 * fail temporarily, from the start. `honest`: AUTH works, RCPT TO fails for good, with a text and a contact.
 */
export type Refusal = (typeof REFUSALS)[number];

/** When a block ends; null is an indefinite one, which a person or a rule asks for by name only. */
export type Until = Instant | null;

/** The numbers that tripped a rule. */
export interface Evidence {
  readonly rule: string;
  /** Version of the rule set it was made under. */
  readonly version: number;
  readonly count: string;
  /** Milliseconds. */
  readonly window: Milliseconds;
  /** So many of the largest messages are left out of the count. */
  readonly leaveOut?: number;
  /** What was in force, tripled where a release or a dismissal was less than an hour ago. */
  readonly limit: number;
  readonly observed: number;
  /** No send that counted is before this position. */
  readonly firstPosition: number;
  /** The send that tripped the rule. */
  readonly lastPosition: number;
  /** When that send happened. */
  readonly lastAt: Instant;
  /** What the sender usually does, where that made the limit: weekly peaks, their median and the highest of them. */
  readonly habit?: {
    readonly typical: number;
    readonly record: number;
    readonly weeks: number;
    readonly learnt: boolean;
    /** Where the limit comes from, if not from these. */
    readonly bound?: 'floor' | 'start' | 'ceiling';
  };
  /** What else was noticed that the rule asks for. */
  readonly signals?: readonly string[];
  /** What was seen and what was allowed, for a person to read. */
  readonly sentence: string;
}

interface Terms {
  readonly block: string;
  readonly subject: Subject;
  readonly direction: Direction;
  readonly description: string;
  readonly refusal: Refusal;
}

export interface BlockProposed extends Terms {
  /** How long the block would last; null is indefinite. */
  readonly duration: Milliseconds | null;
  readonly lapsesAt: Instant;
  readonly rule: string;
  readonly evidence: Evidence;
  readonly renewWhileTrying: boolean;
}
export interface ProposalApproved {
  readonly block: string;
  /** Where a person said how long; else it lasts as long as was proposed. */
  readonly until?: Until;
  readonly note?: string;
}
/** What a person has judged, so that a fold that learns from it need not have followed the block. */
export interface Feedback {
  readonly subject?: Subject;
  /** The rule behind it, and its newest evidence; absent where a person had blocked. */
  readonly rule?: string;
  readonly evidence?: Evidence;
}

export interface ProposalDismissed extends Feedback {
  readonly block: string;
  /** The rule was wrong: what the subject did is usual for it. Absent if nobody has said so. */
  readonly falsePositive?: boolean;
  readonly note?: string;
}
export interface ProposalLapsed {
  readonly block: string;
}
export interface BlockImposed extends Terms {
  readonly until: Until;
  readonly origin: 'rule' | 'admin';
  /** The rule behind it, also where a person approved its proposal. */
  readonly rule?: string;
  readonly evidence?: Evidence;
  readonly renewWhileTrying: boolean;
}
export interface BlockExtended {
  readonly block: string;
  readonly until: Until;
  readonly direction: Direction;
  readonly evidence?: Evidence;
  /** What a person asked for besides; absent where it stays as it is. */
  readonly description?: string;
  readonly refusal?: Refusal;
  readonly note?: string;
}
export interface BlockShortened {
  readonly block: string;
  readonly until: Instant;
  readonly note?: string;
}
export interface BlockReleased extends Feedback {
  readonly block: string;
  /** The rule was wrong: what the subject did is usual for it. */
  readonly falsePositive: boolean;
  readonly note?: string;
}
export interface BlockExpired {
  readonly block: string;
  /** When it fell due: soft-fail ended then, whenever this event came to be written. */
  readonly dueAt: Instant;
}
export interface ExemptionGranted {
  readonly exemption: string;
  readonly subject: Subject;
  readonly until: Until;
  readonly reason: string;
}
export interface ExemptionRevoked {
  readonly exemption: string;
  readonly note?: string;
}
/** A rule tripped, and an exemption kept it from acting. */
export interface ExemptionApplied {
  readonly exemption: string;
  readonly reason: string;
  readonly action: 'propose' | 'block';
  readonly evidence: Evidence;
}

/** A rule tripped that only observes, or that may only observe just now: nothing was done. */
export interface RuleObserved {
  readonly subject: Subject;
  readonly evidence: Evidence;
  /** What the rule asks for: `observe`, or what `mode: observe` kept it from. */
  readonly action: 'observe' | 'propose' | 'block';
}

export type BlockFact =
  | Fact<'BlockProposed', BlockProposed>
  | Fact<'ProposalApproved', ProposalApproved>
  | Fact<'ProposalDismissed', ProposalDismissed>
  | Fact<'ProposalLapsed', ProposalLapsed>
  | Fact<'BlockImposed', BlockImposed>
  | Fact<'BlockExtended', BlockExtended>
  | Fact<'BlockShortened', BlockShortened>
  | Fact<'BlockReleased', BlockReleased>
  | Fact<'BlockExpired', BlockExpired>
  | Fact<'ExemptionGranted', ExemptionGranted>
  | Fact<'ExemptionRevoked', ExemptionRevoked>
  | Fact<'ExemptionApplied', ExemptionApplied>
  | Fact<'RuleObserved', RuleObserved>;

/** A block event with its envelope, as far as the reducers look at it. */
export type BlockEvent = BlockFact &
  Pick<RecordedEvent, 'id' | 'at' | 'by' | 'position' | 'revision'> & {
    /** The id that a competing writer gave to the same block or proposal; never stored. */
    readonly alias?: string;
  };

const direction = oneOf(DIRECTIONS);
const subject = shaped({ type: oneOf(SUBJECT_TYPES), value: text });
const evidence = shaped<Evidence>({
  rule: text,
  firstPosition: whole,
  lastPosition: whole,
  lastAt: whole,
  sentence: text,
});
const closing = shaped({ block: text });
const judging = shaped({ block: text, subject: optional(subject), evidence: optional(evidence) });
const terms: Shape<BlockImposed> = {
  block: text,
  subject,
  direction,
  description: text,
  refusal: oneOf(REFUSALS),
};

const SHAPES: { readonly [Type in BlockFact['type']]: Check } = {
  BlockProposed: shaped({ ...terms, duration: wholeOrNull, lapsesAt: whole, rule: text, evidence }),
  ProposalApproved: shaped({ block: text, until: optional(wholeOrNull) }),
  ProposalDismissed: judging,
  ProposalLapsed: closing,
  BlockImposed: shaped({ ...terms, until: wholeOrNull, evidence: optional(evidence) }),
  BlockExtended: shaped<BlockExtended>({
    block: text,
    until: wholeOrNull,
    direction,
    evidence: optional(evidence),
    description: optional(text),
    refusal: optional(oneOf(REFUSALS)),
  }),
  BlockShortened: shaped({ block: text, until: whole }),
  BlockReleased: judging,
  BlockExpired: closing,
  ExemptionGranted: shaped({ exemption: text, subject, until: wholeOrNull, reason: text }),
  ExemptionRevoked: shaped({ exemption: text }),
  ExemptionApplied: shaped({ exemption: text, evidence }),
  RuleObserved: shaped({ subject, evidence }),
};

/** One of ours, with data that are what its type promises. */
export function isBlockEvent(event: RecordedEvent): event is RecordedEvent & BlockEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as BlockFact['type']](event.data);
}
