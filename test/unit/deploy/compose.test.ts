import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { parseTokens } from '../../../src/accounts/tokens.js';
import { parseUsers } from '../../../src/accounts/users.js';
import type { Config } from '../../../src/config.js';
import { listSettings, loadConfig, OTHER_VARIABLES } from '../../../src/config.js';
import { ROLES } from '../../../src/config/values.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Service } from './compose.js';
import { readCompose, readYaml, ROOT, text } from './compose.js';

const FORMS = {
  'one KurrentDB': readCompose('docker-compose.yml'),
  'a KurrentDB cluster': readCompose('docker-compose.yml', 'docker-compose.cluster.yml'),
} as const;

/** A stand-in for each secret: what deploy/make-secrets.sh would make. */
const SECRETS: Readonly<Record<string, string>> = {
  'redis-url': 'redis://:0123@redis:6379\n',
  'store-url':
    'kurrentdb://admin:0123@kurrentdb:2113,kurrentdb-2:2113?tls=true&tlsCaFile=/etc/stopgap-ca/ca.crt\n',
};
const IS_STOPGAP = /^stopgap:/;

for (const [form, compose] of Object.entries(FORMS)) {
  const services = Object.entries(compose.services);
  const nodes = services.filter(([, { image }]) => IS_STOPGAP.test(image ?? ''));

  /** The configuration that a node starts with, its secrets and files being what they are in its container. */
  const configOf = (service: Service): Config => {
    const directory = mkdtempSync(path.join(tmpdir(), 'stopgap-'));
    try {
      const env: Record<string, string> = { ...service.environment };
      for (const [name, value] of Object.entries(env)) {
        const secret = /^\/run\/secrets\/(.+)$/.exec(value)?.[1];
        if (secret === undefined) continue;
        assert.ok(service.secrets?.includes(secret), `${name} names a secret that the service does not get`);
        env[name] = path.join(directory, secret);
        writeFileSync(env[name], SECRETS[secret]!);
      }
      assert.equal(env['STOPGAP_CONFIG'], '/etc/stopgap/stopgap.yaml');
      assert.ok(service.volumes?.includes('./deploy/stopgap:/etc/stopgap:ro'));
      env['STOPGAP_CONFIG'] = `${ROOT}deploy/stopgap/stopgap.yaml`;
      const { config, evaluation, warnings } = loadConfig({ env, cwd: directory, checkFiles: false });
      assert.equal(evaluation, false);
      assert.deepEqual(warnings, []);
      return config;
    } finally {
      rmSync(directory, { recursive: true });
    }
  };

  test(`${form}: every variable of Stopgap is one`, () => {
    const known = new Set([
      ...listSettings().flatMap(({ env }) => [env, `${env}_FILE`]),
      ...Object.keys(OTHER_VARIABLES),
    ]);
    for (const [name, { environment = {} }] of services) {
      for (const variable of Object.keys(environment)) {
        if (variable.startsWith('STOPGAP_')) assert.ok(known.has(variable), `${name}: ${variable}`);
      }
    }
  });

  test(`${form}: every node's configuration is accepted, and all roles are there`, () => {
    const configs = nodes.map(([name, service]) => ({ name, config: configOf(service) }));
    assert.deepEqual(
      // Nothing here has a mail server of its own that asks.
      ROLES.filter((role) => role !== 'policy' && !configs.some(({ config }) => config.roles.includes(role))),
      [],
    );
    assert.equal(configs.filter(({ config }) => config.roles.includes('smtp')).length, 2);
    for (const { name, config } of configs) {
      assert.equal(config.store.kind, 'kurrentdb', name);
      assert.equal(
        config.redis !== undefined,
        config.roles.includes('worker'),
        `${name}: Redis is the worker's`,
      );
      assert.equal(config.data, '/var/lib/stopgap');
      assert.equal(config.api.listen.port, 8025);
      assert.equal(config.api.listen.host, undefined, 'other containers must reach /metrics');
    }
  });

  test(`${form}: who speaks to others than its neighbours has a way out`, () => {
    // smtp: your mail server; api: an OpenID provider, and callers; worker: receivers of notices, and a hook that is a URL.
    const speakers = nodes.filter(([, service]) =>
      configOf(service).roles.some((role) => ['smtp', 'api', 'worker'].includes(role)),
    );
    const ways = new Set(
      Object.entries(compose.networks!).flatMap(([name, network]) =>
        network?.internal === true ? [] : [name],
      ),
    );
    assert.deepEqual(
      speakers.filter(([, { networks = {} }]) => !Object.keys(networks).some((name) => ways.has(name))),
      [],
    );
  });

  test(`${form}: a node writes into volumes of its own only`, () => {
    const written = nodes.map(([name, { volumes = [] }]) => {
      const own = volumes.filter((volume) => volume.endsWith(':/var/lib/stopgap'));
      assert.equal(own.length, 1, name);
      return own[0]!;
    });
    assert.equal(new Set(written).size, nodes.length);
    const writers = nodes.filter(([, { volumes = [] }]) =>
      volumes.includes('accounts:/var/lib/stopgap-accounts'),
    );
    assert.deepEqual(
      writers.map(([name]) => name),
      ['api'],
      'the users and tokens files are changed in one place',
    );
  });

  test(`${form}: what is mounted from the repository is there, and what is named is declared`, () => {
    for (const [name, service] of services) {
      const { volumes = [], secrets = [], networks = {}, depends_on: dependsOn = {} } = service;
      for (const volume of volumes) {
        const source = volume.split(':')[0]!;
        if (source.startsWith('.')) assert.ok(existsSync(path.join(ROOT, source)), `${name}: ${source}`);
        else assert.ok(source in compose.volumes!, `${name}: volume ${source}`);
      }
      for (const secret of secrets) assert.ok(secret in compose.secrets!, `${name}: secret ${secret}`);
      for (const network of Object.keys(networks))
        assert.ok(network in compose.networks!, `${name}: ${network}`);
      for (const [other, { condition }] of Object.entries(dependsOn)) {
        const target = compose.services[other];
        assert.ok(target !== undefined, `${name} depends on ${other}`);
        if (condition === 'service_healthy')
          assert.ok(target.healthcheck !== undefined, `${other}: healthcheck`);
        else assert.equal(`${condition} ${target.restart}`, 'service_completed_successfully no');
      }
    }
    const used = new Set(
      services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0])),
    );
    for (const volume of Object.keys(compose.volumes!)) assert.ok(used.has(volume), `nobody uses ${volume}`);
  });

  test(`${form}: each service is confined, or says why not`, () => {
    for (const [name, service] of services) {
      const user = service.user ?? '';
      if (user === '') assert.ok(service['x-user'], `${name}: user`);
      else if (/^(0|root)\b/.test(user)) assert.ok(service['x-root'], `${name} runs as root`);
      if (service.read_only !== true) assert.ok(service['x-writable'], `${name}: read_only`);
      if (service.healthcheck === undefined) assert.ok(service['x-health'], `${name}: healthcheck`);
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      assert.ok(service.restart !== undefined, `${name}: restart`);
    }
  });

  test(`${form}: images are pinned to a version`, () => {
    for (const [name, { image = '' }] of services) {
      assert.match(image, /:v?\d+\.\d+\.\d+(-[a-z]+)?(@sha256:[0-9a-f]{64})?$/, name);
    }
  });

  test(`${form}: ports are published on loopback, each once, and lead to one that is listened on`, () => {
    const taken = new Set<string>();
    for (const [name, service] of services) {
      for (const port of service.ports ?? []) {
        const [, published, target] =
          /^127\.0\.0\.1:(\d+):(\d+)$/.exec(port) ?? assert.fail(`${name}: ${port}`);
        assert.ok(!taken.has(published!), `${name}: ${published} is taken`);
        taken.add(published!);
        assert.ok('outside' in service.networks!, `${name}: a port of an internal network leads nowhere`);
        if (!IS_STOPGAP.test(service.image!)) continue;
        const { smtp, api } = configOf(service);
        const listened = [...smtp.submission, api].map(({ listen }) => String(listen.port));
        assert.ok(listened.includes(target!), `${name}: nobody listens on ${target}`);
      }
    }
  });

  test(`${form}: the engines are not reached from outside`, () => {
    assert.deepEqual((compose.networks!['inside'] as { internal: boolean }).internal, true);
    for (const [name, { image = '', networks }] of services) {
      if (/kurrentdb|redis/.test(image)) assert.deepEqual(Object.keys(networks!), ['inside'], name);
    }
  });
}

