import { DEFAULT_RULES } from '../rules/defaults.js';
import { parseRules } from '../rules/parse.js';
import type { Candidate } from './trial.js';

/** Rule sets that have a name instead of a file or a text: those that ship, and those in the store. */
export const DEFAULTS = 'defaults';
export const IN_FORCE = 'in-force';

/** What is asked for, before a store is there that knows which rules are in force. */
export type RequestedRules = Candidate | typeof IN_FORCE;

export function rulesThatShip(): Candidate {
  return { name: DEFAULTS, rules: parseRules(DEFAULT_RULES, DEFAULTS) };
}
