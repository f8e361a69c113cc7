import assert from 'node:assert/strict';
import { Metrics } from '../../../src/metrics/metrics.js';
import { documentedMetrics } from '../metrics.js';
import { groupingLabels, selectorsOf } from './promql.js';
import { shippedRules } from './rules.js';

/** What Prometheus puts on every series. */
const TARGET = ['job', 'instance'];
/** What it tells of itself, and runbooks ask for. */
const OF_PROMETHEUS = [
  'prometheus_notifications_alertmanagers_discovered',
  'prometheus_notifications_errors_total',
];

/** A series as it is asked for: a histogram has three. */
export interface Exposed {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  /** By label the values that it may have, where docs/reference/metrics.md lists them. */
  readonly values: ReadonlyMap<string, readonly string[] | undefined>;
}

/** Every series that a process exposes, and what Prometheus tells of it itself, by name. */
export function exposedSeries(): ReadonlyMap<string, Exposed> {
  const documented = documentedMetrics();
  const all = new Map<string, Exposed>();
  for (const { name, type, labelNames } of new Metrics().registry.shown()) {
    const series = {
      type: type as Exposed['type'],
      labels: [...labelNames, ...TARGET],
      values: documented.get(name)?.labels ?? new Map(),
    };
    if (type !== 'histogram') all.set(name, series);
    else {
      all.set(`${name}_bucket`, { ...series, labels: [...series.labels, 'le'] });
      all.set(`${name}_sum`, series).set(`${name}_count`, series);
    }
  }
  return all.set('up', { type: 'gauge', labels: TARGET, values: new Map() });
}

/** Those, what the rules that ship record, and what Prometheus tells of itself. */
export function watchedSeries(): ReadonlyMap<string, Pick<Exposed, 'labels' | 'values'>> {
  const all = new Map<string, Pick<Exposed, 'labels' | 'values'>>(exposedSeries());
  for (const name of OF_PROMETHEUS) all.set(name, { labels: TARGET, values: new Map() });
  for (const { record, expr } of shippedRules().recorded) {
    // Labels keep the values of what they were recorded from.
    const { values } = all.get(selectorsOf(expr)[0]!.metric)!;
    all.set(record, { labels: groupingLabels(expr), values });
  }
  return all;
}

/** An expression asks for series, labels and values that there are, and groups by labels that these have. */
export function assertAsksForWhatIs(
  expr: string,
  series: ReadonlyMap<string, Pick<Exposed, 'labels' | 'values'>>,
  where: string,
): void {
  const selectors = selectorsOf(expr);
  assert.ok(selectors.length > 0, `${where}: no selector in ${expr}`);
  for (const { metric, matchers } of selectors) {
    const known = series.get(metric);
    assert.ok(known !== undefined, `${where}: there is no ${metric}`);
    for (const { label, op, value } of matchers) {
      assert.ok(known.labels.includes(label), `${where}: ${metric} has no label ${label}`);
      const list = known.values.get(label);
      if (list === undefined || value.startsWith('$')) continue;
      for (const one of op === '=~' || op === '!~' ? value.split('|') : [value])
        assert.ok(list.includes(one), `${where}: ${label} of ${metric} is never ${one}`);
    }
  }
  const made = [...expr.matchAll(/\blabel_replace\([^"]*"(\w+)"/g)].map(([, label]) => label!);
  const there = new Set([...selectors.flatMap(({ metric }) => series.get(metric)!.labels), ...made]);
  for (const label of groupingLabels(expr)) assert.ok(there.has(label), `${where}: nothing has ${label}`);
}
