import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import type { Role, Scope } from '../../src/accounts/roles.js';
import { allows } from '../../src/accounts/roles.js';
import { ApiServer, TOKENS } from '../support/api/server.js';
import { anyText, cuts, damaged, fuzz, pieces } from '../support/fuzz/cases.js';
import type { Asked, Who } from '../support/fuzz/requests.js';
import { operationsOf, requestsOf, send } from '../support/fuzz/requests.js';
import { Steady } from '../support/fuzz/steady.js';
import { eventually } from '../support/smtp/eventually.js';

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

const server = await ApiServer.start();
const port = Number(new URL(server.url).port);
const document = (await server.get('/api/v1/openapi.json')).json as unknown as Parameters<
  typeof requestsOf
>[0];
const operations = operationsOf(document);
const rights = new Map(operations.map((one) => [`${one.method} ${one.path}`, one]));
/** Of a block, a proposal, an exemption and a back-test. */
let ids: readonly string[] = [];

function tokenOf(who: Who): Readonly<Record<string, string>> {
  if (who === 'none') return {};
  return { authorization: `Bearer ${who === 'wrong' ? 'sgp_of-nobody' : TOKENS[who]}` };
}

/** What every error says, and which field is at fault. */
function assertProblem(status: number, text: string, what: string): void {
  const problem = JSON.parse(text) as {
    status: number;
    detail: string;
    errors?: { field: string; message: string }[];
  };
  assert.equal(problem.status, status, what);
  assert.ok(problem.detail !== '', what);
  if (status !== 400 && status !== 422) return;
  assert.ok(Array.isArray(problem.errors) && problem.errors.length > 0, what);
  for (const { field, message } of problem.errors) {
    // A rules file may be wrong as a whole.
    assert.ok(typeof field === 'string' && (field !== '' || status === 422), what);
    assert.ok(message !== '', what);
  }
}

async function holds({ operation, method, target, who, headers, body }: Asked): Promise<void> {
  const place = target.replace(/ID(\d)/g, (_, index: string) => ids[Number(index)]!);
  const whole = { method, target: place, headers: { ...headers, ...tokenOf(who) }, body };
  const { status, headers: got, text } = await send(port, whole, agent);
  const what = `${who}: ${method} ${place.slice(0, 200)} ${(body ?? '').slice(0, 300)}: ${status} ${text.slice(0, 400)}`;
  assert.ok(status < 500, what);
  if (status >= 400 && method !== 'HEAD') {
    assert.match(got['content-type'] ?? '', /^application\/problem\+json/, what);
    assertProblem(status, text, what);
  }
  if (who === 'admin') for (const token of Object.values(TOKENS)) assert.ok(!text.includes(token), what);
  // Of those below it, only to sign in takes no token.
  if (!place.startsWith('/api/v1') || operation.role === undefined) return;
  if (who === 'none' || who === 'wrong') return assert.equal(status, 401, what);
  assert.notEqual(status, 401, what);
  if (status < 400)
    assert.match(got['cache-control'] ?? 'no-store', /^(?:no-store|private, no-cache)$/, what);
  const { role, scope } = rights.get(`${method === 'HEAD' ? 'GET' : method} ${operation.path}`) ?? {};
  if (role !== undefined && !allows(who, role as Role, scope as Scope))
    assert.ok(status >= 400, `${what} for a ${who}`);
}

/** A case that is kept. */
function asked(method: string, path: string, body?: string): Asked {
  const operation = operations.find((each) => each.method === method && each.path === path)!;
  const headers: Asked['headers'] = body === undefined ? {} : { 'content-type': 'application/json' };
  return { operation, method, target: path, who: 'admin', headers, body };
}

