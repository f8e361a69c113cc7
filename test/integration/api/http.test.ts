import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { ApiServer, TOKENS, onStore } from '../../support/api/server.js';
import { Gate } from '../../support/gate.js';
import { changed } from '../../support/store/changed.js';

const BLOCKS = '/api/v1/blocks';
const BLOCK = { subject: { type: 'account', value: 'x@example.com' }, duration: '1h' };

describe('what every request meets', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  test('no token, a wrong one and another scheme are 401 with a challenge', async () => {
    const cases: Record<string, string>[] = [
      {},
      { authorization: 'Bearer sgp_wrong' },
      { authorization: 'Basic YTpi' },
      { authorization: 'Bearer' },
    ];
    for (const headers of cases) {
      const response = await fetch(`${server.url}api/v1/blocks`, { headers });
      assert.equal(response.status, 401);
      assert.match(response.headers.get('www-authenticate')!, /^Bearer realm="stopgap"/);
      const problem = (await response.json()) as Record<string, unknown>;
      assert.equal(problem['type'], '/problems/unauthorized');
      assert.equal(problem['status'], 401);
      assert.equal(problem['title'], 'Unauthorized');
    }
    assert.equal(
      server.logged.some((line) => line.includes('sgp_')),
      false,
    );
  });

  test('without a token even an unknown route below /api/v1 tells nothing', async () => {
    assert.equal((await fetch(`${server.url}api/v1/nothing`)).status, 401);
    assert.equal((await fetch(`${server.url}API/v1/blocks`)).status, 401);
  });

  test('each role may do what its rank allows', async () => {
    const block = await server.block('roles@example.com');
    const needs: ReadonlyArray<
      readonly [method: string, target: string, body: unknown, role: 'operator' | 'admin']
    > = [
      ['POST', BLOCKS, BLOCK, 'operator'],
      ['PATCH', `${BLOCKS}/${block.id}`, { duration: '2h' }, 'operator'],
      ['POST', `${BLOCKS}/${block.id}/approve`, {}, 'operator'],
      ['POST', `${BLOCKS}/${block.id}/dismiss`, {}, 'operator'],
      ['POST', `${BLOCKS}/${block.id}/release`, {}, 'operator'],
      ['POST', '/api/v1/exemptions', {}, 'operator'],
      ['DELETE', '/api/v1/exemptions/x', undefined, 'operator'],
      ['PUT', '/api/v1/rules', {}, 'admin'],
    ];
    for (const [method, target, body, role] of needs) {
      for (const lesser of role === 'admin' ? (['viewer', 'operator'] as const) : (['viewer'] as const)) {
        const reply = await server.call(method, target, { role: lesser, body });
        assert.equal(reply.status, 403, `${method} ${target} as ${lesser}`);
        assert.equal(reply.json.code, 'forbidden');
        assert.equal(reply.json.needed, role);
      }
      const allowed = await server.call(method, target, { role, body });
      assert.notEqual(allowed.status, 403, `${method} ${target} as ${role}`);
    }
    for (const target of [
      BLOCKS,
      '/api/v1/exemptions',
      '/api/v1/rules',
      '/api/v1/senders',
      '/api/v1/check?ip=192.0.2.1',
    ]) {
      assert.equal((await server.get(target, { role: 'viewer' })).status, 200, target);
      assert.equal((await server.get(target, { role: 'server' })).status, 403, `${target} as a mail server`);
    }
  });

  test('an unknown route is 404, a wrong method 405 with Allow', async () => {
    const unknown = await server.get('/api/v1/nothing');
    assert.equal(unknown.status, 404);
    assert.equal(unknown.json.code, 'not-found');
    const outside = await fetch(`${server.url}nothing`);
    assert.equal(outside.status, 404);
    assert.equal(outside.headers.get('content-type'), 'application/problem+json; charset=utf-8');
    const wrong = await server.call('PUT', BLOCKS, { body: {} });
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get('allow'), 'GET, POST, HEAD, OPTIONS');
    assert.equal(wrong.json.type, 'about:blank');
    const options = await server.call('OPTIONS', BLOCKS);
    assert.equal(options.status, 204);
    assert.equal(options.headers.get('allow'), 'GET, POST, HEAD, OPTIONS');
    const head = await server.call('HEAD', BLOCKS);
    assert.equal(head.status, 200);
  });

  test('malformed JSON is 400 with line and column', async () => {
    const reply = await server.post(BLOCKS, '{\n  "subject": {"type": "account",}\n}');
    assert.equal(reply.status, 400);
    assert.match(reply.json.detail, /line 2, column 33: unexpected "}"/);
    assert.deepEqual([reply.json.line, reply.json.column], [2, 33]);
    const cut = await server.post(BLOCKS, '{"subject":');
    assert.match(cut.json.detail, /ends too early/);
    const latin = await server.call('POST', BLOCKS, {
      body: '{}',
      headers: { 'content-type': 'application/json; charset=latin1' },
    });
    assert.equal(latin.status, 415);
    const bytes = await fetch(`${server.url}api/v1/blocks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKENS.admin}`, 'content-type': 'application/json' },
      body: new Uint8Array([0x7b, 0xff, 0x7d]),
    });
    assert.equal(bytes.status, 400);
    assert.match(await bytes.text(), /not UTF-8/);
  });

  test('a missing body, another type and one too large', async () => {
    const missing = await server.post(BLOCKS);
    assert.deepEqual(missing.json.errors, [{ field: 'body', message: 'is missing' }]);
    const array = await server.post(BLOCKS, []);
    assert.equal(array.status, 400);
    assert.equal(array.json.errors[0].field, 'body');
    const xml = await server.call('POST', BLOCKS, { body: '<a/>', headers: { 'content-type': 'text/xml' } });
    assert.equal(xml.status, 415);
    assert.match(xml.json.detail, /application\/json/);
    const large = await server.post(BLOCKS, { ...BLOCK, description: 'x'.repeat(70_000) });
    assert.equal(large.status, 413);
    assert.match(large.json.detail, /65536 bytes/);
    const packed = await server.call('POST', BLOCKS, {
      body: 'x',
      headers: { 'content-encoding': 'compress' },
    });
    assert.equal(packed.status, 415);
  });

  test('a path that is no UTF-8 is 400', async () => {
    const reply = await server.get(`${BLOCKS}/%E0%A4%A`);
    assert.equal(reply.status, 400);
    assert.equal(reply.json.code, 'invalid-input');
  });

  test('every answer carries a request id, the security headers and no advertisement', async () => {
    for (const target of [BLOCKS, '/api/v1/nothing', '/healthz']) {
      const { headers } = await server.get(target);
      assert.match(headers.get('x-request-id')!, /^[0-9a-f-]{36}$/);
      assert.equal(headers.get('x-powered-by'), null);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.match(headers.get('content-security-policy')!, /default-src 'none'/);
      assert.equal(headers.get('cache-control'), 'no-store');
    }
    const own = await server.get(`${BLOCKS}/nope`, { headers: { 'x-request-id': 'trace-1' } });
    assert.equal(own.headers.get('x-request-id'), 'trace-1');
    assert.equal(own.json.instance, 'urn:request:trace-1');
    const forged = await server.get(BLOCKS, { headers: { 'x-request-id': 'a b' } });
    assert.notEqual(forged.headers.get('x-request-id'), 'a b');
  });

  test('the request id is the correlation of what the request brings about', async () => {
    await server.post(
      BLOCKS,
      { ...BLOCK, subject: { type: 'account', value: 'traced@example.com' } },
      {
        headers: { 'x-request-id': 'trace-2' },
      },
    );
    const found: (string | undefined)[] = [];
    for await (const event of server.deps.store.readStream('block-account:traced@example.com'))
      found.push(event.correlation);
    assert.deepEqual(found, ['request:trace-2']);
  });

  test('requests are measured by route template', async () => {
    const block = await server.block('measured@example.com');
    await server.get(`${BLOCKS}/${block.id}`);
    await server.get('/api/v1/unheard-of');
    const { text } = await server.get('/metrics');
    assert.match(
      text,
      /stopgap_api_requests_total\{method="GET",route="\/api\/v1\/blocks\/\{id\}",status="200"\} \d/,
    );
    assert.match(text, /route="unmatched",status="404"/);
    assert.equal(text.includes(block.id), false);
    assert.equal(text.includes('unheard-of'), false);
  });

  test('bytes that are not HTTP are answered with a problem', async () => {
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write('EHLO example.com\r\n\r\n');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    const text = Buffer.concat(chunks).toString();
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json/);
    assert.equal((JSON.parse(text.split('\r\n\r\n')[1]!) as { status: number }).status, 400);
  });
});

