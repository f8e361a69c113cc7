import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { listen } from '../../../src/api/http/listen.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { Gate, Tally, settle } from '../../support/gate.js';

/** There always is some. */
const ROOM = { failed: (reason: string) => assert.fail(reason), worked: () => undefined };
const VIEWER = { authorization: `Bearer ${TOKENS.viewer}` };

describe('clients that do not read their answers', () => {
  let server: ApiServer;
  const asked = new Tally();
  const answered = new Gate();
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      rulesCommands: new Proxy(deps.rulesCommands, {
        get: (target, name) => async () => {
          asked.add();
          await answered.opened;
          return (Reflect.get(target, name, target) as () => unknown).call(target);
        },
      }),
    }));
  });
  after(() => server.stop());

  /** What comes back for requests that are sent all at once, until the connection ends. */
  async function sentAtOnce(requests: string): Promise<string> {
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.on('error', () => undefined); // cut off while it still sends
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.write(requests);
    await once(socket, 'close');
    return text;
  }

  const request = (path: string, last = ''): string =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${VIEWER.authorization}\r\n${last}\r\n`;

  test('a connection on which a request comes before the last one is answered is cut off', async () => {
    const openApi = request('/api/v1/openapi.json').repeat(100);
    const text = await sentAtOnce(openApi + request('/', 'Connection: close\r\n'));
    assert.ok(text.split('HTTP/1.1 200 OK').length <= 2, 'at most one is answered');
  });

  test('one token has at most a hundred requests under way, and other tokens are answered meanwhile', async () => {
    const abort = new AbortController();
    const ask = (signal?: AbortSignal): Promise<Response> =>
      fetch(`${server.url}api/v1/rules`, { headers: VIEWER, ...(signal && { signal }) });
    const gone = Array.from({ length: 50 }, () => ask(abort.signal));
    const held = Array.from({ length: 50 }, () => ask());
    await asked.reached(100);
    abort.abort();
    await Promise.allSettled(gone);
    // What is asked and not waited for is worked on all the same.
    for (let times = 0; times < 20; times++)
      assert.equal((await server.get('/api/v1/blocks', { role: 'viewer' })).status, 503);
    const reply = await server.get('/api/v1/blocks', { role: 'viewer' });
    assert.equal(reply.status, 503);
    assert.equal(reply.json.code, 'unavailable');
    assert.equal(reply.headers.get('retry-after'), '1');
    assert.equal((await server.get('/api/v1/blocks', { role: 'operator' })).status, 200);
    answered.open();
    for (const response of await Promise.all(held)) {
      assert.equal(response.status, 200);
      await response.text();
    }
    await settle();
    assert.equal((await server.get('/api/v1/blocks', { role: 'viewer' })).status, 200, 'they are over');
  });

  test('bodies of one token that are under way may have 16 MiB, and other tokens are answered meanwhile', async () => {
    /** Begins a request that has a body, and sends nothing of it. */
    const begun = async (body: string): Promise<net.Socket> => {
      const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.on('error', () => undefined); // cut off in the end
      socket.write(
        `PUT /api/v1/overrides HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKENS.operator}\r\n` +
          `Content-Type: application/json\r\nExpect: 100-continue\r\n${body}\r\n\r\n`,
      );
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1.1 100 /);
      return socket;
    };
    const put = (role: 'operator' | 'admin'): Promise<number> =>
      server.call('PUT', '/api/v1/overrides', { role, body: [] }).then(({ status }) => status);
    for (const unknown of ['Transfer-Encoding: chunked', 'Content-Length: 9\r\nContent-Encoding: gzip']) {
      const held = [await begun('Content-Length: 8388608'), await begun(unknown)];
      assert.equal(await put('operator'), 503, unknown);
      assert.equal((await server.get('/api/v1/blocks', { role: 'operator' })).status, 200);
      assert.equal(await put('admin'), 400, 'it is read');
      for (const socket of held) socket.destroy();
      let status = await put('operator');
      // The server hears of it in a turn of its own.
      for (let turns = 0; status === 503 && turns < 100; turns++) status = await put('operator');
      assert.equal(status, 400, 'they are over');
    }
  });

  test('a client that goes away in the middle of a body gives its place back, compressed or not', async () => {
    const compressed = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };
    const text = Buffer.from(JSON.stringify(Array.from({ length: 500 }, (_, n) => ({ n }))));
    const bodies = [
      { encoding: 'identity', begun: text.subarray(0, 50) },
      ...Object.entries(compressed).flatMap(([encoding, compress]) => [
        { encoding, begun: Buffer.alloc(0) },
        { encoding, begun: compress(text).subarray(0, 50) },
      ]),
    ];
    for (const { encoding, begun } of bodies) {
      // Two of them have all the bytes that one token may have.
      for (let times = 0; times < 2; times++) {
        const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
        socket.on('error', () => undefined); // cut off in the end
        socket.write(
          `PUT /api/v1/overrides HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKENS.operator}\r\n` +
            `Content-Type: application/json\r\nContent-Encoding: ${encoding}\r\n` +
            'Content-Length: 8388608\r\nExpect: 100-continue\r\n\r\n',
        );
        await once(socket, 'data');
        socket.write(begun);
        await settle();
        socket.destroy();
      }
      const put = (): Promise<number> =>
        server.call('PUT', '/api/v1/overrides', { role: 'operator', body: [] }).then(({ status }) => status);
      let status = await put();
      for (let turns = 0; status === 503 && turns < 100; turns++) status = await put();
      assert.equal(status, 400, `${encoding}, ${begun.length} bytes of it`);
    }
  });

  test('a connection that is told that it speaks no HTTP ends, though the client keeps its side open', async () => {
    const listener = await listen(assert.fail, { host: '127.0.0.1', port: 0 }, assert.fail, ROOM);
    const arrived = once(listener.server, 'connection') as Promise<[net.Socket]>;
    const { port } = listener.server.address() as AddressInfo;
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => undefined); // it may be reset
    client.write('no HTTP\r\n\r\n');
    const [socket] = await arrived;
    const closed = once(socket, 'close');
    let text = '';
    client.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(client, 'end');
    assert.match(text, /^HTTP\/1.1 400 /);
    await settle();
    assert.ok(socket.destroyed, 'it is over');
    await closed;
    client.destroy();
    await listener.close();
  });

  test('others are answered however many connections a client opens, and no answer under way is cut', async (t) => {
    const [isHeld, answers] = [new Gate(), new Gate()];
    const large = Buffer.alloc(16 * 1024 * 1024);
    const told = new Set<string>();
    let hasRoom = true;
    const room = {
      failed(reason: string) {
        told.add(reason);
        hasRoom = false;
      },
      worked: () => void (hasRoom = true),
    };
    const listener = await listen(
      (asked, response) => {
        if (asked.url === '/held') {
          isHeld.open();
          void answers.opened.then(() => response.end('held'));
        } else if (asked.method === 'POST') asked.resume();
        // The body of others is not read.
        else response.end(asked.url === '/large' ? large : 'well');
      },
      { host: '127.0.0.1', port: 0 },
      assert.fail,
      room,
      20,
    );
    t.after(() => listener.close());
    const { port } = listener.server.address() as AddressInfo;
    const held = fetch(`http://127.0.0.1:${port}/held`);
    await isHeld.opened;
    const ways = {
      'that say nothing': '',
      'whose head is not whole': 'GET / HTTP/1.1\r\nHost: x\r\n',
      'whose body is not whole': 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{',
      'that are kept alive': 'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      'that are answered before their body is read': 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n',
    };
    for (const [way, text] of Object.entries(ways)) {
      const sockets: net.Socket[] = [];
      for (let count = 0; count < 130; count++) {
        const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
        socket.write(text);
        if (!way.includes('do not read')) socket.resume();
        await once(socket, 'connect');
        sockets.push(socket);
        if (!way.startsWith('that are answered')) continue;
        await once(socket, 'data');
        socket.write('{');
      }
      const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
      assert.equal(await answer.text(), 'well', way);
      for (const socket of sockets) socket.destroy();
    }
    assert.deepEqual([...told], ['20 are open'], 'it is told');
    // The server hears in turns of its own that they are gone.
    for (let turns = 0; !hasRoom && turns < 100; turns++)
      await (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).text();
    assert.ok(hasRoom);
    answers.open();
    assert.equal(await (await held).text(), 'held');
  });

  test('a connection that takes nothing of its answer for two minutes ends', async () => {
    const closed = new Gate();
    const listener = await listen(
      (_, response) => {
        response.once('close', () => closed.open());
        response.end(Buffer.alloc(64 * 1024 * 1024));
      },
      { host: '127.0.0.1', port: 0 },
      assert.fail,
      ROOM,
    );
    const http = listener.server;
    assert.equal(http.timeout, 2 * MINUTE);
    http.timeout = 20;
    const socket = net.connect((http.address() as AddressInfo).port, '127.0.0.1').pause();
    socket.on('error', () => undefined); // it is reset
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await closed.opened;
    socket.destroy();
    await listener.close();
  });
});
