import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Act, BlockCommand } from '../../../src/blocks/commands.js';
import { decide } from '../../../src/blocks/decide.js';
import { NOTHING_YET, evolve } from '../../../src/blocks/state.js';
import type { Instant } from '../../../src/kernel/time.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { MOST_RULES, NO_RULE, OTHER_RULE } from '../../../src/metrics/blocks.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Rule } from '../../../src/rules/model.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { ALICE, T0, evidence, recorded, terms } from '../../support/given.js';
import { Figures } from '../../support/metrics.js';
import { event } from '../../support/sends.js';

function rules(...ids: readonly string[]): readonly Rule[] {
  const lines = ids.map(
    (id) => `  - { id: ${id}, per: account, count: messages, window: 10m, limit: 5, then: propose, for: 1h }`,
  );
  return parseRules(`version: 1\nrules:\n${lines.join('\n')}\n`).rules;
}

/** Commands on one subject, decided one after another, as the blockCommands does it. */
class Case {
  readonly metrics = new Metrics();
  #standing = NOTHING_YET;
  #position = 1000;

  constructor(...ids: readonly string[]) {
    this.metrics.blocks.useRules(rules(...ids));
  }

  /** @returns the id of the block or proposal that the first fact is about */
  decide(command: BlockCommand, by: string, now: Instant = T0): string {
    const facts = decide({ ...command, now }, this.#standing);
    this.metrics.blocks.decided({ subject: ALICE, facts, standing: this.#standing, by, durableAt: now });
    for (const event of recorded(facts, (this.#position += 1000)))
      this.#standing = evolve(this.#standing, event);
    return (facts[0]!.data as { block: string }).block;
  }

  act(action: Act['action'], rule: string, lastPosition: number, now: Instant = T0): string {
    const proof = evidence({ rule, lastPosition, firstPosition: lastPosition - 1, lastAt: T0 });
    return this.decide(
      {
        kind: 'act',
        action,
        subject: ALICE,
        terms: terms(),
        evidence: proof,
        newId: `block-${lastPosition}`,
      },
      `rule:${rule}@1`,
      now,
    );
  }

  async figures(): Promise<Figures> {
    return new Figures(await this.metrics.registry.metrics());
  }
}

describe('decisions are counted', () => {
  test('if a rule blocks and its block runs out, is released, or was a mistake', async () => {
    const one = new Case('burst');
    const first = one.act('block', 'burst', 200);
    one.decide({ kind: 'expire', block: first }, 'system:expiry', T0 + HOUR);
    const second = one.act('block', 'burst', 3500, T0 + 2 * HOUR);
    one.decide({ kind: 'release', block: second, falsePositive: false }, 'admin:eve', T0 + 2 * HOUR);
    const third = one.act('block', 'burst', 6000, T0 + 3 * HOUR);
    one.decide({ kind: 'release', block: third, falsePositive: true }, 'admin:eve', T0 + 3 * HOUR);
    const figures = await one.figures();
    assert.deepEqual(figures.nonzero('stopgap_block_outcomes_total'), {
      'burst expired': 1,
      'burst released': 1,
      'burst false_positive': 1,
    });
    assert.deepEqual(figures.nonzero('stopgap_block_transitions_total'), {
      'account rule active': 3,
      'account rule expired': 1,
      'account rule released': 2,
    });
  });

  test('if a proposal is approved, dismissed, lapses, is widened, or overtaken', async () => {
    const one = new Case('hint', 'burst');
    const approved = one.act('propose', 'hint', 200);
    one.decide({ kind: 'approve', block: approved }, 'admin:eve', T0 + 10 * MINUTE);
    one.decide({ kind: 'release', block: approved, falsePositive: false }, 'admin:eve', T0 + 20 * MINUTE);
    const dismissed = one.act('propose', 'hint', 8000, T0 + 20 * MINUTE);
    one.decide({ kind: 'dismiss', block: dismissed }, 'admin:eve', T0 + 30 * MINUTE);
    const lapsed = one.act('propose', 'hint', 12_000, T0 + 30 * MINUTE);
    one.decide({ kind: 'lapse', block: lapsed }, 'system:expiry', T0 + 30 * HOUR);
    one.act('propose', 'hint', 15_000, T0 + 31 * HOUR);
    one.act('block', 'burst', 16_000, T0 + 32 * HOUR);
    const figures = await one.figures();
    assert.deepEqual(figures.nonzero('stopgap_proposal_outcomes_total'), {
      'hint approved': 1,
      'hint dismissed': 1,
      'hint lapsed': 1,
      'hint overtaken': 1,
    });
    assert.deepEqual(figures.nonzero('stopgap_block_transitions_total'), {
      'account rule proposed': 4,
      'account rule active': 2,
      'account rule released': 1,
      'account rule dismissed': 1,
      'account rule lapsed': 1,
    });
  });

  test('if a person blocks, extends and shortens', async () => {
    const one = new Case('burst');
    const block = one.decide(
      {
        kind: 'impose',
        subject: ALICE,
        direction: 'all',
        description: 'by hand',
        refusal: 'soft',
        until: T0 + HOUR,
        newId: 'block-1',
      },
      'admin:eve',
    );
    one.decide({ kind: 'change', block, span: { until: T0 + 3 * HOUR } }, 'admin:eve');
    one.decide({ kind: 'change', block, span: { until: T0 + 2 * HOUR } }, 'admin:eve');
    one.decide({ kind: 'release', block, falsePositive: true }, 'admin:eve');
    const figures = await one.figures();
    assert.deepEqual(figures.nonzero('stopgap_block_transitions_total'), {
      'account admin active': 1,
      'account admin extended': 1,
      'account admin shortened': 1,
      'account admin released': 1,
    });
    assert.deepEqual(figures.nonzero('stopgap_block_outcomes_total'), { [`${NO_RULE} false_positive`]: 1 });
    assert.deepEqual(figures.nonzero('stopgap_containment_seconds_count'), {}, 'no send had tripped a rule');
  });
});

describe('containment', () => {
  test('by a rule ends when it is refused here, not when that is recorded', async () => {
    const one = new Case('burst');
    const proof = evidence({ lastPosition: 200, firstPosition: 199 });
    const [rule] = rules('burst');
    const verdict = {
      kind: 'act',
      rule: rule!,
      mode: 'enforce',
      subject: ALICE,
      evidence: proof,
      at: T0,
    } as const;
    one.metrics.containment.anticipated(verdict, T0 + 20);
    one.act('block', 'burst', 200, T0 + 3 * SECOND);
    one.metrics.blocks.settled(verdict, 'block');
    const figures = await one.figures();
    const rule_ = { decided_by: 'rule' };
    assert.equal(figures.of('stopgap_containment_seconds_sum', rule_), 0.02);
    assert.equal(figures.of('stopgap_containment_record_seconds_sum', rule_), 3);
    assert.equal(figures.of('stopgap_verdicts_total', { rule: 'burst', action: 'block' }), 1);
    assert.equal(figures.of('stopgap_containment_seconds_count', { decided_by: 'admin' }), 0);
  });

  test('by a rule of several accounts at once ends for each when it is refused here', async () => {
    const { containment, registry } = new Metrics();
    const [rule] = rules('burst');
    const verdicts = [ALICE, { type: 'account', value: 'bob@example.com' } as const].map(
      (subject): Verdict => {
        const proof = evidence({ lastPosition: 200, firstPosition: 199 });
        return { kind: 'act', rule: rule!, mode: 'enforce', subject, evidence: proof, at: T0 };
      },
    );
    for (const verdict of verdicts) containment.anticipated(verdict, T0 + 20);
    for (const verdict of verdicts) {
      containment.contained(verdict.subject, verdict.evidence, 'rule:burst@1', T0 + 3 * SECOND, undefined);
      containment.settled(verdict, true);
    }
    const figures = new Figures(await registry.metrics());
    assert.equal(figures.of('stopgap_containment_seconds_sum', { decided_by: 'rule' }), 0.04);
  });

  test('by a person lasts until the approval; its exemplar names the verdict and the trace, and nobody', async () => {
    const metrics = new Metrics();
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const proof = evidence({ lastPosition: 200, firstPosition: 199 });
    metrics.containment.contained(ALICE, proof, 'admin:eve', T0 + 10 * MINUTE, trace);
    const text = await metrics.registry.openMetrics();
    const figures = new Figures(text);
    assert.equal(figures.of('stopgap_containment_seconds_sum', { decided_by: 'admin' }), 600);
    assert.match(
      text,
      /^stopgap_containment_seconds_bucket\{le="600",decided_by="admin"\} 1 # \{correlation="event:200",trace_id="0af7651916cd43dd8448eb211c80319c"\} 600 /m,
    );
    assert.ok(!text.includes('alice') && !text.includes('admin:'));
  });
});

describe('series by rule', () => {
  const SERIES = [
    ['stopgap_verdicts_total', 'action', 7],
    ['stopgap_block_outcomes_total', 'outcome', 3],
    ['stopgap_proposal_outcomes_total', 'outcome', 4],
    ['stopgap_refused_attempts_total', 'stage', 3],
  ] as const;

  async function ruleNames(metrics: Metrics, name: string): Promise<ReadonlySet<string>> {
    const text = await metrics.registry.metrics();
    return new Set(
      [...text.matchAll(new RegExp(`^${name}\\{.*rule="([^"]*)"`, 'gm'))].map(([, rule]) => rule!),
    );
  }

  test('begin at 0 with the rule and end with it', async () => {
    const { metrics } = new Case('burst', 'hint');
    const text = await metrics.registry.metrics();
    for (const [name, , count] of SERIES) {
      assert.equal(text.match(new RegExp(`^${name}\\{.*rule="burst".*\\} 0$`, 'gm'))?.length, count, name);
    }
    metrics.blocks.useRules(rules('hint', 'other'));
    for (const [name] of SERIES) {
      const named = await ruleNames(metrics, name);
      assert.ok(!named.has('burst') && named.has('other') && named.has('hint'), name);
    }
  });

  test('keep what they counted if the rule stays', async () => {
    const one = new Case('burst');
    one.act('block', 'burst', 200);
    one.metrics.blocks.useRules(rules('burst', 'hint'));
    const [rule] = rules('burst');
    const verdict = {
      kind: 'act',
      rule: rule!,
      mode: 'enforce',
      subject: ALICE,
      evidence: evidence(),
      at: T0,
    } as const;
    one.metrics.blocks.settled(verdict, 'block');
    one.metrics.blocks.useRules(rules('burst'));
    assert.equal((await one.figures()).of('stopgap_verdicts_total', { rule: 'burst', action: 'block' }), 1);
  });

  test('are bounded for any number of rule sets; the rest counts under another name', async () => {
    const { metrics } = new Case('burst');
    const many = (prefix: string): readonly Rule[] =>
      rules(...Array.from({ length: 200 }, (_, index) => `${prefix}${index}`));
    for (const prefix of ['a', 'b', 'c']) metrics.blocks.useRules(many(prefix));
    for (const [name] of SERIES) assert.ok((await ruleNames(metrics, name)).size <= MOST_RULES + 2, name);
    for (const rule of [many('a')[0]!, many('c')[150]!]) {
      const about = { rule, mode: 'enforce', subject: ALICE, evidence: evidence({ rule: rule.id }) } as const;
      metrics.blocks.settled({ kind: 'act', at: T0, ...about }, 'none');
    }
    const figures = new Figures(await metrics.registry.metrics());
    assert.equal(figures.of('stopgap_verdicts_total', { rule: OTHER_RULE, action: 'none' }), 2);
  });
});

test('refused attempts count by stage and rule, a flood with its full count; nonsense is ignored', async () => {
  const { metrics } = new Case('burst');
  const ledger = {
    ruleOf: (id: string) => ({ known: 'burst', gone: 'was' })[id],
  } as unknown as Parameters<Metrics['folded']>[1];
  const refused = (data: object) => metrics.folded(event('MessageRefused', data, T0, 1), ledger);
  refused({ stage: 'rcpt', block: 'known', count: 1 });
  refused({ stage: 'rcpt', block: 'known', count: 41 });
  refused({ stage: 'auth', block: 'admins', count: 2 });
  refused({ stage: 'data', block: 'gone', count: 3 });
  refused({ stage: 'alice@example.com', block: 'known', count: 1 });
  refused({ stage: 'rcpt', block: 'known', count: -1 });
  refused({ stage: 'rcpt', block: 'known', count: 'many' });
  assert.deepEqual(new Figures(await metrics.registry.metrics()).nonzero('stopgap_refused_attempts_total'), {
    'rcpt burst': 42,
    [`auth ${NO_RULE}`]: 2,
    [`data ${OTHER_RULE}`]: 3,
  });
});