describe('a request that cannot be served', () => {
  test('a store that is away is 503, and so is one that does not answer in time', async () => {
    const asked = new Gate();
    let append: EventStore['append'] = async () => {
      throw new StoreUnavailable('the disk is full');
    };
    const server = await ApiServer.start((deps) =>
      onStore(deps, changed(deps.store, { append: (...args) => append(...args) })),
    );
    try {
      const full = await server.post(BLOCKS, BLOCK);
      assert.equal(full.status, 503);
      assert.equal(full.json.code, 'unavailable');
      assert.equal(full.json.detail, 'the disk is full');
      assert.equal(full.headers.get('retry-after'), '5');
      append = () => {
        asked.open();
        return new Promise(() => undefined);
      };
      const silent = server.post(BLOCKS, BLOCK);
      await asked.opened;
      server.clock.advance(MINUTE);
      const reply = await silent;
      assert.equal(reply.status, 503);
      assert.match(reply.json.detail, /did not answer in time/);
      assert.equal(server.clock.waiting, 0);
    } finally {
      await server.stop();
    }
  });

  test('before the read models are caught up it is 503', async () => {
    const server = await ApiServer.start((deps) => ({
      ...deps,
      models: new Proxy(deps.models, {
        get: (target, name) => (name === 'ready' ? false : (Reflect.get(target, name, target) as unknown)),
      }),
    }));
    try {
      const reply = await server.get(BLOCKS);
      assert.equal(reply.status, 503);
      assert.match(reply.json.detail, /caught up/);
      assert.equal((await server.get('/api/v1')).status, 200);
    } finally {
      await server.stop();
    }
  });

  test('a fault of ours is logged under an id, and shows nothing else', async () => {
    const server = await ApiServer.start((deps) => ({
      ...deps,
      rulesCommands: new Proxy(deps.rulesCommands, {
        get: () => () => Promise.reject(new Error('secret innards')),
      }),
    }));
    try {
      const reply = await server.get('/api/v1/rules', { headers: { 'x-request-id': 'fault-1' } });
      assert.equal(reply.status, 500);
      assert.equal(reply.json.type, 'about:blank');
      assert.equal(reply.json.correlation, 'fault-1');
      assert.equal(reply.text.includes('innards'), false);
      assert.equal(reply.text.includes(' at '), false);
      const line = server.logged.find((one) => one.includes('innards'))!;
      assert.equal((JSON.parse(line) as { correlation: string }).correlation, 'request:fault-1');
    } finally {
      await server.stop();
    }
  });

  test('a client that goes away causes no fault', async () => {
    const asked = new Gate();
    const go = new Gate();
    const server = await ApiServer.start((deps) => ({
      ...deps,
      rulesCommands: new Proxy(deps.rulesCommands, {
        get: (target, name) => async () => {
          asked.open();
          await go.opened;
          return (Reflect.get(target, name, target) as () => unknown).call(target);
        },
      }),
    }));
    try {
      const abort = new AbortController();
      const gone = fetch(`${server.url}api/v1/rules`, {
        headers: { authorization: `Bearer ${TOKENS.admin}` },
        signal: abort.signal,
      });
      await asked.opened;
      abort.abort();
      await assert.rejects(gone, { name: 'AbortError' });
      go.open();
      assert.equal((await server.get('/healthz')).status, 200);
      assert.deepEqual(server.logged, []);
    } finally {
      await server.stop();
    }
  });
});
