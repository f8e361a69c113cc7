import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { generate } from 'selfsigned';
import { addAdmin } from '../../../src/accounts/admins.js';
import { addToken } from '../../../src/accounts/tokens.js';
import type { Finding } from '../../../src/cli/doctor/findings.js';
import { DAY } from '../../../src/kernel/time.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { BACKENDS } from '../../support/auth/backends.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { RedisServer, skipWithoutRedisServer } from '../../support/redis.js';
import { mmdb } from '../../support/mmdb.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { ServedHere } from '../../support/smtp/served-here.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { newEvents } from '../../support/store/events.js';
import { OpenIdProvider } from '../../support/api/openid-provider.js';
import { Collector } from '../../support/tracing/collector.js';
import { Terminal } from '../cli-client/support.js';
import type { Examined, Given } from './examined.js';
import { doctor, QUIET } from './examined.js';
import { freePort } from '../../support/ports.js';

/** A configuration in which nothing is at fault, with what is laid over it. */
async function yamlWith(over: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const { smtp, ...rest } = over;
  return JSON.stringify({
    api: { listen: `127.0.0.1:${await freePort()}` },
    smtp: {
      hostname: 'mx.example.com',
      submission: { listen: `127.0.0.1:${await freePort()}` },
      relay: { url: 'maildir:./mail' },
      ...(smtp as object | undefined),
    },
    ...rest,
  });
}

const noRedis = await skipWithoutRedisServer();

