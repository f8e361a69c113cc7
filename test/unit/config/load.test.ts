import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { inspect } from 'node:util';
import { ConfigError, loadConfig, redactedConfig } from '../../../src/config.js';
import { DAY, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { load, problemsOf, RELAY, temporaryDirectory } from './helpers.js';

test('without any configuration there is an evaluation on loopback', (context) => {
  const { config, evaluation, file, warnings, cwd } = load(context, {});
  assert.equal(evaluation, true);
  assert.equal(file, undefined);
  assert.deepEqual(warnings, []);
  assert.equal(config.data, path.join(cwd, 'data'));
  assert.deepEqual(config.store, { kind: 'sqlite', file: path.join(cwd, 'data/events.db') });
  assert.equal(config.smtp.hostname, 'localhost');
  assert.deepEqual(config.smtp.submission, [
    {
      listen: { host: '127.0.0.1', port: 2587 },
      tls: { mode: 'starttls', cert: undefined, key: undefined },
      proxy: [],
      allowInsecureAuth: true,
    },
  ]);
  assert.deepEqual(config.smtp.inbound, []);
  assert.deepEqual(config.smtp.relay.target, { maildir: path.join(cwd, 'data/mail') });
  assert.deepEqual(config.smtp.senders, { kind: 'domain' });
  assert.deepEqual(config.api.listen, { host: '127.0.0.1', port: 8025 });
});

test('the environment changes an evaluation, and a relay in it ends the evaluation', (context) => {
  const moved = load(context, { env: { STOPGAP_API_LISTEN: '127.0.0.1:9000' } });
  assert.equal(moved.evaluation, true);
  assert.equal(moved.config.api.listen.port, 9000);
  const real = load(context, { env: { STOPGAP_SMTP_RELAY_URL: 'smtp://mail.example' } });
  assert.equal(real.evaluation, false);
  assert.deepEqual(real.config.smtp.senders, { kind: 'own' });
});

test('metrics ask for a token if others can reach them, unless told otherwise', (context) => {
  const metricsOf = (env: Record<string, string>): string => load(context, { env }).config.api.metrics;
  for (const listen of ['127.0.0.1:0', '[::1]:0', 'localhost:0'])
    assert.equal(metricsOf({ STOPGAP_API_LISTEN: listen }), 'open', listen);
  for (const listen of [':8025', '*:8025', '192.0.2.7:8025', '0.0.0.0:8025'])
    assert.equal(metricsOf({ STOPGAP_API_LISTEN: listen }), 'token', listen);
  const open = { STOPGAP_API_LISTEN: ':8025', STOPGAP_API_METRICS: 'open' };
  assert.equal(metricsOf(open), 'open');
  assert.equal(metricsOf({ STOPGAP_API_METRICS: 'token' }), 'token');
});

test('passwords may come without TLS on loopback, but for what a proxy passes on, unless told otherwise', (context) => {
  const mayOf = (env: Record<string, string>): boolean =>
    load(context, { env: { STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:2587', ...env } }).config.smtp
      .submission[0]!.allowInsecureAuth;
  const proxy = { STOPGAP_SMTP_SUBMISSION_PROXY: '127.0.0.0/8' };
  const told = (flag: string) => ({ STOPGAP_SMTP_SUBMISSION_ALLOW_INSECURE_AUTH: flag });
  assert.equal(mayOf({}), true);
  assert.equal(mayOf(proxy), false);
  assert.equal(mayOf({ ...proxy, ...told('true') }), true);
  assert.equal(mayOf(told('false')), false);
  assert.equal(mayOf({ STOPGAP_SMTP_SUBMISSION_LISTEN: ':2587' }), false);
});

test('every value of a full file arrives', (context) => {
  const { config, cwd, evaluation, file } = load(context, {
    checkFiles: false,
    yaml: `
data: ./var
store: sqlite
roles: [smtp, policy, detector, api, worker]
redis: redis://r.example
onStoreLost: defer
outbox: { maxEvents: 5 }
smtp:
  hostname: mx.example.com
  submission:
    - { listen: ":587", tls: { mode: starttls, cert: mx.crt, key: mx.key } }
    - { listen: 10.0.0.1:465, tls: { mode: implicit }, allowInsecureAuth: false }
  inbound:
    listen: 127.0.0.1:2525
    domains: [example.com, B.example]
    tls: { mode: none }
    relay: { url: maildir:./in }
  auth: { backend: file, users: ./u.yaml, attemptsPerMinute: 5 }
  relay: { url: maildir:./out }
  maxMessageSize: 10MiB
  maxConnections: 7
  perNetwork: { connections: 3, newPerMinute: 4, except: [private, 192.0.2.9/24, '2001:DB8::/32'] }
  timeouts: { login: 20s, command: 2m }
  maxRecipients: 8
  senders: any
  softFail: { contact: "call 555" }
policy: { listen: 127.0.0.1:10040, refuse: 450, ownNetworks: [private] }
dovecot: { protocols: [imap] }
hooks: { run: https://h.example/, authorization: ./h }
notices: { channels: [{ name: ops, type: webhook, url: https://n.example/secret, secret: 'file:./key', quietHours: 22:00-07:00, domains: [b.example] }] }
api: { listen: 8026, tokens: ./t.yaml, admins: ./w.yaml, proxyAuth: { from: 192.0.2.7, userHeader: X-User, groupsHeader: X-Groups, roles: a=admin }, trustedProxies: [private], openId: { issuer: https://i.example/o/, clientId: c, clientSecretFile: ./i, label: Ours, scopes: openid, groupsClaim: g, roles: b=domain, domainsClaim: d }, publicUrl: https://s.example/ }
rules: ./r.yaml
overrides: ./o.yaml
geoip: { country: ./c.mmdb, asn: ./a.mmdb }
retention: { sends: 10d }
log: { level: debug, format: text, addresses: hashed, key: ./k, file: ./l, maxFileSize: 1MB }
tracing: { endpoint: http://t.example, sample: 0.5, service: mx, headers: x-key=secret }
`,
  });
  assert.equal(evaluation, false);
  assert.equal(file, path.join(cwd, 'stopgap.yaml'));
  const inCwd = (name: string): string => path.join(cwd, name);
  assert.equal(config.smtp.relay.url, `maildir:${inCwd('out')}`);
  assert.deepEqual(structuredClone(config), {
    data: inCwd('var'),
    roles: ['smtp', 'policy', 'detector', 'api', 'worker'],
    store: { kind: 'sqlite', file: inCwd('var/events.db') },
    outbox: { file: inCwd('var/outbox.db'), maxEvents: 5, whenFull: 'defer' },
    redis: {},
    smtp: {
      hostname: 'mx.example.com',
      submission: [
        {
          listen: { host: undefined, port: 587 },
          tls: { mode: 'starttls', cert: [inCwd('mx.crt')], key: [inCwd('mx.key')] },
          proxy: [],
          allowInsecureAuth: false,
        },
        {
          listen: { host: '10.0.0.1', port: 465 },
          tls: { mode: 'implicit', cert: undefined, key: undefined },
          proxy: [],
          allowInsecureAuth: false,
        },
      ],
      inbound: [
        {
          listen: { host: '127.0.0.1', port: 2525 },
          tls: { mode: 'none', cert: undefined, key: undefined },
          proxy: [],
          domains: ['example.com', 'b.example'],
          relay: { target: { maildir: inCwd('in') } },
        },
      ],
      auth: {
        backend: 'file',
        dovecot: { path: '/run/dovecot/auth-client' },
        smtp: { target: { maildir: inCwd('out') } },
        http: undefined,
        token: undefined,
        users: inCwd('u.yaml'),
        attemptsPerMinute: 5,
      },
      relay: { target: { maildir: inCwd('out') } },
      maxMessageSize: 10 * 1024 * 1024,
      maxConnections: 7,
      perNetwork: {
        connections: 3,
        newPerMinute: 4,
        except: ['private', '192.0.2.0/24', '2001:db8::/32'],
      },
      timeouts: { login: 20 * SECOND, command: 2 * MINUTE },
      maxRecipients: 8,
      senders: { kind: 'any' },
      softFail: { contact: 'call 555' },
    },
    policy: { listen: { host: '127.0.0.1', port: 10_040 }, refuse: '450', ownNetworks: ['private'] },
    dovecot: { protocols: ['imap'] },
    hooks: { run: { url: 'https://h.example' }, authorization: inCwd('h') },
    notices: {
      channels: [
        {
          name: 'ops',
          type: 'webhook',
          url: {},
          secret: {},
          to: undefined,
          from: undefined,
          smtp: undefined,
          owners: undefined,
          texts: undefined,
          events: ['proposed', 'imposed', 'breaker'],
          types: ['account', 'address', 'domain', 'ehlo', 'ip'],
          domains: ['b.example'],
          quietHours: { from: 22 * 60, to: 7 * 60, zone: 'UTC' },
          digest: { wait: 30 * SECOND, interval: 5 * MINUTE, repeat: 240 * MINUTE },
        },
      ],
    },
    api: {
      listen: { host: '127.0.0.1', port: 8026 },
      tokens: inCwd('t.yaml'),
      admins: inCwd('w.yaml'),
      proxyAuth: {
        from: ['192.0.2.7'],
        userHeader: 'X-User',
        groupsHeader: 'X-Groups',
        roles: { a: 'admin' },
      },
      trustedProxies: ['private'],
      openId: {
        issuer: 'https://i.example/o/',
        clientId: 'c',
        clientSecretFile: inCwd('i'),
        label: 'Ours',
        scopes: 'openid',
        groupsClaim: 'g',
        roles: { b: 'domain' },
        domainsClaim: 'd',
      },
      metrics: 'open',
      publicUrl: 'https://s.example',
    },
    rules: inCwd('r.yaml'),
    overrides: inCwd('o.yaml'),
    geoip: { country: inCwd('c.mmdb'), asn: inCwd('a.mmdb') },
    retention: { sends: 10 * DAY },
    log: {
      level: 'debug',
      format: 'text',
      addresses: 'hashed',
      key: inCwd('k'),
      file: inCwd('l'),
      maxFileSize: 1_000_000,
    },
    tracing: { endpoint: 'http://t.example/v1/traces', sample: 0.5, service: 'mx' },
  });
});

test('--config goes before STOPGAP_CONFIG, which goes before stopgap.yaml', (context) => {
  const cwd = temporaryDirectory(context);
  for (const name of ['stopgap', 'variable', 'option']) {
    writeFileSync(path.join(cwd, `${name}.yaml`), `${RELAY}data: ./${name}\n`);
  }
  const dataOf = (env: Record<string, string>, file?: string): string =>
    path.basename(loadConfig({ env, cwd, file }).config.data);
  assert.equal(dataOf({}), 'stopgap');
  assert.equal(dataOf({ STOPGAP_CONFIG: 'variable.yaml' }), 'variable');
  assert.equal(dataOf({ STOPGAP_CONFIG: 'variable.yaml' }, 'option.yaml'), 'option');
  assert.throws(
    () => dataOf({ STOPGAP_CONFIG: 'nowhere.yaml' }),
    /nowhere\.yaml: does not exist; name a YAML file/,
  );
  assert.throws(() => dataOf({}, 'nowhere.yaml'), /nowhere\.yaml: does not exist; name a YAML file/);
});

test('paths are relative to the file, in the environment to the working directory', (context) => {
  const cwd = temporaryDirectory(context);
  mkdirSync(path.join(cwd, 'etc'));
  writeFileSync(path.join(cwd, 'etc/s.yaml'), `${RELAY}data: ./var\n`);
  const loaded = (env: Record<string, string>): string =>
    loadConfig({ env, cwd, file: 'etc/s.yaml' }).config.data;
  assert.equal(loaded({}), path.join(cwd, 'etc/var'));
  assert.equal(loaded({ STOPGAP_DATA: './var' }), path.join(cwd, 'var'));
});

test('a password in the relay URL is in no message, no dump and no printed configuration', (context) => {
  const yaml = 'smtp: { relay: { url: "smtps://user:geheim@mail.example" } }\n';
  const loaded = load(context, { yaml });
  assert.match(loaded.config.smtp.relay.url, /geheim/);
  for (const text of [
    inspect(loaded, { depth: 9 }),
    JSON.stringify(loaded),
    inspect(redactedConfig(loaded), { depth: 9 }),
  ]) {
    assert.doesNotMatch(text, /geheim/);
    assert.match(text, /mail\.example/);
  }
  for (const url of [
    'smtp://u:geheim@mail.example',
    'smtps://u:geheim@h:99999',
    'smtps://u:geheim@h?x=1',
    'u:geheim@h',
  ]) {
    const problems = problemsOf(context, { env: { STOPGAP_SMTP_RELAY_URL: url } });
    assert.equal(problems.length, 1);
    assert.doesNotMatch(problems[0]!, /geheim/);
    assert.match(problems[0]!, /^STOPGAP_SMTP_RELAY_URL: /);
  }
});

test('a configuration file that is no text is refused', (context) => {
  const cwd = temporaryDirectory(context);
  mkdirSync(path.join(cwd, 'dir'));
  writeFileSync(path.join(cwd, 'latin.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xe4]));
  writeFileSync(path.join(cwd, 'large.yaml'), '#'.repeat(1024 * 1024 + 1));
  const failure = (file: string): string => {
    try {
      loadConfig({ env: {}, cwd, file });
    } catch (thrown) {
      assert.ok(thrown instanceof ConfigError);
      return thrown.message;
    }
    return 'taken';
  };
  assert.match(failure('dir'), /is no file/);
  assert.match(failure('latin.yaml'), /not UTF-8/);
  assert.match(failure('large.yaml'), /larger than 1 MiB/);
});

test('a sender map is read, and its problems stop the start', (context) => {
  const yaml = 'smtp: { relay: { url: smtp://a.example }, senders: "map:senders.yaml" }\n';
  const { config } = load(context, {
    yaml,
    files: { 'senders.yaml': 'Anna@Example.com: ["*@news.example"]\n' },
  });
  assert.ok(config.smtp.senders.kind === 'map');
  assert.deepEqual([...config.smtp.senders.map], [['anna@example.com', ['*@news.example']]]);
  const broken = problemsOf(context, { yaml, files: { 'senders.yaml': 'a@b.example: ["*@*"]\n' } });
  assert.equal(broken.length, 1);
  assert.match(broken[0]!, /^senders\.yaml:1:14: a@b\.example: "\*@\*" has a wildcard in its domain/);
  assert.match(
    problemsOf(context, { yaml })[0]!,
    /^stopgap\.yaml:1:52: smtp\.senders: \S+ does not exist; name a YAML file of account to return paths/,
  );
});
