import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import type { ProxyAuth } from '../../../src/api/dependencies.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';

const PROXY: ProxyAuth = {
  from: ['127.0.0.0/8'],
  userHeader: 'Remote-User',
  groupsHeader: 'Remote-Groups',
  roles: { support: 'operator', 'mail-admins': 'admin', watchers: 'viewer' },
};

let proxyAuth: ProxyAuth | undefined = PROXY;
let server: ApiServer;

/** Headers as they are: `fetch` would join those of one name. */
async function ask(
  method: string,
  target: string,
  headers: readonly string[],
  body?: unknown,
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const json = body === undefined ? [] : ['Content-Type', 'application/json'];
  const { host } = new URL(server.url);
  const request = http.request(new URL(target, server.url), {
    method,
    agent: false,
    headers: ['Host', host, ...headers, ...json],
  });
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const answer = await text(response);
  return {
    status: response.statusCode!,
    body: (answer === '' ? {} : JSON.parse(answer)) as Readonly<Record<string, unknown>>,
  };
}

const who = (...headers: readonly string[]) => ask('GET', '/api/v1/session', headers);

async function behind(proxy: ProxyAuth | undefined): Promise<void> {
  proxyAuth = proxy;
  await server.restart((deps) => ({ ...deps, proxyAuth }));
}

before(async () => {
  server = await ApiServer.start((deps) => ({ ...deps, proxyAuth }));
});
after(() => server.stop());

describe('a reverse proxy that has people sign in', () => {
  test('says who asks; of several groups the one counts that may do most', async () => {
    const alice = await who('Remote-User', 'Alice', 'remote-groups', 'watchers, support,unknown');
    const came = { by: 'proxy', secondFactor: false, session: null };
    assert.deepEqual(alice.body, { name: 'alice', role: 'operator', domains: [], ...came });
    const root = await who('Remote-User', 'j\u00c3\u00b6rg', 'Remote-Groups', 'mail-admins,support');
    assert.deepEqual([root.body['name'], root.body['role']], ['j\u00f6rg', 'admin'], 'in UTF-8');
    const block = { subject: { type: 'account', value: 'a@example.com' }, duration: '1h' };
    const made = await ask(
      'POST',
      '/api/v1/blocks',
      ['Remote-User', 'alice', 'Remote-Groups', 'support'],
      block,
    );
    assert.equal((made.body['history'] as { by: string }[])[0]!.by, 'admin:alice');
    const rules = await ask('PUT', '/api/v1/rules', ['Remote-User', 'alice', 'Remote-Groups', 'support'], {
      source: '',
    });
    assert.equal(rules.status, 403);
    assert.match(String(rules.body['detail']), /the person alice/);
  });

  test('lets nobody in without a group that has a role, or a name that is one', async () => {
    for (const groups of [[], ['Remote-Groups', ''], ['Remote-Groups', 'others,constructor,__proto__']])
      assert.equal((await who('Remote-User', 'alice', ...groups)).status, 403, groups.join());
    for (const name of ['', 'a b', 'a,b', 'x'.repeat(101)])
      assert.equal((await who('Remote-User', name, 'Remote-Groups', 'support')).status, 400, name);
  });

  test('must name the person and the groups once each', async () => {
    const twice = await who('Remote-User', 'alice', 'remote-user', 'root', 'Remote-Groups', 'support');
    assert.equal(twice.status, 400);
    assert.match(JSON.stringify(twice.body['errors']), /Remote-User.*several times/);
    const groups = ['Remote-Groups', 'support', 'REMOTE-GROUPS', 'mail-admins'];
    assert.equal((await who('Remote-User', 'alice', ...groups)).status, 400);
  });

  test('leaves programs their tokens, and what comes without a name needs one', async () => {
    const token = await who(
      'Authorization',
      `Bearer ${TOKENS.viewer}`,
      'Remote-User',
      'alice',
      'Remote-Groups',
      'mail-admins',
    );
    assert.deepEqual([token.body['name'], token.body['role']], ['the-viewer', 'viewer']);
    assert.equal((await who('Remote-Groups', 'mail-admins')).status, 401);
  });

  test('is not used by a page of another site', async () => {
    const headers = ['Remote-User', 'alice', 'Remote-Groups', 'support', 'Sec-Fetch-Site', 'cross-site'];
    const block = { subject: { type: 'account', value: 'b@example.com' }, duration: '1h' };
    assert.equal((await ask('POST', '/api/v1/blocks', headers, block)).status, 403);
  });

  test('counts for nothing from elsewhere, nor where none is configured', async () => {
    const headers = ['Remote-User', 'alice', 'Remote-Groups', 'mail-admins'];
    assert.equal((await who(...headers)).status, 200);
    for (const proxy of [
      { ...PROXY, from: ['192.0.2.1', '::1', '10.0.0.0/8'] },
      { ...PROXY, from: [] },
      undefined,
    ]) {
      await behind(proxy);
      assert.equal((await who(...headers)).status, 401, JSON.stringify(proxy?.from));
      assert.equal((await who(...headers, ...headers)).status, 401, 'nor is it looked at');
    }
  });

  test('has its people ask again for an event feed after five minutes: their groups may be others by then', async () => {
    await behind(PROXY);
    const open = async (...headers: readonly string[]): Promise<IncomingMessage> => {
      const request = http.request(new URL('/api/v1/events', server.url), {
        agent: false,
        headers: ['Host', new URL(server.url).host, ...headers],
      });
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      return response;
    };
    const person = await open('Remote-User', 'alice', 'Remote-Groups', 'support');
    const token = await open('Authorization', `Bearer ${TOKENS.viewer}`);
    token.resume();
    assert.deepEqual([person.statusCode, token.statusCode], [200, 200]);
    const read = text(person);
    server.clock.advance(5 * MINUTE - SECOND);
    assert.equal(person.readableEnded, false);
    server.clock.advance(SECOND);
    assert.match(await read, /^retry: \d+\n\n(?:: alive\n\n){19}$/);
    assert.equal(token.readableEnded, false, 'a token is looked up at each beat');
    token.destroy();
  });
});
