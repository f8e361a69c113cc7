import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { systemClock } from '../../../src/runtime/clock.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { workDir } from '../../support/smtp/served.js';
import { newEvents } from '../../support/store/events.js';
import { doctor, QUIET } from './examined.js';

const WELL = {
  status: 'ok',
  store: 'ok',
  relay: 'unknown',
  readModels: 'ready',
  listeners: 'up',
  position: 1,
};

const BARRED = 'this is not for the administrators of single domains; mia has the role domain';

/** Something that answers as a Stopgap in this state does, and knows tokens alone that may ask this; its address. */
async function answering(
  t: TestContext,
  health: Readonly<Record<string, unknown>>,
  asked: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const server = http.createServer((request, response) => {
    const bodies: Readonly<Record<string, unknown>> = {
      '/healthz': { ...WELL, ...health },
      '/readyz': { ready: true },
      ...asked,
    };
    const body = bodies[request.url ?? ''];
    const isExpired = request.headers.authorization === 'Bearer sgp_expired';
    response.setHeader('x-request-id', 'r1');
    response.statusCode = isExpired ? 401 : body === undefined ? 403 : 200;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(isExpired ? {} : (body ?? { code: 'forbidden', detail: BARRED })));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const NONE_UNSTOPPED = { senders: 0, blocked: 0, sentence: null, items: [] };
const NONE_HELD = { blocks: 0, sentence: null, items: [] };

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

  test('verdicts that no detector has acted on are a problem, with what to look at', async (t) => {
    const listen = await answering(t, { unanswered: 3 });
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen } });
    has(
      'server',
      'problem',
      /no detector has acted: nothing stops 3 senders that are over a limit; see that the process with the role detector/,
    );
  });

  test('mail that goes past a block is a problem, with who sends so, under which block, and what to look at', async (t) => {
    const items = [
      { subject: { type: 'account', value: 'flood@example.com' }, rule: 'burst', block: null },
      { subject: { type: 'domain', value: 'past.example' }, rule: null, block: '01a20ffb-e5ee' },
    ];
    const unstopped = { senders: 3, blocked: 2, sentence: 'So it is.', items };
    const listen = await answering(t, {}, { '/api/v1/overview': { unstopped, held: NONE_HELD } });
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen, STOPGAP_TOKEN: 'any' } });
    has(
      'server',
      'problem',
      /^mail of 2 blocked senders has gone past their blocks within a day: .* was not heard: domain past\.example \(block 01a20ffb-e5ee\), 1 more; stopgap block report ID says .* see that each way to send asks Stopgap: docs\/run\/mail-servers\.md#mail-that-goes-past-a-block$/,
    );
  });

  test('mail on hold that nobody has decided on is a warning, with its blocks and what to do', async (t) => {
    const items = [{ block: '01a20ffb-e5ee', subject: { type: 'account', value: 'ann@example.com' } }];
    const overview = { unstopped: NONE_UNSTOPPED, held: { blocks: 2, sentence: 'So it is.', items } };
    const listen = await answering(t, {}, { '/api/v1/overview': overview });
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen, STOPGAP_TOKEN: 'any' } });
    has(
      'server',
      'warning',
      /^So it is: 01a20ffb-e5ee \(account ann@example\.com\), 1 more; stopgap block held ID shows it, and decides/,
    );
  });

  test('a server without a token for it leaves open whether mail goes past blocks', async (t) => {
    const listen = await answering(t, {});
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen } });
    has(
      'server',
      'not tried',
      /^whether mail goes past the blocks of its senders, or is on hold for blocks that have ended: no token: set STOPGAP_TOKEN or give --token-file/,
    );
  });

  test('a server without a token for it leaves open which rules are in force', async (t) => {
    const listen = await answering(t, {});
    const { has } = await doctor(t, { env: { ...QUIET, STOPGAP_API_LISTEN: listen } });
    has('rules', 'not tried', /which rules are in force is not known here: no token: set STOPGAP_TOKEN/);
  });

  test('a token whose role may not ask is told as that, and not as none', async (t) => {
    const listen = await answering(t, {});
    const channels = [{ name: 'team', type: 'slack', url: 'https://127.0.0.1:1/' }];
    const yaml = JSON.stringify({ smtp: { relay: { url: 'maildir:./mail' } }, notices: { channels } });
    const env = { ...QUIET, STOPGAP_API_LISTEN: listen, STOPGAP_TOKEN: 'sgp_of-some-domains' };
    const { has } = await doctor(t, { yaml, env });
    has('rules', 'not tried', new RegExp(`which rules are in force is not known here: ${BARRED}`));
    has('notices', 'not tried', new RegExp(`what became of notices: ${BARRED}`));
  });

  test('a token that has expired is told as that, and not as none', async (t) => {
    const listen = await answering(t, {});
    const { has } = await doctor(t, {
      env: { ...QUIET, STOPGAP_API_LISTEN: listen, STOPGAP_TOKEN: 'sgp_expired' },
    });
    has(
      'server',
      'not tried',
      /blocks that have ended: http:.* does not take the token .* stopgap token list/,
    );
  });

  test('a Stopgap that has run and does not answer is warned of, with the place where it was asked for', async (t) => {
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o700 });
    const store = await openSqliteStore({ file: path.join(cwd, 'data/events.db'), clock: systemClock });
    await store.append('send-a', newEvents(1), 'any');
    await store.close();
    const place = 'http://127.0.0.1:1';
    const { code, has } = await doctor(t, { env: { ...QUIET, STOPGAP_URL: place } }, cwd);
    has(
      'server',
      'warning',
      /no Stopgap answers at http:\/\/127\.0\.0\.1:1, though one has run .*; start it/,
    );
    assert.equal(code, 0, 'it may be stopped on purpose');
  });

  test('before the start nobody knows which rules are in force', async (t) => {
    const { has } = await doctor(t, { env: QUIET });
    has('rules', 'not tried', /which rules are in force is not known here: no running Stopgap answers/);
  });
});
