import type { Row } from '../dashboard.js';
import { runbook } from '../links.js';
import { graph, over } from '../panels.js';
import { processes as series } from '../promql.js';
import { text } from '../text.js';
import { lookFrom } from '../thresholds.js';

export const notices: Row = {
  title: 'Notices',
  panels: [
    graph({
      title: 'Notices sent, tried again, given up',
      description: text`
        Attempts a second, by channel. \`dead\`: given up, see ${runbook('StopgapNoticesDead')}
      `,
      unit: 'short',
      size: [8, 8],
      queries: [
        over(series.rate(['channel', 'outcome'], 'stopgap_notice_attempts_total'), '{{channel}} {{outcome}}'),
      ],
    }),
    graph({
      title: 'Notices that wait',
      description: text`
        Notices that are still to be sent, by channel. Growing: the receiver is away; \`stopgap notify list\`
        says why.
      `,
      unit: 'none',
      size: [8, 8],
      queries: [over(series.max(['channel'], 'stopgap_notices_waiting'), '{{channel}}')],
    }),
    graph({
      title: 'Dead letters, disabled channels, stuck receivers',
      description: text`
        Notices that were given up and may be resent; 1 for a channel whose receiver answered 410; receivers
        that take nothing, so that what happens only gathers for them. ${runbook('StopgapNoticesDead')}
      `,
      unit: 'none',
      size: [8, 8],
      queries: [
        over(series.max(['channel'], 'stopgap_notices_dead'), '{{channel}} dead'),
        over(series.max(['channel'], 'stopgap_notice_channel_disabled'), '{{channel}} disabled'),
        over(series.max(['channel'], 'stopgap_notice_receivers_stuck'), '{{channel}} stuck'),
      ],
      thresholds: lookFrom(1),
    }),
  ],
};
