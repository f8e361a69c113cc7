import { Counter, Gauge } from 'prom-client';
import type { Decision } from '../commands/block-commands.js';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { BlockFact } from '../blocks/events.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Rule } from '../rules/model.js';
import type { Verdict } from '../rules/verdict.js';
import type { MessageRefused } from '../sending/events.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import type { ContainmentMetrics } from './containment.js';
import type { ScrapedRegistry } from './registry.js';
import { NO_RULE, OTHER_RULE, RuleLabels } from './rule-labels.js';

const ACTIONS = ['block', 'extend', 'propose', 'observe', 'spare', 'none', 'failed'] as const;
/** What came of a verdict. */
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

  constructor(registry: ScrapedRegistry, containment: ContainmentMetrics) {
    this.#containment = containment;
    for (const metric of [this.#verdicts, this.#transitions, this.#blockOutcomes, this.#proposalOutcomes])
      registry.add(metric);
    for (const metric of [this.#refusedAttempts, this.active, this.pending, this.pendingByAge])
      registry.add(metric);
    registry.add(this.oldestProposal);
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
