import type { Instant, Milliseconds } from '../kernel/time.js';
import { HOUR, MINUTE } from '../kernel/time.js';
import type { Direction, MailDirection, Subject } from '../sending/subjects.js';
import { directionsMeet, MAIL_DIRECTIONS, trippedBy, uniteDirections } from '../sending/subjects.js';
import type { BlockEvent, Evidence, Refusal, Until } from './events.js';
import { EXPIRY, restingUpon } from './events.js';

/** The state of a block. */
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
  readonly description: string;
  readonly refusal: Refusal;
  readonly since: Instant;
  readonly until: Until;
  /** The end that a person last set; undefined where only rules have set one. */
  readonly asked: Until | undefined;
  /** The end that it had at first, or that a rule set since: a person may have set an earlier one. */
  readonly ruled: Until;
  /** Position at which a person last set an earlier end; 0 if nobody has. */
  readonly shortenedThrough: number;
  readonly rule: string | undefined;
  /** The newest evidence that it rests upon. */
  readonly evidence: Evidence | undefined;
  readonly renewWhileTrying: boolean;
}

export interface StandingExemption {
  readonly id: string;
  readonly until: Until;
  readonly reason: string;
}

/** One block that a rule imposed; escalation counts these. */
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
  /** How every block of this subject ended, without the one in force. */
  readonly ended: ReadonlyMap<string, Exclude<BlockState, 'proposed' | 'active'>>;
  /** Ids that competing writers gave, each with the id of the block or proposal that it became part of. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Position up to which a person has judged the sends: evidence from before counts no more. */
  readonly judgedThrough: number;
  /** By rule: the last position of the newest evidence acted upon, so that no evidence is used twice. */
  readonly handled: ReadonlyMap<string, number>;
  /** Position at which the last block of such mail ran out: an earlier trip was contained and needs nothing more. */
  readonly containedThrough: Readonly<Record<MailDirection, number>>;
  /** Position at which the last proposal lapsed: an earlier verdict that could only propose has had its answer. */
  readonly lapsedThrough: number;
  /** Strikes, newest last. */
  readonly strikes: readonly Strike[];
}

export const NOTHING_YET: Standing = {
  proposal: undefined,
  block: undefined,
  exemption: undefined,
  ended: new Map(),
  aliases: new Map(),
  judgedThrough: 0,
  handled: new Map(),
  containedThrough: { outbound: 0, inbound: 0 },
  lapsedThrough: 0,
  strikes: [],
};

/** After a release the limits are three times as high for this long: queued retries must not trip again. */
export const GRACE: Milliseconds = HOUR;
export const GRACE_FACTOR = 3;

/** Ends that differ by no more count as one: the same request, sent several times at once, is decided several times. */
export const SAME_END: Milliseconds = MINUTE;

/** Escalation considers no more strikes than this. */
const STRIKES_KEPT = 64;

export function isOver(until: Until, now: Instant): boolean {
  return until !== null && until <= now;
}

/** Null (for ever) is later than any instant or span. */
export function isLater(a: number | null, b: number | null): boolean {
  return b !== null && (a === null || a > b);
}

/**
 * Whether what a sender does in one direction may come from somebody else. Anybody can send mail under any name, while
 * nobody can hold a TCP connection from an address that is not theirs.
 */
export function isForgeable({ type }: Pick<Subject, 'type'>): boolean {
  return type !== 'ip';
}

/** The block in force at `now`, whether or not its expiry was recorded yet. */
export function activeBlock(standing: Standing, now: Instant): StandingBlock | undefined {
  return standing.block !== undefined && !isOver(standing.block.until, now) ? standing.block : undefined;
}

/** Whether a block stops what has tripped a rule of this direction. */
export function contains(block: Pick<StandingBlock, 'direction'>, direction: Direction): boolean {
  return directionsMeet(block.direction, trippedBy(direction));
}

/**
 * What a block refuses that a waiting proposal becomes by a rule of this direction: what was proposed too, unless forged
 * mail alone would have those who send refused without anybody's approval.
 */