test('a cluster of three: each knows the two others, by the addresses of its certificates', () => {
  const compose = FORMS['a KurrentDB cluster'];
  const script = (compose.services['certificates']!.command ?? []).join('\n');
  const nodes = ['kurrentdb', 'kurrentdb-2', 'kurrentdb-3'].map((name, index) => {
    const { environment = {}, networks = {}, volumes = [], healthcheck } = compose.services[name]!;
    const { ipv4_address: address } = networks['inside'] as { ipv4_address: string };
    assert.equal(environment['KURRENTDB_REPLICATION_IP'], address);
    assert.equal(environment['KURRENTDB_CLUSTER_SIZE'], '3');
    assert.equal(environment['KURRENTDB_INSECURE'], 'false');
    assert.equal(environment['KURRENTDB_ADVERTISE_HOST_TO_CLIENT_AS'], name);
    assert.match(script, new RegExp(`^node ${index + 1} ${address.replaceAll('.', '\\.')} ${name}$`, 'm'));
    const certificates = name === 'kurrentdb' ? 'kurrentdb-certs' : `${name}-certs`;
    assert.ok(volumes.includes(`${certificates}:/etc/kurrentdb-certs:ro`));
    assert.ok(compose.services['certificates']!.volumes!.includes(`${certificates}:/certs-${index + 1}`));
    assert.match(healthcheck!.test.at(-1)!, /^https:/);
    return { address, seeds: environment['KURRENTDB_GOSSIP_SEED']!.split(',').sort() };
  });
  for (const { address, seeds } of nodes) {
    const others = nodes.filter((other) => other.address !== address).map((other) => `${other.address}:2113`);
    assert.deepEqual(seeds, others.sort());
  }
  const withKey = Object.entries(compose.services).filter(([, { volumes = [] }]) =>
    volumes.some((volume) => volume.startsWith('kurrentdb-ca-key:')),
  );
  assert.deepEqual(
    withKey.map(([name]) => name),
    ['certificates'],
    "the authority's key stays where it was made",
  );
});

