import type { Row } from '../dashboard.js';
import { runbook } from '../links.js';
import { graph, over, stat } from '../panels.js';
import { processes as series } from '../promql.js';
import { text } from '../text.js';

const asked = 'route!~"/metrics|/healthz|/readyz"';

export const http: Row = {
  title: 'API',
  panels: [
    graph({
      title: 'Requests',
      description: 'By route, without what machines ask for.',
      unit: 'suffix:/s',
      size: [7, 8],
      queries: [
        over(series.rate(['method', 'route'], 'stopgap_api_requests_total', asked), '{{method}} {{route}}'),
      ],
    }),
    graph({
      title: 'Requests that failed',
      description: text`
        By status. 5xx: a fault of ours or the store, ${runbook('StopgapApiErrors')}. 401 and 403 in bulk: a
        token is wrong, or somebody tries, ${runbook('StopgapApiRefusesTokens')}
      `,
      unit: 'suffix:/s',
      size: [7, 8],
      queries: [
        over(series.rate(['status'], 'stopgap_api_requests_total', 'status=~"[45]..|gone"'), '{{status}}'),
      ],
      none: 'none',
    }),
    graph({
      title: 'Time until an answer',
      description: text`
        By route; event feeds are left out. Slow writes: the store. Slow everything: the event loop.
      `,
      unit: 's',
      size: [7, 8],
      queries: [
        over(series.quantile(['method', 'route'], 'stopgap_api_request_seconds'), '{{method}} {{route}}'),
      ],
    }),
    stat({
      title: 'Event feeds',
      description: 'Clients that follow the events as they happen.',
      unit: 'none',
      size: [3, 8],
      queries: [over(series.sum([], 'stopgap_api_feeds'))],
    }),
  ],
};
