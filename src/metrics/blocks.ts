import { Counter, Gauge } from 'prom-client';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import { precisionOf } from '../../projections/blocks/rule-precision.js';
import { COMPARISONS, NOTHING } from '../../projections/blocks/shadow.js';
import type { BlockFact } from '../blocks/events.js';
import type { Decision } from '../commands/block-commands.js';
import type { ReadModels } from '../detector/read-models.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Rule } from '../rules/model.js';
import type { Verdict } from '../rules/respond.js';
import type { MessageRefused } from '../sending/events.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import type { ContainmentMetrics } from './containment.js';
import type { ScrapedRegistry } from './registry.js';

const ACTIONS = ['block', 'extend', 'propose', 'observe', 'spare', 'none', 'failed'] as const;
/** The result of a verdict. */
export type VerdictAction = (typeof ACTIONS)[number];

const STATES = {
  rule: ['proposed', 'active', 'extended', 'shortened', 'dismissed', 'lapsed', 'released', 'expired'],
  admin: ['active', 'extended', 'shortened', 'released', 'expired'],
} as const;
type State = (typeof STATES)['rule'][number];
const STAGES = ['auth', 'rcpt', 'data'] as const;
const BLOCK_OUTCOMES = ['expired', 'released', 'false_positive'] as const;
const PROPOSAL_OUTCOMES = ['approved', 'dismissed', 'lapsed', 'overtaken'] as const;

/** Measures rules, proposals and blocks. Counters count what this process decides, so that their sum is right. */
export class BlockMetrics {
  readonly #rules = new RuleLabels();
  readonly #containment: ContainmentMetrics;

