import { Gauge } from 'prom-client';
import { precisionOf } from '../../projections/blocks/rule-precision.js';
import { COMPARISONS, NOTHING } from '../../projections/blocks/verdict-comparison.js';
import type { ReadModels } from '../detector/read-models.js';
import type { ScrapedRegistry } from './registry.js';
import { OTHER_RULE, RuleLabels } from './rule-labels.js';

const JUDGEMENTS = ['confirmed', 'false_positive', 'dismissed', 'open'] as const;

type Judged = Pick<ReadModels, 'rulePrecision' | 'shadow' | 'sendVolume'>;

/**
 * Tells how right rules have been, and how those in the shadow compare with those in force. Read off the read models,
 * which count from the events: a restart changes nothing.
 */
export class FeedbackMetrics {
  readonly #inForce = new RuleLabels();
  readonly #compared = new RuleLabels();

  readonly #judgements = new Gauge({
    name: 'stopgap_rule_judgements',
    help: 'Blocks and proposals of a rule, by what people and time have made of them.',
    labelNames: ['rule', 'judgement'] as const,
    registers: [],
  });
  readonly #precision = new Gauge({
    name: 'stopgap_rule_precision_ratio',
    help: 'Share of the judged blocks and proposals of a rule that were right.',
    labelNames: ['rule'] as const,
    registers: [],
  });
  readonly #shadowVersion = new Gauge({
    name: 'stopgap_shadow_rules_version',
    help: 'Number of the rule set in the shadow; 0 where there is none.',
    registers: [],
  });
  readonly #shadowVerdicts = new Gauge({
    name: 'stopgap_shadow_verdicts',
    help: 'Settled cases since the shadow rules were loaded, by whether they and the rules in force agreed.',
    labelNames: ['rule', 'kind'] as const,
    registers: [],
  });
  readonly #shadowOpen = new Gauge({
    name: 'stopgap_shadow_verdicts_open',
    help: 'Cases of the shadow rules that are not settled.',
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    registry.add(this.#judgements);
    registry.add(this.#precision);
    registry.add(this.#shadowVersion);
    registry.add(this.#shadowVerdicts);
    registry.add(this.#shadowOpen);
  }

  /** Brings them up to date, just before a scrape. */
  update({ rulePrecision, shadow, sendVolume }: Judged): void {
    const inForce = sendVolume.rules.rules.map(({ id }) => id);
    this.#inForce.use(inForce);
    this.#updatePrecision(rulePrecision);
    this.#shadowVersion.set(shadow.set?.version ?? 0);
    this.#shadowOpen.set(shadow.comparison?.open ?? 0);
    this.#compared.use([...new Set([...(shadow.rules?.rules ?? []).map(({ id }) => id), ...inForce])]);
    this.#updateShadow(shadow, inForce);
  }

  #updatePrecision(rulePrecision: Judged['rulePrecision']): void {
    this.#judgements.reset();
    this.#precision.reset();
    for (const judged of rulePrecision.all()) {
      const rule = this.#inForce.of(judged.rule);
      const counts = [judged.confirmed, judged.falsePositives, judged.dismissed, judged.open];
      JUDGEMENTS.forEach((judgement, index) => this.#judgements.inc({ rule, judgement }, counts[index]));
      const precision = precisionOf(judged);
      // Of several rules together it would say nothing.
      if (precision !== undefined && rule !== OTHER_RULE) this.#precision.set({ rule }, precision);
    }
  }

  #updateShadow({ comparison, rules }: Judged['shadow'], inForce: readonly string[]): void {
    this.#shadowVerdicts.reset();
    if (comparison === undefined || rules === undefined) return;
    const tallies = comparison.tallies();
    // Series of each rule that may be counted begin at 0, so that the first case of each is an increase.
    for (const id of new Set([...rules.rules.map((rule) => rule.id), ...inForce, ...tallies.keys()])) {
      const rule = this.#compared.of(id);
      const tally = tallies.get(id) ?? NOTHING;
      for (const kind of COMPARISONS) {
        const snake = kind.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        this.#shadowVerdicts.inc({ rule, kind: snake }, tally[kind]);
      }
    }
  }
}
