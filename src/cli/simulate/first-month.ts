import type { RulesJson } from '../../api/rule-set.js';
import type { Instant } from '../../kernel/time.js';
import { DAY, parseDuration } from '../../kernel/time.js';

/**
 * Why it may have taken long, where that may be the reason: nobody is known to a young installation.
 *
 * @param rules those in force; undefined where the server cannot be asked
 * @returns lines; none where the installation is old enough
 */
export function firstMonth(
  rules: Pick<RulesJson, 'installedAt' | 'learning'> | undefined,
  now: Instant,
): readonly string[] {
  if (rules === undefined)
    return [
      'The account was a new one. Should this installation be younger than a month (nobody could ask it: set STOPGAP_TOKEN),',
      ...PROPOSED,
    ];
  const { installedAt, learning } = rules;
  const age = installedAt === null ? 0 : now - Date.parse(installedAt);
  if (age >= (parseDuration(learning.installation) ?? 0)) return [];
  return [
    `The account was a new one, and this installation is ${Math.floor(age / DAY)} days old: in its first ${learning.installation}`,
    ...PROPOSED,
  ];
}

const PROPOSED = [
  'rules that go by baselines only propose for whom they do not know yet, and high fixed ceilings block: see',
  'docs/inside/detection.md.',
];
