import type { Row } from '../dashboard.js';
import { apiDataLink, apiLink, runbook } from '../links.js';
import { barGauge, graph, now, over, stat } from '../panels.js';
import { RANGE, WINDOW, share, installation as series } from '../promql.js';
import { table } from '../table.js';
import { text } from '../text.js';
import { above, below, lookFrom, never } from '../thresholds.js';

const chosen = 'rule=~"$rule"';

export const rules: Row = {
  title: 'What rules did, and whether they were right',
  panels: [
    table({
      title: 'Rules',
      description: text`
        Within the time shown, except for how right they were, which is of all time. A click on a rule lists
        its blocks.
      `,
      unit: 'none',
      decimals: 0,
      size: [24, 9],
      labels: [
        {
          label: 'rule',
          title: 'Rule',
          links: [
            apiDataLink('Its blocks and proposals', '/api/v1/blocks?rule=${__value.text:percentencode}'),
          ],
        },
      ],
      values: [
        { title: 'Blocked', expr: tripped('action=~"block|extend"') },
        { title: 'Proposed', expr: tripped('action="propose"') },
        { title: 'Observed', expr: tripped('action="observe"') },
        { title: 'Spared', expr: tripped('action="spare"'), thresholds: lookFrom(1) },
        { title: 'Given up', expr: tripped('action="failed"'), thresholds: never(1) },
        {
          title: 'Called wrong',
          expr: series.increase(
            ['rule'],
            RANGE,
            'stopgap_block_outcomes_total',
            chosen,
            'outcome="false_positive"',
          ),
          thresholds: above(1, 2),
        },
        {
          title: 'Dismissed',
          expr: series.increase(
            ['rule'],
            RANGE,
            'stopgap_proposal_outcomes_total',
            chosen,
            'outcome="dismissed"',
          ),
          thresholds: lookFrom(1),
        },
        {
          title: 'Was right',
          expr: series.max(['rule'], 'stopgap_rule_precision_ratio', chosen),
          unit: 'percentunit',
          thresholds: below(0.8, 0.95),
        },
      ],
      sortBy: 'Blocked',
      links: [apiLink('The rules', '/api/v1/rules')],
    }),
    graph({
      title: 'Rules that tripped',
      description: `By what came of it. ${runbook('StopgapBlockImposed')}`,
      unit: 'none',
      decimals: 0,
      size: [8, 8],
      queries: [
        over(series.bars(['rule', 'action'], 'stopgap_verdicts_total', chosen), '{{rule}}: {{action}}'),
      ],
      bars: true,
    }),
    graph({
      title: 'Share of wrong blocks',
      description: `By rule, of those that ended within seven days. ${runbook('StopgapFalsePositives')}`,
      unit: 'percentunit',
      size: [8, 8],
      queries: [
        over(
          share(
            series.increase(
              ['rule'],
              '7d',
              'stopgap_block_outcomes_total',
              chosen,
              'outcome="false_positive"',
            ),
            series.increase(['rule'], '7d', 'stopgap_block_outcomes_total', chosen),
          ),
          '{{rule}}',
        ),
      ],
      thresholds: lookFrom(0.1),
      none: 'none has ended',
    }),
    graph({
      title: 'How right each rule was',
      description: 'Share of the judged blocks and proposals that were right, all there ever were.',
      unit: 'percentunit',
      size: [8, 8],
      queries: [over(series.max(['rule'], 'stopgap_rule_precision_ratio', chosen), '{{rule}}')],
      max: 1,
      none: 'none is judged',
      links: [apiLink('How right each rule was', '/api/v1/rules/precision')],
    }),
    graph({
      title: 'How proposals ended',
      description: text`
        Mostly \`approved\`: let the rule block. Mostly \`dismissed\`: raise its limit. \`overtaken\`:
        somebody or another rule has blocked meanwhile.
      `,
      unit: 'none',
      decimals: 0,
      size: [8, 8],
      queries: [
        over(
          series.increase(['rule', 'outcome'], WINDOW, 'stopgap_proposal_outcomes_total', chosen),
          '{{rule}}: {{outcome}}',
        ),
      ],
    }),
    graph({
      title: 'What blocked senders still try',
      description: text`
        Attempts that blocks have refused, as recorded, by the rule behind the block. High for long: the
        sender does not give up.
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(
          `max by (rule) (sum by (instance, rule) (rate(${series.of('stopgap_refused_attempts_total', chosen)}[$__rate_interval])))`,
          '{{rule}}',
        ),
      ],
    }),
    barGauge({
      title: 'What people and time have made of it',
      description: text`
        Blocks and proposals, all there ever were. \`open\`: not judged yet. Those that lapsed are not among
        them.
      `,
      unit: 'none',
      size: [8, 8],
      queries: [
        now(series.max(['rule', 'judgement'], 'stopgap_rule_judgements', chosen), '{{rule}}: {{judgement}}'),
      ],
      none: 'nothing yet',
    }),
    graph({
      title: 'Circuit breaker',
      description: text`
        Automatic blocks within its window, and how many open it. ${runbook('StopgapCircuitBreakerOpen')}
      `,
      unit: 'none',
      size: [12, 7],
      queries: [
        over(series.max([], 'stopgap_circuit_breaker_blocks'), 'blocks'),
        over(series.max([], 'stopgap_circuit_breaker_limit'), 'limit'),
      ],
      colors: { limit: 'red' },
    }),
    stat({
      title: 'Rule set',
      description: text`
        The version in force, and how many rules it has: ${runbook('StopgapNoRules')}. Processes that differ
        for more than a moment: ${runbook('StopgapProcessesDisagree')}
      `,
      unit: 'none',
      size: [12, 7],
      queries: [
        over(series.max([], 'stopgap_rules_version'), 'version'),
        over(series.max([], 'stopgap_rules_in_force'), 'rules'),
      ],
      links: [apiLink('The rules', '/api/v1/rules')],
    }),
  ],
};

/** Rules that tripped within the time shown, by rule. */
function tripped(action: string): string {
  return series.increase(['rule'], RANGE, 'stopgap_verdicts_total', chosen, action);
}
