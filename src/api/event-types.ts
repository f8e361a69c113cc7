import type { BlockFact } from '../blocks/events.js';
import type { OverrideFact } from '../overrides/events.js';
import type { RulesFact } from '../rules/model.js';
import type { ShadowFact } from '../rules/decide.js';
import type { AuthEvent, SendEvent } from '../sending/events.js';

/** Categories of streams that the feed shows. */
export const FEED_CATEGORIES = ['block', 'rules', 'override', 'send', 'auth'] as const;
export type FeedCategory = (typeof FEED_CATEGORIES)[number];

type FeedType = (BlockFact | RulesFact | ShadowFact | OverrideFact | SendEvent | AuthEvent)['type'];

/** Every type of event that the feed shows, and the category whose streams hold it. */
export const CATEGORY_OF: Readonly<Record<FeedType, FeedCategory>> = {
  BlockProposed: 'block',
  ProposalApproved: 'block',
  ProposalDismissed: 'block',
  ProposalLapsed: 'block',
  BlockImposed: 'block',
  BlockExtended: 'block',
  BlockShortened: 'block',
  BlockReleased: 'block',
  BlockExpired: 'block',
  ExemptionGranted: 'block',
  ExemptionRevoked: 'block',
  ExemptionApplied: 'block',
  RuleObserved: 'block',
  RulesChanged: 'rules',
  ShadowRulesChanged: 'rules',
  ShadowRulesRemoved: 'rules',
  ShadowRulesPromoted: 'rules',
  OverrideSet: 'override',
  OverrideRemoved: 'override',
  MessageAccepted: 'send',
  RecipientsRefused: 'send',
  MessageRefused: 'send',
  BounceReceived: 'send',
  AuthenticationFailed: 'auth',
};

export const FEED_TYPES = Object.keys(CATEGORY_OF) as readonly FeedType[];
