import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { SettingInForce } from '../../../src/config.js';
import { listSettings, loadConfig } from '../../../src/config.js';
import { Terminal } from '../cli-client/support.js';

/** A terminal in a folder with such a configuration. */
async function terminalWith(
  t: TestContext,
  yaml: string | undefined,
  env: Record<string, string> = {},
): Promise<Terminal> {
  const terminal = await Terminal.open({ now: () => 0 }, env);
  t.after(() => terminal.close());
  if (yaml !== undefined) writeFileSync(path.join(terminal.cwd, 'stopgap.yaml'), yaml);
  return terminal;
}

async function shown(terminal: Terminal): Promise<ReadonlyMap<string, SettingInForce>> {
  const { code, out, err } = await terminal.run('config', 'show', '--json');
  assert.equal(code, 0, err);
  const { settings } = JSON.parse(out) as { settings: readonly SettingInForce[] };
  return new Map(settings.map((one) => [one.setting, one]));
}

const FULL = `
store: kurrentdb://admin:store-secret@k.example:2113?tls=false
redis: redis://:redis-secret@r.example
smtp:
  submission: [{ listen: 2587 }, { listen: ':465', tls: { mode: implicit } }]
  relay: { url: 'smtps://u:relay-secret@mail.example' }
  maxMessageSize: 10MiB
  timeouts: { command: 90s }
tracing: { endpoint: http://t.example, headers: x-key=header-secret }
`;

