import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY } from '../../../src/kernel/time.js';
import type { BlockFact } from '../../../src/blocks/events.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { START, folding } from '../../support/history.js';
import { documentedMetrics, Figures } from '../../support/metrics.js';
import { blockEvent, rulesChanged, sent, shadowChanged } from '../../support/sends.js';
import { dismissed, imposedByRule, proposed, released } from '../blocks/facts.js';

const rule = (id: string, limit: number): string =>
  `  - { id: ${id}, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h }\n`;

async function figuresOf(events: (position: () => number) => readonly RecordedEvent[]): Promise<Figures> {
  const { models } = folding();
  let position = 0;
  for (const each of events(() => ++position)) models.apply(each);
  const metrics = new Metrics();
  metrics.judgements.update(models);
  return new Figures(await metrics.registry.metrics());
}

describe('the figures of how right rules have been', () => {
  const block = (id: string, by = 'burst'): BlockFact => imposedByRule({ block: id, rule: by });
  const release = (id: string, falsePositive: boolean): BlockFact => ({
    type: 'BlockReleased',
    data: { block: id, falsePositive },
  });

  test('are by rule in force, and of all others together', async () => {
    const figures = await figuresOf((position) => [
      rulesChanged(rule('burst', 100) + rule('idle', 100), START, position()),
      ...[
        block('b1'),
        released(),
        block('b2'),
        release('b2', true),
        block('b3'),
        release('b3', false),
        block('g1', 'gone'),
        release('g1', true),
        block('g2', 'older'),
        release('g2', true),
        proposed(),
        dismissed,
        block('b4'),
      ].map((fact) => blockEvent(fact, START, position())),
    ]);
    assert.deepEqual(figures.nonzero('stopgap_rule_judgements'), {
      'burst confirmed': 2,
      'burst false_positive': 1,
      'burst dismissed': 1,
      'burst open': 1,
      '(other) false_positive': 2,
    });
    assert.equal(figures.of('stopgap_rule_precision_ratio', { rule: 'burst' }), 0.5);
    assert.ok(
      Number.isNaN(figures.of('stopgap_rule_precision_ratio', { rule: 'idle' })),
      'nothing is judged',
    );
    assert.ok(Number.isNaN(figures.of('stopgap_rule_precision_ratio', { rule: '(other)' })));
    assert.equal(figures.of('stopgap_rule_judgements', { rule: 'idle', judgement: 'open' }), 0);
  });

  test('hold a block for the rule that had proposed it, too', async () => {
    const figures = await figuresOf((position) => [
      rulesChanged(rule('burst', 100) + rule('day', 100), START, position()),
      ...[proposed({ rule: 'day' }), block('p1'), release('p1', true)].map((fact) =>
        blockEvent(fact, START, position()),
      ),
    ]);
    assert.deepEqual(figures.nonzero('stopgap_rule_judgements'), {
      'burst false_positive': 1,
      'day false_positive': 1,
    });
    for (const id of ['burst', 'day'])
      assert.equal(figures.of('stopgap_rule_precision_ratio', { rule: id }), 0);
  });
});

describe('the figures of shadow rules', () => {
  test('are 0 if nothing runs in the shadow', async () => {
    const figures = await figuresOf((position) => [rulesChanged(rule('burst', 100), START, position())]);
    assert.equal(figures.of('stopgap_shadow_rules_version'), 0);
    assert.equal(figures.of('stopgap_shadow_verdicts_open'), 0);
    assert.deepEqual(figures.nonzero('stopgap_shadow_verdicts'), {});
  });

  test('are there from the start for each rule of either set, so that the first case of each is an increase', async () => {
    const figures = await figuresOf((position) => [
      rulesChanged(rule('burst', 100), START, position()),
      shadowChanged(rule('strict', 50), START, position(), 1),
    ]);
    for (const id of ['burst', 'strict'])
      for (const kind of documentedMetrics().get('stopgap_shadow_verdicts')!.labels.get('kind')!)
        assert.equal(figures.of('stopgap_shadow_verdicts', { rule: id, kind }), 0, `${id} ${kind}`);
  });

  test('count by rule and kind what is settled, in the words of the document', async () => {
    const figures = await figuresOf((position) => [
      rulesChanged(rule('burst', 100), START, position()),
      shadowChanged(rule('strict', 50), START, position(), 3),
      sent(START, position(), { recipients: 60 }),
      sent(START + DAY, position(), { account: 'bob@example.com', recipients: 200 }),
    ]);
    assert.deepEqual(figures.nonzero('stopgap_shadow_verdicts'), { 'strict shadow_only': 1 });
    assert.equal(figures.of('stopgap_shadow_rules_version'), 3);
    assert.equal(figures.of('stopgap_shadow_verdicts_open'), 1);
    for (const kind of documentedMetrics().get('stopgap_shadow_verdicts')!.labels.get('kind')!)
      assert.ok(figures.of('stopgap_shadow_verdicts', { rule: 'strict', kind }) >= 0, kind);
  });
});
