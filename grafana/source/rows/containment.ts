import type { Row } from '../dashboard.js';
import { apiLink, runbook } from '../links.js';
import { barGauge, graph, over } from '../panels.js';
import { WINDOW, installation as series } from '../promql.js';
import { text } from '../text.js';
import { lookFrom } from '../thresholds.js';

export const contained: Row = {
  title: 'How abusers are contained',
  panels: [
    graph({
      title: 'From the first abnormal send to the refusal',
      description: text`
        By a rule, or by a person who approved. By rules above a second: the detector lags,
        ${runbook('StopgapContainmentSlow')}. By people long: should the rule block by itself? Points are
        single blocks; each names its correlation, which is found in the log.
      `,
      unit: 's',
      size: [8, 8],
      queries: [
        {
          ...over(
            series.quantile(['decided_by'], 'stopgap_containment_seconds', WINDOW),
            'by {{decided_by}}',
          ),
          exemplar: true,
        },
      ],
    }),
    graph({
      title: 'Until the block was recorded',
      description: text`
        From the same send until the block was durable, from where all other processes have it. Much longer
        than the former: the store is slow, ${runbook('StopgapStoreSlow')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [
        over(
          series.quantile(['decided_by'], 'stopgap_containment_record_seconds', WINDOW),
          'by {{decided_by}}',
        ),
      ],
    }),
    graph({
      title: 'What got through',
      description: text`
        Messages and recipients after the first abnormal one, a block, on average. Not near 0 under rules:
        many parallel sessions, or the detector lags, ${runbook('StopgapContainmentLeaky')}
      `,
      unit: 'short',
      size: [8, 8],
      queries: [
        over(series.mean(['decided_by'], 'stopgap_containment_sends', WINDOW), 'messages, by {{decided_by}}'),
        over(
          series.mean(['decided_by'], 'stopgap_containment_recipients', WINDOW),
          'recipients, by {{decided_by}}',
        ),
      ],
    }),
    graph({
      title: 'Blocks in force',
      description: text`
        By what is blocked. Many accounts at once: passwords of many were stolen, or a rule is too tight.
      `,
      unit: 'none',
      size: [8, 8],
      queries: [
        over(`sum by (type) (${series.max(['type', 'origin'], 'stopgap_active_blocks')})`, '{{type}}'),
      ],
      links: [apiLink('The blocks', '/api/v1/blocks?state=active')],
    }),
    graph({
      title: 'What became of blocks and proposals',
      description: text`
        Decisions, by what they led to. Many \`active\` in a short time: ${runbook('StopgapManyBlocks')}
      `,
      unit: 'none',
      decimals: 0,
      size: [8, 8],
      queries: [over(series.bars(['state'], 'stopgap_block_transitions_total'), '{{state}}')],
      bars: true,
      colors: { active: 'red', proposed: 'orange', released: 'green', lapsed: 'purple' },
    }),
    barGauge({
      title: 'Proposals by how long they wait',
      description: `Old ones lapse unanswered. ${runbook('StopgapProposalWaiting')}`,
      unit: 'none',
      size: [8, 8],
      queries: [over(series.max(['age'], 'stopgap_pending_proposals_by_age'), '{{age}}')],
      thresholds: lookFrom(1),
      links: [apiLink('The proposals', '/api/v1/blocks?state=proposed&sort=oldest')],
    }),
  ],
};
