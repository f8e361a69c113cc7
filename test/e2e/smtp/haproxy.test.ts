import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { selfSigned } from '../../support/relay/helpers.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';
import { freePort } from '../../support/ports.js';

const PROGRAM = '/usr/sbin/haproxy';
const missing =
  spawnSync(PROGRAM, ['-v']).status === 0
    ? false
    : 'no HAProxy is installed (install it with: apt-get install -y haproxy)';

test(
  'mail through a real HAProxy is recorded with its client, by either version and with TLS that either of them ends',
  { skip: missing },
  async (t) => {
    const listen = '127.0.0.1:0';
    const proxy = ['127.0.0.1'];
    const stopgap = await Stopgap.start(t, {
      smtp: {
        submission: [
          { listen, proxy },
          { listen, proxy, tls: { mode: 'implicit' } },
        ],
      },
    });
    const [starttls, secure] = [stopgap.port('submission', 0), stopgap.port('submission', 1)];
    const servers = [
      `127.0.0.1:${starttls} send-proxy`,
      `127.0.0.1:${starttls} send-proxy-v2 check inter 100ms`,
      `127.0.0.1:${secure} send-proxy-v2`,
      `127.0.0.1:${starttls} send-proxy-v2-ssl`,
    ];
    const { cert, key } = await selfSigned();
    const pem = path.join(stopgap.dir, 'haproxy.pem');
    await writeFile(pem, `${cert}\n${key}`);
    const ports = await Promise.all(servers.map(() => freePort()));
    const config = [
      'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m',
      ...servers.map(
        (server, index) =>
          `listen l${index}\n  bind 127.0.0.1:${ports[index]}${index === 3 ? ` ssl crt ${pem}` : ''}\n  server s ${server}`,
      ),
    ];
    await writeFile(path.join(stopgap.dir, 'haproxy.cfg'), `${config.join('\n')}\n`);
    const child = spawn(PROGRAM, ['-db', '-f', path.join(stopgap.dir, 'haproxy.cfg')], { stdio: 'ignore' });
    t.after(async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    });
    await eventually(
      'HAProxy listens',
      () =>
        new Promise<boolean>((resolve) => {
          const probe = net.connect(ports[2]!, '127.0.0.1');
          probe.once('error', () => resolve(false));
          probe.once('connect', () => {
            probe.destroy();
            resolve(true);
          });
        }),
    );
    for (const [index, port] of ports.entries()) {
      const session = await Dialogue.hello(port, { from: `127.0.0.${70 + index}`, implicitTls: index >= 2 });
      if (index < 2) {
        await session.startTls();
        assert.match(await session.say('EHLO client.test'), /^250-/);
      }
      assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
      assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
      await session.quit();
    }
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data }) => data.ip),
      ['127.0.0.70', '127.0.0.71', '127.0.0.72', '127.0.0.73'],
    );
    assert.ok(!stopgap.logs.some((line) => line.includes('turned away')), 'its checks are no intruders');
  },
);
