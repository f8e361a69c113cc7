import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, MINUTE } from '../kernel/time.js';
import type { Direction, MailDirection, Subject } from '../sending/subjects.js';
import { trippedBy, uniteDirections } from '../sending/subjects.js';
import type {
  Act,
  Approve,
  At,
  BlockCommand,
  Change,
  Grant,
  Impose,
  Renew,
  RuleTerms,
  Span,
} from './commands.js';
import type { BlockFact, BlockImposed, Evidence, Feedback, Until } from './events.js';
import { EXPIRY } from './events.js';
import type { BlockState, PendingProposal, Standing, StandingBlock } from './state.js';
import {
  activeBlock,
  contains,
  exemptionAt,
  isForgeable,
  isLater,
  isOver,
  nameOf,
  pendingProposal,
  SAME_END,
  strongerOf,
  takingOver,
} from './state.js';

/**
 * The facts that a command causes, given a subject's standing: none if there is nothing left to do.
 *
 * @throws StopgapError `conflict` (with the state as it is) for a transition that is impossible, `not-found` for an id
 *   that this subject never had, InvalidInput for a time that has passed
 */
export function decide(command: At<BlockCommand>, standing: Standing): readonly BlockFact[] {
  const { now } = command;
  switch (command.kind) {
    case 'act':
      return act(command, standing);
    case 'renew':
      return renew(command, standing);
    case 'observe': {
      const { subject, action, evidence } = command;
      return isStale(evidence, standing) || wasContained(evidence, standing, now)
        ? []
        : [{ type: 'RuleObserved', data: { subject, action, evidence } }];
    }
    case 'impose':
      return impose(command, standing);
    case 'approve':
      return approve(command, standing);
    case 'dismiss': {
      const proposal = requireProposal(standing, command.block, now, 'dismissed');
      return [dismissal(proposal, command.note, command.falsePositive)];
    }
    case 'release': {
      const block = requireActive(standing, command.block, now, 'released');
      const { falsePositive, held, withheld = 0, note } = command;
      const more = {
        ...judged(block),
        ...(held === undefined ? {} : { held }),
        ...(falsePositive && withheld > 0 ? { withheld } : {}),
        ...noted(note),
      };
      return [{ type: 'BlockReleased', data: { block: block.id, falsePositive, ...more } }];
    }
    case 'held': {
      const block = requireImposed(standing, command.block, now);
      return [{ type: 'HeldMailDecided', data: { block, action: command.action, ...noted(command.note) } }];
    }
    case 'hook': {
      const { kind: _kind, now: _now, ...ran } = command;
      return [{ type: 'HookRan', data: { ...ran, block: requireImposed(standing, command.block, now) } }];
    }
    case 'change':
      return change(command, standing);
    case 'expire':
      return standing.block?.id === nameOf(standing, command.block) ? expiry(standing, now) : [];
    case 'lapse':
      return standing.proposal?.id === nameOf(standing, command.block) ? lapse(standing, now) : [];
    case 'grant':
      return grant(command, standing);
    case 'revoke': {
      if (standing.exemption?.id !== command.exemption || exemptionAt(standing, now) === undefined) {
        throw new StopgapError('not-found', `there is no exemption ${command.exemption} in force`);
      }
      return [{ type: 'ExemptionRevoked', data: { exemption: command.exemption, ...noted(command.note) } }];
    }
  }
}

function act(command: At<Act>, standing: Standing): readonly BlockFact[] {
  const { evidence, now } = command;
  if (isStale(evidence, standing, trippedBy(command.terms.direction))) return [];
  if (command.onlyPending === true && !isUncontained(command, standing)) return [];
  if (command.action === 'propose' && evidence.lastPosition <= standing.lapsedThrough) return [];
  if (wasAnswered(command, standing)) return [];
  const exempted = exemptionAt(standing, now) ?? command.exemptedBy;
  if (exempted !== undefined) return [spared(exempted, command.action, evidence)];
  return command.action === 'block' ? blockByRule(command, standing) : propose(command, standing);
}

