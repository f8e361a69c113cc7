import type { Check, Fact, RecordedEvent, Shape } from '../kernel/events.js';
import { oneOf, optional, shaped, streamName, text, whole, wholeOrNull } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import type { Direction, Subject } from '../sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, subjectKey } from '../sending/subjects.js';

/** Streams `block-<subject key>`: everything that ever happened to one subject. */
export const BLOCK_CATEGORY = 'block';

/** Who signs what time alone has ended. */
export const EXPIRY = 'system:expiry';

export const blockStream = (subject: Subject): string => streamName(BLOCK_CATEGORY, subjectKey(subject));

export const REFUSALS = ['soft', 'defer', 'honest', 'hold'] as const;
/**
 * How a block refuses. `soft`: AUTH fails like a wrong password, RCPT TO temporarily. `defer`: AUTH and RCPT TO both
 * fail temporarily, from the start. `honest`: AUTH works, RCPT TO fails for good, with a text and a contact. `hold`: a
 * mail server that asks takes the mail and keeps it; where there is no queue it is as `soft`.
 */
export type Refusal = (typeof REFUSALS)[number];

export const HELD_ACTIONS = ['release', 'delete'] as const;
/** What is to become of the mail that a mail server holds for a block: to be sent on, or to be gone. */
export type HeldAction = (typeof HELD_ACTIONS)[number];
/** What a person may ask for: to keep it withdraws what was asked for before and is not done. */
export const HELD_WISHES = [...HELD_ACTIONS, 'keep'] as const;
export type HeldWish = (typeof HELD_WISHES)[number];

const HOOK_ACTIONS = ['hold-queue', ...HELD_ACTIONS] as const;
/** What the hook is called for. `hold-queue`: to hold what waits in the queue since before the block. */
export type HookAction = (typeof HOOK_ACTIONS)[number];

/** When a block ends; null is indefinite, which a person or a rule must ask for by name. */
export type Until = Instant | null;

