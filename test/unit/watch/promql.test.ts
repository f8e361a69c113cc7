import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupingLabels, selectorsOf } from '../../support/watch/promql.js';

test('selectors are found in every position, and nothing else is taken for one', () => {
  const expression = `label_replace(
    histogram_quantile(0.9, sum by (job, le) (rate(a_bucket{stage!="connect", x =~ "b|c"}[10m]))) > 2.5e3
      unless on (job) job:level:rate5m offset 1w <= bool 3 * time(),
    "about", "no_metric", "", ""
  ) or up == Inf`;
  assert.deepEqual(selectorsOf(expression), [
    {
      metric: 'a_bucket',
      matchers: [
        { label: 'stage', op: '!=', value: 'connect' },
        { label: 'x', op: '=~', value: 'b|c' },
      ],
    },
    { metric: 'job:level:rate5m', matchers: [] },
    { metric: 'up', matchers: [] },
  ]);
  assert.deepEqual(groupingLabels(expression), ['job', 'le']);
});

test('a value may hold braces, quotes and names', () => {
  assert.deepEqual(selectorsOf('a{b="on (c) \\"d\\""} and e'), [
    { metric: 'a', matchers: [{ label: 'b', op: '=', value: 'on (c) \\"d\\"' }] },
    { metric: 'e', matchers: [] },
  ]);
});
