import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { Figures } from '../../support/metrics.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Served, workDir } from '../../support/smtp/served.js';

test('a process whose file descriptors have run out says so, goes on, and counts it', async (t) => {
  const served = await Served.start(t, await workDir(t), {}, { files: 256 });
  const sockets: Socket[] = [];
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  // The system takes connections that the process has no descriptor for, and closes them again.
  while (!served.stderr.includes('connections are not taken')) {
    const socket = net.connect(served.port('submission'), '127.0.0.1').on('error', () => undefined);
    sockets.push(socket);
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
    if (sockets.length > 600) break;
  }
  await eventually('it is told', () => served.stderr.includes('connections are not taken'));
  for (const socket of sockets) socket.destroy();
  await eventually('it answers again', async () => {
    const response = await fetch(`http://127.0.0.1:${served.port('HTTP')}/metrics`).catch(() => undefined);
    if (response === undefined) return false;
    return new Figures(await response.text()).of('stopgap_smtp_errors_total', { kind: 'accept' }) > 0;
  });
  assert.equal(served.stderr.split('connections are not taken').length, 2, 'once');
});