/** Bytes that may be HTTP. */
const httpText = fc
  .tuple(
    fc.constantFrom(
      'GET /healthz HTTP/1.1',
      'POST /api/v1/blocks HTTP/1.1',
      'GET //evil.test/x HTTP/1.1',
      'GET * HTTP/1.1',
      'CONNECT evil.test:80 HTTP/1.1',
      'GET http://evil.test/ HTTP/1.1',
      'GET /healthz HTTP/9.9',
      'PRI * HTTP/2.0',
      'GET /healthz',
      'OPTIONS * HTTP/1.1',
      'GET /metrics HTTP/1.0',
      'GET /%00 HTTP/1.1',
      ' GET / HTTP/1.1',
    ),
    fc.array(
      fc.oneof(
        fc.constantFrom(
          'Host: x',
          'Content-Length: 5',
          'Content-Length: 6',
          'Content-Length: -1',
          'Transfer-Encoding: chunked',
          'Transfer-Encoding: xchunked',
          'Expect: 100-continue',
          'Upgrade: h2c',
          'Connection: Upgrade',
          'X: \0',
          `Authorization: Bearer ${TOKENS.admin}`,
          'Content-Type: application/json',
          `X: ${'x'.repeat(20_000)}`,
          ': x',
          'Content-Encoding: gzip',
          'Expect: nothing',
          ' folded',
          'Range: bytes=0-1',
        ),
        anyText,
      ),
      { maxLength: 6 },
    ),
    fc.constantFrom(
      '',
      'hello',
      '5\r\nhello\r\n0\r\n\r\n',
      'fffffffffff\r\n',
      '-1\r\n',
      '{}',
      '0\r\n\r\nGET / HTTP/1.1\r\n\r\n',
    ),
  )
  .map(([start, fields, body]) => `${[start, ...fields].join('\r\n')}\r\n\r\n${body}`);

async function pour(text: string, at: readonly number[], end: 'close' | 'reset'): Promise<void> {
  const socket = net.connect(port, '127.0.0.1');
  let got = '';
  socket.on('data', (chunk: Buffer) => (got += chunk.toString('latin1'))).on('error', () => socket.destroy());
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (const piece of pieces(text, at)) {
    if (!socket.writable) break;
    socket.write(Buffer.from(piece, 'latin1'));
    await setImmediate();
  }
  if (end === 'reset') socket.resetAndDestroy();
  else socket.end();
  await closed;
  assert.match(got, /^(?:$|HTTP\/1\.1 [1-4]\d\d )/, got.slice(0, 500));
}

describe('the API under any request', () => {
  let steady: Steady;
  before(async () => {
    const block = await server.block('fuzzed@example.com', { indefinite: true });
    const proposal = await server.trip('proposed@example.com');
    const subject = { type: 'domain', value: 'exempt.test' };
    const exemption = await server.post('/api/v1/exemptions', {
      subject,
      indefinite: true,
      reason: 'a test',
    });
    ids = [block.id, proposal, exemption.json.id, 'none'];
    steady = await Steady.from();
  });
  after(async () => {
    agent.destroy();
    await server.stop();
  });

  fuzz(
    'each operation answers as the OpenAPI document says, names the field at fault, and does nothing for a lesser role',
    {
      arbitrary: requestsOf(document),
      runs: 1000,
      kept: {
        'a key without a name is named': {
          ...asked('GET', '/api/v1/rules/shadow'),
          target: '/api/v1/rules/shadow?=',
        },
      },
    },
    holds,
  );

  fuzz(
    'what is no HTTP is answered or closed, and costs the others nothing',
    {
      arbitrary: fc.record({
        text: fc.oneof(httpText, damaged(httpText)),
        at: cuts,
        end: fc.constantFrom('close', 'reset'),
      }),
      runs: 200,
    },
    async ({ text, at, end }) => {
      await pour(text, at, end);
      assert.equal((await server.get('/healthz')).status, 200);
    },
  );

  test('it still serves, for each role what it may', async () => {
    for (const role of ['viewer', 'operator', 'admin'] as const)
      assert.equal((await server.get('/api/v1/blocks', { role })).status, 200);
    const { id } = await server.block('after@example.com');
    assert.equal((await server.post(`/api/v1/blocks/${id}/release`, {}, { role: 'viewer' })).status, 403);
    assert.equal((await server.post(`/api/v1/blocks/${id}/release`, {})).status, 200);
  });

  test('nothing is left of them: no feed, no connection, no fault, no memory', async () => {
    agent.destroy();
    await eventually('every feed is over', async () =>
      /^stopgap_api_feeds 0$/m.test(await server.deps.metrics.registry.metrics()),
    );
    assert.deepEqual(
      server.logged.filter((line) => /"level":(?:50|60)/.test(line)),
      [],
    );
    for (const token of Object.values(TOKENS)) assert.ok(!server.logged.some((line) => line.includes(token)));
    server.logged.length = 0;
    await steady.still(32 * 1024 * 1024);
  });
});
