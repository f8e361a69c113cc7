import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { doctor, QUIET } from './examined.js';

const WELL = {
  status: 'ok',
  store: 'ok',
  relay: 'unknown',
  readModels: 'ready',
  listeners: 'up',
  position: 1,
};

/** Something that answers as a Stopgap in this state does, and knows no token; its address. */
async function answering(t: TestContext, health: Readonly<Record<string, unknown>>): Promise<string> {
  const server = http.createServer((request, response) => {
    const body = { '/healthz': { ...WELL, ...health }, '/readyz': { ready: true } }[request.url ?? ''];
    response.statusCode = body === undefined ? 404 : 200;
    response.end(JSON.stringify(body ?? {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('stopgap doctor, of what a running server says of itself', () => {
  test('a worker whose Redis does not answer is told with that part', async (t) => {
    const listen = await answering(t, { status: 'degraded', redis: 'failing' });
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen } });
    has(
      'server',
      'problem',
      /answers: store ok, relay unknown, redis failing, readModels ready, listeners up/,
    );
  });

  test('a mail server behind that left a message unanswered is told as that, with what to do', async (t) => {
    const listen = await answering(t, { status: 'degraded', relay: 'unanswered' });
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen } });
    has('server', 'problem', /relay unanswered.*; see what is said of it below/);
    has('upstream', 'problem', /no answer to the last message .*; look into the log of that mail server/);
  });

  test('a server without a token for it leaves open which rules are in force', async (t) => {
    const listen = await answering(t, {});
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen } });
    has(
      'rules',
      'not tried',
      /which rules are in force is not known here: there is no token for the running/,
    );
  });

  test('before the start nobody knows which rules are in force', async (t) => {
    const { has } = await doctor(t, { env: QUIET });
    has('rules', 'not tried', /which rules are in force is not known here: no running Stopgap answers/);
  });
});
