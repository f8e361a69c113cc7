import type { Row } from '../dashboard.js';
import { apiLink } from '../links.js';
import { barGauge, now, over, stat } from '../panels.js';
import { installation as series } from '../promql.js';
import { text } from '../text.js';

export const shadow: Row = {
  title: 'Shadow rules',
  collapsed: true,
  panels: [
    stat({
      title: 'Shadow rules',
      description: text`
        The number of the set, 0 where there is none, and cases that are not settled: the other set may
        still come to the same.
      `,
      unit: 'none',
      size: [6, 9],
      queries: [
        over(series.max([], 'stopgap_shadow_rules_version'), 'set'),
        over(series.max([], 'stopgap_shadow_verdicts_open'), 'open cases'),
      ],
      links: [apiLink('The shadow rules', '/api/v1/rules/shadow')],
    }),
    barGauge({
      title: 'Where they differ from those in force',
      description: text`
        Settled cases since they were loaded. \`shadow_only\`: whom they would have stopped besides.
        \`live_only\`: whom they would have let pass.
      `,
      unit: 'none',
      size: [18, 9],
      queries: [now(series.max(['rule', 'kind'], 'stopgap_shadow_verdicts'), '{{rule}}: {{kind}}')],
      none: 'no case is settled',
      links: [apiLink('The differences', '/api/v1/rules/shadow/differences')],
    }),
  ],
};