/** A rule would have acted, and an exemption keeps it from that. */
function spared(
  { id: exemption, reason }: NonNullable<Act['exemptedBy']>,
  action: Act['action'],
  evidence: Evidence,
): BlockFact {
  return { type: 'ExemptionApplied', data: { exemption, reason, action, evidence } };
}

/** Whether a proposal waits, or a block of the other direction is in the place of one, so that nothing stops the sender yet. */
function isUncontained({ action, terms, now }: At<Act>, standing: Standing): boolean {
  if (pendingProposal(standing, now) !== undefined) return true;
  const block = activeBlock(standing, now);
  return action === 'block' && block !== undefined && !contains(block, terms.direction);
}

/**
 * Whether a person has judged this evidence, or a rule has acted on it, or a block that has run out contained it: a
 * detector that lags or replays must do no harm.
 *
 * @param mail what tripped; undefined: of either direction
 */
function isStale(evidence: Evidence, standing: Standing, mail?: MailDirection): boolean {
  const { outbound, inbound } = standing.containedThrough;
  return (
    evidence.firstPosition <= standing.judgedThrough ||
    evidence.lastPosition <= (standing.handled.get(evidence.rule) ?? 0) ||
    evidence.lastPosition <=
      (mail === undefined ? Math.max(outbound, inbound) : standing.containedThrough[mail])
  );
}

/** Whether this tripped under a block that is over by now, though nobody has recorded its end. */
function wasContained({ lastAt }: Evidence, { block }: Standing, now: Instant): boolean {
  return block !== undefined && isOver(block.until, now) && !isOver(block.until, lastAt);
}

/**
 * Whether this tripped under a block or proposal that is over by now, and asked for nothing more than that: a detector
 * that starts may come before the timer that records the end. What asked for more, and was never carried out, still is.
 */
function wasAnswered(command: At<Act>, standing: Standing): boolean {
  const { evidence, action, now } = command;
  const { proposal } = standing;
  const { lastAt } = evidence;
  const hasLapsed =
    proposal !== undefined && isOver(proposal.lapsesAt, now) && !isOver(proposal.lapsesAt, lastAt);
  if (!hasLapsed && !wasContained(evidence, standing, now)) return false;
  const then = { ...command, now: lastAt };
  return (action === 'block' ? blockByRule(then, standing) : propose(then, standing)).length === 0;
}

function blockByRule(command: At<Act>, standing: Standing): readonly BlockFact[] {
  const { terms, evidence, now } = command;
  const duration = escalated(terms, evidence.rule, standing, now);
  const standingBlock = activeBlock(standing, now);
  if (standingBlock !== undefined) {
    // What that block does not stop is refused from now on.
    const from = contains(standingBlock, terms.direction) ? tripped(evidence, now) : now;
    const until = after(from, duration);
    // Of accounts that came to a blocked place nothing is learnt, so each must be named.
    const step = evidence.accounts === undefined ? stepOf(duration, TRIP_STEP) : 0;
    return strengthenByRule(standingBlock, { until, step, direction: terms.direction }, evidence);
  }
  const until = after(now, duration);
  const waiting = pendingProposal(standing, now);
  const direction = waiting === undefined ? terms.direction : takingOver(waiting, terms.direction);
  return [
    ...overdue(standing, now),
    ...leftBy(waiting, direction),
    {
      type: 'BlockImposed',
      data: {
        // A waiting proposal becomes this block: one case, one entry.
        block: waiting?.id ?? command.newId,
        subject: command.subject,
        direction,
        description: terms.description,
        refusal: terms.refusal,
        until,
        origin: 'rule',
        rule: evidence.rule,
        evidence,
        renewWhileTrying: terms.renewWhileTrying,
      },
    },
  ];
}