export function takingOver({ direction, subject }: PendingProposal, asked: Direction): Direction {
  const isOfOthers = asked === 'inbound' && direction !== 'inbound' && isForgeable(subject);
  return isOfOthers ? asked : uniteDirections(direction, asked);
}

export function pendingProposal(standing: Standing, now: Instant): PendingProposal | undefined {
  return standing.proposal !== undefined && standing.proposal.lapsesAt > now ? standing.proposal : undefined;
}

export function exemptionAt(standing: Standing, now: Instant): StandingExemption | undefined {
  return standing.exemption !== undefined && !isOver(standing.exemption.until, now)
    ? standing.exemption
    : undefined;
}

/** What is needed of a subject to read its next event. A {@link Standing} is one. */
export interface Known {
  readonly block: Pick<StandingBlock, 'id' | 'until' | 'asked' | 'direction'> | undefined;
  readonly proposal: PendingProposal | undefined;
  /** Blocks and proposals that have ended, by id. */
  readonly ended: { has(id: string): boolean };
  readonly aliases: { get(id: string): string | undefined };
}

/** The id under which a block or proposal is kept. */
export function nameOf({ aliases }: Pick<Known, 'aliases'>, id: string): string {
  return aliases.get(id) ?? id;
}

/**
 * Reads an event given everything before it. In a sound stream every event means what it says. If two writers did not
 * see each other and the store took both, the later event means what its writer would have decided after the earlier
 * one. So a subject has at most one block or proposal, under every id that was given to it. No competitor weakens it,
 * and what has ended does not come back.
 */
export function effectsOf(known: Known, event: BlockEvent): readonly BlockEvent[] {
  const { block, proposal } = known;
  switch (event.type) {
    case 'BlockProposed':
    case 'BlockImposed':
      return beginningOf(known, event);
    case 'BlockExtended': {
      if (block?.id !== nameOf(known, event.data.block)) return [];
      return [
        {
          ...event,
          data: { ...event.data, block: block.id, ...addedTo(block, event.data, isPerson(event.by)) },
        },
      ];
    }
    case 'BlockExpired':
      return block?.id === nameOf(known, event.data.block) ? [byItself(named(event, block.id))] : [];
    case 'BlockShortened': {
      if (block?.id !== nameOf(known, event.data.block)) return [];
      return isPerson(event.by) ? [named(event, block.id)] : shortenedByRule(block, event);
    }
    case 'BlockReleased':
      return block?.id === nameOf(known, event.data.block) ? [named(event, block.id)] : [];
    case 'ProposalLapsed':
      return proposal?.id === nameOf(known, event.data.block) ? [byItself(named(event, proposal.id))] : [];
    case 'ProposalApproved':
    case 'ProposalDismissed':
      return proposal?.id === nameOf(known, event.data.block) ? [named(event, proposal.id)] : [];
    case 'HeldMailDecided':
    case 'HookRan': {
      const id = nameOf(known, event.data.block);
      return block?.id === id || known.ended.has(id) ? [named(event, id)] : [];
    }
    case 'ExemptionGranted':
    case 'ExemptionRevoked':
    case 'ExemptionApplied':
    case 'RuleObserved':
      return [event];
  }
}

type Naming = Exclude<BlockEvent, { readonly type: `Exemption${string}` | 'RuleObserved' }>;
type Beginning = Extract<BlockEvent, { readonly type: 'BlockProposed' | 'BlockImposed' }>;

function beginningOf(known: Known, event: Beginning): readonly BlockEvent[] {
  const { block, proposal } = known;
  const id = nameOf(known, event.data.block);
  if (known.ended.has(id)) return [];
  if (block !== undefined) {
    if (block.id === id || !isOver(block.until, event.at)) return [strengthening(block, event)];
    const dueAt = block.until!;
    return [byItself({ ...event, type: 'BlockExpired', data: { block: block.id, dueAt }, at: dueAt }), event];
  }
  if (proposal === undefined) return [event];
  const { lapsesAt } = proposal;
  if (proposal.id !== id && lapsesAt <= event.at)
    return [
      byItself({ ...event, type: 'ProposalLapsed', data: { block: proposal.id }, at: lapsesAt }),
      event,
    ];
  if (event.type === 'BlockProposed') return [named(joined(proposal, event), proposal.id)];
  const { data } = event;
  // Who decided under the proposal's own id knew of it, and a person's block is what that person asked for.
  if (proposal.id === id || data.origin === 'admin') return [named(event, proposal.id)];
  return [
    named({ ...event, data: { ...data, direction: takingOver(proposal, data.direction) } }, proposal.id),
  ];
}

