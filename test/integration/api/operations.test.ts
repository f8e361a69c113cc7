import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { HttpPort, createApi, createOperations, createStarting } from '../../../src/api/index.js';
import { expressPath } from '../../../src/api/http/serve.js';
import { ERROR_CODES } from '../../../src/kernel/errors.js';
import type { Document } from '../../support/api/described.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';

interface Layer {
  readonly route?: { readonly path: string; readonly methods: Readonly<Record<string, boolean>> };
}

describe('operations and the description of the API', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const open = (target: string) => fetch(new URL(target, server.url));

  test('health, readiness and metrics need no token and hold no address', async () => {
    await server.block('secret@example.com');
    for (const target of ['/healthz', '/readyz', '/metrics', '/']) {
      const response = await open(target);
      assert.equal(response.status, 200, target);
      assert.equal((await response.text()).includes('secret@'), false, target);
    }
    const health = (await (await open('/healthz')).json()) as Record<string, unknown>;
    assert.equal(health['status'], 'ok');
    assert.equal(health['position'], server.deps.models.position);
    assert.match((await open('/metrics')).headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
  });

  test('metrics ask for a token if they are told to, from the first moment on', async (t) => {
    const guarded = { ...server.deps, metricsTokens: server.deps.tokens };
    for (const api of [createStarting(guarded), createOperations(guarded), createApi(guarded)]) {
      const port = await HttpPort.open(api, { host: '127.0.0.1', port: 0 }, guarded);
      t.after(() => port.close());
      const status = async (authorization?: string): Promise<number> => {
        const headers = new Headers(authorization === undefined ? [] : [['authorization', authorization]]);
        const response = await fetch(`http://127.0.0.1:${port.number}/metrics`, { headers });
        await response.arrayBuffer();
        return response.status;
      };
      assert.equal(await status(), 401);
      assert.equal(await status('Bearer sgp_wrong'), 401);
      assert.equal(await status(`Bearer ${TOKENS.viewer}`), 200);
      const health = await fetch(`http://127.0.0.1:${port.number}/healthz`);
      assert.equal(health.status, 200);
    }
  });

  test('a process without the role api says so of what another one serves', async (t) => {
    const api = createOperations(server.deps);
    const port = await HttpPort.open(api, { host: '127.0.0.1', port: 0 }, server.deps);
    t.after(() => port.close());
    const headers = { authorization: `Bearer ${TOKENS.viewer}` };
    for (const path of ['/api/v1', '/api/v1/blocks']) {
      const response = await fetch(`http://127.0.0.1:${port.number}${path}`, { headers });
      const { detail } = (await response.json()) as { detail: string };
      assert.equal(response.status, 404);
      assert.equal(detail, `there is no ${path}: this process does not have the role api; ask one that has`);
    }
  });

  test('a process that sees no sends says so of what mail servers ask, and names no token', async (t) => {
    const deps = { ...server.deps, mailServers: undefined };
    for (const api of [createApi(deps), createOperations(deps)]) {
      const port = await HttpPort.open(api, { host: '127.0.0.1', port: 0 }, server.deps);
      t.after(() => port.close());
      const headers = { authorization: `Bearer ${TOKENS.viewer}` };
      for (const [path, named] of [
        ['/api/v1/sends', '/api/v1/sends'],
        ['/api/v1/decide', '/api/v1/decide'],
        [`/rspamd/${TOKENS.viewer}/blocked?key=a`, '/rspamd/{token}/blocked'],
      ] as const) {
        const response = await fetch(`http://127.0.0.1:${port.number}${path}`, { method: 'POST', headers });
        assert.equal(response.status, 404);
        assert.equal(
          ((await response.json()) as { detail: string }).detail,
          `there is no ${named}: this process has neither the role policy nor the role smtp; ask one that has`,
        );
      }
    }
  });

  test('metrics come as OpenMetrics if that is preferred', async () => {
    const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
    const response = await fetch(new URL('/metrics', server.url), { headers: { accept } });
    assert.match(response.headers.get('content-type')!, /^application\/openmetrics-text; version=1\.0\.0/);
    assert.equal(response.headers.get('vary'), 'Accept');
    assert.match(
      await response.text(),
      /^# TYPE stopgap_skipped_events counter\nstopgap_skipped_events_total 0$/m,
    );
  });

  test('ready only while read models and listeners are', async () => {
    assert.deepEqual(await (await open('/readyz')).json(), {
      ready: true,
      readModels: 'ready',
      listeners: 'up',
    });
    server.health.readModels = 'catching-up';
    assert.equal((await open('/readyz')).status, 503);
    server.health.readModels = 'ready';
    server.health.listeners = 'draining';
    assert.equal((await open('/readyz')).status, 503);
    server.health.listeners = 'up';
  });

  test('the OpenAPI document has every express route, and no other', async () => {
    const { json } = await server.get('/api/v1/openapi.json', { role: 'viewer' });
    const document = json as unknown as Document;
    assert.equal(document.openapi, '3.1.0');
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${expressPath(path)}`),
    );
    const stack = (server.api.app as unknown as { router: { stack: Layer[] } }).router.stack;
    const served = stack.flatMap(({ route }) =>
      // app.all() is what answers 405 and OPTIONS.
      route === undefined || Object.keys(route.methods).length > 1
        ? []
        : Object.keys(route.methods).map((method) => `${method} ${route.path}`),
    );
    assert.ok(served.length > 20);
    assert.deepEqual(documented.sort(), served.sort());
  });

  test('the OpenAPI document has no fault that its validator knows', async () => {
    const { text } = await server.get('/api/v1/openapi.json');
    // It names no server, since one deployment's address is not another's.
    const config = await createConfig({ extends: ['minimal'], rules: { 'no-empty-servers': 'off' } });
    const faults = await lintFromString({ source: text, absoluteRef: 'openapi.json', config });
    assert.deepEqual(
      faults.map(({ ruleId, message, location }) => `${ruleId}: ${message} (${location[0]?.pointer})`),
      [],
    );
  });

  test('every reference in the document leads somewhere, and every input is in it', async () => {
    const { json, text } = await server.get('/api/v1/openapi.json');
    const document = json as unknown as Document;
    const references = new Set(
      [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name!),
    );
    assert.ok(references.has('Block') && references.has('Problem'));
    for (const name of references) assert.ok(Object.hasOwn(document.components.schemas, name), name);
    const names = (path: string, method: string) =>
      document.paths[path]![method]!.parameters!.map(({ name }) => name);
    assert.ok(names('/api/v1/blocks', 'get').includes('cursor'));
    assert.deepEqual(names('/api/v1/blocks/{id}', 'patch'), ['id', 'Idempotency-Key', 'If-Match']);
  });

  test('the list of resources and docs/reference/api.md name every route', async () => {
    const { json } = await server.get('/api/v1', { role: 'viewer' });
    const docs = readFileSync('docs/reference/api.md', 'utf8');
    for (const { method, path } of json.items) {
      assert.ok(docs.includes(`${method} ${path}`), `docs/reference/api.md does not name ${method} ${path}`);
    }
    assert.equal(json.items.length, server.api.routes.length);
  });

  test('docs/reference/api.md explains just the error codes that there are', () => {
    const docs = readFileSync('docs/reference/api.md', 'utf8');
    const explained = [...docs.matchAll(/^\| `\/problems\/([a-z-]+)` +\|/gm)].map(([, code]) => code!);
    assert.deepEqual(explained.sort(), Object.keys(ERROR_CODES).sort());
  });
});