  readonly #verdicts = new Counter({
    name: 'stopgap_verdicts_total',
    help: 'Rules that tripped, by what came of it.',
    labelNames: ['rule', 'action'] as const,
    registers: [],
  });
  readonly #transitions = new Counter({
    name: 'stopgap_block_transitions_total',
    help: 'What this process decided on blocks and proposals, by what they became.',
    labelNames: ['type', 'origin', 'state'] as const,
    registers: [],
  });
  readonly #blockOutcomes = new Counter({
    name: 'stopgap_block_outcomes_total',
    help: 'How blocks ended, by the rule behind them.',
    labelNames: ['rule', 'outcome'] as const,
    registers: [],
  });
  readonly #proposalOutcomes = new Counter({
    name: 'stopgap_proposal_outcomes_total',
    help: 'How proposals ended, by the rule behind them.',
    labelNames: ['rule', 'outcome'] as const,
    registers: [],
  });
  readonly #refusedAttempts = new Counter({
    name: 'stopgap_refused_attempts_total',
    help: 'Attempts refused by blocks, as recorded; a summarised flood counts for all that it stands for.',
    labelNames: ['stage', 'rule'] as const,
    registers: [],
  });
  readonly active = new Gauge({
    name: 'stopgap_active_blocks',
    help: 'Blocks in force.',
    labelNames: ['type', 'origin'] as const,
    registers: [],
  });
  readonly pending = new Gauge({
    name: 'stopgap_pending_proposals',
    help: 'Proposals that wait for an administrator.',
    registers: [],
  });
  readonly pendingByAge = new Gauge({
    name: 'stopgap_pending_proposals_by_age',
    help: 'Proposals that wait for an administrator, by how long they have waited.',
    labelNames: ['age'] as const,
    registers: [],
  });
  readonly oldestProposal = new Gauge({
    name: 'stopgap_oldest_proposal_age_seconds',
    help: 'How long the oldest proposal has waited; 0 where none waits.',
    registers: [],
  });
  readonly undecided = new Gauge({
    name: 'stopgap_held_undecided_blocks',
    help: 'Blocks that have ended while mail was on hold for them, on which nobody has decided.',
    registers: [],
  });

  constructor(registry: ScrapedRegistry, containment: ContainmentMetrics) {
    this.#containment = containment;
    for (const metric of [this.#verdicts, this.#transitions, this.#blockOutcomes, this.#proposalOutcomes])
      registry.add(metric);
    for (const metric of [this.#refusedAttempts, this.active, this.pending, this.pendingByAge])
      registry.add(metric);
    registry.add(this.oldestProposal);
    registry.add(this.undecided);
    for (const type of SUBJECT_TYPES) {
      for (const [origin, states] of Object.entries(STATES))
        for (const state of states) this.#transitions.inc({ type, origin, state }, 0);
    }
    for (const outcome of BLOCK_OUTCOMES) this.#blockOutcomes.inc({ rule: NO_RULE, outcome }, 0);
    for (const stage of STAGES) this.#refusedAttempts.inc({ stage, rule: NO_RULE }, 0);
    this.#begin(OTHER_RULE);
  }

  /** These rules are in force from here on: series begin at 0, so that the first of each is an increase. */
  useRules(rules: readonly Rule[]): void {
    const { come, gone } = this.#rules.use(rules.map(({ id }) => id));
    for (const rule of come) this.#begin(rule);
    for (const rule of gone) this.#end(rule);
  }

  /** A verdict was carried out. */
  settled(verdict: Verdict, action: VerdictAction): void {
    this.#verdicts.inc({ rule: this.#rules.of(verdict.rule.id), action });
    this.#containment.settled(verdict, action === 'block' || action === 'propose');
  }

  /** This process decided, and it is durable. */
  decided(decision: Decision): void {
    for (const fact of decision.facts) this.#count(fact, decision);
  }

  /** A refusal was folded, live; of all else it takes no notice. */
  folded(event: RecordedEvent, ledger: Pick<BlockLedger, 'ruleOf'>): void {
    if (event.type !== 'MessageRefused') return;
    const { stage, block, count } = event.data as MessageRefused;
    // Anybody with access to the store can write there.
    if (!STAGES.includes(stage) || !Number.isSafeInteger(count) || count < 0) return;
    this.#refusedAttempts.inc({ stage, rule: this.#rules.of(ledger.ruleOf(block)) }, count);
  }

  #count(fact: BlockFact, { subject, facts, standing, by, durableAt, trace }: Decision): void {
    const { block, proposal } = standing;
    const became = (state: State, origin: 'rule' | 'admin'): void =>
      this.#transitions.inc({ type: subject.type, origin, state });
    const origin = block?.rule === undefined ? 'admin' : 'rule';
    switch (fact.type) {
      case 'BlockProposed':
        // One that waits is only widened.
        if (fact.data.block !== proposal?.id) became('proposed', 'rule');
        return;
      case 'ProposalApproved':
        return this.#proposalEnded(proposal?.rule, 'approved');
      case 'ProposalDismissed':
        became('dismissed', 'rule');
        return this.#proposalEnded(proposal?.rule, 'dismissed');
      case 'ProposalLapsed':
        became('lapsed', 'rule');
        return this.#proposalEnded(proposal?.rule, 'lapsed');
      case 'BlockImposed': {
        became('active', fact.data.origin);
        const waited = fact.data.block === proposal?.id;
        const approved = facts.some(({ type }) => type === 'ProposalApproved');
        if (waited && !approved) this.#proposalEnded(proposal.rule, 'overtaken');
        const evidence = fact.data.evidence ?? (waited ? proposal.evidence : undefined);
        if (evidence !== undefined) this.#containment.contained(subject, evidence, by, durableAt, trace);
        return;
      }
      case 'BlockExtended':
        return became('extended', origin);
      case 'BlockShortened':
        return became('shortened', origin);
      case 'BlockReleased':
        became('released', origin);
        return this.#blockEnded(block?.rule, fact.data.falsePositive ? 'false_positive' : 'released');
      case 'BlockExpired':
        became('expired', origin);
        return this.#blockEnded(block?.rule, 'expired');
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  #blockEnded(rule: string | undefined, outcome: (typeof BLOCK_OUTCOMES)[number]): void {
    this.#blockOutcomes.inc({ rule: this.#rules.of(rule), outcome });
  }

  #proposalEnded(rule: string | undefined, outcome: (typeof PROPOSAL_OUTCOMES)[number]): void {
    this.#proposalOutcomes.inc({ rule: this.#rules.of(rule), outcome });
  }

  #begin(rule: string): void {
    for (const action of ACTIONS) this.#verdicts.inc({ rule, action }, 0);
    for (const outcome of BLOCK_OUTCOMES) this.#blockOutcomes.inc({ rule, outcome }, 0);
    for (const outcome of PROPOSAL_OUTCOMES) this.#proposalOutcomes.inc({ rule, outcome }, 0);
    for (const stage of STAGES) this.#refusedAttempts.inc({ stage, rule }, 0);
  }

  #end(rule: string): void {
    for (const action of ACTIONS) this.#verdicts.remove({ rule, action });
    for (const outcome of BLOCK_OUTCOMES) this.#blockOutcomes.remove({ rule, outcome });
    for (const outcome of PROPOSAL_OUTCOMES) this.#proposalOutcomes.remove({ rule, outcome });
    for (const stage of STAGES) this.#refusedAttempts.remove({ stage, rule });
  }
}

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

/** For what no rule brought about. Neither can be the id of a rule: those have no parentheses. */
export const NO_RULE = '(none)';
/** For rules that are gone, and those beyond {@link MOST_RULES}. */
export const OTHER_RULE = '(other)';
/** A rule set may hold more: each named rule has a dozen series and more. */
export const MOST_RULES = 100;

/** Rule ids as label values: bounded, for any number of rule sets. */
export class RuleLabels {
  #named: ReadonlySet<string> = new Set();

  /** The label value of this rule. */
  of(rule: string | undefined): string {
    if (rule === undefined) return NO_RULE;
    return this.#named.has(rule) ? rule : OTHER_RULE;
  }

  /** Takes over the rules in force. @returns those that are named from here on, and no more */
  use(ids: readonly string[]): { readonly come: readonly string[]; readonly gone: readonly string[] } {
    const before = this.#named;
    const named = new Set(ids.slice(0, MOST_RULES));
    this.#named = named;
    return {
      come: [...named].filter((id) => !before.has(id)),
      gone: [...before].filter((id) => !named.has(id)),
    };
  }
}
