import type { Row } from '../dashboard.js';
import { RUNBOOK, runbook } from '../links.js';
import { now, over, stat } from '../panels.js';
import { RANGE, share, installation as series } from '../promql.js';
import { table } from '../table.js';
import { text } from '../text.js';
import { above, below, lookFrom, never } from '../thresholds.js';

export const machine: Row = {
  title: 'Is the machine well?',
  panels: [
    stat({
      title: 'Processes',
      description: text`
        Those that answer to Prometheus, and those that do not: ${runbook('StopgapTargetDown')},
        ${runbook('StopgapProcessMissing')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [
        over(series.sum([], 'up'), 'there'),
        over(`count(${series.of('up')}) - ${series.sum([], 'up')}`, 'away'),
      ],
    }),
    stat({
      title: 'Store',
      description: text`
        Whether every process can write events. Away: blocks that stand go on, and nothing is decided.
        ${runbook('StopgapStoreDown')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.min([], 'stopgap_store_up'))],
      states: { 0: ['away', 'red'], 1: ['there', 'green'] },
    }),
    stat({
      title: 'Mail server behind',
      description: text`
        Whether every process reaches it. Away: clients are told to try again later.
        ${runbook('StopgapUpstreamDown')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.min([], 'stopgap_relay_up'))],
      states: { 0: ['away', 'red'], 1: ['there', 'green'] },
    }),
    stat({
      title: 'Behind the store',
      description: text`
        How far the process that is furthest behind is from what was written: so late are blocks.
        ${runbook('StopgapProjectionLate')}
      `,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_projection_lag_seconds'))],
      thresholds: above(2, 10),
    }),
    stat({
      title: 'Ends overdue',
      description: text`
        How long ago a block or proposal should have been recorded as ended. Refusals end on time
        regardless. ${runbook('StopgapExpiryLate')}
      `,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_expiry_overdue_seconds'))],
      thresholds: above(10, 60),
    }),
    stat({
      title: 'Certificate ends in',
      description: `Of the listener whose certificate ends first. ${runbook('StopgapCertificateNearEnd')}`,
      unit: 's',
      size: [4, 4],
      queries: [over(`${series.min([], 'stopgap_certificate_expiry_timestamp_seconds')} - time()`)],
      thresholds: below(2 * 86_400, 14 * 86_400),
      none: 'no TLS',
    }),
    stat({
      title: 'Waits for the store',
      description: text`
        Events on the disks of SMTP nodes, for a store that is away. ${runbook('StopgapOutboxFilling')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.sum([], 'stopgap_outbox_events'))],
      thresholds: lookFrom(1),
    }),
    stat({
      title: 'Event loop late',
      description: text`
        Of the process whose core is fullest, one in a hundred times. ${runbook('StopgapEventLoopBlocked')}
      `,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_nodejs_eventloop_lag_p99_seconds'))],
      thresholds: above(0.05, 0.1),
    }),
    stat({
      title: 'Faults in SMTP',
      description: text`
        Share of all commands that were answered with a fault of ours. ${runbook('StopgapMailFaults')}
      `,
      unit: 'percentunit',
      size: [4, 4],
      queries: [
        over(
          share(
            series.orZero(series.rate([], 'stopgap_smtp_commands_total', 'outcome="failed"')),
            series.rate([], 'stopgap_smtp_commands_total'),
          ),
        ),
      ],
      thresholds: above(0.001, 0.01),
      none: 'no mail',
    }),
    stat({
      title: 'Faults in the API',
      description: text`
        Share of requests that failed for a fault of ours or for want of the store.
        ${runbook('StopgapApiErrors')}
      `,
      unit: 'percentunit',
      size: [4, 4],
      queries: [
        over(
          share(
            series.orZero(series.rate([], 'stopgap_api_requests_total', 'status=~"5.."')),
            series.rate([], 'stopgap_api_requests_total'),
          ),
        ),
      ],
      thresholds: above(0.01, 0.05),
    }),
    stat({
      title: 'Events lost',
      description: `Within the time shown: sends that are counted nowhere. ${runbook('StopgapEventsLost')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_outbox_lost_events_total'))],
      thresholds: never(1),
    }),
    stat({
      title: 'Files refused',
      description: text`
        Changed files within the time shown that could not be used, or had lost most of their entries; what was in force stays.
        ${runbook('StopgapFileRefused')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_file_refusals_total'))],
      thresholds: lookFrom(1),
    }),
    table({
      title: 'Alerts that fire',
      description: text`
        As Prometheus sees them, where it has the rules of \`grafana/prometheus/rules\`. A click on a name
        opens what to do.
      `,
      unit: 'none',
      size: [24, 7],
      labels: [
        { label: 'alertname', title: 'Alert', links: [RUNBOOK] },
        { label: 'severity', title: 'Severity' },
        { label: 'instance', title: 'Process' },
        { label: 'rule', title: 'Rule' },
        { label: 'role', title: 'Role' },
        { label: 'stage', title: 'Stage' },
      ],
      values: [
        {
          expr: 'max by (alertname, severity, instance, rule, role, stage) (ALERTS{job=~"|$job",alertname=~"Stopgap.*",alertname!="StopgapWatchdog",alertstate="firing"})',
        },
      ],
      sortBy: 'Severity',
      none: 'none',
    }),
  ],
};
