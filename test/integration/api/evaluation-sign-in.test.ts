import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { browse } from '../../support/api/browser.js';
import { ApiServer } from '../../support/api/server.js';

const ONE_CLICK = '/api/v1/sign-in/evaluation';
let server: ApiServer;
let evaluation: string | undefined = 'evaluation';

const restart = (): Promise<void> =>
  server.restart((deps) => ({ ...deps, vouchers: evaluation === undefined ? {} : { evaluation } }));

before(async () => {
  server = await ApiServer.start((deps) => ({ ...deps, vouchers: { evaluation: 'evaluation' } }));
});
after(() => server.stop());

/** The status of one click with these headers, `Host` too. */
async function click(headers: Readonly<Record<string, string>>): Promise<number> {
  const request = http.request(new URL(ONE_CLICK, server.url), { method: 'POST', agent: false, headers });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode!;
}

describe('the evaluation set-up', () => {
  test('signs in with one click, as an administrator', async () => {
    assert.equal((await browse(server.url, 'GET', '/api/v1/sign-in')).body['evaluation'], true);
    const entered = await browse(server.url, 'POST', ONE_CLICK);
    assert.equal(entered.status, 200);
    assert.match(entered.headers.get('set-cookie')!, /^__Host-stopgap=[\w-]{43}; .*SameSite=Strict/);
    const { body } = await browse(server.url, 'GET', '/api/v1/session', { cookie: entered.cookie });
    assert.deepEqual([body['name'], body['role'], body['by']], ['demo', 'admin', 'evaluation']);
    const block = { subject: { type: 'account', value: 'a@example.com' }, duration: '1h' };
    const made = await browse(server.url, 'POST', '/api/v1/blocks', { cookie: entered.cookie, body: block });
    assert.equal((made.body['history'] as { by: string }[])[0]!.by, 'admin:demo');
  });

  test('signs nobody in through a proxy, by the name of a site, or for a page of another site', async () => {
    const { host } = new URL(server.url);
    assert.equal(await click({ host }), 200);
    assert.equal(await click({ host: 'localhost:8025', 'sec-fetch-site': 'same-origin' }), 200);
    for (const header of ['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Proto', 'X-Real-IP', 'Via'])
      assert.equal(await click({ host, [header]: '127.0.0.1' }), 403, header);
    for (const name of ['stopgap.example.com', 'localhost.example.com', '192.0.2.1', 'localhost@x.example'])
      assert.equal(await click({ host: name }), 403, name);
    assert.equal(await click({ host, origin: 'https://stopgap.example.com' }), 403);
    for (const site of ['cross-site', 'same-site'])
      assert.equal(await click({ host, 'sec-fetch-site': site }), 403, site);
  });

  test('ends for its sessions when the process is configured, and then there is no such way in', async () => {
    const { cookie } = await browse(server.url, 'POST', ONE_CLICK);
    const status = async (): Promise<number> =>
      (await browse(server.url, 'GET', '/api/v1/session', { cookie })).status;
    await restart();
    assert.equal(await status(), 200, 'a restart alone ends nothing');
    evaluation = undefined;
    await restart();
    assert.equal(await status(), 401);
    const refused = await browse(server.url, 'POST', ONE_CLICK);
    assert.deepEqual([refused.status, refused.cookie], [404, '']);
    assert.equal((await browse(server.url, 'GET', '/api/v1/sign-in')).body['evaluation'], false);
  });
});
