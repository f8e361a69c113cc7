import { blocks, falsePositives, rulesChanged } from './annotations.js';
import type { Row } from './dashboard.js';
import { dashboard } from './dashboard.js';
import { RUNBOOK, apiLink, runbook } from './links.js';
import { barGauge, graph, now, over, stat } from './panels.js';
import { RANGE, Series, share } from './promql.js';
import { table } from './table.js';
import { above, below, lookFrom, never } from './thresholds.js';
import { api, datasource, docs, job } from './variables.js';

const series = new Series('job="$job"');
const refusedByBlocks = 'reason=~"soft|defer|honest"';

const abuse: Row = {
  title: 'Is anyone abusing us?',
  panels: [
    stat({
      title: 'Blocks in force',
      description: `Senders that are refused now. Who they are, and why: \`stopgap block list\`, or the link. ${runbook('StopgapBlockImposed')}`,
      unit: 'none',
      size: [4, 4],
      queries: [
        over(series.orZero(`sum(${series.max(['type', 'origin'], 'stopgap_active_blocks')})`), 'in force'),
      ],
      thresholds: lookFrom(1),
      links: [apiLink('The blocks', '/api/v1/blocks?state=active')],
    }),
    stat({
      title: 'Blocked by rules',
      description: `How many came to be blocked by a rule within the time shown. Five within a quarter of an hour are an attack on many accounts or a rule that is wrong: ${runbook('StopgapManyBlocks')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [
        now(
          series.increase(
            [],
            RANGE,
            'stopgap_block_transitions_total',
            'state="active"',
            'origin="rule"',
          ),
        ),
      ],
      thresholds: above(1, 5),
      links: [apiLink('By rules, newest first', '/api/v1/blocks?origin=rule&sort=newest')],
    }),
    stat({
      title: 'Proposals that wait',
      description: `Blocks that wait for you; until you approve or dismiss them, their senders go on sending. \`stopgap block list --state proposed\`. ${runbook('StopgapProposalWaiting')}`,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_pending_proposals'))],
      thresholds: lookFrom(1),
      links: [apiLink('The proposals', '/api/v1/blocks?state=proposed&sort=oldest')],
    }),
    stat({
      title: 'Longest wait',
      description: `How long the oldest of these proposals has waited; 0 where none waits. ${runbook('StopgapProposalLapsed')}`,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_oldest_proposal_age_seconds'))],
      thresholds: above(900, 3600),
    }),
    stat({
      title: 'Refused by blocks',
      description: `Commands a second that are refused since their sender is blocked. High for long: the owner should hear of it. ${runbook('StopgapBlockedSenderPersists')}`,
      unit: 'suffix:/s',
      size: [4, 4],
      queries: [over(series.rate([], 'stopgap_refusals_total', refusedByBlocks))],
      thresholds: lookFrom(0.5),
    }),
    stat({
      title: 'Failed logins',
      description: `Wrong passwords a second, and logins from networks that had too many. ${runbook('StopgapManyFailedLogins')}`,
      unit: 'suffix:/s',
      size: [4, 4],
      queries: [over(series.rate([], 'stopgap_auth_total', 'outcome=~"failed|limited"'))],
      thresholds: lookFrom(1),
    }),
    graph({
      title: 'Recipients that were taken',
      description: `Of messages accepted for relay. Steep while no rule acts is a flood that none catches: ${runbook('StopgapFloodUncaught')}. Flat where mail is usual: ${runbook('StopgapNothingSent')}`,
      unit: 'suffix:/s',
      size: [12, 8],
      queries: [over(series.rate(['direction'], 'stopgap_recipients_total'), '{{direction}}')],
    }),
    graph({
      title: 'What rules asked for',
      description: `Rules that tripped, by what came of it. \`spare\`: an exemption held the rule back, ${runbook('StopgapExemptSenderTripped')}. \`failed\`: given up, ${runbook('StopgapVerdictFailed')}`,
      unit: 'none',
      decimals: 0,
      size: [12, 8],
      queries: [over(series.bars(['action'], 'stopgap_verdicts_total'), '{{action}}')],
      bars: true,
      colors: { block: 'red', extend: 'dark-red', propose: 'orange', spare: 'purple', failed: 'dark-purple' },
    }),
  ],
};

