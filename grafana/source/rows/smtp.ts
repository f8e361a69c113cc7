import type { Row } from '../dashboard.js';
import { runbook } from '../links.js';
import { graph, over } from '../panels.js';
import { processes as series } from '../promql.js';
import { text } from '../text.js';
import { lookFrom } from '../thresholds.js';

export const smtp: Row = {
  title: 'SMTP',
  panels: [
    graph({
      title: 'Commands',
      description: 'What is asked at each stage, a second.',
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [over(series.rate(['stage'], 'stopgap_smtp_commands_total'), '{{stage}}')],
    }),
    graph({
      title: 'Commands that were not accepted',
      description: text`
        Share of all, by stage and how they ended. \`failed\`: a fault of ours,
        ${runbook('StopgapMailFaults')}. \`deferred\` at \`connect\`: turned away, see below. Our own
        refusals are among them.
      `,
      unit: 'percentunit',
      size: [8, 8],
      queries: [
        over(
          `${series.rate(['stage', 'outcome'], 'stopgap_smtp_commands_total', 'outcome!="accepted"')} / on (stage) group_left () (${series.rate(['stage'], 'stopgap_smtp_commands_total')} > 0)`,
          '{{stage}} {{outcome}}',
        ),
      ],
    }),
    graph({
      title: 'Time until an answer',
      description: text`
        \`connect\` waits 0.1 s on purpose. \`rcpt\` and \`data\` slow: the mail server behind, or the
        store. \`auth\`: password checks queue. ${runbook('StopgapCommandsSlow')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.quantile(['stage'], 'stopgap_smtp_command_seconds'), '{{stage}}')],
      thresholds: lookFrom(2.5),
    }),
    graph({
      title: 'Sessions',
      description: text`
        Open now. Near \`smtp.maxConnections\`: more nodes, or a client that opens too many.
        ${runbook('StopgapConnectionsRefused')}
      `,
      unit: 'none',
      size: [8, 8],
      queries: [
        over(series.sum(['instance', 'direction'], 'stopgap_smtp_sessions'), '{{instance}} {{direction}}'),
      ],
    }),
    graph({
      title: 'Connections that failed or were turned away',
      description: text`
        \`accept\`: file descriptors are short, ${runbook('StopgapFileDescriptorsShort')}. \`client\` after
        a change: certificate or TLS mode. Turned away: \`full\`, more than \`smtp.maxConnections\`;
        \`network\` and \`rate\`, more than one client network may have; the others kept us waiting.
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(series.rate(['kind'], 'stopgap_smtp_errors_total'), '{{kind}}'),
        over(series.rate(['reason'], 'stopgap_smtp_turned_away_total'), 'turned away: {{reason}}'),
      ],
      colors: { accept: 'red' },
    }),
    graph({
      title: 'Password checks',
      description: text`
        Those that run or wait. Hundreds: more logins than the cores can check,
        ${runbook('StopgapLoginsOverloaded')}
      `,
      unit: 'none',
      size: [8, 8],
      queries: [over(series.sum(['instance'], 'stopgap_password_checks'), '{{instance}}')],
      thresholds: lookFrom(100),
    }),
    graph({
      title: 'Mail server behind: time to hand over',
      description: text`
        A complete message, until the mail server behind took or refused it.
        ${runbook('StopgapUpstreamUnreachable')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.quantile([], 'stopgap_relay_transmit_seconds'), 'hand over')],
    }),
    graph({
      title: 'Mail server behind: sessions',
      description: '`busy` near 100 in one process: the mail server behind is slow. `unanswered`: it hangs.',
      unit: 'none',
      size: [8, 8],
      queries: [over(series.sum(['instance', 'state'], 'stopgap_relay_sessions'), '{{instance}} {{state}}')],
      thresholds: lookFrom(90),
    }),
    graph({
      title: 'Mail server behind: unanswered',
      description: 'Messages that it has in full and does not answer.',
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [over(series.rate(['instance'], 'stopgap_relay_unanswered_total'), '{{instance}}')],
    }),
    graph({
      title: 'Mail server behind: there?',
      description: text`
        1 where it answered when last asked, every half minute, and the last messages that it was sent. ${runbook('StopgapUpstreamDown')}
      `,
      unit: 'none',
      size: [8, 8],
      queries: [over(series.min(['instance'], 'stopgap_relay_up'), '{{instance}}')],
      max: 1,
    }),
  ],
};
