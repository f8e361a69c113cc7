import type { Row } from '../dashboard.js';
import { runbook } from '../links.js';
import { graph, now, over, stat } from '../panels.js';
import { RANGE, processes as series } from '../promql.js';
import { text } from '../text.js';
import { above, lookFrom, never } from '../thresholds.js';

export const store: Row = {
  title: 'Events and store',
  panels: [
    graph({
      title: 'Appends',
      description: text`
        How often events are handed to the store, and how often it did not take them (lost races are none).
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(series.rate(['instance'], 'stopgap_store_append_seconds_count'), '{{instance}}'),
        over(series.rate(['instance'], 'stopgap_store_append_failures_total'), '{{instance}} failed'),
      ],
    }),
    graph({
      title: 'Time until events are durable',
      description: text`
        Every message waits for this, and every block. Rising: the disk. ${runbook('StopgapStoreSlow')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.quantile(['instance'], 'stopgap_store_append_seconds'), '{{instance}}')],
      thresholds: lookFrom(0.1),
    }),
    graph({
      title: 'Time until the store answers',
      description: text`
        Until the first event of a stream, of everything, or the position of the last one. Rising: the disk,
        or a store that is overloaded.
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.quantile(['operation'], 'stopgap_store_read_seconds'), '{{operation}}')],
    }),
    graph({
      title: 'Behind the store',
      description: text`
        How long ago the oldest event was written that a process has not folded: so late are blocks.
        ${runbook('StopgapProjectionLate')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.max(['instance'], 'stopgap_projection_lag_seconds'), '{{instance}}')],
      thresholds: lookFrom(10),
    }),
    graph({
      title: 'Events to fold',
      description: text`
        Written, and not folded by a process yet. Growing: it cannot keep up.
        ${runbook('StopgapProjectionLate')}
      `,
      unit: 'short',
      size: [8, 8],
      queries: [over(series.max(['instance'], 'stopgap_projection_lag_events'), '{{instance}}')],
    }),
    graph({
      title: 'Reads that failed',
      description: `Of the store. ${runbook('StopgapStoreFailures')}`,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(
          series.rate(['instance', 'operation'], 'stopgap_store_read_failures_total'),
          '{{instance}} {{operation}}',
        ),
      ],
    }),
    stat({
      title: 'Ready',
      description: text`
        Processes that have folded what stood in the store at their start, and those that have not: the log
        tells why. SMTP nodes that know no baselines yet.
      `,
      unit: 'none',
      size: [4, 5],
      queries: [
        over(series.sum([], 'stopgap_read_models_ready'), 'ready'),
        over(`sum(1 - ${series.of('stopgap_read_models_ready')})`, 'not yet'),
        over(`sum(1 - ${series.of('stopgap_baselines_ready')})`, 'without baselines'),
      ],
    }),
    stat({
      title: 'Events skipped',
      description: text`
        Since the start: a newer version wrote them, or they are damaged. ${runbook('StopgapSkippedEvents')}
      `,
      unit: 'none',
      size: [4, 5],
      queries: [over(series.max([], 'stopgap_skipped_events_total'))],
      thresholds: never(1),
    }),
    stat({
      title: 'Oldest snapshot',
      description: text`
        A process without one folds everything at its next start. Hours old under load: snapshots fail,
        ${runbook('StopgapSnapshotsFailing')}
      `,
      unit: 's',
      size: [4, 5],
      queries: [over(`time() - ${series.min([], 'stopgap_snapshot_timestamp_seconds')}`)],
      thresholds: lookFrom(6 * 3600),
      none: 'none',
    }),
    stat({
      title: 'Snapshots that failed',
      description: `Within the time shown. ${runbook('StopgapSnapshotsFailing')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 5],
      queries: [now(series.increase([], RANGE, 'stopgap_snapshot_failures_total'))],
      thresholds: lookFrom(1),
    }),
    stat({
      title: 'Events lost',
      description: text`
        Within the time shown: the outbox was full. ${runbook('StopgapEventsLost')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 5],
      queries: [now(series.increase([], RANGE, 'stopgap_outbox_lost_events_total'))],
      thresholds: never(1),
    }),
    stat({
      title: 'Waits in the outbox for',
      description: text`
        The oldest event on the disk of an SMTP node. Ageing although the store is there:
        ${runbook('StopgapOutboxStuck')}
      `,
      unit: 's',
      size: [4, 5],
      queries: [over(series.max([], 'stopgap_outbox_oldest_age_seconds'))],
      thresholds: above(60, 600),
    }),
    stat({
      title: 'In quarantine',
      description: text`
        Events on the disks of SMTP nodes that the store refuses for a reason of their own.
        ${runbook('StopgapEventsQuarantined')}
      `,
      unit: 'none',
      size: [4, 7],
      queries: [over(series.sum([], 'stopgap_outbox_quarantined_events'))],
      thresholds: never(1),
    }),
    stat({
      title: 'Another log',
      description: text`
        Within the time shown: how often the store was back with another log than the one that was followed. Somebody
        emptied it, or restored a backup: each process has learnt anew what is there. ${runbook('StopgapLogReplaced')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 7],
      queries: [now(series.increase([], RANGE, 'stopgap_log_replaced_total'))],
      thresholds: never(1),
    }),
    graph({
      title: 'How old what processes know may be',
      description: text`
        A few seconds say nothing where the store is KurrentDB. More: events wait to be handled, or the store gives no
        sign. ${runbook('StopgapProjectionLate')}
      `,
      unit: 's',
      size: [8, 7],
      queries: [over(series.max(['instance'], 'stopgap_feed_lag_seconds'), '{{instance}}')],
    }),
    graph({
      title: 'Clock of KurrentDB, less ours',
      description: text`
        Keep both by NTP: windows clamp at five minutes. ${runbook('StopgapClocksApart')}
      `,
      unit: 's',
      size: [8, 7],
      queries: [over(series.max(['instance'], 'stopgap_store_clock_skew_seconds'), '{{instance}}')],
    }),
    graph({
      title: 'Outbox',
      description: text`
        Events that wait for the store, and how many may; 0 without an outbox.
        ${runbook('StopgapOutboxFilling')}
      `,
      unit: 'short',
      size: [20, 7],
      queries: [
        over(series.sum(['instance'], 'stopgap_outbox_events'), '{{instance}}'),
        over(series.max([], 'stopgap_outbox_limit_events'), 'limit'),
      ],
      colors: { limit: 'red' },
    }),
  ],
};
