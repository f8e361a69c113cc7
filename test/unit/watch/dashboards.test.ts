import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Panel, RowPanel, VariableModel } from '@grafana/schema';
import { isRow, panelsOf, queriesOf, shippedDashboards } from '../../support/watch/dashboards.js';
import { assertAsksForWhatIs, exposedSeries } from '../../support/watch/exposed.js';
import { selectorsOf } from '../../support/watch/promql.js';
import { REPOSITORY, shippedRules } from '../../support/watch/rules.js';

const shipped = shippedDashboards();
const exposed = exposedSeries();
/** What Prometheus says of alerts; its labels are those of the alerts. */
const ALERTS = 'ALERTS';
const alertLabels = ['alertname', 'alertstate', 'severity', 'job', 'instance', 'rule', 'role', 'stage'];
const series = new Map(exposed).set(ALERTS, { type: 'gauge', labels: alertLabels, values: new Map() });
/** A counter whose level says it, since it is counted again at each start: see the alert StopgapSkippedEvents. */
const LEVELS = new Set(['stopgap_skipped_events_total']);

test('npm run dashboards writes each dashboard into a file of its own', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'stopgap-dashboards-'));
  try {
    const script = path.join(REPOSITORY, 'dist/grafana/generate.js');
    execFileSync(process.execPath, [script, folder], { stdio: 'ignore' });
    const written = readdirSync(folder).map((file) => ({
      file,
      dashboard: JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as unknown,
    }));
    assert.deepEqual(
      written,
      shipped.toSorted((one, other) => (one.file < other.file ? -1 : 1)),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every metric of ours is on a dashboard', () => {
  const asked = new Set(
    shipped.flatMap((one) =>
      queriesOf(one).flatMap(({ expr }) => selectorsOf(expr).map(({ metric }) => metric)),
    ),
  );
  const ofNode = /^stopgap_(nodejs|process)_/;
  const parts = (name: string): string => name.replace(/_(bucket|sum|count)$/, '');
  const shown = new Set([...asked].map(parts));
  assert.deepEqual(
    [...exposed.keys()].filter((name) => !ofNode.test(name) && !shown.has(parts(name))),
    [],
  );
});

for (const one of shipped) {
  const { file, dashboard } = one;
  const text = JSON.stringify(dashboard);

  describe(file, () => {
    test('asks for series and labels that there are, counters as counters and gauges as gauges', () => {
      for (const { where, expr } of queriesOf(one)) {
        assertAsksForWhatIs(expr, series, where);
        for (const { metric } of selectorsOf(expr)) {
          const counts = series.get(metric)!.type !== 'gauge' && !LEVELS.has(metric);
          const rises = new RegExp(`\\b(rate|increase)\\(${metric}\\{`).test(expr);
          assert.equal(rises, counts, `${where}: ${expr}`);
        }
      }
    });

    test('asks of one installation only', () => {
      for (const { where, expr } of queriesOf(one))
        for (const { metric, matchers } of selectorsOf(expr)) {
          const job = matchers.find(({ label }) => label === 'job');
          assert.equal(job?.value, metric === ALERTS ? '|$job' : '$job', `${where}: ${expr}`);
        }
    });

    test('uses the variables that it has, and no others', () => {
      const builtIn = /^(__|datasource$)/;
      const used = [...text.matchAll(/\$(?:\{(\w+)|(\w+))/g)].map(([, braced, bare]) => braced ?? bare!);
      const has = dashboard.templating!.list!.map(({ name }: VariableModel) => name);
      assert.deepEqual(
        [...new Set(used)].filter((name) => !builtIn.test(name)).sort(),
        has.filter((name) => !builtIn.test(name)).sort(),
      );
      assert.ok(has.includes('datasource'));
    });

    test('every panel says what it shows, in which unit, from the data source that is chosen', () => {
      for (const { title, description, fieldConfig, datasource, targets = [] } of panelsOf(dashboard)) {
        assert.ok((title ?? '') !== '' && (description ?? '').length > 20, title);
        assert.match(description!, /^[A-Z`1].*[.)]$/s, title);
        assert.ok(fieldConfig!.defaults.unit !== undefined, title);
        assert.ok(targets.length > 0, title);
        const ids = (targets as { refId: string }[]).map(({ refId }) => refId);
        assert.equal(new Set(ids).size, ids.length, title);
        for (const source of [
          datasource,
          ...(targets as Pick<Panel, 'datasource'>[]).map((t) => t.datasource),
        ])
          assert.deepEqual(source, { type: 'prometheus', uid: '${datasource}' }, title);
      }
    });

    test('panels have numbers of their own and lie beside each other', () => {
      const all: (Panel | RowPanel)[] = (dashboard.panels ?? []).flatMap((panel) =>
        isRow(panel) ? [panel, ...panel.panels] : [panel],
      );
      assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
      const open = dashboard.panels ?? [];
      const taken = new Map<string, string>();
      for (const { title = '', gridPos } of open) {
        const { x, y, w, h } = gridPos!;
        assert.ok(x >= 0 && x + w <= 24, title);
        for (let column = x; column < x + w; column++)
          for (let line = y; line < y + h; line++) {
            const cell = `${column} ${line}`;
            assert.equal(taken.get(cell), undefined, `${title} lies on another`);
            taken.set(cell, title);
          }
      }
    });

    test('links lead to alerts that there are, and to files', () => {
      const alerts = new Set(shippedRules().alerts.map(({ alert }) => alert));
      const runbooks = [...text.matchAll(/docs\/run\/incidents\.md#(\w+)/g)].map(([, alert]) => alert!);
      assert.deepEqual(
        runbooks.filter((alert) => !alerts.has(alert)),
        [],
      );
      const files = [...text.matchAll(/\$\{docs\}(docs\/[\w./-]+\.md)/g)].map(([, name]) => name!);
      assert.ok(files.length > 0);
      for (const name of files) assert.ok(existsSync(path.join(REPOSITORY, name)), name);
    });
  });
}

test('alerts are mentioned next to their figures', () => {
  const all = shipped.map(({ dashboard }) => JSON.stringify(dashboard)).join('');
  const missing = new Set(shippedRules().alerts.map(({ alert }) => alert));
  for (const alert of [...missing]) if (all.includes(`incidents.md#${alert})`)) missing.delete(alert);
  // It is no figure: it says that alerts get through.
  assert.deepEqual([...missing], ['StopgapWatchdog']);
});
