import type { Escalation } from '../blocks/commands.js';
import type { Refusal } from '../blocks/events.js';
import type { Fact } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, MINUTE } from '../kernel/time.js';
import { isPrivateIp, NAMELESS } from '../sending/identity.js';
import type { Direction, Subject, SubjectType } from '../sending/subjects.js';

/** Counts that are sums. A limit always names one, and a message to 30 recipients is 1 message and 30 recipients. */
export const SUMS = [
  'messages',
  'recipients',
  'bytes',
  'refusedRecipients',
  'bounces',
  'authFailures',
] as const;
export type Sum = (typeof SUMS)[number];

export function isSum(count: string): count is Sum {
  return SUMS.includes(count as Sum);
}

/** A count of this many times the limit is far beyond it. */
export const FAR_BEYOND = 5;

/** The count above which a limit is far exceeded. */
export function ceilingOf(limit: number): number {
  return FAR_BEYOND * Math.max(1, limit);
}

/** Counts of the different values among a sender's messages. */
export const DISTINCT_COUNTS = ['networks', 'ehlos', 'returnPaths', 'recipientDomains'] as const;
export type DistinctCount = (typeof DISTINCT_COUNTS)[number];

/**
 * Everything a rule may count. `accounts` are, per domain, those that turned abnormal together; per network or EHLO
 * name, those that have come to a place which is new to them.
 */
export const COUNTS = [...SUMS, ...DISTINCT_COUNTS, 'accounts'] as const;
export type Count = (typeof COUNTS)[number];

export function isDistinctCount(count: Count): count is DistinctCount {
  return DISTINCT_COUNTS.includes(count as DistinctCount);
}

/** Whether it measures how much is sent, not how: volume can be bought. */
export function isVolume(count: Count): boolean {
  return count === 'messages' || count === 'recipients' || count === 'bytes';
}

/** The most different values that are told apart: a limit must be lower. */
export const DISTINCT_MAX = 16;

/** The most accounts of one domain, or of one place, that are remembered: a limit must be lower. */
export const OUTBREAK_MAX = 1_000;

/** From a place that it used on a day before an account turns abnormal above so many times its own limit: see decision 10. */
export const KNOWN_PLACE_FACTOR = 2;

/** Newcomers to a place count only if they belong to so many domains: an office that moves has one or two. */
export const FLEET_DOMAINS = 3;

/** Newcomers must be more than so many times the accounts that know the place: domains that move come to a host that has customers. */
export const FLEET_FACTOR = 3;

/** An EHLO name that so many accounts used on days before is common: no rule blocks it. */
export const COMMON_NAME = 3;

/** Whether it counts accounts that are new to a place, and acts on the place. */
export function countsNewcomers({ count, per }: Pick<Rule, 'count' | 'per'>): boolean {
  return count === 'accounts' && per !== 'domain';
}

/** The highest limit that a count can exceed. */
export function highestLimit(count: Count): number {
  if (count === 'accounts') return OUTBREAK_MAX - 1;
  return isDistinctCount(count) ? DISTINCT_MAX - 1 : Infinity;
}

export const ACTIONS = ['observe', 'propose', 'block'] as const;
export type Action = (typeof ACTIONS)[number];

/** Shortest window: a bucket of a sixtieth must be a whole second. */
export const WINDOW_MIN: Milliseconds = MINUTE;
/** Longest window: by default, sends are kept this long. */
export const WINDOW_MAX: Milliseconds = 35 * DAY;

