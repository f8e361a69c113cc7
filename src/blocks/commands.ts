import type { Instant, Milliseconds } from '../kernel/time.js';
import type { Direction, Subject } from '../sending/subjects.js';
import type { Evidence, HeldWish, HookRan, Refusal, Until } from './events.js';

/** When something ends, or how long it lasts from the moment of the decision. */
export type Span = { readonly until: Until } | { readonly duration: Milliseconds | null };

/** How a repeated block by the same rule grows: `duration * factor ^ strikes`, at most `max`. */
export interface Escalation {
  readonly factor: number;
  readonly max: Milliseconds;
  /** Strikes older than this are forgotten. */
  readonly forget: Milliseconds;
}

/** What a rule asks for once it has tripped. */
export interface RuleTerms {
  readonly direction: Direction;
  readonly description: string;
  readonly refusal: Refusal;
  readonly duration: Milliseconds | null;
  readonly escalate: Escalation | undefined;
  /** How long a proposal waits before it lapses. */
  readonly lapse: Milliseconds;
  readonly renewWhileTrying: boolean;
}

/** The responder's: a rule tripped. */
export interface Act {
  readonly kind: 'act';
  readonly action: 'propose' | 'block';
  readonly subject: Subject;
  readonly terms: RuleTerms;
  readonly evidence: Evidence;
  /** Only a waiting proposal becomes a block: if none waits, nothing is done. */
  readonly onlyPending?: true;
  /** An exemption from elsewhere (the rules file, a wider subject, the never-block list). */
  readonly exemptedBy?: { readonly id: string; readonly reason: string };
  readonly newId: string;
}

/** The responder's: refused attempts go on, so a block that asks for it stays up. */
export interface Renew {
  readonly kind: 'renew';
  readonly duration: Milliseconds;
  /** The direction of the attempted mail. */
  readonly direction: Direction;
  readonly evidence: Evidence;
  /** As of {@link Act}. */
  readonly exemptedBy?: Act['exemptedBy'];
}

/** The responder's: a rule tripped that may only observe. */
export interface Observe {
  readonly kind: 'observe';
  readonly subject: Subject;
  readonly action: 'observe' | 'propose' | 'block';
  readonly evidence: Evidence;
}

export type Impose = Span & {
  readonly kind: 'impose';
  readonly subject: Subject;
  readonly direction: Direction;
  /** If absent, a block in force keeps its own, and a new one has none. */
  readonly description?: string | undefined;
  /** If absent, a block in force keeps its own, and a new one is `soft`. */
  readonly refusal?: Refusal | undefined;
  readonly newId: string;
};

export interface Approve {
  readonly kind: 'approve';
  readonly block: string;
  /** If absent, as long as was proposed. */
  readonly span?: Span | undefined;
  readonly note?: string;
}

export interface Dismiss {
  readonly kind: 'dismiss';
  readonly block: string;
  /** The rule was wrong: what the subject did is usual for it. */
  readonly falsePositive?: boolean;
  readonly note?: string;
}

export interface Release {
  readonly kind: 'release';
  readonly block: string;
  readonly falsePositive: boolean;
  /** What becomes of the mail that is held for it; if absent, a false positive lets it go and else it is kept. */
  readonly held?: HeldWish | undefined;
  /** How often the owner tried in vain: see {@link BlockReleased.withheld}. */
  readonly withheld?: number | undefined;
  readonly note?: string;
}

/** A person's: what becomes of the mail that is held by now. */
export interface DecideHeld {
  readonly kind: 'held';
  readonly block: string;
  readonly action: HeldWish;
  readonly note?: string;
}

/** The worker's: what the hook did. */
export type ReportHook = HookRan & { readonly kind: 'hook' };

/** A person's: what is absent stays as it is. */
export interface Change {
  readonly kind: 'change';
  readonly block: string;
  readonly span?: Span | undefined;
  readonly description?: string | undefined;
  readonly refusal?: Refusal | undefined;
  readonly note?: string | undefined;
}

/** The timer's: harmless at any time, any number of times. */
export interface Expire {
  readonly kind: 'expire';
  readonly block: string;
}

/** The timer's: harmless at any time, any number of times. */
export interface Lapse {
  readonly kind: 'lapse';
  readonly block: string;
}

export type Grant = Span & {
  readonly kind: 'grant';
  readonly subject: Subject;
  readonly reason: string;
  readonly newId: string;
};

export interface Revoke {
  readonly kind: 'revoke';
  readonly exemption: string;
  readonly note?: string;
}

export type BlockCommand =
  | Act
  | Renew
  | Observe
  | Impose
  | Approve
  | Dismiss
  | Release
  | DecideHeld
  | ReportHook
  | Change
  | Expire
  | Lapse
  | Grant
  | Revoke;

/** A command with the moment of its decision: decisions see no other time. */
export type At<Command> = Command & { readonly now: Instant };
