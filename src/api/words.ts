import type { ComparisonKind } from '../../projections/blocks/shadow.js';
import { actorName } from '../kernel/actor.js';

/*
 * Words that a request may hold and that the command line offers. They are apart from the routes: a command that is given one
 * must not load the server.
 */

export const BLOCK_STATES = ['proposed', 'active', 'released', 'expired', 'dismissed', 'lapsed'] as const;

/** Categories of streams that the feed shows. */
export const FEED_CATEGORIES = ['block', 'rules', 'override', 'send', 'held', 'auth'] as const;

/** What events of changes are called. */
export const CHANGE_TYPES = [
  'BlockImposed',
  'BlockExtended',
  'BlockShortened',
  'BlockReleased',
  'HeldMailDecided',
  'ProposalApproved',
  'ProposalDismissed',
  'ExemptionGranted',
  'ExemptionRevoked',
  'OverrideSet',
  'OverrideRemoved',
  'RulesChanged',
  'ShadowRulesChanged',
  'ShadowRulesRemoved',
  'ShadowRulesPromoted',
  'PersonChanged',
  'PersonForgotten',
];

/** Through what a request came, as its id begins; any other request is of a program. */
export const VIA = ['page', 'cli', 'api', 'other'] as const;

/** The outcomes in which the two rule sets differ. */
export const DIFFERENCES = [
  ...(['shadowOnly', 'liveOnly', 'stronger', 'weaker'] as const),
] satisfies readonly ComparisonKind[];

/** What decides on a block or a proposal. */
const DECIDING = /^(?:BlockImposed|BlockReleased|ProposalApproved|ProposalDismissed)$/;

/** How a block or proposal was decided, and by whom; undefined of a proposal that waits. */
export function decidedAlready({
  state,
  history,
}: {
  readonly state: (typeof BLOCK_STATES)[number];
  readonly history: readonly { readonly type: string; readonly by: string }[];
}): string | undefined {
  if (state === 'proposed') return undefined;
  const how = `${state === 'active' ? 'blocked' : state} already`;
  // Time alone ended it: what is recorded of that names nobody.
  if (state === 'expired' || state === 'lapsed') return how;
  return `${how}, by ${actorName(history.findLast(({ type }) => DECIDING.test(type))!.by)}`;
}