/** When a volume is abnormal, and what follows. */
export interface Rule {
  readonly id: string;
  readonly per: SubjectType;
  readonly count: Count;
  readonly window: Milliseconds;
  /** This many of the largest messages within the window are left out of the count. */
  readonly leaveOut?: 1 | 2;
  /** The rule trips when the count within the window is greater than this; with a baseline, the lowest limit. */
  readonly limit: number;
  /** Makes the limit follow the sender's baseline. */
  readonly baseline?: Baseline;
  /** Conditions that must also hold. */
  readonly when?: Conditions;
  /** Signals that must also add up. */
  readonly score?: Score;
  /** For a count of `accounts` per domain: when one of them has turned abnormal. */
  readonly turned?: Anomaly;
  readonly then: Action;
  /** How long it blocks; null is `indefinite`. */
  readonly for: Milliseconds | null;
  readonly escalate?: Escalation;
  /** How long a proposal waits before it lapses. */
  readonly lapse: Milliseconds;
  /** Which mail counts and is refused. */
  readonly direction: Direction;
  readonly refuse: Refusal;
  /** Refused attempts that go on at a rate above the limit keep the block up. */
  readonly renewWhileTrying: boolean;
  /** What it cuts off becomes part of the baseline all the same. */
  readonly teaches?: true;
  readonly description?: string;
}

/** How a limit follows a sender's baselines; see docs/inside/detection.md. */
export interface Baseline {
  /** Times the median of the weekly peaks; 0 leaves it out. */
  readonly typical: number;
  /** Times the highest weekly peak; 0 leaves it out. */
  readonly record: number;
  /** Times the recipients of the largest message in those weeks; 0 leaves it out. */
  readonly largest: number;
  /** Added to the highest of these multiples; absent: nothing. */
  readonly plus?: number;
  /** By so much at most this week and the three before raise the record; absent: by any amount. */
  readonly rise?: number;
  /** The lowest limit for a known sender. */
  readonly floor: number;
  /** The lowest limit for a sender that is still being learnt. */
  readonly start: number;
  /** The highest limit; null for none. */
  readonly ceiling: number | null;
}

/** Conditions on the sender; all must hold. Novelty never counts against a sender that is still being learnt. */
export interface Conditions {
  /** The message comes from a network, EHLO name, country or autonomous system not seen on any day before. */
  readonly newIp?: true;
  readonly newEhlo?: true;
  readonly newCountry?: true;
  readonly newAsn?: true;
  /** The sender was first seen no longer ago than this. */
  readonly firstSeenWithin?: Milliseconds;
  /** Before today it had sent nothing for this long. */
  readonly dormantFor?: Milliseconds;
  /** Whether it is still being learnt. */
  readonly learning?: boolean;
  /** Stopgap has watched for at most, or at least, this long. */
  readonly installedWithin?: Milliseconds;
  readonly installedFor?: Milliseconds;
  /** Hours in which the sender usually sends nothing. */
  readonly quietHours?: QuietHours;
  /** More different values than this within the rule's window. */
  readonly distinct?: Partial<Readonly<Record<DistinctCount, number>>>;
  /** The share of refused recipients, or of bounces, within the rule's window. */
  readonly share?: Share;
}

/** `unusual`: hours in which it sent in none of the weeks before. Else minutes of the day by a zone's clock. */
export type QuietHours =
  | { readonly kind: 'unusual' }
  | { readonly kind: 'fixed'; readonly from: number; readonly to: number; readonly zone: string };

export interface Share {
  readonly of: 'refusedRecipients' | 'bounces';
  /** A share of all recipients tried, from 0 to 1. */
  readonly above: number;
  /** Fewer than this prove nothing. */
  readonly least: number;
}

export interface Signal extends Conditions {
  readonly points: number;
}

/** The sum of signals, exact to a millionth: with floats seven tenths and one tenth are not eight tenths. */
export function pointsOf(signals: readonly Signal[]): number {
  return Math.round(signals.reduce((sum, { points }) => sum + points, 0) * 1e6) / 1e6;
}

/** Weak signals that together are a strong one. */
export interface Score {
  readonly threshold: number;
  readonly signals: readonly Signal[];
}

/** Whether it depends on bounces, which anybody may send to anybody: then it only proposes. */
export function restsOnBounces({ count, when, score }: Pick<Rule, 'count' | 'when' | 'score'>): boolean {
  return (
    count === 'bounces' || [when, ...(score?.signals ?? [])].some((each) => each?.share?.of === 'bounces')
  );
}

