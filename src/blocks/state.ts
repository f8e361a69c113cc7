import type { Instant, Milliseconds } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';
import type { Direction, Subject } from '../sending/subjects.js';
import type { BlockEvent, Evidence, Refusal, Until } from './events.js';

/** Where a block is in its life. */
export type BlockState = 'proposed' | 'active' | 'released' | 'expired' | 'dismissed' | 'lapsed';

export interface PendingProposal {
  readonly id: string;
  readonly subject: Subject;
  readonly direction: Direction;
  readonly description: string;
  readonly refusal: Refusal;
  readonly duration: Milliseconds | null;
  readonly lapsesAt: Instant;
  readonly rule: string;
  readonly evidence: Evidence;
  readonly renewWhileTrying: boolean;
}

export interface StandingBlock {
  readonly id: string;
  readonly subject: Subject;
  readonly direction: Direction;
  readonly refusal: Refusal;
  readonly since: Instant;
  readonly until: Until;
  readonly rule: string | undefined;
  /** The newest. */
  readonly evidence: Evidence | undefined;
  readonly renewWhileTrying: boolean;
}

export interface StandingExemption {
  readonly id: string;
  readonly until: Until;
  readonly reason: string;
}

/** One block that a rule imposed: what escalation counts. */
export interface Strike {
  readonly block: string;
  readonly rule: string;
  readonly direction: Direction;
  readonly at: Instant;
}

/** A subject's present state, folded from its events. */
export interface Standing {
  readonly proposal: PendingProposal | undefined;
  readonly block: StandingBlock | undefined;
  readonly exemption: StandingExemption | undefined;
  /** How every block of this subject ended; the one standing is not in it. */
  readonly ended: ReadonlyMap<string, Exclude<BlockState, 'proposed' | 'active'>>;
  /** Position up to which a person has judged the sends: evidence from before counts no more. */
  readonly judgedThrough: number;
  /** By rule: the last position of the newest evidence acted upon, so that none is acted upon twice. */
  readonly handled: ReadonlyMap<string, number>;
  /** Position at which the last block ran out: what tripped before was contained, and asks for nothing more. */
  readonly containedThrough: number;
  /** Position at which the last proposal lapsed: what could only propose before has had its answer. */
  readonly lapsedThrough: number;
  /** Newest last. */
  readonly strikes: readonly Strike[];
}

export const NOTHING_YET: Standing = {
  proposal: undefined,
  block: undefined,
  exemption: undefined,
  ended: new Map(),
  judgedThrough: 0,
  handled: new Map(),
  containedThrough: 0,
  lapsedThrough: 0,
  strikes: [],
};

/** After a release the limits are three times as high for this long: queued retries must not trip again. */
export const GRACE: Milliseconds = HOUR;
export const GRACE_FACTOR = 3;

/** Escalation looks at no more strikes than this. */
const STRIKES_KEPT = 64;

export function isOver(until: Until, now: Instant): boolean {
  return until !== null && until <= now;
}

/** The block in force at `now`, whether or not its expiry was recorded yet. */
export function activeBlock(standing: Standing, now: Instant): StandingBlock | undefined {
  return standing.block !== undefined && !isOver(standing.block.until, now) ? standing.block : undefined;
}

export function pendingProposal(standing: Standing, now: Instant): PendingProposal | undefined {
  return standing.proposal !== undefined && standing.proposal.lapsesAt > now ? standing.proposal : undefined;
}

export function exemptionAt(standing: Standing, now: Instant): StandingExemption | undefined {
  return standing.exemption !== undefined && !isOver(standing.exemption.until, now)
    ? standing.exemption
    : undefined;
}

/** Folds one event of the subject's own stream. Unknown ids leave the state as it is. */
export function evolve(standing: Standing, event: BlockEvent): Standing {
  switch (event.type) {
    case 'BlockProposed': {
      const { block, ...terms } = event.data;
      return {
        ...standing,
        proposal: { id: block, ...terms },
        handled: handle(standing, event.data.evidence),
      };
    }
    case 'ProposalApproved':
      return standing; // BlockImposed follows in the same append
    case 'ProposalDismissed':
      if (standing.proposal?.id !== event.data.block) return standing;
      return { ...endProposal(standing, event.data.block, 'dismissed'), judgedThrough: event.position };
    case 'ProposalLapsed':
      if (standing.proposal?.id !== event.data.block) return standing;
      return { ...endProposal(standing, event.data.block, 'lapsed'), lapsedThrough: event.position };
    case 'BlockImposed': {
      const { data } = event;
      const strikes =
        data.rule === undefined
          ? standing.strikes
          : [
              ...standing.strikes,
              { block: data.block, rule: data.rule, direction: data.direction, at: event.at },
            ].slice(-STRIKES_KEPT);
      return {
        ...standing,
        proposal: standing.proposal?.id === data.block ? undefined : standing.proposal,
        block: {
          id: data.block,
          subject: data.subject,
          direction: data.direction,
          refusal: data.refusal,
          since: event.at,
          until: data.until,
          rule: data.rule,
          evidence: data.evidence,
          renewWhileTrying: data.renewWhileTrying,
        },
        handled: handle(standing, data.evidence),
        strikes,
      };
    }
    case 'BlockExtended': {
      if (standing.block?.id !== event.data.block) return standing;
      const { until, direction, evidence } = event.data;
      return {
        ...standing,
        block: { ...standing.block, until, direction, evidence: evidence ?? standing.block.evidence },
        handled: handle(standing, evidence),
      };
    }
    case 'BlockShortened':
      if (standing.block?.id !== event.data.block) return standing;
      return { ...standing, block: { ...standing.block, until: event.data.until } };
    case 'BlockReleased': {
      if (standing.block?.id !== event.data.block) return standing;
      const strikes = event.data.falsePositive
        ? standing.strikes.filter((strike) => strike.block !== event.data.block)
        : standing.strikes;
      return { ...endBlock(standing, 'released'), judgedThrough: event.position, strikes };
    }
    case 'BlockExpired':
      if (standing.block?.id !== event.data.block) return standing;
      return { ...endBlock(standing, 'expired'), containedThrough: event.position };
    case 'ExemptionGranted': {
      const { exemption, until, reason } = event.data;
      return { ...standing, exemption: { id: exemption, until, reason } };
    }
    case 'ExemptionRevoked':
      return standing.exemption?.id === event.data.exemption
        ? { ...standing, exemption: undefined }
        : standing;
    case 'ExemptionApplied':
    case 'RuleObserved':
      return { ...standing, handled: handle(standing, event.data.evidence) };
  }
}

function endProposal(standing: Standing, id: string, how: 'dismissed' | 'lapsed'): Standing {
  return { ...standing, proposal: undefined, ended: new Map(standing.ended).set(id, how) };
}

function endBlock(standing: Standing, how: 'released' | 'expired'): Standing {
  return { ...standing, block: undefined, ended: new Map(standing.ended).set(standing.block!.id, how) };
}

function handle(standing: Standing, evidence: Evidence | undefined): ReadonlyMap<string, number> {
  if (evidence === undefined) return standing.handled;
  const last = Math.max(standing.handled.get(evidence.rule) ?? 0, evidence.lastPosition);
  return new Map(standing.handled).set(evidence.rule, last);
}
