import type { Check, Fact, RecordedEvent } from '../kernel/events.js';
import { shaped, text, whole } from '../kernel/events.js';
import type { RuleSet } from './model.js';

/*
 * Shadow rules run beside those in force and act on nothing. Their events stand in the stream of the rules, so that
 * its expected revision guards both, and a promotion is one append.
 */

/** A rule set counts and judges from here on, beside the one in force; the one before it in the shadow is gone. */
export interface ShadowRulesChanged {
  /** 1 for the first rule set that ever ran in the shadow, then one more each time. */
  readonly version: number;
  readonly rules: RuleSet;
  /** The YAML it was read from. */
  readonly source: string;
}

export interface ShadowRulesRemoved {
  readonly version: number;
}

/** They are to be in force: `RulesChanged` follows in the same append. */
export interface ShadowRulesPromoted {
  readonly version: number;
}

export type ShadowFact =
  | Fact<'ShadowRulesChanged', ShadowRulesChanged>
  | Fact<'ShadowRulesRemoved', ShadowRulesRemoved>
  | Fact<'ShadowRulesPromoted', ShadowRulesPromoted>;

/** A shadow event with its envelope. */
export type ShadowEvent = ShadowFact & RecordedEvent;

const naming = shaped({ version: whole });
const list: Check = (value) => Array.isArray(value);
const SHAPES: { readonly [Type in ShadowFact['type']]: Check } = {
  ShadowRulesChanged: shaped({ version: whole, source: text, rules: shaped({ rules: list, exempt: list }) }),
  ShadowRulesRemoved: naming,
  ShadowRulesPromoted: naming,
};

/** One of ours, with data that are what its type promises. */
export function isShadowEvent(event: RecordedEvent): event is ShadowEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as ShadowFact['type']](event.data);
}