export interface Anomaly {
  readonly count: 'messages' | 'recipients';
  readonly window: Milliseconds;
  readonly baseline: Baseline;
  /** For this long after the rule tripped, every further account that turns abnormal is acted on at once. */
  readonly alarm: Milliseconds;
  /**
   * Until Stopgap has watched for this long, nearly every sender is being learnt, and such senders do not turn
   * abnormal.
   */
  readonly after: Milliseconds;
}

/** When a sender counts as known. */
export interface Learning {
  /** The number of active days needed. */
  readonly days: number;
  /** How long ago it must have been first seen. */
  readonly age: Milliseconds;
  /** For this long after Stopgap first ran, baselines of senders that are being learnt only propose. */
  readonly installation: Milliseconds;
}

export const LEARNING: Learning = { days: 5, age: 7 * DAY, installation: 31 * DAY };

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

/** A whole rule set. */
export interface RuleSet {
  /** `observe`: rules record and count, but nothing is proposed or blocked. */
  readonly mode: 'enforce' | 'observe';
  /** More automatic blocks than this within the window become proposals. */
  readonly maxAutomaticBlocks: Breaker;
  /** Absent in records from before baselines existed: then as {@link LEARNING}. */
  readonly learning?: Learning;
  readonly rules: readonly Rule[];
  readonly exempt: readonly RuleExemption[];
}

/** A rule set with its YAML. */
export interface SourcedRules {
  readonly rules: RuleSet;
  readonly source: string;
}

/** A rule set with the version that its `RulesChanged` event gave it. */
export interface VersionedRules extends RuleSet {
  readonly version: number;
}

/** The origin of a rule set in force: `shadow` is a promotion, which at first was recorded as `api`. */
export const RULES_ORIGINS = ['defaults', 'file', 'api', 'shadow'] as const;
export type RulesOrigin = (typeof RULES_ORIGINS)[number];

export interface RulesChanged {
  /** 1 for the first rule set ever in force, then one more each time. */
  readonly version: number;
  readonly rules: RuleSet;
  /** The YAML that it was read from. */
  readonly source: string;
  readonly origin: RulesOrigin;
}

export type RulesFact = Fact<'RulesChanged', RulesChanged>;

/** The one stream that holds every rule set that was ever in force. */
export const RULES_STREAM = 'rules';
export const RULES_CATEGORY = 'rules';

/** `rule:<id>@<version>`: how a rule signs its events. */
export function ruleActor(id: string, version: number): string {
  return `rule:${id}@${version}`;
}

/** The exemption id under which the built-in list appears. */
export const NEVER_BLOCK = 'built-in';

/** A sender may well be called so, but as the subject of a block it would be a pattern. */
const STAR = 'a block of a name with a * would refuse all names that the * matches';

/**
 * Why a rule may never act on this subject: names that many strangers share or that would be a pattern, one's own
 * network, and the mailbox that RFC 5321 section 4.5.1 wants reachable. Undefined if it may. A person may block them all.
 */
export function neverBlock({ type, value }: Subject): string | undefined {
  switch (type) {
    case 'ehlo':
      if (value.includes('*')) return STAR;
      if (value === 'localhost' || value.startsWith('localhost.'))
        return 'every machine calls itself localhost';
      if (value === NAMELESS) return 'all who say no EHLO name would be refused';
      if (value.startsWith('[')) return 'an address literal as EHLO name says nothing about the sender';
      return undefined;
    case 'ip':
      return isPrivateIp(value) ? 'a private, loopback or link-local address is one of ours' : undefined;
    case 'account':
    case 'address':
      if (type === 'address' && value.includes('*')) return STAR;
      return value === 'postmaster' || value.startsWith('postmaster@')
        ? 'the postmaster must stay reachable (RFC 5321, 4.5.1)'
        : undefined;
    case 'domain':
      return undefined;
  }
}
