import { installation as series } from './promql.js';
import type { PrometheusAnnotation } from './schema.js';
import { DATASOURCE } from './variables.js';

/** Where somebody came to be refused. */
export const blocks = annotation({
  name: 'Blocks',
  color: 'red',
  expr: series.bars(['type', 'origin'], 'stopgap_block_transitions_total', 'state="active"'),
  title: 'Blocked: {{type}}',
  text: 'by {{origin}}',
  tags: ['type', 'origin'],
});

/** Where somebody said that it was wrong. */
export const falsePositives = annotation({
  name: 'False positives',
  color: 'purple',
  expr: series.bars(['rule'], 'stopgap_block_outcomes_total', 'outcome="false_positive"'),
  title: 'Released as a false positive',
  text: 'Rule {{rule}}',
  tags: ['rule'],
});

/** Changes of the rules in force. */
export const rulesChanged = annotation({
  name: 'Rules changed',
  color: 'blue',
  expr: `max(changes(${series.of('stopgap_rules_version')}[$__rate_interval]))`,
  title: 'Another rule set came into force',
  text: '',
  tags: [],
});

/** Restarts of a process. */
export const restarts = annotation({
  name: 'Restarts',
  color: 'orange',
  expr: `sum by (instance) (changes(${series.of('stopgap_process_start_time_seconds')}[$__rate_interval]))`,
  title: 'Started: {{instance}}',
  text: '',
  tags: ['instance'],
});

/** What is above 0 is marked. */
function annotation(wish: {
  name: string;
  color: string;
  expr: string;
  title: string;
  text: string;
  tags: readonly string[];
}): PrometheusAnnotation {
  return {
    name: wish.name,
    enable: true,
    iconColor: wish.color,
    datasource: DATASOURCE,
    target: { refId: 'Anno', expr: `${wish.expr} > 0`, range: true, instant: false, editorMode: 'code' },
    titleFormat: wish.title,
    textFormat: wish.text,
    tagKeys: wish.tags.join(','),
  };
}
