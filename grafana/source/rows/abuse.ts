import type { Row } from '../dashboard.js';
import { apiLink, runbook } from '../links.js';
import { graph, now, over, stat } from '../panels.js';
import { RANGE, installation as series } from '../promql.js';
import { text } from '../text.js';
import { above, lookFrom } from '../thresholds.js';

const refusedByBlocks = 'reason=~"soft|defer|honest|hold"';

export const abuse: Row = {
  title: 'Is anyone abusing us?',
  panels: [
    stat({
      title: 'Blocks in force',
      description: text`
        Senders that are refused now. Who they are, and why: \`stopgap block list\`, or the link.
        ${runbook('StopgapBlockImposed')}
      `,
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
      description: text`
        How many a rule has blocked within the time shown. Five within a quarter of an hour are an attack on
        many accounts or a rule that is wrong: ${runbook('StopgapManyBlocks')}
      `,
      unit: 'none',
      decimals: 0,
      size: [4, 4],
      queries: [now(series.increase([], RANGE, 'stopgap_verdicts_total', 'action="block"'))],
      thresholds: above(1, 5),
      links: [apiLink('By rules, newest first', '/api/v1/blocks?origin=rule&sort=newest')],
    }),
    stat({
      title: 'Proposals that wait',
      description: text`
        Blocks that wait for you; until you approve or dismiss them, their senders go on sending. \`stopgap
        block list --state proposed\`. ${runbook('StopgapProposalWaiting')}
      `,
      unit: 'none',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_pending_proposals'))],
      thresholds: lookFrom(1),
      links: [apiLink('The proposals', '/api/v1/blocks?state=proposed&sort=oldest')],
    }),
    stat({
      title: 'Longest wait',
      description: text`
        How long the oldest of these proposals has waited; 0 where none waits.
        ${runbook('StopgapProposalLapsed')}
      `,
      unit: 's',
      size: [4, 4],
      queries: [over(series.max([], 'stopgap_oldest_proposal_age_seconds'))],
      thresholds: above(900, 3600),
    }),
    stat({
      title: 'Refused by blocks',
      description: text`
        Commands a second that are refused since their sender is blocked. High for long: the owner should
        hear of it. ${runbook('StopgapBlockedSenderPersists')}
      `,
      unit: 'suffix:/s',
      size: [4, 4],
      queries: [over(series.rate([], 'stopgap_refusals_total', refusedByBlocks))],
      thresholds: lookFrom(0.5),
    }),
    stat({
      title: 'Failed logins',
      description: text`
        Wrong passwords a second, and logins from networks that had too many.
        ${runbook('StopgapManyFailedLogins')}
      `,
      unit: 'suffix:/s',
      size: [4, 4],
      queries: [over(series.rate([], 'stopgap_auth_total', 'outcome=~"failed|limited"'))],
      thresholds: lookFrom(1),
    }),
    graph({
      title: 'Recipients that were taken',
      description: text`
        Of messages accepted for relay. Steep while no rule acts is a flood that none catches:
        ${runbook('StopgapFloodUncaught')}. Flat where mail is usual: ${runbook('StopgapNothingSent')}
      `,
      unit: 'suffix:/s',
      size: [12, 8],
      queries: [over(series.rate(['direction'], 'stopgap_recipients_total'), '{{direction}}')],
    }),
    graph({
      title: 'What rules asked for',
      description: text`
        Rules that tripped, by what came of it. \`spare\`: an exemption held the rule back,
        ${runbook('StopgapExemptSenderTripped')}. \`failed\`: given up, ${runbook('StopgapVerdictFailed')}
      `,
      unit: 'none',
      decimals: 0,
      size: [12, 8],
      queries: [over(series.bars(['action'], 'stopgap_verdicts_total'), '{{action}}')],
      bars: true,
      colors: { block: 'red', extend: 'dark-red', propose: 'orange', spare: 'purple', failed: 'dark-purple' },
    }),
  ],
};
