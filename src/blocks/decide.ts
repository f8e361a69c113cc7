import { InvalidInput, StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import type { Direction } from '../sending/subjects.js';
import { uniteDirections } from '../sending/subjects.js';
import type { Act, Approve, At, BlockCommand, ChangeUntil, Impose, Renew } from './commands.js';
import { after, escalated, tripped } from './durations.js';
import type { BlockFact, BlockImposed, Evidence, Judged, Until } from './events.js';
import type { BlockState, PendingProposal, Standing, StandingBlock } from './state.js';
import { activeBlock, exemptionAt, isLater, isOver, nameOf, pendingProposal, strongerOf } from './state.js';

/**
 * What a command brings about in a subject's standing: no fact where there is nothing left to do.
 *
 * @throws StopgapError `conflict` (with the state as it is) for a transition that is impossible,
 *   `not-found` for an id that this subject never had, InvalidInput for a time that has passed
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
      return isStale(evidence, standing)
        ? []
        : [{ type: 'RuleObserved', data: { subject, action, evidence } }];
    }
    case 'impose':
      return impose(command, standing);
    case 'approve':
      return approve(command, standing);
    case 'dismiss': {
      const proposal = requireProposal(standing, command.block, now, 'dismissed');
      const marked = command.falsePositive === true ? { falsePositive: true } : {};
      const data = { block: proposal.id, ...marked, ...judged(proposal), ...noted(command.note) };
      return [{ type: 'ProposalDismissed', data }];
    }
    case 'release': {
      const block = requireActive(standing, command.block, now, 'released');
      const { falsePositive, note } = command;
      return [
        { type: 'BlockReleased', data: { block: block.id, falsePositive, ...judged(block), ...noted(note) } },
      ];
    }
    case 'change-until':
      return changeUntil(command, standing);
    case 'expire':
      return standing.block?.id === nameOf(standing, command.block) ? expiry(standing, now) : [];
    case 'lapse':
      return standing.proposal?.id === nameOf(standing, command.block) ? lapse(standing, now) : [];
    case 'grant': {
      if (isOver(command.until, now)) throw inThePast('until', now);
      const { newId, subject, until, reason } = command;
      const before = exemptionAt(standing, now);
      if (before !== undefined && before.until === until && before.reason === reason) return [];
      return [{ type: 'ExemptionGranted', data: { exemption: newId, subject, until, reason } }];
    }
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
  if (isStale(evidence, standing)) return [];
  if (command.action === 'propose' && evidence.lastPosition <= standing.lapsedThrough) return [];
  const spared = exemptionAt(standing, now) ?? command.sparedBy;
  if (spared !== undefined) {
    const { id: exemption, reason } = spared;
    return [{ type: 'ExemptionApplied', data: { exemption, reason, action: command.action, evidence } }];
  }
  return command.action === 'block' ? blockByRule(command, standing) : propose(command, standing);
}

/**
 * Judged by a person already, acted upon already, or contained by a block that has run out since: a detector
 * that lags or replays must do no harm.
 */
function isStale(evidence: Evidence, standing: Standing): boolean {
  return (
    evidence.firstPosition <= standing.judgedThrough ||
    evidence.lastPosition <= (standing.handled.get(evidence.rule) ?? 0) ||
    evidence.lastPosition <= standing.containedThrough
  );
}

function blockByRule(command: At<Act>, standing: Standing): readonly BlockFact[] {
  const { terms, evidence, now } = command;
  const duration = escalated(terms, evidence.rule, standing, now);
  const standingBlock = activeBlock(standing, now);
  if (standingBlock !== undefined) {
    const until = after(tripped(evidence, now), duration);
    return strengthenByRule(standingBlock, until, terms.direction, evidence);
  }
  const until = after(now, duration);
  return [
    ...overdue(standing, now),
    {
      type: 'BlockImposed',
      data: {
        // A proposal that waits becomes this block: one case, one entry.
        block: pendingProposal(standing, now)?.id ?? command.newId,
        subject: command.subject,
        direction: terms.direction,
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
  if (activeBlock(standing, now) !== undefined) return []; // contained already
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

function renew(command: At<Renew>, standing: Standing): readonly BlockFact[] {
  const { evidence, now } = command;
  const block = activeBlock(standing, now);
  if (block === undefined || !block.renewWhileTrying || block.rule !== evidence.rule) return [];
  // Attempts of mail that arrives, which anybody may make, keep no block up that refuses those who send.
  if (command.direction === 'inbound' && block.direction !== 'inbound') return [];
  if (isStale(evidence, standing)) return [];
  return strengthen(block, tripped(evidence, now) + command.duration, block.direction, { evidence });
}

function impose(command: At<Impose>, standing: Standing): readonly BlockFact[] {
  const { now, until, direction, subject, description, refusal } = command;
  if (isOver(until, now)) throw inThePast('until', now);
  const before = activeBlock(standing, now);
  if (before !== undefined) return strengthen(before, until, direction, noted(command.description));
  const data: BlockImposed = {
    block: pendingProposal(standing, now)?.id ?? command.newId,
    subject,
    direction,
    description,
    refusal,
    until,
    origin: 'admin',
    renewWhileTrying: false,
  };
  return [...overdue(standing, now), { type: 'BlockImposed', data }];
}

function approve(command: At<Approve>, standing: Standing): readonly BlockFact[] {
  const { now } = command;
  const proposal = requireProposal(standing, command.block, now, 'approved');
  const { id, duration, lapsesAt: _, ...terms } = proposal;
  const data: BlockImposed = { ...terms, block: id, until: after(now, duration), origin: 'rule' };
  return [
    ...expiry(standing, now),
    { type: 'ProposalApproved', data: { block: id, ...noted(command.note) } },
    { type: 'BlockImposed', data },
  ];
}

function changeUntil(command: At<ChangeUntil>, standing: Standing): readonly BlockFact[] {
  const { now, until } = command;
  const block = requireActive(standing, command.block, now, 'changed');
  if (isOver(until, now)) throw inThePast('until', now, '; to end the block now, release it');
  if (until === block.until) return [];
  const note = noted(command.note);
  if (isLater(until, block.until)) {
    return [{ type: 'BlockExtended', data: { block: block.id, until, direction: block.direction, ...note } }];
  }
  return [{ type: 'BlockShortened', data: { block: block.id, until: until!, ...note } }];
}

/** The stronger of two blocks ends later and directions unite: nothing is ever weakened here. */
function strengthen(
  block: StandingBlock,
  until: Until,
  direction: Direction,
  more: { evidence?: Evidence; note?: string },
): readonly BlockFact[] {
  const stronger = strongerOf(block, { until, direction });
  if (stronger.until === block.until && stronger.direction === block.direction) return [];
  return [{ type: 'BlockExtended', data: { block: block.id, ...stronger, ...more } }];
}

/**
 * What a rule makes of a block in force. Mail that arrives is by anybody who gives a name: it never makes those who send
 * wait longer, neither by what it adds to their block nor by what it had brought about before.
 */
function strengthenByRule(
  block: StandingBlock,
  until: Until,
  direction: Direction,
  evidence: Evidence,
): readonly BlockFact[] {
  if (direction === 'inbound' && block.direction !== 'inbound')
    return strengthen(block, block.until, direction, { evidence });
  const isByArriving = block.rule !== undefined && block.direction === 'inbound' && direction !== 'inbound';
  if (!isByArriving || until === null || !isLater(block.until, until))
    return strengthen(block, until, direction, { evidence });
  const shortened = { ...block, until };
  return [
    { type: 'BlockShortened', data: { block: block.id, until } },
    ...strengthen(shortened, until, direction, { evidence }),
  ];
}

/** The expiry that nobody recorded yet, dated when it fell due. */
function expiry(standing: Standing, now: Instant): readonly BlockFact[] {
  const { block } = standing;
  if (block === undefined || block.until === null || block.until > now) return [];
  return [{ type: 'BlockExpired', data: { block: block.id, dueAt: block.until }, at: block.until }];
}

/** What fell due and nobody recorded yet, so that a new case does not begin on top of an open one. */
function overdue(standing: Standing, now: Instant): readonly BlockFact[] {
  return [...expiry(standing, now), ...lapse(standing, now)];
}

function lapse(standing: Standing, now: Instant): readonly BlockFact[] {
  const { proposal } = standing;
  if (proposal === undefined || proposal.lapsesAt > now) return [];
  return [{ type: 'ProposalLapsed', data: { block: proposal.id }, at: proposal.lapsesAt }];
}

function requireActive(standing: Standing, id: string, now: Instant, verb: string): StandingBlock {
  const block = activeBlock(standing, now);
  if (block?.id === nameOf(standing, id)) return block;
  throw impossible(standing, id, now, verb, 'an active block');
}

function requireProposal(standing: Standing, id: string, now: Instant, verb: string): PendingProposal {
  const proposal = pendingProposal(standing, now);
  if (proposal?.id === nameOf(standing, id)) return proposal;
  throw impossible(standing, id, now, verb, 'a proposal');
}

/** Where the block is at `now`, by what fell due as well as by what was recorded; undefined for a stranger's id. */
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

function judged({ subject, rule, evidence }: PendingProposal | StandingBlock): Judged {
  return {
    subject,
    ...(rule === undefined ? {} : { rule }),
    ...(evidence === undefined ? {} : { evidence }),
  };
}

function noted(note: string | undefined): { note?: string } {
  return note === undefined || note === '' ? {} : { note };
}
