import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../../../src/metrics/metrics.js';
import { documentedMetrics } from '../../support/metrics.js';

const documented = documentedMetrics();
/** What prom-client collects of every process by itself: the page names those of them that one acts upon. */
const BY_DEFAULT = /^stopgap_(nodejs|process)_/;
const shown = new Metrics().registry.shown();

test('docs/reference/metrics.md lists the metrics that there are, and no others', () => {
  assert.deepEqual(
    shown.map(({ name }) => name).filter((name) => !documented.has(name) && !BY_DEFAULT.test(name)),
    [],
    'not in the document',
  );
  const known = new Set(shown.map(({ name }) => name));
  assert.deepEqual(
    [...documented.keys()].filter((name) => !known.has(name)),
    [],
    'in the document only',
  );
});

test('with their types and labels, and what each means', () => {
  for (const { name, type, labelNames } of shown.filter((each) => documented.has(each.name))) {
    const { labels, meaning, ...said } = documented.get(name)!;
    assert.deepEqual(
      { ...said, labels: [...labels.keys()].sort() },
      { type, labels: [...labelNames].sort() },
      name,
    );
    assert.notEqual(meaning, '', name);
    for (const [label, values = []] of labels)
      assert.deepEqual([...new Set(values)], values, `${name} has a value of ${label} twice`);
  }
});

test('names follow the conventions of Prometheus', () => {
  for (const { name, type } of shown) {
    assert.match(name, /^stopgap_[a-z][a-z0-9_]*$/, name);
    if (BY_DEFAULT.test(name)) continue;
    assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
    assert.doesNotMatch(name, /_(ms|millis|milliseconds|minutes|hours|days|percent|kb|mb)(_|$)/, name);
  }
});
