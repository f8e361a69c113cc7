import { BLOCK_CATEGORY, isBlockEvent } from './blocks/events.js';
import type { RecordedEvent } from './kernel/events.js';
import { OVERRIDE_CATEGORY, isOverrideEvent } from './overrides/events.js';
import { RULES_CATEGORY } from './rules/model.js';
import { isShadowEvent } from './rules/shadow.js';
import { PROFILE_CATEGORY } from './sending/day-summary.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from './sending/events.js';

/** What a node folds that neither detects nor shows senders. */
export const DECISIONS_ONLY = [BLOCK_CATEGORY, RULES_CATEGORY, OVERRIDE_CATEGORY];

/** Everything that a node folds. */
export const FOLDED_CATEGORIES = [...DECISIONS_ONLY, SEND_CATEGORY, AUTH_CATEGORY, PROFILE_CATEGORY];

/** Those that are known by their type; the others show by their data that they are ours. */
const KNOWN_OTHERS = new Set([
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'BounceReceived',
  'AuthenticationFailed',
  'RulesChanged',
  'SenderDaySummarised',
]);

/** Whether something here can make something of it. */
export function isKnown(event: RecordedEvent): boolean {
  return isBlockEvent(event) || KNOWN_OTHERS.has(event.type) || isOwn(event);
}

/** Whether it is kept for ever: what was decided, rather than what happened. */
export function isKept(event: RecordedEvent): boolean {
  return event.type === 'RulesChanged' || isBlockEvent(event) || isOwn(event);
}

/** What shows by its data that it is one of ours, besides blocks. */
function isOwn(event: RecordedEvent): boolean {
  return isShadowEvent(event) || isOverrideEvent(event);
}
