import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { browse } from '../../support/api/browser.js';
import { Served, workDir } from '../../support/smtp/served.js';

const PASSWORD = 'correct horse battery staple';
const CONFIGURED = { STOPGAP_SMTP_RELAY_URL: 'smtp://127.0.0.1:1', STOPGAP_LOG_FILE: 'stopgap.log' };
const LINK = /^ {2}(http:\S+)\/#\/first\/([\w-]{43})$/m;

test('where nobody may sign in yet the start prints a link, not in the log, which makes the first administrator', async (t) => {
  const dir = await workDir(t);
  const first = await Served.start(t, dir, CONFIGURED);
  const [, url, token] = LINK.exec(first.stdout) ?? [];
  assert.ok(url !== undefined && token !== undefined, first.stdout);
  assert.equal(url, `http://127.0.0.1:${await first.httpPort()}`);
  const enter = (name: string) =>
    browse(url, 'POST', '/api/v1/sign-in/first', { body: { token, name, password: PASSWORD } });
  const entered = await enter('alice');
  assert.equal(entered.status, 200, JSON.stringify(entered.body));
  const who = await browse(url, 'GET', '/api/v1/session', { cookie: entered.cookie });
  assert.deepEqual([who.body['name'], who.body['role']], ['alice', 'admin']);
  assert.equal((await enter('mallory')).status, 401);

  const change = { password: PASSWORD, newPassword: 'another horse and battery' };
  const changed = await browse(url, 'PUT', '/api/v1/session/password', {
    cookie: entered.cookie,
    body: change,
  });
  assert.equal(changed.status, 200, 'the watched file is taken over at once');
  const after = await browse(url, 'GET', '/api/v1/session', { cookie: changed.cookie });
  assert.equal(after.status, 200);
  await first.terminate();

  for (const text of [first.stderr, readFileSync(path.join(dir, 'stopgap.log'), 'utf8'), ...filesIn(dir)])
    for (const secret of [token, PASSWORD, change.newPassword]) assert.ok(!text.includes(secret));

  const second = await Served.start(t, dir, CONFIGURED);
  assert.doesNotMatch(second.stdout, LINK, 'there is an administrator');
  await second.terminate();
});

test('no link is printed in an evaluation, nor where a reverse proxy signs people in', async (t) => {
  const evaluation = await Served.start(t, await workDir(t));
  assert.doesNotMatch(evaluation.stdout, LINK);
  const url = `http://127.0.0.1:${await evaluation.httpPort()}`;
  const entered = await browse(url, 'POST', '/api/v1/sign-in/evaluation');
  assert.deepEqual([entered.status, entered.body['role']], [200, 'admin']);
  await evaluation.terminate();
  const proxied = await Served.start(t, await workDir(t), {
    ...CONFIGURED,
    STOPGAP_API_PROXY_AUTH_FROM: '192.0.2.7',
    STOPGAP_API_PROXY_AUTH_ROLES: 'a=admin',
  });
  assert.doesNotMatch(proxied.stdout, LINK);
  await proxied.terminate();
});

function filesIn(dir: string): readonly string[] {
  const data = path.join(dir, 'data');
  assert.ok(existsSync(path.join(data, 'admins.yaml')));
  return readdirSync(data, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => readFileSync(path.join(data, name), 'latin1'));
}
