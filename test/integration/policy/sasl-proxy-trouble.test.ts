import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../support/smtp/eventually.js';
import { startSaslProxy } from '../../support/smtp/sasl-proxy.js';
import { workDir } from '../../support/smtp/served.js';

test('the journal of the SASL proxy says each reason why no verdict is had, and what to do about it', async (t) => {
  const dir = await workDir(t);
  const [listen, auth] = [path.join(dir, 'proxy'), path.join(dir, 'auth')];
  const dovecot = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      for (const [, id] of chunk.toString().matchAll(/^AUTH\t(\d+)\t/gm))
        socket.write(`OK\t${id}\tuser=alice@example.com\n`);
    });
  });
  dovecot.listen(auth);
  t.after(() => dovecot.close());
  // It hangs at first, and then does not know the token.
  let asked = 0;
  const stopgap = http.createServer((_, response) => {
    if (++asked > 1)
      response
        .writeHead(401, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify({ status: 401, detail: 'the token is not valid, or has expired' }));
  });
  stopgap.listen(0, '127.0.0.1');
  await once(stopgap, 'listening');
  t.after(() => {
    stopgap.close();
    stopgap.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(stopgap.address() as AddressInfo).port}`;
  const proxy = await startSaslProxy(t, ['--url', url, '--auth', auth, '--listen', listen], 'sgp_x');
  const client = net.connect(listen);
  t.after(() => client.destroy());
  let answered = '';
  client.on('data', (chunk: Buffer) => (answered += chunk.toString()));
  for (const id of [1, 2, 3]) {
    client.write(`AUTH\t${id}\tPLAIN\tservice=smtp\trip=192.0.2.1\tresp=x\n`);
    await eventually(`login ${id} goes on`, () => answered.includes(`OK\t${id}\t`));
  }
  await eventually('both are told', () => proxy.said().includes('401'));
  const lines = proxy
    .said()
    .split('\n')
    .filter((line) => line.includes('blocked accounts log in'));
  assert.equal(lines.length, 2, lines.join('\n'));
  assert.match(
    lines[0]!,
    /gives no verdict \(nothing within 1 s\); see there that Stopgap runs .*stopgap doctor$/,
  );
  assert.match(
    lines[1]!,
    /Stopgap answers 401: the token is not valid, or has expired; give the proxy a token/,
  );
});
