import type { Logger } from 'pino';
import type { VersionedRules } from '../rules/model.js';
import type { GeoData } from '../rules/geo-data.js';
import { withoutGeoData } from '../rules/geo-data.js';

/** Tells of rules that come into force, and of those among them that cannot do what they are meant to. */
export function tellRulesInForce(rules: VersionedRules, places: GeoData, log: Logger): void {
  const { version } = rules;
  // None ever were: a node that takes mail may be there before the first detector.
  if (version === 0) return;
  log.info({ version }, 'rules are in force');
  for (const { rule, setting, never } of withoutGeoData(rules, places))
    log.warn({ version, rule, setting, never }, 'a rule asks where clients are, and no database tells');
}
