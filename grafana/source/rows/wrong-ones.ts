import type { Row } from '../dashboard.js';
import { apiLink, runbook } from '../links.js';
import { barGauge, graph, now, over, stat } from '../panels.js';
import { RANGE, share, installation as series } from '../promql.js';
import { text } from '../text.js';
import { above, below, lookFrom } from '../thresholds.js';

export const wrongOnes: Row = {
  title: 'Are we blocking the wrong ones?',
  panels: [
    stat({
      title: 'False positives',
      description: text`
        Blocks that people have released as wrong within the time shown. ${runbook('StopgapFalsePositives')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_block_outcomes_total', 'outcome="false_positive"'))],
      thresholds: above(1, 2),
      links: [apiLink('How right each rule was', '/api/v1/rules/precision')],
    }),
    stat({
      title: 'Share of wrong blocks',
      description: text`
        Of the blocks that ended within seven days, those released as wrong. From a tenth on a rule is too
        tight for somebody: ${runbook('StopgapFalsePositives')}
      `,
      unit: 'percentunit',
      size: [4, 4],
      queries: [
        now(
          share(
            series.increase([], '7d', 'stopgap_block_outcomes_total', 'outcome="false_positive"'),
            series.increase([], '7d', 'stopgap_block_outcomes_total'),
          ),
        ),
      ],
      thresholds: above(0.02, 0.1),
      none: 'none has ended',
    }),
    stat({
      title: 'Circuit breaker',
      description: text`
        Open: too many automatic blocks in a short time, so rules only propose, and whom they would block
        goes on sending. ${runbook('StopgapCircuitBreakerOpen')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_circuit_breaker_open'))],
      states: { 0: ['closed', 'green'], 1: ['open', 'red'] },
    }),
    stat({
      title: 'Rules',
      description: text`
        Whether rules act or, with \`mode: observe\`, only record what they would have done.
        ${runbook('StopgapRulesObserving')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_rules_observing'))],
      states: { 0: ['act', 'green'], 1: ['only observe', 'orange'] },
      links: [apiLink('The rules', '/api/v1/rules')],
    }),
    stat({
      title: 'Held back by exemptions',
      description: text`
        How often an exempt sender went beyond a limit within the time shown. It may be what it is exempt
        for, or a thief: ${runbook('StopgapExemptSenderTripped')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_verdicts_total', 'action="spare"'))],
      thresholds: lookFrom(1),
      links: [apiLink('The exemptions', '/api/v1/exemptions')],
    }),
    stat({
      title: 'Proposals that lapsed',
      description: text`
        Nobody has answered them in time, within the time shown. ${runbook('StopgapProposalLapsed')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_proposal_outcomes_total', 'outcome="lapsed"'))],
      thresholds: lookFrom(1),
      links: [apiLink('Those that lapsed', '/api/v1/blocks?state=lapsed')],
    }),
    barGauge({
      title: 'How right each rule was',
      description: text`
        Of the blocks and proposals that people or time have judged, the share that was right; all there
        ever were. A rule that is missing has had none judged. Falling: try another limit in the shadow.
      `,
      unit: 'percentunit',
      size: [12, 8],
      queries: [now(`sort(${series.max(['rule'], 'stopgap_rule_precision_ratio')})`, '{{rule}}')],
      thresholds: below(0.8, 0.95),
      max: 1,
      none: 'none is judged',
      links: [apiLink('How right each rule was', '/api/v1/rules/precision')],
    }),
    graph({
      title: 'How blocks and proposals ended',
      description: text`
        Mostly \`approved\`: let the rule block by itself. Mostly \`dismissed\` or \`false_positive\`: raise
        its limit. \`lapsed\`: nobody looks.
      `,
      unit: 'none',
      decimals: 0,
      size: [12, 8],
      queries: [
        over(series.bars(['outcome'], 'stopgap_block_outcomes_total'), 'block: {{outcome}}'),
        over(series.bars(['outcome'], 'stopgap_proposal_outcomes_total'), 'proposal: {{outcome}}'),
      ],
      bars: true,
      colors: {
        'block: false_positive': 'red',
        'proposal: dismissed': 'orange',
        'proposal: lapsed': 'purple',
      },
    }),
  ],
};
