import type { Until } from '../blocks/events.js';
import type { Check, Fact, RecordedEvent } from '../kernel/events.js';
import { oneOf, optional, shaped, streamName, text, wholeOrNull } from '../kernel/events.js';
import { subjectKey } from '../sending/subjects.js';
import type { OverrideOrigin, OverrideSubject, Terms } from './model.js';
import { FACTOR_MAX, FACTOR_MIN, OVERRIDE_ORIGINS, OVERRIDE_TYPES } from './model.js';

/** Streams `override-<subject key>`: every override that ever held for one subject. */
export const OVERRIDE_CATEGORY = 'override';

export const overrideStream = (subject: OverrideSubject): string =>
  streamName(OVERRIDE_CATEGORY, subjectKey(subject));

/** From now on this is in force, instead of what the same origin had set before. */
export interface OverrideSet extends Terms {
  readonly subject: OverrideSubject;
  readonly origin: OverrideOrigin;
  readonly until: Until;
  readonly reason?: string;
}

export interface OverrideRemoved {
  readonly subject: OverrideSubject;
  readonly origin: OverrideOrigin;
  readonly note?: string;
}

export type OverrideFact = Fact<'OverrideSet', OverrideSet> | Fact<'OverrideRemoved', OverrideRemoved>;

/** An override event with its envelope, as far as the reducers look at it. */
export type OverrideEvent = OverrideFact & Pick<RecordedEvent, 'at' | 'by' | 'position'>;

const factor: Check = (value) => typeof value === 'number' && value >= FACTOR_MIN && value <= FACTOR_MAX;
const limit: Check = (value) => value === 'off' || (Number.isSafeInteger(value) && (value as number) > 0);
const limits: Check = (value) =>
  typeof value === 'object' && value !== null && Object.values(value).every(limit);
const allowance = { limits: optional(limits), factor: optional(factor) };
const whose = {
  subject: shaped({ type: oneOf(OVERRIDE_TYPES), value: text }),
  origin: oneOf(OVERRIDE_ORIGINS),
};

const SHAPES: { readonly [Type in OverrideFact['type']]: Check } = {
  OverrideSet: shaped<OverrideSet>({
    ...whose,
    ...allowance,
    total: optional(shaped(allowance)),
    until: wholeOrNull,
    reason: optional(text),
    plan: optional(text),
  }),
  OverrideRemoved: shaped<OverrideRemoved>(whose),
};

/** One of ours, with data that are what its type promises. */
export function isOverrideEvent(event: RecordedEvent): event is RecordedEvent & OverrideEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as OverrideFact['type']](event.data);
}
