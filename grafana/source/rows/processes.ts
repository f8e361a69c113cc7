import type { Row } from '../dashboard.js';
import { apiLink, runbook } from '../links.js';
import { graph, now, over, stat } from '../panels.js';
import { RANGE, share, processes as series } from '../promql.js';
import { table } from '../table.js';
import { text } from '../text.js';
import { above, below, lookFrom } from '../thresholds.js';

export const processes: Row = {
  title: 'Processes',
  panels: [
    table({
      title: 'Processes',
      description: 'What runs where. Versions may differ during an upgrade, and no longer.',
      unit: 'dateTimeFromNow',
      size: [12, 8],
      labels: [
        { label: 'instance', title: 'Process' },
        { label: 'version', title: 'Version' },
        { label: 'node', title: 'Node.js' },
        { label: 'store', title: 'Store' },
      ],
      values: [
        {
          title: 'Started',
          expr: `1000 * max by (instance, version, node, store) (${series.of('stopgap_build_info')} * on (instance) group_left () ${series.of('stopgap_process_start_time_seconds')})`,
        },
      ],
      sortBy: 'Process',
    }),
    table({
      title: 'Certificates',
      description: text`
        When those of the listeners end. A renewed pair of files is picked up without a restart.
        ${runbook('StopgapCertificateNearEnd')}
      `,
      unit: 's',
      size: [12, 8],
      labels: [
        { label: 'instance', title: 'Process' },
        { label: 'listener', title: 'Listener' },
      ],
      values: [
        {
          title: 'Ends in',
          expr: `${series.min(['instance', 'listener'], 'stopgap_certificate_expiry_timestamp_seconds')} - time()`,
          thresholds: below(2 * 86_400, 14 * 86_400),
        },
      ],
      sortBy: 'Process',
      none: 'no TLS',
    }),
    graph({
      title: 'Event loop late',
      description: text`
        One in a hundred times it was later than this. Above 0.1 s the core is full, and clients feel it.
        ${runbook('StopgapEventLoopBlocked')}
      `,
      unit: 's',
      size: [8, 8],
      queries: [over(series.max(['instance'], 'stopgap_nodejs_eventloop_lag_p99_seconds'), '{{instance}}')],
      thresholds: lookFrom(0.1),
    }),
    graph({
      title: 'CPU',
      description: text`
        Of one core: near 100 % the event loop has no more to give. Password checks run on other cores, so
        it may be more.
      `,
      unit: 'percentunit',
      size: [8, 8],
      queries: [over(series.rate(['instance'], 'stopgap_process_cpu_seconds_total'), '{{instance}}')],
      thresholds: lookFrom(0.9),
    }),
    graph({
      title: 'Memory',
      description: text`
        What a process holds, and how much of it is used JavaScript heap. Growing without end: report it,
        with a support bundle.
      `,
      unit: 'bytes',
      size: [8, 8],
      queries: [
        over(series.sum(['instance'], 'stopgap_process_resident_memory_bytes'), '{{instance}}'),
        over(series.sum(['instance'], 'stopgap_nodejs_heap_size_used_bytes'), '{{instance}} heap'),
      ],
    }),
    graph({
      title: 'Garbage collection',
      description: 'Share of the time that goes into it. `major` much: short of memory.',
      unit: 'percentunit',
      size: [8, 8],
      queries: [
        over(
          series.rate(['instance', 'kind'], 'stopgap_nodejs_gc_duration_seconds_sum'),
          '{{instance}} {{kind}}',
        ),
      ],
    }),
    graph({
      title: 'File descriptors',
      description: `Open, of those that may be. ${runbook('StopgapFileDescriptorsShort')}`,
      unit: 'percentunit',
      size: [8, 8],
      queries: [
        over(
          share(
            series.max(['instance'], 'stopgap_process_open_fds'),
            series.max(['instance'], 'stopgap_process_max_fds'),
          ),
          '{{instance}}',
        ),
      ],
      thresholds: lookFrom(0.8),
    }),
    stat({
      title: 'Starts',
      description: text`
        How often processes have started anew within the time shown. ${runbook('StopgapRestarting')}
      `,
      unit: 'none',
      decimals: 0,
      size: [8, 8],
      queries: [
        now(
          `sum by (instance) (changes(${series.of('stopgap_process_start_time_seconds')}[${RANGE}]))`,
          '{{instance}}',
        ),
      ],
      thresholds: above(1, 3),
    }),
    stat({
      title: 'Roles',
      description: `How many processes have each. None: ${runbook('StopgapRoleMissing')}`,
      unit: 'none',
      size: [16, 4],
      queries: [over(`count by (role) (${series.of('stopgap_role_info')})`, '{{role}}')],
      links: [apiLink('Ready?', '/readyz')],
    }),
    graph({
      title: 'Log lines lost',
      description: 'The disk of a log is full, or nobody reads standard error.',
      unit: 'suffix:/s',
      size: [8, 4],
      queries: [
        over(series.rate(['instance', 'place'], 'stopgap_log_lines_lost_total'), '{{instance}} {{place}}'),
      ],
    }),
  ],
};
