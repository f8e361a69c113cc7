import type { Check, Fact, RecordedEvent } from '../kernel/events.js';
import { shaped, text, whole } from '../kernel/events.js';

/** The category, and the only stream, of what was forgotten. Every process follows it: what it holds in memory must go too. */
export const FORGETTING_CATEGORY = 'forgetting';
export const FORGETTING_STREAM = FORGETTING_CATEGORY;

/** Somebody was forgotten: the store holds what concerned them no more, or under the pseudonym alone. */
export interface PersonForgotten {
  readonly pseudonym: string;
  /** Events that were erased, and that were written anew without the name. */
  readonly erased: number;
  readonly rewritten: number;
}

export type ForgettingFact = Fact<'PersonForgotten', PersonForgotten>;

const isForgetting: Check = shaped<PersonForgotten>({ pseudonym: text, erased: whole, rewritten: whole });

/** Whether it is this event, with data that match its type. */
export function isForgettingEvent(event: RecordedEvent): event is RecordedEvent & ForgettingFact {
  return event.type === 'PersonForgotten' && isForgetting(event.data);
}