const wrongOnes: Row = {
  title: 'Are we blocking the wrong ones?',
  panels: [
    stat({
      title: 'False positives',
      description: `Blocks that people have released as wrong within the time shown. ${runbook('StopgapFalsePositives')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [
        now(series.increase([], RANGE, 'stopgap_block_outcomes_total', 'outcome="false_positive"')),
      ],
      thresholds: above(1, 2),
      links: [apiLink('How right each rule was', '/api/v1/rules/precision')],
    }),
    stat({
      title: 'Share of wrong blocks',
      description: `Of the blocks that ended within seven days, those released as wrong. From a tenth on a rule is too tight for somebody: ${runbook('StopgapFalsePositives')}`,
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
      description: `Open: too many automatic blocks in a short time, so rules only propose, and whom they would block goes on sending. ${runbook('StopgapCircuitBreakerOpen')}`,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_circuit_breaker_open'))],
      states: { 0: ['closed', 'green'], 1: ['open', 'red'] },
    }),
    stat({
      title: 'Rules',
      description: `Whether rules act or, with \`mode: observe\`, only record what they would have done. ${runbook('StopgapRulesObserving')}`,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_rules_observing'))],
      states: { 0: ['act', 'green'], 1: ['only observe', 'orange'] },
      links: [apiLink('The rules', '/api/v1/rules')],
    }),
    stat({
      title: 'Held back by exemptions',
      description: `How often an exempt sender went beyond a limit within the time shown. It may be what it is exempt for, or a thief: ${runbook('StopgapExemptSenderTripped')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_verdicts_total', 'action="spare"'))],
      thresholds: lookFrom(1),
      links: [apiLink('The exemptions', '/api/v1/exemptions')],
    }),
    stat({
      title: 'Proposals that lapsed',
      description: `Nobody has answered them in time, within the time shown. ${runbook('StopgapProposalLapsed')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_proposal_outcomes_total', 'outcome="lapsed"'))],
      thresholds: lookFrom(1),
      links: [apiLink('Those that lapsed', '/api/v1/blocks?state=lapsed')],
    }),
    barGauge({
      title: 'How right each rule was',
      description:
        'Of the blocks and proposals that people or time have judged, the share that was right; all there ever were. A rule that is missing has had none judged. Falling: try another limit in the shadow.',
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
      description:
        'Mostly `approved`: let the rule block by itself. Mostly `dismissed` or `false_positive`: raise its limit. `lapsed`: nobody looks.',
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

const machine: Row = {
  title: 'Is the machine well?',
  panels: [
    stat({
      title: 'Processes',
      description: `Those that answer to Prometheus, and those that do not: ${runbook('StopgapTargetDown')}, ${runbook('StopgapProcessMissing')}`,
      unit: 'none',
      size: [4, 4],
      queries: [
        over(series.sum([], 'up'), 'there'),
        over(`count(${series.of('up')}) - ${series.sum([], 'up')}`, 'away'),
      ],
    }),
    stat({
      title: 'Store',
      description: `Whether every process can write events. Away: blocks that stand go on, and nothing is decided. ${runbook('StopgapStoreDown')}`,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.min([], 'stopgap_store_up'))],
      states: { 0: ['away', 'red'], 1: ['there', 'green'] },
    }),
    stat({
      title: 'Mail server behind',
      description: `Whether every process reaches it. Away: clients are told to try again later. ${runbook('StopgapUpstreamDown')}`,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.min([], 'stopgap_relay_up'))],
      states: { 0: ['away', 'red'], 1: ['there', 'green'] },
    }),
    stat({
      title: 'Behind the store',
      description: `How far the process that is furthest behind is from what was written: so late are blocks. ${runbook('StopgapProjectionLate')}`,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_projection_lag_seconds'))],
      thresholds: above(2, 10),
    }),
    stat({
      title: 'Ends overdue',
      description: `How long ago a block or proposal should have been recorded as ended. Refusals end on time regardless. ${runbook('StopgapExpiryLate')}`,
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
      queries: [
        over(`${series.min([], 'stopgap_certificate_expiry_timestamp_seconds')} - time()`),
      ],
      thresholds: below(2 * 86_400, 14 * 86_400),
      none: 'no TLS',
    }),
    stat({
      title: 'Waits for the store',
      description: `Events on the disks of SMTP nodes, for a store that is away. ${runbook('StopgapOutboxFilling')}`,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.sum([], 'stopgap_outbox_events'))],
      thresholds: lookFrom(1),
    }),
    stat({
      title: 'Event loop late',
      description: `Of the process whose core is fullest, one in a hundred times. ${runbook('StopgapEventLoopBlocked')}`,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_nodejs_eventloop_lag_p99_seconds'))],
      thresholds: above(0.05, 0.1),
    }),
    stat({
      title: 'Faults in SMTP',
      description: `Share of all commands that were answered with a fault of ours. ${runbook('StopgapMailFaults')}`,
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
      description: `Share of requests that failed for a fault of ours or for want of the store. ${runbook('StopgapApiErrors')}`,
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
      description: `Changed files within the time shown that could not be used; what was in force stays. ${runbook('StopgapFileRefused')}`,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_file_refusals_total'))],
      thresholds: lookFrom(1),
    }),
    table({
      title: 'Alerts that fire',
      description:
        'As Prometheus sees them, where it has the rules of `grafana/prometheus/rules`. A click on a name opens what to do.',
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

export const overview = dashboard({
  uid: 'stopgap-overview',
  title: 'Stopgap: overview',
  description: 'Is anyone abusing us? Are we blocking the wrong ones? Is the machine well?',
  from: 'now-6h',
  variables: [datasource, job, api, docs],
  annotations: [blocks, falsePositives, rulesChanged],
  rows: [abuse, wrongOnes, machine],
});