/** A block that was imposed or proposed while one is in force. */
function strengthening(block: NonNullable<Known['block']>, event: Beginning): BlockEvent {
  const { type, data } = event;
  const { evidence } = data;
  const stronger = type === 'BlockImposed' ? addedTo(block, data, isAsked(event)) : strongerOf(block, block);
  const said = type === 'BlockImposed' && data.origin === 'admin' ? { note: data.description } : {};
  const proof = evidence === undefined ? {} : { evidence };
  const extended = { block: data.block, ...stronger, ...proof, ...said };
  return named({ ...event, type: 'BlockExtended', data: extended }, block.id);
}

/**
 * What is in force after somebody has added to a block without having seen it as it is. Forged mail makes nobody who
 * sends wait longer, see {@link isForgeable}.
 */
function addedTo(
  block: NonNullable<Known['block']>,
  { until, direction }: Pick<StandingBlock, 'until' | 'direction'>,
  isAskedFor: boolean,
): Pick<StandingBlock, 'until' | 'direction'> {
  const isOfOthers = !isAskedFor && direction === 'inbound' && block.direction !== 'inbound';
  return strongerOf(block, { until: isOfOthers ? block.until : until, direction });
}

/** A rule shortens a block of arriving mail alone, and to no earlier end than a person has asked for. */
function shortenedByRule(
  { id, until, asked, direction }: NonNullable<Known['block']>,
  event: Extract<Naming, { readonly type: 'BlockShortened' }>,
): readonly BlockEvent[] {
  const { until: wanted } = event.data;
  const end = asked !== undefined && isLater(asked, wanted) ? asked : wanted;
  if (direction !== 'inbound' || end === null || !isLater(until, end)) return [];
  return [named({ ...event, data: { ...event.data, until: end } }, id)];
}

/** A proposal that was made while another waits: the terms of the longer one hold. */
function joined(
  waiting: PendingProposal,
  event: Extract<Beginning, { readonly type: 'BlockProposed' }>,
): Naming {
  const { data } = event;
  const { id: _, ...kept } = waiting;
  const terms = isLater(waiting.duration, data.duration) ? kept : data;
  const direction = uniteDirections(waiting.direction, data.direction);
  const lapsesAt = Math.max(waiting.lapsesAt, data.lapsesAt);
  return { ...event, data: { ...data, ...terms, direction, lapsesAt, evidence: data.evidence } };
}

/** Time alone ends it. Older versions signed what was overdue with the name of the person who decided next. */
function byItself(event: BlockEvent): BlockEvent {
  return { ...event, by: EXPIRY };
}

/** The same event under the id that its block or proposal goes by. */
function named(event: Naming, id: string): BlockEvent {
  const { block } = event.data;
  return block === id
    ? event
    : ({ ...event, data: { ...event.data, block: id }, alias: block } as BlockEvent);
}

/** The stronger of two blocks ends later, and directions unite. */
export function strongerOf(
  a: Pick<StandingBlock, 'until' | 'direction'>,
  b: Pick<StandingBlock, 'until' | 'direction'>,
): Pick<StandingBlock, 'until' | 'direction'> {
  const until = isLater(b.until, a.until) ? b.until : a.until;
  return { until, direction: uniteDirections(a.direction, b.direction) };
}

/** Folds one event of the subject's own stream. Unknown ids leave the state as it is. */
export function evolve(standing: Standing, event: BlockEvent): Standing {
  return effectsOf(standing, event).reduce(fold, standing);
}

