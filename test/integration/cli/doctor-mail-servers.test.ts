import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { freePort } from '../../support/ports.js';
import { Asking } from '../../support/policy/asking.js';
import { ServedHere } from '../../support/smtp/served-here.js';
import { workDir } from '../../support/smtp/served.js';
import type { Examined } from './examined.js';
import { doctor, QUIET } from './examined.js';

describe('stopgap doctor, of mail servers that ask and report', () => {
  test('stopgap doctor says whether mail servers ask the policy service, and as they should', async (t) => {
    const cwd = await workDir(t);
    const [port, api] = [await freePort(), await freePort()];
    const env = { ...QUIET, STOPGAP_API_LISTEN: `127.0.0.1:${api}` };
    (await doctor(t, { env }, cwd)).has(
      'policy',
      'not tried',
      /no mail server asks: policy\.listen is not set/,
    );
    const asking = { ...env, STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}` };
    (await doctor(t, { env: asking }, cwd)).has('policy', 'not tried', /no running Stopgap answers/);
    for (const [folder, outcome, says] of [
      [
        'nowhere',
        'problem',
        /policy\.listen: \S+nowhere does not exist; make it, and give it to the service/,
      ],
      [
        '',
        'ok',
        /policy unix:\S+sock: this user can write to the folder; a unit with ProtectSystem=strict must name it in ReadWritePaths=/,
      ],
    ] as const) {
      const socket = { ...env, STOPGAP_POLICY_LISTEN: `unix:${path.join(cwd, folder, 'sock')}` };
      (await doctor(t, { env: socket }, cwd)).has('ports', outcome, says);
    }

    // Stopgap may run on this machine.
    if (!existsSync('/run/stopgap'))
      (await doctor(t, { env: { ...env, STOPGAP_POLICY_LISTEN: 'unix:/run/stopgap/policy' } }, cwd)).has(
        'ports',
        'not tried',
        /policy unix:\/run\/stopgap\/policy: the unit makes the folder when Stopgap starts/,
      );

    await ServedHere.start(t, cwd, asking);
    const examined = (): Promise<Examined> => doctor(t, { env: asking }, cwd);
    const never = await examined();
    never.has(
      'policy',
      'warning',
      /no mail server has asked since the start; see docs\/run\/mail-servers\.md/,
    );
    never.has('ports', 'ok', new RegExp(`policy 127.0.0.1:${port} is held by the running Stopgap`));
    const again = await examined();
    again.has('policy', 'warning', /has asked since the start/);

    const server = await Asking.open(t, port);
    await server.ask({ sasl_username: '' });
    const early = await examined();
    early.has('policy', 'warning', /do not ask at END-OF-MESSAGE, so that no send is recorded/);
    early.has('policy', 'warning', /no request names a login/);
    await server.ask({ protocol_state: 'END-OF-MESSAGE' });
    const well = await examined();
    well.has('policy', 'ok', /2 requests since the start, 1 at END-OF-MESSAGE, 1 with a login/);
    assert.equal(well.findings.filter(({ check }) => check === 'policy').length, 1);
  });

  for (const [how, settings] of [
    ['beside the policy service', { STOPGAP_POLICY_LISTEN: '127.0.0.1:0' }],
    ['where no policy service listens', {}],
  ] as const)
    test(`stopgap doctor counts what mail servers ask over HTTP, ${how}`, async (t) => {
      const cwd = await workDir(t);
      const env = { ...QUIET, ...settings, STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}` };
      const served = await ServedHere.start(t, cwd, env);
      const token = served.told('API token');
      const examined = (): Promise<Examined> => doctor(t, { env }, cwd);
      await served.api('POST', '/api/v1/decide', token, { returnPath: 'x@elsewhere.test' });
      (await examined()).has('policy', 'warning', /no question names a login \(account\)/);
      await served.api('POST', '/api/v1/decide', token, { account: 'alice@example.com' });
      await served.api('GET', `/rspamd/${token}/blocked?key=alice@example.com`, token);
      const well = await examined();
      well.has('policy', 'ok', /3 questions over HTTP since the start, 2 with a login/);
      assert.equal(well.findings.filter(({ check }) => check === 'policy').length, 1);
    });

  test('stopgap doctor says of mail servers that ask over HTTP and by the policy protocol how each asks', async (t) => {
    const cwd = await workDir(t);
    const [port, api] = [await freePort(), await freePort()];
    const env = {
      ...QUIET,
      STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
      STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}`,
    };
    const served = await ServedHere.start(t, cwd, env);
    await served.api('POST', '/api/v1/decide', served.told('API token'), { account: 'alice@example.com' });
    await (await Asking.open(t, port)).ask();
    const { has } = await doctor(t, { env }, cwd);
    has('policy', 'warning', /do not ask at END-OF-MESSAGE/);
    has('policy', 'ok', /1 questions over HTTP since the start, 1 with a login/);
    has('policy', 'ok', /1 requests since the start, 0 at END-OF-MESSAGE, 1 with a login/);
  });

  test('stopgap doctor says that mail servers ask at the end alone', async (t) => {
    const cwd = await workDir(t);
    const [port, api] = [await freePort(), await freePort()];
    const env = {
      ...QUIET,
      STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
      STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}`,
    };
    await ServedHere.start(t, cwd, env);
    await (await Asking.open(t, port)).ask({ protocol_state: 'END-OF-MESSAGE' });
    (await doctor(t, { env }, cwd)).has(
      'policy',
      'warning',
      /at END-OF-MESSAGE alone, so that only whole messages/,
    );
  });

  test('stopgap doctor says that mail which is to be held cannot be', async (t) => {
    const cwd = await workDir(t);
    const [port, api] = [await freePort(), await freePort()];
    const env = {
      ...QUIET,
      STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
      STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}`,
      STOPGAP_POLICY_REFUSE: 'hold',
    };
    const served = await ServedHere.start(t, cwd, env);
    const blocked = await served.api('POST', '/api/v1/blocks', served.told('API token'), {
      subject: { type: 'account', value: 'alice@example.com' },
      duration: '1h',
    });
    assert.equal(blocked.status, 201);
    const server = await Asking.open(t, port);
    await server.ask();
    await server.ask({ protocol_state: 'END-OF-MESSAGE', queue_id: '4ABC' });
    const before = await doctor(t, { env }, cwd);
    assert.equal(before.findings.filter(({ check }) => check === 'policy').length, 1);
    await server.ask({ protocol_state: 'END-OF-MESSAGE' });
    (await doctor(t, { env }, cwd)).has(
      'policy',
      'warning',
      /was refused \(1 since the start\): .*smtpd_proxy_filter, .*Exim .*null sender; Postfix: use a milter .*Exim: copy the recipe again/,
    );
    await server.ask({ protocol_state: 'END-OF-MESSAGE', queue_id: '4BIG', size: String(2 ** 30) });
    await server.ask();
    (await doctor(t, { env }, cwd)).has(
      'policy',
      'warning',
      /its block holds as much as one may \(1 since the start\).*stopgap block held ID/,
    );
  });

  test('stopgap doctor says whether Dovecot asks and reports', async (t) => {
    const cwd = await workDir(t);
    const api = await freePort();
    const env = { ...QUIET, STOPGAP_API_LISTEN: `127.0.0.1:${api}` };
    (await doctor(t, { env }, cwd)).has('dovecot', 'not tried', /no running Stopgap answers/);
    const served = await ServedHere.start(t, cwd, env);
    const examined = (): Promise<Examined> => doctor(t, { env }, cwd);
    (await examined()).has('dovecot', 'not tried', /no Dovecot has asked or reported since the start/);

    const attempt = { login: 'alice@example.com', protocol: 'imap', remote: '192.0.2.7' };
    const dovecot = (command: string, protocol = 'imap'): Promise<Response> =>
      served.api('POST', `/dovecot/policy?command=${command}`, served.told('API token'), {
        ...attempt,
        ...(command === 'report' ? { success: true } : {}),
        protocol,
      });
    await dovecot('report');
    (await examined()).has(
      'dovecot',
      'warning',
      /reports logins and does not ask.*auth_policy_check_after_auth/,
    );
    await dovecot('allow');
    (await examined()).has('dovecot', 'warning', /asks about no login for sending \(smtp, submission\)/);
    await dovecot('allow', 'smtp');
    const well = await examined();
    well.has('dovecot', 'ok', /2 logins asked about since the start, 1 for sending/);
    const wrong = { ...env, STOPGAP_DOVECOT_PROTOCOLS: 'smpt,imap' };
    (await doctor(t, { env: wrong }, cwd)).has(
      'configuration',
      'warning',
      /STOPGAP_DOVECOT_PROTOCOLS: smpt, imap has neither smtp nor submission/,
    );
    assert.equal(well.findings.filter(({ check }) => check === 'dovecot').length, 1);
  });

  test('stopgap doctor says that Dovecot lets blocked logins pass for a mail server that would hold, and none can', async (t) => {
    const cwd = await workDir(t);
    const env = {
      ...QUIET,
      STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}`,
      STOPGAP_POLICY_REFUSE: 'hold',
    };
    const served = await ServedHere.start(t, cwd, env);
    const told = (url: string, body: unknown): Promise<Response> =>
      served.api('POST', url, served.told('API token'), body);
    const warned = async (): Promise<boolean> =>
      (await doctor(t, { env }, cwd)).findings.some(
        ({ check, outcome, detail }) =>
          check === 'dovecot' &&
          outcome === 'warning' &&
          /blocked accounts log in.*none that can/.test(detail),
      );
    const account = 'alice@example.com';
    await told('/dovecot/policy?command=allow', { login: account, protocol: 'smtp', success: true });
    assert.equal(await warned(), true);
    await told('/api/v1/decide', { account });
    assert.equal(await warned(), true, 'it asks, and cannot hold');
    await told('/api/v1/decide', { account, holds: true });
    assert.equal(await warned(), false);
  });

  test('stopgap doctor finds a follower without lines', async (t) => {
    const cwd = await workDir(t);
    const api = await freePort();
    const env = { ...QUIET, STOPGAP_API_LISTEN: `127.0.0.1:${api}` };
    (await doctor(t, { env }, cwd)).has('reports', 'not tried', /no running Stopgap answers/);
    const served = await ServedHere.start(t, cwd, env);
    const examined = (): Promise<Examined> => doctor(t, { env }, cwd);
    (await examined()).has('reports', 'not tried', /nobody has reported anything since the start/);
    const report = (items: unknown): Promise<Response> =>
      served.api('POST', '/api/v1/sends', served.told('API token'), items);
    await report([]);
    (await examined()).has(
      'reports',
      'warning',
      /has found nothing since the start; see that it reads the log/,
    );
    await report([{ type: 'accepted', id: '1', account: 'alice@example.com' }]);
    const well = await examined();
    well.has('reports', 'ok', /1 events reported since the start; followers: 1/);
    assert.equal(well.findings.filter(({ check }) => check === 'reports').length, 1);
  });

  test('stopgap doctor does not ask for reports of Dovecot where stopgap sasl-proxy asks alone, which reports nothing', async (t) => {
    const cwd = await workDir(t);
    const env = { ...QUIET, STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}` };
    const served = await ServedHere.start(t, cwd, env);
    // As the proxy asks: after the password was right.
    const login = { login: 'alice@example.com', remote: '192.0.2.7', protocol: 'smtp', success: true };
    await served.api('POST', '/dovecot/policy?command=allow', served.told('API token'), login);
    const { has, findings } = await doctor(t, { env }, cwd);
    has('dovecot', 'ok', /1 logins asked about .*; 1 of them by stopgap sasl-proxy, which reports none; /);
    assert.equal(findings.filter(({ check }) => check === 'dovecot').length, 1);
  });

  test('stopgap doctor says that Dovecot does not report', async (t) => {
    const cwd = await workDir(t);
    const env = { ...QUIET, STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}` };
    const served = await ServedHere.start(t, cwd, env);
    await served.api('POST', '/dovecot/policy?command=allow', served.told('API token'), { protocol: 'smtp' });
    const { has } = await doctor(t, { env }, cwd);
    has('dovecot', 'warning', /does not report, so that failed logins are not recorded/);
  });
});