function propose(command: At<Act>, standing: Standing): readonly BlockFact[] {
  const { terms, evidence, now, subject } = command;
  const block = activeBlock(standing, now);
  // A subject has one block or proposal at a time. What that block lets pass must be told all the same.
  if (block !== undefined)
    return contains(block, terms.direction) ? [] : [unanswered(subject, terms.direction, evidence)];
  const duration = escalated(terms, evidence.rule, standing, now);
  const waiting = pendingProposal(standing, now);
  const { refusal, renewWhileTrying, description } = terms;
  const asked = { refusal, renewWhileTrying, description, rule: evidence.rule };
  if (waiting === undefined) {
    return [
      ...overdue(standing, now),
      {
        type: 'BlockProposed',
        data: {
          ...asked,
          subject,
          evidence,
          block: command.newId,
          direction: terms.direction,
          duration,
          lapsesAt: now + terms.lapse,
        },
      },
    ];
  }
  const longer = isLater(duration, waiting.duration);
  const direction = uniteDirections(waiting.direction, terms.direction);
  if (!longer && direction === waiting.direction) return [];
  const { refusal: keptRefusal, renewWhileTrying: keptRenew, description: keptText, rule } = waiting;
  const kept = { refusal: keptRefusal, renewWhileTrying: keptRenew, description: keptText, rule };
  return [
    {
      type: 'BlockProposed',
      data: {
        ...(longer ? asked : kept),
        subject,
        evidence,
        block: waiting.id,
        direction,
        duration: longer ? duration : waiting.duration,
        lapsesAt: Math.max(waiting.lapsesAt, now + terms.lapse),
      },
    },
  ];
}

/** A rule would propose, and a block of the other direction is in the way. */
function unanswered(subject: Subject, direction: Direction, evidence: Evidence): BlockFact {
  return { type: 'RuleObserved', data: { subject, action: 'propose', direction, evidence } };
}

/** What waited for a decision and gets none by a block of the other direction in its place. */
function leftBy(waiting: PendingProposal | undefined, direction: Direction): readonly BlockFact[] {
  if (waiting === undefined || contains({ direction }, waiting.direction)) return [];
  return [unanswered(waiting.subject, waiting.direction, waiting.evidence)];
}

function renew(command: At<Renew>, standing: Standing): readonly BlockFact[] {
  const { evidence, now } = command;
  const block = activeBlock(standing, now);
  if (block === undefined || !block.renewWhileTrying || block.rule !== evidence.rule) return [];
  // Who wants it to end sooner wants that to hold, whatever its sender tries.
  if (isLater(block.ruled, block.until)) return [];
  // Anybody may make attempts of inbound mail, so these do not extend a block that refuses outbound mail.
  if (command.direction === 'inbound' && block.direction !== 'inbound') return [];
  if (isStale(evidence, standing)) return [];
  const until = tripped(evidence, now) + command.duration;
  const step = stepOf(command.duration, SAME_END);
  const later = strengthen(block, { until, step, direction: block.direction }, evidence);
  const exempted = exemptionAt(standing, now) ?? command.exemptedBy;
  return later.length === 0 || exempted === undefined ? later : [spared(exempted, 'block', evidence)];
}

function impose(command: At<Impose>, standing: Standing): readonly BlockFact[] {
  const { now, direction, subject, description = '', refusal = 'soft' } = command;
  const until = endOf(command, now);
  if (isOver(until, now)) throw inThePast('until', now);
  const before = activeBlock(standing, now);
  if (before !== undefined) return imposeAgain(command, before, until);
  const waiting = pendingProposal(standing, now);
  const data: BlockImposed = {
    block: waiting?.id ?? command.newId,
    subject,
    direction,
    description,
    refusal,
    until,
    origin: 'admin',
    renewWhileTrying: false,
  };
  return [...overdue(standing, now), ...leftBy(waiting, direction), { type: 'BlockImposed', data }];
}