/** Folds one event as {@link effectsOf} reads it. */
export function fold(standing: Standing, event: BlockEvent): Standing {
  const next = folded(standing, event);
  if (event.alias === undefined || !('block' in event.data)) return next;
  return { ...next, aliases: new Map(next.aliases).set(event.alias, event.data.block) };
}

function folded(standing: Standing, event: BlockEvent): Standing {
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
      return { ...endProposal(standing, event.data.block, 'dismissed'), judgedThrough: event.position };
    case 'ProposalLapsed':
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
        proposal: undefined,
        block: {
          id: data.block,
          subject: data.subject,
          direction: data.direction,
          description: data.description,
          refusal: data.refusal,
          since: event.at,
          until: data.until,
          asked: isAsked(event) ? data.until : undefined,
          ruled: ruledEnd(event, standing.proposal),
          shortenedThrough: 0,
          rule: data.rule,
          evidence: data.evidence,
          renewWhileTrying: data.renewWhileTrying,
        },
        handled: handle(standing, data.evidence),
        strikes,
      };
    }
    case 'BlockExtended': {
      const block = standing.block!;
      const { until, direction } = event.data;
      const evidence = restingUpon(block.evidence, event.data.evidence);
      const { description = block.description, refusal = block.refusal } = event.data;
      // Who changes the text of a block has not set its end.
      const asked = isPerson(event.by) && until !== block.until ? until : block.asked;
      // Nor has a rule that only adds to it.
      const ruled = isPerson(event.by) || until === block.until ? block.ruled : until;
      return {
        ...standing,
        block: { ...block, until, asked, ruled, direction, description, refusal, evidence },
        handled: handle(standing, event.data.evidence),
      };
    }
    case 'BlockShortened': {
      const { until } = event.data;
      const block = standing.block!;
      const ends = isPerson(event.by)
        ? { until, asked: until, shortenedThrough: event.position }
        : { until, ruled: until };
      return { ...standing, block: { ...block, ...ends } };
    }
    case 'BlockReleased': {
      const strikes = event.data.falsePositive
        ? standing.strikes.filter((strike) => strike.block !== event.data.block)
        : standing.strikes;
      return { ...endBlock(standing, 'released'), judgedThrough: event.position, strikes };
    }
    case 'BlockExpired':
      return { ...endBlock(standing, 'expired'), containedThrough: contained(standing, event.position) };
    case 'ExemptionGranted': {
      const { exemption, until, reason } = event.data;
      return { ...standing, exemption: { id: exemption, until, reason } };
    }
    case 'ExemptionRevoked':
      return standing.exemption?.id === event.data.exemption
        ? { ...standing, exemption: undefined }
        : standing;
    case 'HeldMailDecided':
    case 'HookRan':
      return standing;
    case 'ExemptionApplied':
    case 'RuleObserved':
      return { ...standing, handled: handle(standing, event.data.evidence) };
  }
}

function contained({ block, containedThrough }: Standing, position: number): Standing['containedThrough'] {
  const [outbound, inbound] = MAIL_DIRECTIONS.map((mail) =>
    directionsMeet(block!.direction, mail) ? position : containedThrough[mail],
  );
  return { outbound: outbound!, inbound: inbound! };
}

/** Whether a person set its end, by a block of their own or by the approval of a proposal. */
function isAsked({ data, by }: Extract<BlockEvent, { readonly type: 'BlockImposed' }>): boolean {
  return data.origin === 'admin' || isPerson(by);
}

/** The end that the rule gave: not that of an approval for less than was proposed. */
function ruledEnd(
  { data, by, at }: Extract<BlockEvent, { readonly type: 'BlockImposed' }>,
  proposal: PendingProposal | undefined,
): Until {
  if (!isPerson(by) || proposal?.id !== data.block) return data.until;
  const { duration } = proposal;
  const proposed = duration === null ? null : at + duration;
  return data.until !== null && isLater(proposed, data.until + SAME_END) ? proposed : data.until;
}

/** Whether an event is signed by a person, and not by a rule or by the program. */
function isPerson(by: string): boolean {
  return !by.startsWith('rule:') && !by.startsWith('system:');
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
