import fc from 'fast-check';
import type { Act, At } from '../../../src/blocks/commands.js';
import type { BlockFact, BlockImposed, BlockProposed, Evidence, Until } from '../../../src/blocks/events.js';
import { EXPIRY } from '../../../src/blocks/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { DIRECTIONS } from '../../../src/sending/subjects.js';
import { ALICE, T0, evidence, terms } from '../../support/given.js';

/* Facts and commands with defaults, so that a test names only what it is about. */

export function imposed(more: Partial<BlockImposed> = {}): BlockFact {
  return {
    type: 'BlockImposed',
    data: {
      block: 'b1',
      subject: ALICE,
      direction: 'outbound',
      description: 'by hand',
      refusal: 'soft',
      until: T0 + HOUR,
      origin: 'admin',
      renewWhileTrying: false,
      ...more,
    },
  };
}

/** As the rule `burst` imposes it, on evidence that ends at position 5. */
export function imposedByRule(more: Partial<BlockImposed> = {}): BlockFact {
  const proof = evidence({ firstPosition: 1, lastPosition: 5 });
  return imposed({
    description: 'too many recipients',
    origin: 'rule',
    rule: 'burst',
    evidence: proof,
    ...more,
  });
}

export function proposed(more: Partial<BlockProposed> = {}): BlockFact {
  return {
    type: 'BlockProposed',
    data: {
      block: 'p1',
      subject: ALICE,
      direction: 'outbound',
      description: 'too many recipients',
      refusal: 'soft',
      duration: HOUR,
      lapsesAt: T0 + 24 * HOUR,
      rule: 'burst',
      evidence: evidence({ firstPosition: 1, lastPosition: 5 }),
      renewWhileTrying: false,
      ...more,
    },
  };
}

/** By which refused attempts keep a block up. */
export const ATTEMPTS: Evidence = evidence({ observed: 3000, lastPosition: 300, attempts: true });
const { attempts: _, ...unmarked } = ATTEMPTS;
/** As version 0.2.0 recorded that. */
export const ATTEMPTS_OF_0_2: Evidence = {
  ...unmarked,
  sentence: 'Account alice@example.com: 3,000 refused attempts within 10m; rule "burst" allows 100.',
};

export const byPerson = (fact: BlockFact): BlockFact => ({ ...fact, by: 'admin:me' });
export const extended = (until: number | null, more: object = {}): BlockFact => ({
  type: 'BlockExtended',
  data: { block: 'b1', until, direction: 'outbound', ...more },
});
export const shortened = (until: number): BlockFact => ({
  type: 'BlockShortened',
  data: { block: 'b1', until },
});
export const released = (falsePositive = false): BlockFact => ({
  type: 'BlockReleased',
  data: { block: 'b1', falsePositive },
});
export const expired = (dueAt: number, block = 'b1'): BlockFact => ({
  type: 'BlockExpired',
  data: { block, dueAt },
  at: dueAt,
  by: EXPIRY,
});
export const lapsed = (lapsesAt: number): BlockFact => ({
  type: 'ProposalLapsed',
  data: { block: 'p1' },
  at: lapsesAt,
  by: EXPIRY,
});
/** Of {@link proposed}. */
export const dismissed: BlockFact = {
  type: 'ProposalDismissed',
  data: {
    block: 'p1',
    subject: ALICE,
    rule: 'burst',
    evidence: evidence({ firstPosition: 1, lastPosition: 5 }),
  },
};
export const approved: BlockFact = { type: 'ProposalApproved', data: { block: 'p1' } };

/** A rule trips a minute after T0 and wants a block for an hour. */
export function act(more: Partial<At<Act>> = {}): At<Act> {
  return {
    kind: 'act',
    action: 'block',
    subject: ALICE,
    terms: terms(),
    evidence: evidence({ lastAt: T0 + 60_000 }),
    newId: 'new',
    now: T0 + 60_000,
    ...more,
  };
}

/* What the properties draw from. */

export const direction = fc.constantFrom(...DIRECTIONS);
export const span = fc.constantFrom(MINUTE, 10 * MINUTE, HOUR, 5 * HOUR, null);
export const until = (now: number, length: number | null): Until => (length === null ? null : now + length);
export const rule = fc.constantFrom('burst', 'day');
