import type { Logger } from 'pino';
import type { VersionedRules } from '../rules/model.js';
import type { KnownPlaces } from '../rules/places.js';
import { placeless } from '../rules/places.js';

/** Tells of rules that come into force, and of those among them that cannot do what they are meant to. */
export function tellRulesInForce(rules: VersionedRules, places: KnownPlaces, log: Logger): void {
  const { version } = rules;
  // None ever were: a node that takes mail may be there before the first detector.
  if (version === 0) return;
  log.info({ version }, 'rules are in force');
  for (const { rule, setting, never } of placeless(rules, places))
    log.warn({ version, rule, setting, never }, 'a rule asks where clients are, and no database tells');
}