/**
 * A person's block on top of one in force: afterwards everything that was asked for holds, or nothing has changed.
 *
 * @throws StopgapError `conflict` if it was to end earlier: that would undo what somebody else set
 */
function imposeAgain(asked: Impose, before: StandingBlock, until: Until): readonly BlockFact[] {
  const { direction } = asked;
  if (until !== null && isLater(before.until, until + SAME_END)) {
    const end = before.until === null ? 'until it is released' : `until ${formatInstant(before.until)}`;
    const isOther = uniteDirections(before.direction, direction) !== before.direction;
    const than = isOther ? `and refuses ${before.direction} mail only` : 'which is later';
    const message = `block ${before.id} is in force ${end}, ${than}: nothing was changed; change when that one ends, or release it`;
    throw new StopgapError('conflict', message, { block: before.id, state: 'active' });
  }
  const stronger = strongerOf(before, { until, direction });
  const changes = changesOf(before, asked);
  const isSame = stronger.until === before.until && stronger.direction === before.direction;
  if (isSame && Object.keys(changes).length === 0) return [];
  return [{ type: 'BlockExtended', data: { block: before.id, ...stronger, ...changes } }];
}

function approve(command: At<Approve>, standing: Standing): readonly BlockFact[] {
  const { now } = command;
  const proposal = requireProposal(standing, command.block, now, 'approved');
  const { id, duration, lapsesAt: _, ...terms } = proposal;
  const until = endOf(command.span ?? { duration }, now);
  if (isOver(until, now)) throw inThePast('until', now);
  const said = command.span === undefined ? {} : { until };
  const data: BlockImposed = { ...terms, block: id, until, origin: 'rule' };
  return [
    ...expiry(standing, now),
    { type: 'ProposalApproved', data: { block: id, ...said, ...noted(command.note) } },
    { type: 'BlockImposed', data },
  ];
}

function change(command: At<Change>, standing: Standing): readonly BlockFact[] {
  const { now, span } = command;
  const block = requireActive(standing, command.block, now, 'changed');
  const until = span === undefined ? block.until : endOf(span, now);
  if (isOver(until, now)) throw inThePast('until', now, '; to end the block now, release it');
  const { id, direction } = block;
  const changes = changesOf(block, command);
  const note = noted(command.note);
  const isShorter = isLater(block.until, until);
  const facts: BlockFact[] = [];
  if (isShorter) facts.push({ type: 'BlockShortened', data: { block: id, until: until!, ...note } });
  if (isLater(until, block.until) || Object.keys(changes).length > 0)
    facts.push({
      type: 'BlockExtended',
      data: { block: id, until, direction, ...changes, ...(isShorter ? {} : note) },
    });
  return facts;
}

/** What a person says of a block that is not so yet. */
function changesOf(
  block: StandingBlock,
  { description, refusal }: Pick<Impose, 'description' | 'refusal'>,
): Pick<Impose, 'description' | 'refusal'> {
  return {
    ...(description === undefined || description === block.description ? {} : { description }),
    ...(refusal === undefined || refusal === block.refusal ? {} : { refusal }),
  };
}

/** Rules must not act on an exempt subject, so its proposal ends too. A block in force stays. */
function grant(command: At<Grant>, standing: Standing): readonly BlockFact[] {
  const { newId, subject, reason, now } = command;
  const until = endOf(command, now);
  if (isOver(until, now)) throw inThePast('until', now);
  const proposal = pendingProposal(standing, now);
  const gone = proposal === undefined ? [] : [dismissal(proposal, exemptNote(reason))];
  const before = exemptionAt(standing, now);
  if (before !== undefined && before.until === until && before.reason === reason) return gone;
  return [...gone, { type: 'ExemptionGranted', data: { exemption: newId, subject, until, reason } }];
}

/** Why a proposal ended without a dismissal of its own. */
export function exemptNote(reason: string): string {
  return `exempt: ${reason}`;
}

