import { StopgapError } from '../kernel/errors.js';
import type { Check, Fact, RecordedEvent } from '../kernel/events.js';
import { shaped, text, whole } from '../kernel/events.js';
import { mayBeBeforeForgetting } from '../kernel/pseudonym.js';
import type { RulesChanged, RuleSet, RulesFact, SourcedRules } from './model.js';

/** The state of the rules, from their stream. */
export interface RulesStanding {
  /** Undefined before the first. */
  readonly inForce: RulesChanged | undefined;
  /** The rules file that was put in force last. */
  readonly file: SourcedRules | undefined;
  readonly shadow: { readonly version: number; readonly rules: RuleSet; readonly source: string } | undefined;
  /** How many rule sets ever ran in the shadow. */
  readonly shadows: number;
}

export const NO_RULES_YET: RulesStanding = {
  inForce: undefined,
  file: undefined,
  shadow: undefined,
  shadows: 0,
};

export type RulesCommand =
  /**
   * Puts a rule set in force. A file is put in force when it differs from the last file that was, so that what was set
   * through the API meanwhile stays until somebody edits the file (that somebody was forgotten who is named in it is no
   * edit); built-in rules only ever replace built-in rules.
   */
  | {
      readonly kind: 'replace';
      readonly origin: Exclude<RulesChanged['origin'], 'shadow'>;
      readonly rules: RuleSet;
      readonly source: string;
      /** Of a file: this process has seen another text of it before. */
      readonly isEdited?: boolean;
    }
  /** Brings what the text in force extends up to date: it was read with the built-in rules of an earlier version. */
  | { readonly kind: 'renew'; readonly rules: RuleSet; readonly source: string }
  | { readonly kind: 'load'; readonly rules: RuleSet; readonly source: string }
  | { readonly kind: 'remove' }
  | { readonly kind: 'promote' };

/**
 * The facts that a command causes: none if there is nothing left to do.
 *
 * @throws StopgapError `not-found` if nothing runs in the shadow that could be removed or promoted
 */
export function decideRules(
  command: RulesCommand,
  { inForce, file, shadow, shadows }: RulesStanding,
): readonly (ShadowFact | RulesFact)[] {
  const next = (inForce?.version ?? 0) + 1;
  if (command.kind === 'replace') {
    const { rules, source, origin } = command;
    // A file that has become what the API had set is in force as a file from now on: the next edit of it counts.
    if (source === (origin === 'file' ? file?.source : inForce?.source)) return [];
    if (origin === 'file' && command.isEdited !== true && file !== undefined && inForce?.origin !== origin) {
      if (mayBeBeforeForgetting(source, file.source)) return [];
    }
    if (origin === 'defaults' && (inForce?.origin ?? origin) !== origin) return [];
    return [{ type: 'RulesChanged', data: { version: next, rules, source, origin } }];
  }
  if (command.kind === 'renew') {
    const { rules, source } = command;
    if (inForce?.source !== source || isSame(inForce.rules, rules)) return [];
    return [{ type: 'RulesChanged', data: { version: next, rules, source, origin: inForce.origin } }];
  }
  if (command.kind === 'load') {
    const { rules, source } = command;
    if (shadow?.source === source && isSame(shadow.rules, rules)) return [];
    return [{ type: 'ShadowRulesChanged', data: { version: shadows + 1, rules, source } }];
  }
  if (shadow === undefined) throw new StopgapError('not-found', 'no rules run in the shadow');
  const { version, rules, source } = shadow;
  if (command.kind === 'remove') return [{ type: 'ShadowRulesRemoved', data: { version } }];
  return [
    { type: 'ShadowRulesPromoted', data: { version } },
    { type: 'RulesChanged', data: { version: next, rules, source, origin: 'shadow' } },
  ];
}

/** As they are recorded. */
function isSame(a: RuleSet, b: RuleSet): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Folds one event of the stream of the rules; other events change nothing. */
export function evolveRules(standing: RulesStanding, event: RecordedEvent): RulesStanding {
  if (isChange(event)) {
    const { data } = event;
    return { ...standing, inForce: data, file: data.origin === 'file' ? data : standing.file };
  }
  if (!isShadowEvent(event)) return standing;
  const { version } = event.data;
  if (event.type === 'ShadowRulesChanged') {
    const { rules, source } = event.data;
    return { ...standing, shadow: { version, rules, source }, shadows: Math.max(standing.shadows, version) };
  }
  return standing.shadow?.version === version ? { ...standing, shadow: undefined } : standing;
}

/** Anything else of this name is ignored, as in the read models. */
function isChange(event: RecordedEvent): event is RecordedEvent & RulesFact {
  const { version, source, rules } = (event.data ?? {}) as Partial<RulesChanged>;
  return (
    event.type === 'RulesChanged' &&
    Number.isSafeInteger(version) &&
    typeof source === 'string' &&
    Array.isArray(rules?.rules)
  );
}

/*
 * Shadow rules run beside those in force and act on nothing. Their events are in the stream of the rules, so that
 * its expected revision guards both, and a promotion is one append.
 */

/** From here on a rule set counts and judges beside the one in force. It replaces the previous one in the shadow. */
export interface ShadowRulesChanged {
  /** 1 for the first rule set that ever ran in the shadow, then one more each time. */
  readonly version: number;
  readonly rules: RuleSet;
  /** The YAML that it was read from. */
  readonly source: string;
}

interface ShadowRulesRemoved {
  readonly version: number;
}

/** The shadow rules are to be in force: `RulesChanged` follows in the same append. */
interface ShadowRulesPromoted {
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

/** Whether it is a shadow event of ours, with data that match its type. */
export function isShadowEvent(event: RecordedEvent): event is ShadowEvent {
  return Object.hasOwn(SHAPES, event.type) && SHAPES[event.type as ShadowFact['type']](event.data);
}
