import type { Row } from '../dashboard.js';
import { runbook } from '../links.js';
import { graph, over } from '../panels.js';
import { processes as series } from '../promql.js';
import { text } from '../text.js';

export const policy: Row = {
  title: 'Mail servers that ask',
  panels: [
    graph({
      title: 'What mail servers ask',
      description: text`
        By stage, a second. Flat where mail is usual: the mail server does not ask. Without
        \`end_of_message\` nothing is counted; \`stopgap doctor\` says what is missing.
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [over(series.rate(['stage'], 'stopgap_policy_requests_total'), '{{stage}}')],
    }),
    graph({
      title: 'Refused, held and put off',
      description: text`
        What mail servers were told to refuse, to hold, or to let come again, a second. Put off: too much
        of the sender was not counted yet.
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(series.rate(['action'], 'stopgap_policy_requests_total', 'action!="dunno"'), '{{action}}'),
      ],
    }),
    graph({
      title: 'Connections of mail servers',
      description: 'Open now. Beyond 2,000 in one process they are turned away.',
      unit: 'none',
      size: [8, 8],
      queries: [over(series.sum(['instance'], 'stopgap_policy_connections'), '{{instance}}')],
    }),
    graph({
      title: 'Connections that were cut, and sends that were lost',
      description: text`
        Cut: something else speaks to \`policy.listen\`, or too many connect. Lost: sends that no rule
        counts, since too many wait (\`full\`) or the store failed.
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(series.rate(['reason'], 'stopgap_policy_cut_total'), 'cut: {{reason}}'),
        over(series.rate(['reason'], 'stopgap_policy_sends_lost_total'), 'lost: {{reason}}'),
      ],
    }),
    graph({
      title: 'Events that mail servers report',
      description:
        'Over HTTP, a second. Refused: the item is faulty. Unavailable: the store did not take it.',
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [over(series.rate(['result'], 'stopgap_policy_reports_total'), '{{result}}')],
    }),
    graph({
      title: 'What the hook came to',
      description: text`
        Calls that hold, release or delete mail in a queue, an hour: done, failed and made again
        (\`retried\`), given up (\`failed\`, ${runbook('StopgapHookGivenUp')}). And how many blocks
        wait for one. Undecided: blocks that have ended with mail on hold
        (${runbook('StopgapHeldUndecided')}).
      `,
      unit: 'none',
      size: [8, 8],
      queries: [
        over(
          series.increase(['action', 'outcome'], '1h', 'stopgap_hook_runs_total'),
          '{{action}} {{outcome}}',
        ),
        over(series.sum(['instance'], 'stopgap_hook_waiting'), 'waiting: {{instance}}'),
        over(series.max([], 'stopgap_held_undecided_blocks'), 'undecided'),
      ],
    }),
  ],
};