function dismissal(proposal: PendingProposal, note: string | undefined, falsePositive = false): BlockFact {
  const marked = falsePositive ? { falsePositive } : {};
  const data = { block: proposal.id, ...marked, ...judged(proposal), ...noted(note) };
  return { type: 'ProposalDismissed', data };
}

/** What a rule asks of a block in force. */
interface Asked {
  readonly until: Until;
  readonly direction: Direction;
  /** By so much at least must its end be later to be worth an event. */
  readonly step: Milliseconds;
}

/** A rule that trips again extends a block by no less: of one that lasts an hour that is 48 times a day. */
const TRIP_STEP: Milliseconds = 30 * MINUTE;

/**
 * By how much a rule at least extends a block. Who goes on under a block trips rules as often as he likes, and each event is kept
 * for ever. A tenth is too little to matter. A step is at most half of the duration, so a block never ends between two trips
 * of a sender who trips its rule regularly.
 */
function stepOf(duration: Milliseconds | null, least: Milliseconds): Milliseconds {
  return duration === null ? 0 : Math.max(duration / 10, Math.min(least, duration / 2));
}

/**
 * The stronger of two blocks ends later and directions unite: nothing is ever weakened here. An end that is only a little later
 * stays as it is.
 */
function strengthen(
  block: StandingBlock,
  { until, direction, step }: Asked,
  evidence: Evidence,
): readonly BlockFact[] {
  const stronger = strongerOf(block, { until, direction });
  const isWider = stronger.direction !== block.direction;
  // What tripped before a person set an earlier end had its answer by then, unless it asks for more than rules had given.
  const isOld = evidence.lastPosition <= block.shortenedThrough && isLater(block.ruled, block.until);
  const asksForMore = isLaterBy(step, stronger.until, isOld ? block.ruled : block.until);
  if (!isWider && !asksForMore) return [];
  const end = isOld && !asksForMore && contains(block, direction) ? block.until : stronger.until;
  const data = { block: block.id, until: end, direction: stronger.direction, evidence };
  return [{ type: 'BlockExtended', data }];
}

function isLaterBy(step: Milliseconds, end: Until, before: Until): boolean {
  if (end === null || before === null) return isLater(end, before);
  return isLater(end, before) && end - before >= step;
}

/**
 * Strengthens a block in force by a rule. Anybody can send inbound mail under any name: it never makes senders wait
 * longer, neither by what it adds to their block nor by what it had caused before, unless a person asked for that.
 */
function strengthenByRule(block: StandingBlock, asked: Asked, evidence: Evidence): readonly BlockFact[] {
  const { until, step, direction } = asked;
  if (direction === 'inbound' && block.direction !== 'inbound')
    return strengthen(block, { until: block.until, step, direction }, evidence);
  const isInherited = block.direction === 'inbound' && direction !== 'inbound' && isForgeable(block.subject);
  // A block has one end. Its earlier one is safe: mail that goes on arriving trips its rule again, while the sender's own mail
  // would wait for what others have sent. What a person asked for stays.
  const end = block.asked !== undefined && isLater(block.asked, until) ? block.asked : until;
  if (!isInherited || end === null || !isLater(block.until, end)) return strengthen(block, asked, evidence);
  return [
    { type: 'BlockShortened', data: { block: block.id, until: end } },
    ...strengthen({ ...block, until: end }, { until: end, step, direction }, evidence),
  ];
}

/** The expiry that is not recorded yet, dated when it fell due. */
function expiry(standing: Standing, now: Instant): readonly BlockFact[] {
  const { block } = standing;
  if (block === undefined || block.until === null || block.until > now) return [];
  return [
    { type: 'BlockExpired', data: { block: block.id, dueAt: block.until }, at: block.until, by: EXPIRY },
  ];
}

/** What fell due and is not recorded yet, so that a new case does not begin on top of an open one. */
function overdue(standing: Standing, now: Instant): readonly BlockFact[] {
  return [...expiry(standing, now), ...lapse(standing, now)];
}