describe('stopgap config', () => {
  test('stopgap config check says ok, and warns of what is odd', async (t) => {
    const terminal = await terminalWith(t, undefined, { STOPGAP_SMTP_SENDERS: 'any' });
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [0, 'ok\n']);
    assert.match(err, /^warning: STOPGAP_SMTP_SENDERS: any lets each account send under every address\n$/);
  });

  test('stopgap config check names every fault that serve would stop at, with its place', async (t) => {
    const yaml = 'smtp: { relay: { url: smtp://a.example }, maxMessageSize: 50XB }\nrules: nowhere.yaml\n';
    const terminal = await terminalWith(t, yaml, { STOPGAP_NIX: '1' });
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [1, '']);
    const lines = err.trimEnd().split('\n').sort();
    assert.equal(lines.length, 3, err);
    assert.match(lines[0]!, /^stopgap: STOPGAP_NIX: unknown variable/);
    assert.match(lines[1]!, /^stopgap: stopgap\.yaml:1:59: smtp\.maxMessageSize: "50XB" is no size/);
    assert.match(lines[2]!, /^stopgap: stopgap\.yaml:2:8: rules: \S+nowhere\.yaml does not exist; leave/);
  });

  test('stopgap config check looks whether the hook can be run, and whether others could change it', async (t) => {
    const terminal = await terminalWith(t, undefined, {});
    const hook = path.join(terminal.cwd, 'hook');
    const check = async (): Promise<string> => {
      terminal.env['STOPGAP_HOOKS_RUN'] = `${hook} -x`;
      const { code, out, err } = await terminal.run('config', 'check');
      return code === 0 ? out : err;
    };
    assert.match(
      await check(),
      /hooks\.run: \S+hook does not exist; install it as docs\/run\/mail-servers\.md says\n$/,
    );
    writeFileSync(hook, '#!/bin/sh\n');
    chmodSync(hook, 0o644);
    assert.match(await check(), /hooks\.run: \S+hook is not executable; chmod 755 \S+hook/);
    chmodSync(hook, 0o777);
    assert.match(
      await check(),
      /hooks\.run: others may change \S+hook, and so what is done to mail; chmod go-w/,
    );
    chmodSync(hook, 0o755);
    assert.equal(await check(), 'ok\n');
    terminal.env['STOPGAP_HOOKS_RUN'] = 'hook';
    assert.match(
      (await terminal.run('config', 'check')).err,
      /STOPGAP_HOOKS_RUN: "hook" is no absolute path; use one such as/,
    );
    terminal.env['STOPGAP_HOOKS_RUN'] = 'https://user:hush@hook.example/';
    const { err } = await terminal.run('config', 'check');
    assert.match(err, /STOPGAP_HOOKS_RUN: must not hold a password/);
    assert.doesNotMatch(err, /hush/);
  });

  test('stopgap config check names each fault in a file that the configuration names, since serve stops there', async (t) => {
    const terminal = await terminalWith(
      t,
      `
smtp:
  submission: { listen: 127.0.0.1:2587, tls: { cert: some.crt, key: some.key } }
  auth: { users: users.yaml }
  relay: { url: smtp://a.example }
api: { tokens: tokens.yaml, admins: admins.yaml }
rules: rules.yaml
overrides: overrides.yaml
geoip: { country: places.mmdb }
`,
    );
    const files = {
      'users.yaml': 'alice: x\n',
      'tokens.yaml': 'x\n',
      'admins.yaml': 'x\n',
      'rules.yaml': 'version: 1\nrules: x\n',
      'overrides.yaml': 'version: 1\nlimits: x\n',
      'places.mmdb': 'x',
      'some.crt': 'x',
      'some.key': 'x',
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(terminal.cwd, name), text);
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [1, '']);
    for (const name of Object.keys(files).filter((one) => one !== 'some.key'))
      assert.match(err, new RegExp(`^stopgap: .*${name}`, 'm'));
  });

  test('stopgap config check warns of a policy socket whose folder is not there, since the start may make it', async (t) => {
    const terminal = await terminalWith(t, undefined, { STOPGAP_POLICY_LISTEN: 'unix:./nowhere/policy' });
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [0, 'ok\n']);
    assert.match(
      err,
      /^warning: policy\.listen: \S+nowhere does not exist; make it, and give it to the service$/m,
    );
  });

  test('stopgap config check warns of protocols of Dovecot among which there is none for sending', async (t) => {
    const terminal = await terminalWith(t, undefined, { STOPGAP_DOVECOT_PROTOCOLS: 'smpt' });
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [0, 'ok\n']);
    assert.match(
      err,
      /^warning: STOPGAP_DOVECOT_PROTOCOLS: smpt has neither smtp nor submission: blocked accounts log in/m,
    );
    const right = await terminalWith(t, undefined, { STOPGAP_DOVECOT_PROTOCOLS: 'imap,submission' });
    assert.doesNotMatch((await right.run('config', 'check')).err, /PROTOCOLS/);
  });

  test('stopgap config check warns of rules that look back further than sends are kept, and of what does nothing in them', async (t) => {
    const terminal = await terminalWith(t, undefined, {
      STOPGAP_RULES: 'rules.yaml',
      STOPGAP_RETENTION_SENDS: '9d',
    });
    const rule = (id: string, window: string, more = ''): string =>
      `  - { id: ${id}, per: account, count: bytes, window: ${window}, limit: 9, then: block, for: 1h${more} }\n`;
    const rules = rule('month', '30d') + rule('week', '9d') + rule('vain', '1h', ', renewWhileTrying: true');
    writeFileSync(path.join(terminal.cwd, 'rules.yaml'), `version: 1\nrules:\n${rules}`);
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [0, 'ok\n']);
    assert.match(
      err,
      /^warning: rule "month" has a window of 30d, which is longer than retention\.sends \(9d\): it loses its oldest sends/m,
    );
    assert.match(err, /^warning: rule "vain": renewWhileTrying does nothing at a count of bytes/m);
    assert.doesNotMatch(err, /"week"/);
  });

  test('stopgap config check warns of a data directory where nothing can be kept', async (t) => {
    for (const [data, says] of [
      ['/proc/x', /^warning: data.* in \/proc: 0 MB of 0 MB free; .*name another directory in data/m],
      ['./stopgap.yaml', /^warning: data: \S+stopgap\.yaml is no directory; name another$/m],
      ['./stopgap.yaml/x', /^warning: data: \S+stopgap\.yaml is no directory; name another$/m],
    ] as const) {
      const terminal = await terminalWith(t, `data: ${data}\nsmtp: { relay: { url: smtp://a.example } }\n`);
      const { code, err } = await terminal.run('config', 'check');
      assert.match(err, says, `${code}`);
    }
  });

  test('stopgap config check does not read the rules file for a process that does not', async (t) => {
    const yaml = 'roles: [api]\nstore: kurrentdb://127.0.0.1:1?tls=false\nrules: ./rules.yaml\n';
    const terminal = await terminalWith(t, yaml);
    writeFileSync(path.join(terminal.cwd, 'rules.yaml'), 'version: 1\nrules: x\n');
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [0, 'ok\n'], err);
    assert.doesNotMatch(err, /rules/);
  });

  test('stopgap config check warns of a back end of logins that does not answer, since serve starts without it', async (t) => {
    const auth = { backend: 'dovecot', dovecot: 'unix:./nothing' };
    const smtp = { hostname: 'mx.example.com', relay: { url: 'smtp://127.0.0.1:9' }, auth };
    const terminal = await terminalWith(t, JSON.stringify({ smtp }));
    const { code, out, err } = await terminal.run('config', 'check');
    assert.equal(code, 0);
    assert.equal(out, 'ok\n');
    assert.match(err, /warning: dovecot: Dovecot at \S+nothing: ENOENT; nobody can log in \(454\)/);
  });

  test('stopgap config check warns of what serve would start with, such as an emptied users file', async (t) => {
    const yaml =
      "smtp: { auth: { users: users.yaml }, relay: { url: smtp://a.example }, senders: 'map:senders.yaml' }\n";
    const terminal = await terminalWith(t, yaml);
    for (const name of ['users.yaml', 'senders.yaml']) writeFileSync(path.join(terminal.cwd, name), '');
    const { code, out, err } = await terminal.run('config', 'check');
    assert.deepEqual([code, out], [0, 'ok\n']);
    assert.match(err, /^warning: no user in \S+users\.yaml; stopgap user add NAME; or put it back/m);
    assert.match(err, /^warning: no account in \S+senders\.yaml: each may use its own address alone; /m);
  });

  test('stopgap config show has every setting, with its value and where it comes from', async (t) => {
    const channels =
      'notices: { channels: [{ name: ops, type: webhook, url: https://n.example/, secret: file:./key }] }';
    const terminal = await terminalWith(t, `${FULL}${channels}\n`, {
      STOPGAP_LOG_LEVEL: 'debug',
      STOPGAP_API_LISTEN: ':8025',
    });
    const settings = await shown(terminal);
    const names = new Set([...settings.keys()].map((key) => key.replace(/\[\d+\]/, '')));
    // There is no inbound listener.
    const wanted = listSettings()
      .map((one) => one.path)
      .filter((name) => !name.startsWith('smtp.inbound.'));
    assert.deepEqual([...names], wanted);
    const of = (key: string): readonly unknown[] => {
      const { value, text, from, where } = settings.get(key)!;
      return [value, text, from, where];
    };
    assert.deepEqual(of('smtp.maxMessageSize'), [10_485_760, '10MiB', 'file', 'stopgap.yaml:7:19']);
    assert.deepEqual(of('smtp.timeouts.command'), [90_000, '90s', 'file', 'stopgap.yaml:8:24']);
    assert.deepEqual(of('smtp.timeouts.login'), [60_000, '1m', 'default', null]);
    assert.deepEqual(of('log.level'), ['debug', 'debug', 'environment', 'STOPGAP_LOG_LEVEL']);
    assert.deepEqual(of('api.metrics'), ['token', 'token', 'default', null]);
    assert.deepEqual(of('rules'), [null, 'built-in rules', 'default', null]);
    const users = path.join(terminal.cwd, 'data/users.yaml');
    assert.deepEqual(of('smtp.auth.users'), [users, users, 'default', null]);
    assert.deepEqual(of('smtp.submission[1].listen').slice(0, 3), ['*:465', '*:465', 'file']);
    assert.deepEqual(of('smtp.submission[0].allowInsecureAuth').slice(0, 3), [true, 'true', 'default']);
  });

  test('stopgap config show tells no secret, and says where one is', async (t) => {
    const terminal = await terminalWith(t, FULL);
    const { out, err } = await terminal.run('config', 'show');
    const json = await terminal.run('config', 'show', '--json');
    assert.doesNotMatch(out + err + json.out + json.err, /secret/);
    assert.match(out, /^smtp\.relay\.url +smtps:\/\/\*\*\*@mail\.example\S* +file stopgap\.yaml:6:17$/m);
    assert.match(out, /^tracing\.headers +x-key=\*\*\* +file/m);
    assert.match(out, /^store +kurrentdb +file/m);
  });

  test('stopgap config show gives each default as the documents have it', async (t) => {
    const settings = await shown(await terminalWith(t, 'smtp: { relay: { url: smtp://a.example } }\n'));
    const same = listSettings().filter(({ default: said, type }) => said !== undefined && type !== 'path');
    for (const { path: name, default: said } of same) {
      const one = settings.get(name.replace('smtp.submission', 'smtp.submission[0]'));
      if (one === undefined || /^(the |true on|by )/.test(said!)) continue;
      assert.equal(one.text.replaceAll(', ', ','), said, name);
    }
  });

  test('stopgap config list knows every setting', async (t) => {
    const { code, out } = await (await terminalWith(t, undefined)).run('config', 'list');
    assert.equal(code, 0);
    for (const { path: name } of listSettings()) assert.ok(out.includes(`\n${name} `), name);
  });
});

test('a configuration that was loaded holds no secret where a dump would show it', async (t) => {
  const { cwd } = await terminalWith(t, FULL);
  assert.doesNotMatch(JSON.stringify(loadConfig({ env: {}, cwd })), /secret/);
});
