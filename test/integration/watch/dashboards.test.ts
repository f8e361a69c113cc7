import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Dashboard, VariableModel } from '@grafana/schema';
import { SECOND } from '../../../src/kernel/time.js';
import { documentedMetrics } from '../../support/metrics.js';
import { workDir } from '../../support/smtp/served.js';
import { skipWithout } from '../../support/watch/binaries.js';
import { Busy } from '../../support/watch/busy.js';
import type { Found } from '../../support/watch/client.js';
import { PrometheusClient } from '../../support/watch/client.js';
import type { Asked } from '../../support/watch/dashboards.js';
import { queriesOf, shippedDashboards, substituted } from '../../support/watch/dashboards.js';
import { selectorsOf } from '../../support/watch/promql.js';
import { PROMETHEUS } from '../../support/watch/rules.js';
import { startPrometheus } from '../../support/watch/server.js';

/** What a single process that is well, without Redis, has nothing to say of: nor of baselines that a node alone follows. */
const MAY_BE_EMPTY: readonly string[] = [
  // Only a server has a clock of its own.
  'operation.json, Clock of KurrentDB, less ours, A',
  'operation.json, Ready, C',
  'operation.json, Redis, A',
  'operation.json, Jobs compared with the ledger, A',
  'operation.json, Restarts, Anno',
];
const DEADLINE = 30 * SECOND;

/** As the example has it, with the rules that ship, and in a hurry. */
const configuration = (target: string): unknown => ({
  global: { scrape_interval: '1s', evaluation_interval: '1s' },
  rule_files: [path.join(PROMETHEUS, 'rules/*.yml')],
  scrape_configs: [{ job_name: 'stopgap', static_configs: [{ targets: [target] }] }],
});

test(
  'every query of every dashboard finds series of a Stopgap that is busy',
  { skip: await skipWithout('prometheus'), timeout: 60 * SECOND },
  async (t) => {
    const busy = await Busy.start(t);
    const dir = await workDir(t);
    const { address } = await startPrometheus(t, dir, configuration(busy.target), [
      '--enable-feature=exemplar-storage',
    ]);
    const prometheus = new PrometheusClient(address);

    await until('Prometheus is ready', () => prometheus.ready());

    // Seen, and seen again: a series that is new has not risen yet.
    const sends = 'stopgap_sends_total{direction="outbound"}';
    const sent = async (): Promise<number> => (await prometheus.query(sends))[0]?.value ?? -1;
    await until('Prometheus has looked', async () => (await sent()) === 0);
    await busy.day();
    await until('Prometheus has looked again', async () => (await sent()) > 0);
    await busy.day();
    const deadline = performance.now() + DEADLINE;

    for (const { file, dashboard } of shippedDashboards()) {
      await t.test(file, async () => {
        const variables = await chosen(prometheus, dashboard);
        const asked = queriesOf({ file, dashboard }).map(({ where, expr }) => ({
          where,
          expr: substituted(expr, variables),
        }));
        await allFound(
          prometheus,
          asked.filter(({ where }) => !MAY_BE_EMPTY.includes(where)),
          deadline,
        );
        for (const { where, expr } of asked.filter((one) => MAY_BE_EMPTY.includes(one.where))) {
          await prometheus.query(expr);
          for (const { metric } of selectorsOf(expr)) assert.ok(documentedMetrics().has(metric), where);
        }
      });
    }

    await t.test('what may be empty is there to be asked', () => {
      const all = shippedDashboards().flatMap(queriesOf);
      for (const where of MAY_BE_EMPTY)
        assert.ok(
          all.some((one) => one.where === where),
          where,
        );
    });

    await t.test('points of containment name their correlation', async () => {
      const exemplars = await prometheus.exemplars('stopgap_containment_seconds_bucket');
      assert.ok(exemplars.length > 0);
      for (const { correlation } of exemplars) assert.match(correlation!, /^event:\d+$/);
    });

    await t.test('links into the API lead somewhere', async () => {
      const urls = new Set(
        shippedDashboards().flatMap(({ dashboard }) =>
          [...JSON.stringify(dashboard).matchAll(/"url":"\$\{api\}([^"]+)"/g)].map(([, url]) => url!),
        ),
      );
      assert.ok(urls.size > 5);
      for (const url of urls) {
        const response = await busy.request('GET', url.replace(/\$\{__value\.text[^}]*\}/, 'burst'));
        assert.equal(response.status, 200, `${url}: ${await response.text()}`);
      }
    });
  },
);

/** The initial value of each variable of a dashboard; those that are queries find something. */
async function chosen(
  prometheus: PrometheusClient,
  { templating }: Dashboard,
): Promise<Readonly<Record<string, string>>> {
  const values: Record<string, string> = {};
  for (const variable of templating!.list!) {
    values[variable.name] =
      variable.type === 'query' ? await queried(prometheus, variable, values) : present(variable);
  }
  return values;
}

async function queried(
  prometheus: PrometheusClient,
  { name, query, allValue }: VariableModel,
  before: Readonly<Record<string, string>>,
): Promise<string> {
  const text = (query as { query: string }).query;
  const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(text) ?? assert.fail(text);
  const found = await prometheus.labelValues(label!, substituted(selector!, before));
  assert.ok(found.length > 0, `${name} has no values`);
  return allValue ?? found[0]!;
}

const present = ({ current }: VariableModel): string => String(current?.value ?? '');

/** Asks until each has series, and a number among their values; says which have not. */
async function allFound(
  prometheus: PrometheusClient,
  asked: readonly Asked[],
  deadline: number,
): Promise<void> {
  let missing = asked;
  for (;;) {
    const found = await Promise.all(missing.map(({ expr }) => prometheus.query(expr)));
    missing = missing.filter((_, index) => !hasNumber(found[index]!));
    if (missing.length === 0) return;
    if (performance.now() > deadline) break;
    await pause(200);
  }
  assert.fail(`nothing is found:\n${missing.map(({ where, expr }) => `${where}\n    ${expr}`).join('\n')}`);
}

const hasNumber = (found: readonly Found[]): boolean => found.some(({ value }) => Number.isFinite(value));

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `still not so: ${what}`);
    await pause(100);
  }
}
