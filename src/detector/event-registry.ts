import { BLOCK_CATEGORY, isBlockEvent } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import { OVERRIDE_CATEGORY, isOverrideEvent } from '../overrides/events.js';
import { RULES_CATEGORY } from '../rules/model.js';
import { isShadowEvent } from '../rules/shadow.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from '../sending/events.js';

/** What a node folds that neither detects nor shows senders. */
export const DECISIONS_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY, OVERRIDE_CATEGORY];

/** What tells what senders usually do: the summaries of their days, and what says which of them teach and what. */
export const BASELINES_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY, PROFILE_CATEGORY];

/** Everything that a node folds. */
export const FOLDED_CATEGORIES = [...DECISIONS_ONLY, SEND_CATEGORY, AUTH_CATEGORY, PROFILE_CATEGORY];

/** What happens rather than is decided; these are known by their type, the others show by their data that they are ours. */
const ACTIVITY_EVENTS = new Set([
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'BounceReceived',
  'AuthenticationFailed',
  'SenderDaySummarised',
]);

/** Whether it tells what happened: nearly all events do, so this is asked before anything else. */
export function isActivityEvent({ type }: Pick<RecordedEvent, 'type'>): boolean {
  return ACTIVITY_EVENTS.has(type);
}

/** Whether it is kept for ever: what was decided, rather than what happened. */
export function isKept(event: RecordedEvent): boolean {
  return (
    event.type === 'RulesChanged' || isBlockEvent(event) || isShadowEvent(event) || isOverrideEvent(event)
  );
}
