import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { DASHBOARDS } from '../../../grafana/source/dashboards.js';
import { readCompose, readYaml, ROOT, text } from '../deploy/compose.js';

const { services } = readCompose('docker-compose.yml');
const grafana = services['grafana']!;

/** Where in the container of Grafana a folder of the repository is; undefined if it is not. */
function mountedAt(folder: string): string | undefined {
  const mount = grafana.volumes!.find((volume) => volume.startsWith(`./${folder}:`));
  return mount?.split(':')[1];
}

test('Grafana finds what is provisioned', () => {
  for (const kind of ['datasources', 'dashboards'])
    assert.equal(mountedAt(`grafana/provisioning/${kind}`), `/etc/grafana/provisioning/${kind}`);
  const { providers } = readYaml('grafana/provisioning/dashboards/stopgap.yaml') as {
    providers: { options: { path: string } }[];
  };
  const [, folder] = /^COPY --from=dashboards \S+ (\S+)$/m.exec(text('Dockerfile'))!;
  assert.deepEqual(grafana.build, { context: '.', target: 'grafana' });
  assert.deepEqual(
    providers.map(({ options }) => options.path),
    [folder],
  );
  const home = grafana.environment!['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH']!;
  assert.ok(path.dirname(home) === folder! && path.basename(home) in DASHBOARDS, home);
});

test('its data source knows how often Prometheus scrapes, and Prometheus keeps what it shows', () => {
  const { datasources } = readYaml('grafana/provisioning/datasources/prometheus.yaml') as {
    datasources: { type: string; url: string; jsonData: { timeInterval: string } }[];
  };
  const { global } = readYaml('deploy/prometheus/prometheus.yml') as { global: { scrape_interval: string } };
  assert.deepEqual(
    datasources.map(({ type, url, jsonData }) => ({ type, url, timeInterval: jsonData.timeInterval })),
    [{ type: 'prometheus', url: 'http://prometheus:9090', timeInterval: global.scrape_interval }],
  );
  assert.ok(services['prometheus']!.command!.includes('--enable-feature=exemplar-storage'));
});

test('the schema that dashboards are checked against is that of the Grafana that runs', () => {
  const { devDependencies } = JSON.parse(text('package.json')) as { devDependencies: Record<string, string> };
  const minor = (version: string): string => /(\d+\.\d+)\.\d+/.exec(version)![1]!;
  assert.equal(
    minor(devDependencies['@grafana/schema']!),
    minor(/^FROM (grafana\/grafana:\S+) AS grafana$/m.exec(text('Dockerfile'))![1]!),
  );
});

test('links begin where the examples for Prometheus and docker-compose.yml have it', () => {
  const { global } = readYaml('grafana/prometheus/prometheus.yml') as {
    global: { external_labels: { stopgap_base_url: string } };
  };
  const [published] = services['api']!.ports!;
  const api = `http://${published!.split(':').slice(0, 2).join(':')}`;
  for (const [file, { templating }] of Object.entries(DASHBOARDS)) {
    const value = (name: string) => templating!.list!.find((one) => one.name === name)?.current?.value;
    assert.equal(value('docs'), global.external_labels.stopgap_base_url, file);
    assert.equal(value('api'), api, file);
  }
});

test('docs/reference/dashboards.md names files that there are', () => {
  const page = text('docs/reference/dashboards.md');
  const files = [...page.matchAll(/(?<!@)\b((?:grafana|deploy)\/[\w./-]*\w)/g)].map(([, name]) => name!);
  assert.ok(files.length > 5);
  // Made by deploy/make-secrets.sh and by npm run dashboards.
  const made = /^(deploy\/secrets\/.*|grafana\/dashboards)$/;
  for (const file of files.filter((name) => !made.test(name)))
    assert.ok(existsSync(path.join(ROOT, file)), file);
});
