import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { assertAsksForWhatIs, watchedSeries } from '../../support/watch/exposed.js';
import { groupingLabels } from '../../support/watch/promql.js';
import { filesOf, groupsOf, ruleTestFile, shippedRules } from '../../support/watch/rules.js';
import { INTRODUCTION, runbooks } from '../../support/watch/runbooks.js';

const { alerts, recorded } = shippedRules();
const names = [...new Set(alerts.map(({ alert }) => alert))];
const series = watchedSeries();
const sections = new Map(runbooks().map(({ name, text }) => [name, text]));

test('rules ask for series and labels that there are, and for values that these may have', () => {
  for (const { alert, expr } of alerts) assertAsksForWhatIs(expr, series, alert);
  for (const { record, expr } of recorded) assertAsksForWhatIs(expr, series, record);
});

test('recorded series are named level:metric:operation, the level being their labels', () => {
  for (const { record, expr } of recorded) {
    const [level, metric, operation, ...rest] = record.split(':');
    assert.deepEqual(rest, [], record);
    assert.equal(level, groupingLabels(expr).join('_'), record);
    assert.match(metric!, /^stopgap_/, record);
    assert.match(operation!, /^[a-z]+(\d+[smhdw])?$/, record);
  }
});

describe('every alert', () => {
  for (const name of names) {
    const rules = alerts.filter(({ alert }) => alert === name);
    test(name, () => {
      assert.match(name, /^Stopgap[A-Z][A-Za-z]+$/);
      const severities = rules.map(({ labels }) => labels.severity);
      assert.equal(new Set(severities).size, severities.length, 'two rules of one severity');
      for (const { labels, annotations, for: span } of rules) {
        assert.match(labels.severity, name === 'StopgapWatchdog' ? /^none$/ : /^(critical|warning|info)$/);
        assert.deepEqual(Object.keys(annotations), ['summary', 'description', 'runbook_url']);
        const { summary, description, runbook_url: url } = annotations;
        assert.ok(summary!.length < 140 && !/\.$/.test(summary!), summary);
        assert.match(description!, /\.$/);
        assert.equal(url, `{{ $externalLabels.stopgap_base_url }}docs/run/incidents.md#${name}`);
        assert.match(span ?? '1m', /^\d+[mhd]$/);
      }
      const text = sections.get(name);
      assert.ok(text !== undefined, `docs/run/incidents.md has no heading ${name}`);
      const said = [...text.matchAll(/\*\*(critical|warning|info|none)\*\*/g)].map(
        ([, severity]) => severity,
      );
      assert.deepEqual(said, severities);
    });
  }
});

test('the page of incidents has a heading for each alert, and for no other', () => {
  assert.deepEqual([...sections.keys()].sort(), [INTRODUCTION, ...names].sort());
});

describe('tests of the rules', () => {
  const tests = filesOf('tests').flatMap((file) => ruleTestFile(file).tests);

  test('show each alert fire, with all that it says, and not fire', () => {
    const expectations = tests.flatMap((one) => one.alert_rule_test);
    for (const { alert, labels } of alerts) {
      const about = expectations.filter(({ alertname }) => alertname === alert);
      const fires = about.filter(({ exp_alerts: expected }) =>
        expected.some(({ exp_labels: { severity } }) => severity === labels.severity),
      );
      const title = `${alert}, ${labels.severity}`;
      assert.ok(fires.length > 0, `${title}: no test shows it fire`);
      assert.ok(fires.length < about.length, `${title}: no test shows it not fire`);
      for (const { exp_annotations: said } of fires.flatMap(({ exp_alerts: expected }) => expected))
        assert.deepEqual(Object.keys(said ?? {}), ['summary', 'description', 'runbook_url'], title);
    }
    for (const { alertname } of expectations) assert.ok(names.includes(alertname), alertname);
  });

  test('feed series, labels and values that there are', () => {
    for (const { name, input_series: inputs } of tests)
      for (const { series: input } of inputs) assertAsksForWhatIs(input, series, name);
  });

  test('evaluate the groups in an order: those that record come first', () => {
    for (const file of filesOf('tests')) {
      const { rule_files: rules, group_eval_order: order } = ruleTestFile(file);
      const groups = rules.flatMap((rule) => groupsOf(path.basename(rule)).map((group) => group.name));
      // Of a single group there is no order.
      if (groups.length > 1) assert.deepEqual(order, groups, file);
    }
  });
});
