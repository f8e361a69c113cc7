import assert from 'node:assert/strict';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { createStarting, HttpPort, pageRoutes } from '../../../src/api/index.js';
import { ApiServer } from '../../support/api/server.js';

interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly bytes: Buffer;
}

/** As it comes over the wire: `fetch` would unpack it. */
function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { headers }, (response) => {
        const chunks: Buffer[] = [];
        response
          .on('data', (chunk: Buffer) => chunks.push(chunk))
          .on('end', () =>
            resolve({
              status: response.statusCode!,
              headers: response.headers,
              bytes: Buffer.concat(chunks),
            }),
          )
          .on('error', reject);
      })
      .on('error', reject);
  });
}

describe('the page over HTTP', () => {
  let server: ApiServer;
  let script: string;
  before(async () => {
    server = await ApiServer.start();
    const html = (await get(server.url)).bytes.toString();
    script = server.url + /src="\.\/(assets\/[^"]+\.js)"/.exec(html)![1]!;
  });
  after(() => server.stop());

  test('is there without a token, takes nothing from elsewhere, and lies in nobody else’s frame', async () => {
    const { status, headers } = await get(server.url);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|http|\*/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
  });

  test('names nothing outside of its own folder, so that it works behind any prefix', async () => {
    const html = (await get(server.url)).bytes.toString();
    const targets = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, target]) => target!);
    assert.ok(targets.length >= 3);
    for (const target of targets) assert.match(target, /^\.\/assets\//);
  });

  test('comes compressed as the client can read it', async () => {
    const plain = await get(script);
    assert.equal(plain.headers['content-encoding'], undefined);
    const gzip = await get(script, { 'accept-encoding': 'gzip, deflate' });
    assert.equal(gzip.headers['content-encoding'], 'gzip');
    const brotli = await get(script, { 'accept-encoding': 'gzip, deflate, br' });
    assert.equal(brotli.headers['content-encoding'], 'br');
    assert.equal(brotli.headers['vary'], 'Accept-Encoding');
    assert.deepEqual(gunzipSync(gzip.bytes), plain.bytes);
    assert.deepEqual(brotliDecompressSync(brotli.bytes), plain.bytes);
    const none = await get(script, { 'accept-encoding': 'br;q=0, identity' });
    assert.equal(none.headers['content-encoding'], undefined);
  });

  test('is asked for again each time, but its files never, since their names tell their content', async () => {
    const first = await get(server.url);
    assert.equal(first.headers['cache-control'], 'no-cache');
    const again = await get(server.url, { 'if-none-match': String(first.headers['etag']) });
    assert.deepEqual([again.status, again.bytes.length], [304, 0]);
    const file = await get(script);
    assert.match(String(file.headers['cache-control']), /immutable/);
    // As a browser asks where a person has it load everything anew.
    assert.equal((await get(script, { 'if-none-match': String(file.headers['etag']) })).status, 304);
  });

  test('has no other file, wherever a name may lead', async () => {
    for (const name of ['x.js', '..%2f..%2fpackage.json', '%2e%2e%2findex.html', 'index.html']) {
      const { status, headers } = await get(`${server.url}assets/${name}`);
      assert.equal(status, 404, name);
      assert.equal(headers['content-type'], 'application/problem+json; charset=utf-8', name);
    }
  });

  test('is there while the process still starts, and the API says what it waits for', async () => {
    const health = { ...server.health, status: 'starting' } as const;
    const progress = { reason: 'it catches up', events: 1, position: 1, head: 2, percent: 50 };
    const deps = { ...server.deps, health: () => health, progress: () => progress };
    const port = await HttpPort.open(
      createStarting(deps, pageRoutes()),
      { host: '127.0.0.1', port: 0 },
      server.deps,
    );
    try {
      const url = `http://127.0.0.1:${port.number}/`;
      assert.equal((await get(url)).status, 200);
      assert.equal((await get(script.replace(server.url, url))).status, 200);
      const session = await get(`${url}api/v1/session`);
      assert.equal(session.status, 503);
      assert.match(session.bytes.toString(), /it catches up/);
    } finally {
      await port.close();
    }
  });
});
