import type { Row } from '../dashboard.js';
import { apiLink, runbook } from '../links.js';
import { graph, over } from '../panels.js';
import { share, installation as series } from '../promql.js';
import { text } from '../text.js';
import { lookFrom } from '../thresholds.js';

export const sent: Row = {
  title: 'What is sent',
  panels: [
    graph({
      title: 'Messages that were taken',
      description: text`
        Accepted for relay. Flat where mail is usual: does it come through Stopgap at all?
        ${runbook('StopgapNothingSent')}
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [over(series.rate(['direction'], 'stopgap_sends_total'), '{{direction}}')],
      links: [apiLink('The senders', '/api/v1/senders')],
    }),
    graph({
      title: 'Recipients a message',
      description: 'Of messages accepted for relay, on average. Rising: mail to many at once.',
      unit: 'short',
      size: [8, 8],
      queries: [
        over(
          share(
            series.rate(['direction'], 'stopgap_recipients_total'),
            series.rate(['direction'], 'stopgap_sends_total'),
          ),
          '{{direction}}',
        ),
      ],
    }),
    graph({
      title: 'Recipients that the mail server refused',
      description: text`
        Share of all RCPT TO. High in bought and guessed lists, and where the mail server behind takes
        Stopgap for a stranger: ${runbook('StopgapUpstreamRefuses')}
      `,
      unit: 'percentunit',
      size: [8, 8],
      queries: [
        over(
          share(
            series.rate([], 'stopgap_refusals_total', 'stage="rcpt"', 'reason="upstream"'),
            series.rate([], 'stopgap_smtp_commands_total', 'stage="rcpt"'),
          ),
          'refused',
        ),
      ],
      thresholds: lookFrom(0.5),
    }),
    graph({
      title: 'Logins',
      description: text`
        By how they ended. \`feigned\`: a block that looks like a wrong password. \`failed\` in bulk:
        somebody guesses, ${runbook('StopgapManyFailedLogins')}. \`unavailable\`: nobody can check them,
        ${runbook('StopgapLoginsUnchecked')}
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [over(series.rate(['outcome'], 'stopgap_auth_total'), '{{outcome}}')],
      colors: {
        succeeded: 'green',
        failed: 'orange',
        limited: 'red',
        overloaded: 'purple',
        unavailable: 'dark-red',
      },
    }),
    graph({
      title: 'Refusals by blocks',
      description: text`
        Commands that were refused since their sender is blocked, by stage.
        ${runbook('StopgapBlockedSenderPersists')}
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(
          series.rate(['stage', 'reason'], 'stopgap_refusals_total', 'reason=~"soft|defer|honest|hold"'),
          '{{stage}} {{reason}}',
        ),
      ],
    }),
    graph({
      title: 'Refusals for other reasons',
      description: text`
        \`sender\`: an account that may not use that address, ${runbook('StopgapSenderRefused')}. \`relay\`:
        for no domain of ours, ${runbook('StopgapRelayRefused')}. \`unreachable\`:
        ${runbook('StopgapUpstreamUnreachable')}. \`store\`: ${runbook('StopgapMailDeferred')}
      `,
      unit: 'suffix:/s',
      size: [8, 8],
      queries: [
        over(
          series.rate(['reason'], 'stopgap_refusals_total', 'reason!~"soft|defer|honest|hold"'),
          '{{reason}}',
        ),
      ],
    }),
  ],
};
