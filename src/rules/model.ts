import type { Fact } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, MINUTE } from '../kernel/time.js';
import type { Escalation } from '../blocks/commands.js';
import type { Refusal } from '../blocks/events.js';
import type { Direction, Subject, SubjectType } from '../sending/subjects.js';

export const COUNTS = [
  'messages',
  'recipients',
  'bytes',
  'refusedRecipients',
  'bounces',
  'authFailures',
] as const;
/** What is counted: a limit always names it, and a message to 30 recipients is 1 message and 30 recipients. */
export type Count = (typeof COUNTS)[number];

export const ACTIONS = ['observe', 'propose', 'block'] as const;
export type Action = (typeof ACTIONS)[number];

/** Shortest window: a bucket of a sixtieth must be a whole second. */
export const WINDOW_MIN: Milliseconds = MINUTE;
/** Longest window: sends are kept for so long by default. */
export const WINDOW_MAX: Milliseconds = 35 * DAY;

/** When a volume is abnormal, and what then. */
export interface Rule {
  readonly id: string;
  readonly per: SubjectType;
  readonly count: Count;
  readonly window: Milliseconds;
  /** The rule trips when the count within the window is greater than this. */
  readonly limit: number;
  readonly then: Action;
  /** How long it blocks; null is `indefinite`. */
  readonly for: Milliseconds | null;
  readonly escalate?: Escalation;
  /** How long a proposal waits before it lapses. */
  readonly lapse: Milliseconds;
  /** Which mail counts, and which is refused. */
  readonly direction: Direction;
  readonly refuse: Refusal;
  /** Refused attempts that go on at a rate above the limit keep the block up. */
  readonly renewWhileTrying: boolean;
  readonly description?: string;
}

/** An exemption written in the rules file. */
export interface RuleExemption {
  readonly subject: Subject;
  /** Null is for ever. */
  readonly until: Instant | null;
  readonly reason: string;
}

export interface Breaker {
  readonly max: number;
  readonly window: Milliseconds;
}

/** A whole rule set as it is in force. */
export interface RuleSet {
  /** `observe`: rules record and count, but nothing is proposed or blocked. */
  readonly mode: 'enforce' | 'observe';
  /** More automatic blocks than this within the window become proposals. */
  readonly maxAutomaticBlocks: Breaker;
  readonly rules: readonly Rule[];
  readonly exempt: readonly RuleExemption[];
}

/** A rule set with the version that its `RulesChanged` event gave it. */
export interface VersionedRules extends RuleSet {
  readonly version: number;
}

export interface RulesChanged {
  /** 1 for the first rule set ever in force, then one more each time. */
  readonly version: number;
  readonly rules: RuleSet;
  /** The YAML it was read from. */
  readonly source: string;
  /** `defaults`, `file` or `api`. */
  readonly origin: 'defaults' | 'file' | 'api';
}

export type RulesFact = Fact<'RulesChanged', RulesChanged>;

/** The one stream that holds every rule set that was ever in force. */
export const RULES_STREAM = 'rules';
export const RULES_CATEGORY = 'rules';

/** `rule:<id>@<version>`: how a rule signs what it brings about. */
export function ruleActor(id: string, version: number): string {
  return `rule:${id}@${version}`;
}