test('the example files are accepted', () => {
  assert.deepEqual(parseRules(text('deploy/stopgap/rules.yaml')), parseRules(DEFAULT_RULES));
  const dockerfile = text('Dockerfile');
  const content = (file: string): string =>
    new RegExp(`printf '(.+)\\\\n' > /var/lib/stopgap-accounts/${file}`).exec(dockerfile)![1]!;
  assert.equal(parseUsers(content('users.yaml'), 'users.yaml').size, 0);
  assert.equal(parseTokens(content('tokens.yaml'), 'tokens.yaml').records.length, 0);
});

test('Prometheus asks every node, and Grafana asks Prometheus', () => {
  const { services } = FORMS['one KurrentDB'];
  const nodes = Object.keys(services).filter((name) => IS_STOPGAP.test(services[name]!.image!));
  const { scrape_configs: jobs } = readYaml('deploy/prometheus/prometheus.yml') as {
    scrape_configs: { job_name: string; dns_sd_configs: { names: string[]; port: number }[] }[];
  };
  const { names, port } = jobs.find((job) => job.job_name === 'stopgap')!.dns_sd_configs[0]!;
  assert.deepEqual([...names].sort(), nodes.sort());
  assert.equal(port, 8025);
  const { datasources } = readYaml('grafana/provisioning/datasources/prometheus.yaml') as {
    datasources: { url: string }[];
  };
  assert.deepEqual(
    datasources.map(({ url }) => url),
    ['http://prometheus:9090'],
  );
});

test('docs/run/deploy.md names settings, metrics and services that there are', async () => {
  const doc = text('docs/run/deploy.md');
  const known = new Set(listSettings().flatMap(({ env }) => [env, `${env}_FILE`]));
  const mentioned = [...doc.matchAll(/\bSTOPGAP_[A-Z_]*[A-Z]/g)].map(([name]) => name);
  assert.deepEqual(
    mentioned.filter((name) => !known.has(name) && !(name in OTHER_VARIABLES)),
    [],
  );
  const metrics = new Set((await new Metrics().registry.getMetricsAsJSON()).map(({ name }) => name));
  const watched = [...doc.matchAll(/`(stopgap_\w+)/g)].map(([, name]) => name!);
  assert.deepEqual(
    watched.filter((name) => !metrics.has(name) && !/^stopgap_kurrentdb/.test(name)),
    [],
  );
  const paths = [...doc.matchAll(/`((?:deploy|test)\/[\w./-]+)`/g)].map(([, name]) => name!);
  const secrets = /^deploy\/secrets\/(?!README)/;
  assert.deepEqual(
    paths.filter((name) => !secrets.test(name) && !existsSync(path.join(ROOT, name))),
    [],
  );
  const { volumes } = FORMS['a KurrentDB cluster'];
  const removed = [...doc.matchAll(/stopgap_([a-z][a-z0-9-]*-[a-z0-9-]+)/g)].map(([, name]) => name!);
  assert.deepEqual(
    removed.filter((name) => !(name in volumes!)),
    [],
  );
});

test('Redis keeps what it is given', () => {
  const conf = text('deploy/redis/redis.conf');
  assert.match(conf, /^appendonly yes$/m);
  assert.match(conf, /^maxmemory-policy noeviction$/m);
  assert.doesNotMatch(conf, /requirepass/);
});

test('the image is built from what .dockerignore lets through, and runs what package.json runs', () => {
  const dockerfile = text('Dockerfile');
  const admitted = new Set([...text('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, name]) => name!));
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names]) =>
    names!.split(' '),
  );
  for (const name of copied) {
    assert.ok(existsSync(path.join(ROOT, name)), name);
    assert.ok(admitted.has(name), `${name} is kept out by .dockerignore`);
  }
  assert.deepEqual(
    [...admitted].filter((name) => !copied.includes(name)),
    [],
  );
  const bases = [...dockerfile.matchAll(/^FROM (node:\S+)/gm)].map(([, image]) => image!);
  assert.match(
    bases[0]!,
    /^node:24\.(?:\d|1[0-8])\./,
    'headers of later ones break better-sqlite3: docs/inside/decisions.md',
  );
  for (const image of bases) assert.match(image, /^node:24\.\d+\.\d+-bookworm(-slim)?$/);
  const { bin, version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
    bin: { stopgap: string };
    version: string;
  };
  assert.ok(dockerfile.includes(`CMD ["node", "${bin.stopgap}", "serve"]`));
  for (const { services } of Object.values(FORMS)) {
    for (const { image = '' } of Object.values(services)) {
      if (IS_STOPGAP.test(image)) assert.equal(image, `stopgap:${version}`);
    }
  }
});
