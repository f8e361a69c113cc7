import type { Row } from '../dashboard.js';
import { runbook } from '../links.js';
import { graph, over, stat } from '../panels.js';
import { WINDOW, processes as series } from '../promql.js';
import { text } from '../text.js';
import { above, lookFrom } from '../thresholds.js';

export const timedWork: Row = {
  title: 'Timed work',
  panels: [
    graph({
      title: 'Ends recorded late',
      description: text`
        How long after it fell due the end of a block or proposal was recorded. Refusals end on time
        regardless. ${runbook('StopgapExpiryLate')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.quantile([], 'stopgap_expiry_lateness_seconds', WINDOW), 'late')],
      thresholds: lookFrom(60),
    }),
    graph({
      title: 'Ends overdue',
      description: text`
        How long ago the most overdue of them fell due that is not recorded. Above a minute: no worker runs,
        or Redis or the store is away. ${runbook('StopgapExpiryLate')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.max(['instance'], 'stopgap_expiry_overdue_seconds'), '{{instance}}')],
      thresholds: lookFrom(60),
    }),
    graph({
      title: 'Jobs',
      description: text`
        In Redis; without it, what waits in the process. \`waiting\` growing: a second worker. \`failed\`:
        the log; they get another round every half minute.
      `,
      unit: 'none',
      size: [8, 8],
      queries: [over(series.max(['state'], 'stopgap_expiry_jobs'), '{{state}}')],
      colors: { failed: 'red', waiting: 'orange' },
    }),
    graph({
      title: 'Attempts that failed, changes not sent',
      description: text`
        Attempts a second that failed and are tried again, ${runbook('StopgapExpiryFailing')}; changes of
        jobs that Redis has not acknowledged.
      `,
      unit: 'short',
      size: [8, 6],
      queries: [
        over(series.rate(['instance'], 'stopgap_expiry_failures_total'), '{{instance}} failed, a second'),
        over(series.sum(['instance'], 'stopgap_expiry_unsent_jobs'), '{{instance}} not sent'),
      ],
    }),
    stat({
      title: 'Redis',
      description: text`
        Whether every worker reaches it. Away: ends are recorded late, nothing else.
        ${runbook('StopgapRedisDown')}
      `,
      unit: 'none',
      size: [8, 6],
      queries: [over(series.min([], 'stopgap_redis_up'))],
      states: { 0: ['away', 'red'], 1: ['there', 'green'] },
      none: 'not used',
    }),
    stat({
      title: 'Jobs compared with the ledger',
      description: text`
        How long ago, in the worker where it is longest; every half minute. Minutes: Redis is away.
      `,
      unit: 's',
      size: [8, 6],
      queries: [over(`time() - ${series.min([], 'stopgap_expiry_reconciled_timestamp_seconds')}`)],
      thresholds: above(90, 300),
      none: 'without Redis',
    }),
  ],
};