function lapse(standing: Standing, now: Instant): readonly BlockFact[] {
  const { proposal } = standing;
  if (proposal === undefined || proposal.lapsesAt > now) return [];
  return [{ type: 'ProposalLapsed', data: { block: proposal.id }, at: proposal.lapsesAt, by: EXPIRY }];
}

function requireActive(standing: Standing, id: string, now: Instant, verb: string): StandingBlock {
  const block = activeBlock(standing, now);
  if (block?.id === nameOf(standing, id)) return block;
  throw impossible(standing, id, now, verb, 'an active block');
}

/** The name of a block that is or was in force. */
function requireImposed(standing: Standing, id: string, now: Instant): string {
  const state = stateOf(standing, id, now);
  if (state === 'active' || state === 'released' || state === 'expired') return nameOf(standing, id);
  throw impossible(standing, id, now, 'asked for its held mail', 'a block that is or was in force');
}

function requireProposal(standing: Standing, id: string, now: Instant, verb: string): PendingProposal {
  const proposal = pendingProposal(standing, now);
  if (proposal?.id === nameOf(standing, id)) return proposal;
  throw impossible(standing, id, now, verb, 'a proposal');
}

/** The state of a block at `now`, including what fell due without a record; undefined for an unknown id. */
export function stateOf(standing: Standing, anyId: string, now: Instant): BlockState | undefined {
  const id = nameOf(standing, anyId);
  if (standing.block?.id === id) return isOver(standing.block.until, now) ? 'expired' : 'active';
  if (standing.proposal?.id === id) return standing.proposal.lapsesAt > now ? 'proposed' : 'lapsed';
  return standing.ended.get(id);
}

function impossible(
  standing: Standing,
  id: string,
  now: Instant,
  verb: string,
  needed: string,
): StopgapError {
  const state = stateOf(standing, id, now);
  if (state === undefined) return new StopgapError('not-found', `there is no block ${id} of this subject`);
  return new StopgapError('conflict', `block ${id} is ${state}: only ${needed} can be ${verb}`, {
    block: id,
    state,
  });
}

function inThePast(field: string, now: Instant, hint = ''): InvalidInput {
  return new InvalidInput(field, `must lie in the future (it is ${formatInstant(now)})${hint}`);
}

function judged({ subject, rule, evidence }: PendingProposal | StandingBlock): Feedback {
  return {
    subject,
    ...(rule === undefined ? {} : { rule }),
    ...(evidence === undefined ? {} : { evidence }),
  };
}

function noted(note: string | undefined): { note?: string } {
  return note === undefined || note === '' ? {} : { note };
}

/** A block in force is extended from the send that tripped, so that a late repeat of the verdict adds nothing. */
function tripped(evidence: Evidence, now: Instant): Instant {
  return Math.min(now, evidence.lastAt);
}

/** How long this rule's next block lasts: longer with each strike that is not forgotten; null for ever. */
function escalated(terms: RuleTerms, rule: string, standing: Standing, now: Instant): Milliseconds | null {
  const { duration, escalate } = terms;
  if (duration === null || escalate === undefined) return duration;
  // The block in force is this incident, not an earlier one.
  const present = activeBlock(standing, now)?.id;
  // Blocks caused by inbound mail make no block of a sender longer.
  const arriving = terms.direction === 'inbound';
  const earlier = standing.strikes.filter(
    (strike) =>
      strike.rule === rule &&
      (strike.direction === 'inbound') === arriving &&
      strike.block !== present &&
      strike.at > now - escalate.forget,
  ).length;
  return Math.max(duration, Math.min(escalate.max, duration * escalate.factor ** earlier));
}

/** A duration counts from the decision: a store that was away for a while shortens nothing. */
function endOf(span: Span, now: Instant): Until {
  return 'until' in span ? span.until : after(now, span.duration);
}

function after(now: Instant, duration: Milliseconds | null): Until {
  return duration === null ? null : now + duration;
}