/** The numbers that tripped a rule. */
export interface Evidence {
  readonly rule: string;
  /** Version of the rule set it was made under. */
  readonly version: number;
  readonly count: string;
  /** Milliseconds. */
  readonly window: Milliseconds;
  /** This many of the largest messages are left out of the count. */
  readonly leaveOut?: number;
  /** The limit in force, tripled if a release or a dismissal was less than an hour ago. */
  readonly limit: number;
  readonly observed: number;
  /** No send that counted is before this position. */
  readonly firstPosition: number;
  /** The send that tripped the rule. */
  readonly lastPosition: number;
  /** When that send happened. */
  readonly lastAt: Instant;
  /** The sender's baseline, if it made the limit: weekly peaks, their median and the highest of them. */
  readonly habit?: {
    readonly typical: number;
    readonly record: number;
    readonly weeks: number;
    readonly learnt: boolean;
    /** The highest of the last four weeks, if it does not all count yet, and the record before them. */
    readonly lately?: number;
    readonly before?: number;
    /** Where the limit comes from, if not from these. */
    readonly bound?: 'floor' | 'start' | 'ceiling';
  };
  /** What else was noticed of the rule's conditions. */
  readonly signals?: readonly string[];
  /** True if it counts attempts that the block has refused: what a block rests upon stays as it is. */
  readonly attempts?: boolean;
  /** The accounts that came to a place which was new to them: somebody else may have their passwords. */
  readonly accounts?: readonly string[];
  /** What was seen and what was allowed, as a sentence for a person. */
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
  /** Set if a person chose the end; otherwise it lasts as long as was proposed. */
  readonly until?: Until;
  readonly note?: string;
}
/** A person's judgement, complete, so that a fold that learns from it need not have followed the block. */
export interface Feedback {
  readonly subject?: Subject;
  /** The rule that caused it and the newest evidence that it rests upon; absent if a person had blocked. */
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
  /** The rule that caused it, even if a person approved its proposal. */
  readonly rule?: string;
  readonly evidence?: Evidence;
  readonly renewWhileTrying: boolean;
}
export interface BlockExtended {
  readonly block: string;
  readonly until: Until;
  readonly direction: Direction;
  readonly evidence?: Evidence;
  /** What else a person asked for; absent if it stays as it is. */
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
  /** What a person asked for of the held mail; if absent, {@link heldActionOf} says. */
  readonly held?: HeldWish;
  /** Of a false positive: how often the owner tried within one window of the rule after the block began. */
  readonly withheld?: number;
  readonly note?: string;
}
/** A person says what is to become of the held mail, in force or ended. */
export interface HeldMailDecided {
  readonly block: string;
  readonly action: HeldWish;
  readonly note?: string;
}
/** The hook was called. */
export interface HookRan {
  readonly block: string;
  readonly action: HookAction;
  /** Position of the event that asked for it. */
  readonly cause: number;
  /** `failed`: it was given up. `replaced`: another decision came when it had done this one in part. */
  readonly outcome: 'done' | 'failed' | 'replaced';
  /** Messages that it was called for. */
  readonly asked: number;
  /** Of these, how many it says that it acted on. */
  readonly acted: number;
  /** Messages that were to be released and stay on hold, for other blocks that cover their senders. */
  readonly moved?: number;
  /** Revision of the last event in the stream of held mail that it was called for, if any. */
  readonly through?: number;
  /** The first lines that it printed, or why it failed. */
  readonly output: string;
}
export interface BlockExpired {
  readonly block: string;
  /** When it fell due: the refusals ended then, even if this event was written later. */
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

/** A rule tripped, and nothing was done: it only observes, or something keeps it from more. */
export interface RuleObserved {
  readonly subject: Subject;
  readonly evidence: Evidence;
  /** What the rule asks for: `observe`, or what `mode: observe` or a block of the other direction kept it from. */
  readonly action: 'observe' | 'propose' | 'block';
  /** What it would have refused, where a block of the other direction kept it from that. */
  readonly direction?: Direction;
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
  | Fact<'HeldMailDecided', HeldMailDecided>
  | Fact<'HookRan', HookRan>
  | Fact<'ExemptionGranted', ExemptionGranted>
  | Fact<'ExemptionRevoked', ExemptionRevoked>
  | Fact<'ExemptionApplied', ExemptionApplied>
  | Fact<'RuleObserved', RuleObserved>;

/** A block event with the part of its envelope that the reducers use. */
export type BlockEvent = BlockFact &
  Pick<RecordedEvent, 'id' | 'at' | 'by' | 'position' | 'revision'> & {
    /** The id that a competing writer gave to the same block or proposal; never stored. */
    readonly alias?: string;
  };

/** What a release asks for: a false positive lets the held mail go, anything else leaves it until somebody says more. */
export function heldActionOf({
  falsePositive,
  held,
}: Pick<BlockReleased, 'falsePositive' | 'held'>): HeldAction | undefined {
  if (held === undefined) return falsePositive ? 'release' : undefined;
  return held === 'keep' ? undefined : held;
}

/** What a block rests upon once evidence was added to it: refused attempts say nothing of what was sent. */
export function restingUpon(before: Evidence | undefined, added: Evidence | undefined): Evidence | undefined {
  return added === undefined || isOfAttempts(added) ? before : added;
}

function isOfAttempts({ attempts, sentence }: Evidence): boolean {
  // Version 0.2.0 said so in the sentence alone.
  return attempts === true || /: [\d,]+ refused attempts within /.test(sentence);
}

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
const judging = shaped({
  block: text,
  subject: optional(subject),
  evidence: optional(evidence),
  withheld: optional(whole),
});
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
  HeldMailDecided: shaped<HeldMailDecided>({ block: text, action: oneOf(HELD_WISHES) }),
  HookRan: shaped<HookRan>({
    block: text,
    action: oneOf(HOOK_ACTIONS),
    cause: whole,
    outcome: oneOf(['done', 'failed', 'replaced']),
    asked: whole,
    acted: whole,
    moved: optional(whole),
    through: optional(whole),
    output: text,
  }),
  ExemptionGranted: shaped({ exemption: text, subject, until: wholeOrNull, reason: text }),
  ExemptionRevoked: shaped({ exemption: text }),
  ExemptionApplied: shaped({ exemption: text, evidence }),
  RuleObserved: shaped({ subject, evidence, direction: optional(oneOf(DIRECTIONS)) }),
};

/** Whether it is a block event of ours, with data that match its type. */
export function isBlockEvent(event: RecordedEvent): event is RecordedEvent & BlockEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as BlockFact['type']](event.data);
}