describe('stopgap doctor', () => {
  test("a file that the service's user cannot read is a problem, though root can", async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can give files to another user');
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o700 });
    chownSync(path.join(cwd, 'data'), 54_321, 54_321);
    writeFileSync(path.join(cwd, 'data/users.yaml'), 'users: []\n', { mode: 0o600 });
    const { has } = await doctor(t, { env: QUIET }, cwd);
    has('permissions', 'problem', /users file.*belongs to user id 0 alone.*user id 54321.*chown --reference/);
  });

  test('configuration and rules that root alone may read are problems, though they hold no secret', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can give files to another user');
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o700 });
    chownSync(path.join(cwd, 'data'), 54_321, 54_321);
    writeFileSync(path.join(cwd, 'senders.yaml'), 'scanner: scanner@example.com\n');
    writeFileSync(path.join(cwd, 'rules.yaml'), 'version: 1\nrules: []\n', { mode: 0o600 });
    const yaml = await yamlWith({ rules: './rules.yaml', smtp: { senders: 'map:./senders.yaml' } });
    writeFileSync(path.join(cwd, 'stopgap.yaml'), yaml, { mode: 0o600 });
    const { has, findings } = await doctor(t, {}, cwd);
    has('permissions', 'problem', /the configuration, \S+stopgap\.yaml, belongs to user id 0 alone/);
    has('permissions', 'problem', /the rules file, \S+rules\.yaml, belongs to user id 0 alone/);
    assert.ok(!findings.some(({ detail }) => detail.includes('senders.yaml')), 'everybody may read that one');
  });

  test('stopgap doctor names what a start as root has left, folders too', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can give files to another user');
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data/snapshots'), { recursive: true, mode: 0o700 });
    chownSync(path.join(cwd, 'data'), 54_321, 54_321);
    for (const end of ['', '.lock', '.reserve'])
      writeFileSync(path.join(cwd, `data/events.db${end}`), '', { mode: 0o600 });
    const { findings } = await doctor(t, { env: QUIET }, cwd);
    const foreign = findings.filter(
      ({ check, detail }) => check === 'permissions' && detail.includes('user id 0'),
    );
    assert.deepEqual(foreign.map(({ detail }) => /data\/(\S+), belongs/.exec(detail)?.[1]).sort(), [
      'events.db',
      'events.db.lock',
      'events.db.reserve',
      'snapshots',
    ]);
    const folder = foreign.find(({ detail }) => detail.includes('snapshots'))!;
    assert.match(folder.remedy ?? '', /^chown -R --reference=\S+data \S+snapshots$/);
  });

  test('stopgap doctor finds all well before the first start, and changes nothing', async (t) => {
    const cwd = await workDir(t);
    const { code, findings, has } = await doctor(t, { env: QUIET }, cwd);
    assert.equal(code, 0, JSON.stringify(findings));
    has('configuration', 'ok', /evaluation/);
    has('store', 'ok', /not there yet/);
    has('server', 'not tried', /none answers/);
    assert.deepEqual(readdirSync(cwd), []);
  });

  test('stopgap doctor names a store that is missing although a snapshot shows that there was one', async (t) => {
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data/snapshots'), { recursive: true, mode: 0o700 });
    writeFileSync(path.join(cwd, 'data/snapshots/models-1-00000001.snapshot'), 'x', { mode: 0o600 });
    const { code, has } = await doctor(t, { env: QUIET }, cwd);
    assert.equal(code, 1);
    has('store', 'problem', /events\.db is missing or empty, but .*00000001\.snapshot .*--new-store/);
    // One that is laid out and has no event stops the start as well.
    await (await openSqliteStore({ file: path.join(cwd, 'data/events.db'), clock: systemClock })).close();
    const laidOut = await doctor(t, { env: QUIET }, cwd);
    laidOut.has('store', 'problem', /events\.db is missing or empty, but .*00000001\.snapshot .*--new-store/);
  });

  test('stopgap doctor prints one line for each check, with what to do, and ends with 1 if there is a problem', async (t) => {
    const terminal = await Terminal.open(systemClock, QUIET);
    t.after(() => terminal.close());
    const well = await terminal.run('doctor');
    assert.equal(well.code, 0);
    for (const line of well.out.trimEnd().split('\n'))
      assert.match(line, /^(ok|warning|not tried) +[a-z]+ +\S/);
    assert.match(well.err, /^problems: 0, warnings: \d, not tried: \d+\n$/);
    writeFileSync(path.join(terminal.cwd, 'stopgap.yaml'), await yamlWith({ rules: './rules.yaml' }));
    writeFileSync(path.join(terminal.cwd, 'rules.yaml'), 'version: 1\nrules: [{ id: x }]\n');
    const ill = await terminal.run('doctor');
    assert.equal(ill.code, 1);
    assert.match(ill.out, /^problem {4}rules +\S+rules\.yaml:2: rules\[0\].*; stopgap rules check FILE/m);
  });

  test('stopgap doctor knows a running server also where it counts as a proxy', async (t) => {
    const cwd = await workDir(t);
    const ports = [await freePort(), await freePort()];
    const api = await freePort();
    const [starttls, implicit] = ports.map((port) => `127.0.0.1:${port}`);
    writeFileSync(
      path.join(cwd, 'stopgap.yaml'),
      `smtp:
  hostname: mx.example.com
  relay: { url: 'maildir:./mail' }
  submission:
    - { listen: '${starttls}', proxy: [127.0.0.0/8], allowInsecureAuth: true }
    - { listen: '${implicit}', proxy: [127.0.0.1], tls: { mode: implicit } }
  auth: { users: ./users.yaml }
api: { listen: '127.0.0.1:${api}', tokens: ./tokens.yaml }
`,
    );
    writeFileSync(path.join(cwd, 'users.yaml'), 'users: []\n');
    writeFileSync(path.join(cwd, 'tokens.yaml'), 'tokens: []\n');
    const env = { STOPGAP_SMTP_SUBMISSION_LISTEN: '', STOPGAP_API_LISTEN: '' };
    await ServedHere.start(t, cwd, env);
    const { has, findings } = await doctor(t, { env }, cwd);
    for (const address of [starttls, implicit])
      has('ports', 'ok', new RegExp(`submission ${address} is held by the running Stopgap`));
    has(
      'tls',
      'warning',
      new RegExp(`submission ${starttls}: passwords may come in clear.*send-proxy-v2-ssl`),
    );
    assert.equal(findings.filter(({ detail }) => detail.includes('passwords may come in clear')).length, 1);
  });

  test('stopgap doctor asks a running server, and changes nothing', async (t) => {
    const cwd = await workDir(t);
    const [submission, api] = [await freePort(), await freePort()];
    const env = {
      STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${submission}`,
      STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
    };
    const served = await Served.start(t, cwd, env);
    const before = readdirSync(path.join(cwd, 'data')).sort();
    const { code, findings, has } = await doctor(t, { env }, cwd);
    assert.equal(code, 0, JSON.stringify(findings));
    has('server', 'ok', /store ok, relay \w+, readModels ready, listeners up/);
    assert.equal(findings.filter(({ check }) => check === 'server').length, 1);
    has('ports', 'ok', new RegExp(`submission 127.0.0.1:${submission} is held by the running Stopgap`));
    has('ports', 'ok', new RegExp(`HTTP 127.0.0.1:${api} is held by the running Stopgap`));
    has('store', 'ok', new RegExp(`events\\.db: .* open in process ${served.child.pid} on`));
    has('store', 'ok', /is whole/);
    has('clock', 'ok', /after the last event/);
    has('accounts', 'ok', /1 user in/);
    assert.deepEqual(readdirSync(path.join(cwd, 'data')).sort(), before);

    const elsewhere = { ...env, STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${await freePort()}` };
    (await doctor(t, { env: elsewhere }, cwd)).has('ports', 'warning', /is free, though Stopgap runs/);
    const other = await doctor(t, { env: { ...env, STOPGAP_DATA: './other-data' } }, cwd);
    other.has(
      'server',
      'warning',
      /does not use \S+other-data: it runs with other settings .*; give the doctor/,
    );
    const hidden = { ...env, STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}` };
    const alone = await doctor(t, { env: hidden }, cwd);
    alone.has('store', 'warning', /does not answer over HTTP/);
    alone.has('ports', 'problem', /is held by a program that greets with "220 localhost ESMTP/);

    await served.kill();
    const after = await doctor(t, { env }, cwd);
    after.has('store', 'warning', /who had it last did not close it/);
    await Served.start(t, cwd, env).then((again) => again.terminate());
    (await doctor(t, { env }, cwd)).has('store', 'ok', /open nowhere/);
  });

  test('stopgap doctor says what a starting server does, and that waiting helps', async (t) => {
    const store = await StandIn.start();
    await store.kill();
    const api = await freePort();
    const env = {
      STOPGAP_STORE: store.url,
      STOPGAP_SMTP_RELAY_URL: 'maildir:./mail',
      STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
    };
    const cwd = await workDir(t);
    const served = Served.begin(t, cwd, env);
    await served.says(/the store does not answer: it is waited for/);
    const { has } = await doctor(t, { env }, cwd);
    has('server', 'warning', /not ready: the store does not answer: it is waited for; wait/);
  });

  test('stopgap doctor names every problem of a wrong configuration, and looks at nothing else', async (t) => {
    const { code, has } = await doctor(t, { yaml: 'smtp: { maxRecipients: none }\nlog: { level: loud }\n' });
    assert.equal(code, 1);
    has('configuration', 'problem', /^stopgap\.yaml:1:\d+: smtp\.maxRecipients: "none" does not fit/);
    has('configuration', 'problem', /^stopgap\.yaml:2:\d+: log\.level/);
    has('store', 'not tried', /the configuration has to be right first/);
    has('node', 'ok', /^Node\.js v/);
  });

  test('a person and a token of one name, from before, are a warning that says what to do', async (t) => {
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o700 });
    const now = Date.now();
    const [admins, tokens] = ['admins.yaml', 'tokens.yaml'].map((name) => path.join(cwd, 'data', name));
    await addAdmin({ file: admins!, name: 'alice', role: 'admin', password: 'correct horse battery', now });
    for (const name of ['Alice', 'other']) await addToken({ file: tokens!, name, role: 'operator', now });
    const { code, findings, has } = await doctor(t, { yaml: await yamlWith() }, cwd);
    assert.equal(code, 0);
    has(
      'accounts',
      'warning',
      /a person and a token are called Alice: .*; stopgap token add --name ANOTHER --role operator, then stopgap token revoke Alice/,
    );
    assert.doesNotMatch(JSON.stringify(findings), /called other/);
  });

  test('stopgap doctor says that there are no users and tokens, and which files cannot be read', async (t) => {
    const none = await doctor(t, { yaml: await yamlWith() });
    assert.equal(none.code, 0);
    none.has(
      'accounts',
      'warning',
      /no user in \S+users\.yaml; stopgap user add NAME; or put it back, if it was emptied: a server that runs goes on with/,
    );
    none.has('accounts', 'warning', /no token in \S+; stopgap token add/);
    const asked = { listen: '127.0.0.1:0', metrics: 'token' };
    const yamlOfNode = await yamlWith({
      roles: ['worker'],
      api: asked,
      redis: 'redis://127.0.0.1:1',
      store: 'kurrentdb://127.0.0.1:1?tls=false',
    });
    const node = await doctor(t, { yaml: yamlOfNode });
    node.has('accounts', 'warning', /no token in .*tokens\.yaml; stopgap token add/);
    const yaml = await yamlWith({ api: { listen: '127.0.0.1:0', tokens: './tokens.yaml' } });
    const broken = await doctor(t, { yaml, files: { 'tokens.yaml': 'tokens: [{ name: me, role: boss }]' } });
    assert.equal(broken.code, 1);
    broken.has('accounts', 'problem', /tokens\.yaml:1:\d+: tokens\[0\]\.role: is not known/);
  });

  test('stopgap doctor counts overrides, and names every fault of them', async (t) => {
    const yaml = await yamlWith({ overrides: './overrides.yaml' });
    const good =
      'version: 1\noverrides: [{ subject: { type: account, value: a@example.com }, limits: { hour: 500 } }]\n';
    const fine = await doctor(t, { yaml, files: { 'overrides.yaml': good } });
    assert.equal(fine.code, 0, JSON.stringify(fine.findings));
    fine.has('overrides', 'ok', /overrides\.yaml: 1 override;/);
    const faulty =
      'version: 1\noverrides: [{ subject: { type: account, value: a@example.com }, limit: 5 }]\nmore: 1\n';
    const { code, has } = await doctor(t, { yaml, files: { 'overrides.yaml': faulty } });
    assert.equal(code, 1);
    has('overrides', 'problem', /overrides\.yaml:2:\d+: .*limit.*; correct it/);
    has('overrides', 'problem', /overrides\.yaml:3:\d+: more: unknown key/);
    (await doctor(t, { env: QUIET })).has('overrides', 'not tried', /no file is configured/);
  });

  test('stopgap doctor tells a useful database of places from an old, a wrong and a broken one', async (t) => {
    const yaml = await yamlWith({ geoip: { asn: './asn.mmdb' } });
    const made = (type: string, days: number): Buffer =>
      mmdb({
        type,
        networks: { '192.0.2.0/24': { autonomous_system_number: 64500 } },
        builtAt: systemClock.now() - days * DAY,
      });
    const cases: readonly (readonly [content: string | Buffer, Finding['outcome'], RegExp])[] = [
      [made('GeoLite2-ASN', 1), 'ok', /asn\.mmdb: GeoLite2-ASN of \d{4}-/],
      [made('GeoLite2-ASN', 90), 'warning', /90 days old; get a newer one/],
      [
        made('GeoLite2-Country', 1),
        'problem',
        /geoip\.asn: \S+asn\.mmdb: is a database of type GeoLite2-Country/,
      ],
      ['no database', 'problem', /geoip\.asn: \S+asn\.mmdb: is no MaxMind database/],
    ];
    for (const [content, outcome, text] of cases) {
      const { code, has } = await doctor(t, { yaml, files: { 'asn.mmdb': content } });
      has('geoip', outcome, text);
      assert.equal(code, outcome === 'problem' ? 1 : 0);
    }
  });

  test('stopgap doctor says that rules of the API hide those of the file', async (t) => {
    const cwd = await workDir(t);
    const file = 'version: 1\nrules: []\n';
    writeFileSync(path.join(cwd, 'rules.yaml'), file);
    const env = {
      STOPGAP_RULES: './rules.yaml',
      STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${await freePort()}`,
      STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}`,
    };
    const served = await ServedHere.start(t, cwd, env);
    const hidden =
      /in force is version 2, set through the API, not this file; stopgap rules show > \S+rules\.yaml/;
    const isNamed = ({ findings }: Examined): boolean =>
      findings.some(({ detail, remedy }) => hidden.test(`${detail}; ${remedy ?? ''}`));
    assert.equal(isNamed(await doctor(t, { env }, cwd)), false);
    const put = async (source: string): Promise<unknown> =>
      (await served.api('PUT', '/api/v1/rules', served.told('API token'), { source })).json();
    await put('version: 1\nmode: observe\nrules: []\n');
    const observing = await doctor(t, { env }, cwd);
    assert.equal(isNamed(observing), true);
    observing.has('rules', 'warning', /^mode is observe: no rule blocks or proposes; stopgap rules observed/);
    await put(file);
    assert.equal(isNamed(await doctor(t, { env }, cwd)), false, 'the same rules hide nothing');
  });

  test('stopgap doctor says that rules of a file are in force that no setting names any more', async (t) => {
    const cwd = await workDir(t);
    writeFileSync(path.join(cwd, 'rules.yaml'), 'version: 1\nrules: []\n');
    const env = {
      STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${await freePort()}`,
      STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}`,
    };
    await ServedHere.start(t, cwd, { ...env, STOPGAP_RULES: './rules.yaml' }).then((first) => first.stop());
    await ServedHere.start(t, cwd, env);
    const told =
      /version 1 in force, mode enforce, from a rules file, and .* none; name it in rules, or take/;
    (await doctor(t, { env }, cwd)).has('rules', 'warning', told);
  });

  test('stopgap doctor names the built-in rules that a copy of an earlier version does not have', async (t) => {
    const yaml = await yamlWith({ rules: './rules.yaml' });
    const rule = (id: string): string =>
      `{ id: ${id}, per: account, count: messages, window: 1h, limit: 9, then: propose, for: 1h }`;
    const said = async (text: string): Promise<string> => {
      const { findings } = await doctor(t, { yaml, files: { 'rules.yaml': `version: 1\n${text}\n` } });
      return findings.find(({ detail }) => /rules\.yaml: \d/.test(detail))!.detail;
    };
    const copy = await said(`rules: [${rule('hour')}, ${rule('wide')}]`);
    assert.match(copy, /: 2 rules, mode enforce, without the built-in rules minute, day, elsewhere, .*fleet/);
    assert.doesNotMatch(copy, / hour,/);
    const extending = await said(`extends: defaults\nrules: [${rule('hour')}]`);
    const own = await said(`rules: [${rule('mine')}]`);
    for (const detail of [extending, own]) assert.match(detail, /: \d+ rules?, mode enforce$/);
  });

  test('stopgap doctor names rules that ask where clients are if no database tells', async (t) => {
    const far =
      'version: 1\nrules: [{ id: far, per: account, count: messages, window: 1h, limit: 9, when: { newAsn: true }, then: propose, for: 1h }]\n';
    const warning =
      /^rule "far" asks for the network operator .*geoip\.asn is not configured: it never trips; change the rule/;
    const yaml = await yamlWith({ rules: './rules.yaml' });
    const { code, has } = await doctor(t, { yaml, files: { 'rules.yaml': far } });
    assert.equal(code, 0);
    has('rules', 'ok', /rules\.yaml: 1 rule, mode enforce/);
    has('rules', 'warning', warning);

    const cwd = await workDir(t);
    const env = {
      STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${await freePort()}`,
      STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}`,
    };
    const served = await ServedHere.start(t, cwd, env);
    await served.api('PUT', '/api/v1/rules', served.told('API token'), { source: far });
    const asked = await doctor(t, { env }, cwd);
    asked.has('rules', 'ok', /^version 2 in force, from api/);
    asked.has('rules', 'warning', warning);
  });

  test('stopgap doctor says whether a collector takes traces, refuses them or is away', async (t) => {
    const collector = await Collector.start(t);
    const yaml = async (endpoint: string): Promise<string> => yamlWith({ tracing: { endpoint } });
    const env = { STOPGAP_TRACING_HEADERS: 'authorization=Bearer xyzzy' };
    const there = await doctor(t, { env, yaml: await yaml(collector.endpoint) });
    there.has('tracing', 'ok', /takes traces/);
    assert.equal(collector.headers[0]!.authorization, 'Bearer xyzzy');
    collector.status = 404;
    const lost = await doctor(t, { env, yaml: await yaml(collector.endpoint) });
    lost.has('tracing', 'warning', /answers 404: no trace arrives; see/);
    assert.deepEqual(collector.spans, []);
    const nobody = await doctor(t, {
      env,
      yaml: await yaml(`http://127.0.0.1:${await freePort()}/v1/traces`),
    });
    assert.equal(nobody.code, 0);
    nobody.has('tracing', 'warning', /does not answer \(ECONNREFUSED\); see that the collector runs/);
    assert.ok(!JSON.stringify([there.findings, nobody.findings]).includes('xyzzy'));
  });

  test('stopgap doctor asks the OpenID provider what it says of itself', async (t) => {
    const provider = await OpenIdProvider.start();
    t.after(() => provider.stop());
    const yaml = async (issuer: string): Promise<string> =>
      yamlWith({
        api: {
          listen: `127.0.0.1:${await freePort()}`,
          publicUrl: 'https://mail.example.com/stopgap/',
          openId: { issuer, clientId: 'stopgap', roles: 'mail-admins=admin' },
        },
      });
    const there = await doctor(t, { yaml: await yaml(provider.issuer) });
    there.has(
      'openid',
      'ok',
      /answers; it has to know the redirect URI https:\/\/mail\.example\.com\/stopgap\/api\/v1\/sign-in\/openid\/callback;/,
    );
    const wrong = await doctor(t, { yaml: await yaml(`${provider.issuer}/realms/other`) });
    assert.equal(wrong.code, 1);
    wrong.has('openid', 'problem', /\/realms\/other\/? cannot be used: .*; nobody can sign in by it/);
    const nobody = await doctor(t, { yaml: await yaml(`http://127.0.0.1:${await freePort()}`) });
    nobody.has('openid', 'problem', /cannot be used: .*ECONNREFUSED/);
    const none = await doctor(t, { yaml: await yamlWith() });
    none.has('openid', 'not tried', /no provider is configured/);
  });

  test('stopgap doctor names files that others may read', async (t) => {
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o755 });
    writeFileSync(path.join(cwd, 'data', 'users.yaml'), 'users: []', { mode: 0o644 });
    writeFileSync(path.join(cwd, 'data', 'tokens.yaml'), 'tokens: []', { mode: 0o640 });
    chmodSync(path.join(cwd, 'data'), 0o755);
    const { code, has } = await doctor(t, { yaml: await yamlWith() }, cwd);
    assert.equal(code, 1);
    has('permissions', 'problem', /everybody may look into \S+data \(mode 755\); chmod 700/);
    has('permissions', 'problem', /everybody may read the users file, \S+ \(mode 644\); chmod 600/);
    has('permissions', 'warning', /the group may read the tokens file/);
    const secret = await yamlWith({ redis: 'redis://:plugh@127.0.0.1:6379' });
    const open = await doctor(t, { yaml: secret });
    open.has('permissions', 'problem', /everybody may read the configuration/);
    assert.ok(!JSON.stringify(open.findings).includes('plugh'));
  });

  test('stopgap doctor names a port that another program has', async (t) => {
    const server = net.createServer((socket) => void socket.end('220 other.example ESMTP\r\n'));
    server.listen(0, '127.0.0.1');
    t.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const listen = `127.0.0.1:${port}`;
    const { code, has } = await doctor(t, {
      yaml: await yamlWith({ smtp: { submission: { listen }, relay: { url: 'maildir:./mail' } } }),
    });
    assert.equal(code, 1);
    has(
      'ports',
      'problem',
      /is held by a program that greets with "220 other\.example ESMTP"; stop that program/,
    );
    const http = await doctor(t, { yaml: await yamlWith({ api: { listen } }) });
    http.has('ports', 'problem', /HTTP \S+ is held by a program that does not answer as Stopgap does/);
    const foreign = await doctor(t, { yaml: await yamlWith({ api: { listen: '192.0.2.1:8025' } }) });
    foreign.has('ports', 'problem', /192\.0\.2\.1:8025: this machine has no such address/);
  });

  test('stopgap doctor checks the key, the time, the name and the chain of a certificate', async (t) => {
    const cases: readonly (readonly [
      from: number,
      to: number,
      name: string,
      outcome: Finding['outcome'],
      text: RegExp,
    ])[] = [
      [-1, 90, 'mx.example.com', 'ok', /is for mx\.example\.com, until \d{4}-/],
      [-90, -1, 'mx.example.com', 'problem', /has ended at .*; renew it/],
      [1, 90, 'mx.example.com', 'problem', /is not valid before/],
      [-80, 5, 'mx.example.com', 'warning', /ends at .*, in [45] days/],
      [
        -1,
        90,
        'other.example.com',
        'warning',
        /is for DNS:other\.example\.com, not for smtp\.hostname mx\.example\.com/,
      ],
    ];
    const submission = { listen: '127.0.0.1:0', tls: { cert: './mx.crt', key: './mx.key' } };
    const yaml = await yamlWith({
      smtp: { hostname: 'mx.example.com', submission, relay: { url: 'maildir:./mail' } },
    });
    const now = systemClock.now();
    const made = (from: number, to: number, name: string) =>
      generate([{ name: 'commonName', value: name }], {
        keyType: 'ec',
        notBeforeDate: new Date(now + from * DAY),
        notAfterDate: new Date(now + to * DAY),
        extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: name }] }],
      });
    for (const [from, to, name, outcome, text] of cases) {
      const { cert, private: key } = await made(from, to, name);
      (await doctor(t, { yaml, files: { 'mx.crt': cert, 'mx.key': key } })).has('tls', outcome, text);
    }
    const { cert } = await made(-1, 90, 'mx.example.com');
    const { private: key } = await made(-1, 90, 'mx.example.com');
    const mixed = await doctor(t, { yaml, files: { 'mx.crt': cert, 'mx.key': key } });
    assert.equal(mixed.code, 1);
    mixed.has('tls', 'problem', /does not belong to the certificate/);
    const wide = { submission: { listen: ':0' }, relay: { url: 'maildir:./mail' } };
    (await doctor(t, { yaml: await yamlWith({ smtp: wide }) })).has(
      'tls',
      'warning',
      /self-signed.*clients will not trust it/,
    );
  });

  test('stopgap doctor names a damaged store, and a clock that is before the last event', async (t) => {
    const yaml = await yamlWith();
    const cwd = await workDir(t);
    const file = path.join(cwd, 'data', 'events.db');
    const store = await openSqliteStore({ file, clock: { now: () => systemClock.now() + DAY } });
    await store.append('send-a', newEvents(1), 'any');
    await store.close();
    const early = await doctor(t, { yaml }, cwd);
    assert.equal(early.code, 1);
    early.has(
      'clock',
      'problem',
      /the last event was written at .*, (24h|23h59m\d+s) from now; set the clock if it is wrong here/,
    );
    // What comes after it was set back does not hide that, but the clock need not be set again.
    const later = await openSqliteStore({ file, clock: systemClock });
    await later.append('send-a', newEvents(1), 'any');
    await later.close();
    const right = await doctor(t, { yaml }, cwd);
    right.has(
      'clock',
      'warning',
      /an event was written at .*, (24h|23h59m\d+s) from now, and later ones .*; if it is .* now, the clock was ahead/,
    );
    writeFileSync(file, 'not a database at all'.repeat(10));
    const damaged = await doctor(t, { yaml }, cwd);
    damaged.has('store', 'problem', /it is no SQLite database; restore it from a backup/);
  });

  test('stopgap doctor says whether the upstream answers', async (t) => {
    const upstream = await FakeUpstream.start();
    const yaml = await yamlWith({
      smtp: { relay: { url: upstream.url() }, submission: { listen: '127.0.0.1:0' } },
    });
    const there = await doctor(t, { yaml });
    there.has('upstream', 'ok', /answers; offers pipelining/);
    await upstream.stop();
    const away = await doctor(t, { yaml });
    assert.equal(away.code, 1);
    away.has('upstream', 'problem', /ECONNREFUSED.*; see that the mail server runs/);
    const cwd = await workDir(t);
    writeFileSync(path.join(cwd, 'mail'), 'a file where the Maildir is to be');
    (await doctor(t, { yaml: await yamlWith() }, cwd)).has(
      'upstream',
      'problem',
      /mail cannot be written to/,
    );
  });

  for (const { name, plug } of BACKENDS.slice(1))
    test(`stopgap doctor says whether ${name} answers that checks logins, and tries no login there`, async (t) => {
      const backend = await plug(t, {});
      const yaml = await yamlWith({
        smtp: {
          relay: { url: 'smtp://127.0.0.1:9' },
          submission: { listen: '127.0.0.1:0' },
          auth: backend.auth,
        },
      });
      const there = await doctor(t, { yaml });
      there.has('logins', 'ok', new RegExp(`^${name}: .*127\\.0\\.0\\.1:\\d+ answers`));
      assert.ok(
        !there.findings.some(({ detail }) => detail.includes('users.yaml')),
        'the users file is not looked at',
      );
      await backend.failing!.stop();
      const away = await doctor(t, { yaml });
      assert.equal(away.code, 1);
      away.has(
        'logins',
        'problem',
        new RegExp(`ECONNREFUSED.*nobody can log in \\(454\\).*smtp\\.auth\\.${name} is right`),
      );
    });

  test('stopgap doctor says whether Redis is fit, forgets or is away', { skip: noRedis }, async (t) => {
    const password = 'xyzzy-plugh';
    const redis = await RedisServer.start({ args: ['--requirepass', password], appendOnly: true });
    t.after(() => redis.stop());
    const url = (secret: string): string => `redis://:${secret}@127.0.0.1:${redis.port}`;
    const env = (secret: string): Given => ({ env: { ...QUIET, STOPGAP_REDIS: url(secret) } });
    const fit = await doctor(t, env(password));
    assert.equal(fit.code, 0, JSON.stringify(fit.findings));
    fit.has('redis', 'ok', /answers, version \d/);
    fit.has('redis', 'ok', /appendonly/);
    const refused = await doctor(t, env('wrong-password'));
    assert.equal(refused.code, 1);
    refused.has('redis', 'problem', /does not answer: .*(WRONGPASS|NOAUTH).*password are right/);
    const forgetful = await RedisServer.start({ args: ['--maxmemory-policy', 'allkeys-lru'] });
    t.after(() => forgetful.stop());
    const lossy = await doctor(t, { env: { ...QUIET, STOPGAP_REDIS: forgetful.url } });
    assert.equal(lossy.code, 1);
    lossy.has('redis', 'problem', /maxmemory-policy is allkeys-lru.*set maxmemory-policy noeviction/);
    lossy.has('redis', 'warning', /no appendonly file/);
    const elsewhere = await doctor(t, { env: { ...QUIET, STOPGAP_REDIS: `${forgetful.url}/16` } });
    elsewhere.has('redis', 'problem', /16 has no database 16.*correct the number/);
    const full = await RedisServer.start({ args: ['--maxmemory', '500kb'] });
    t.after(() => full.stop());
    const crammed = await doctor(t, { env: { ...QUIET, STOPGAP_REDIS: full.url } });
    assert.equal(crammed.code, 1);
    crammed.has('redis', 'problem', /used up its memory \(maxmemory 512 KB\).*raise maxmemory/);
    const replica = await RedisServer.start({ args: ['--replicaof', '127.0.0.1 1'] });
    t.after(() => replica.stop());
    const idle = await doctor(t, { env: { ...QUIET, STOPGAP_REDIS: replica.url } });
    assert.equal(idle.code, 1);
    idle.has('redis', 'problem', /is a replica.*name its primary/);
    await redis.kill();
    (await doctor(t, env(password))).has('redis', 'problem', /ECONNREFUSED/);
    for (const { findings } of [fit, refused])
      assert.ok(!/plugh|wrong-password/.test(JSON.stringify(findings)));
  });

  test('stopgap doctor says whether KurrentDB answers, refuses the user or is away', async (t) => {
    const standIn = await StandIn.start();
    t.after(() => standIn.kill());
    const env = { ...QUIET, STOPGAP_STORE: standIn.url };
    const given: Given = { env: { ...env, STOPGAP_SMTP_RELAY_URL: 'maildir:./mail' } };
    const there = await doctor(t, given);
    there.has('store', 'ok', /KurrentDB at kurrentdb:\S+ answers; it is at position \d/);
    there.has('store', 'ok', /its clock is within 5s of ours/);
    await standIn.tell({ do: 'skew', by: -90_000 });
    const apart = await doctor(t, given);
    apart.has('store', 'warning', /its clock is 1m30s behind ours; keep both by NTP/);
    await standIn.tell({ do: 'faults', denied: true });
    (await doctor(t, given)).has('store', 'problem', /^KurrentDB at \S+ refuses the user or password/);
    await standIn.kill();
    const away = await doctor(t, given);
    assert.equal(away.code, 1);
    away.has(
      'store',
      'problem',
      /KurrentDB at \S+ does not answer: asking for the head: no KurrentDB can be reached/,
    );
    away.has('outbox', 'ok', /outbox\.db is not there yet/);
  });
});
