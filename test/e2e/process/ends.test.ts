import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { RedisServer, skipWithoutRedisServer, startFakeRedis } from '../../support/redis.js';
import { ENVIRONMENT, Served, workDir } from '../../support/smtp/served.js';
import { freePort } from '../../support/ports.js';
import { FOR_SHORT_LIVES } from '../../support/node.js';
import { PROGRAM } from '../../support/program.js';

const skip = await skipWithoutRedisServer();
if (skip !== false) process.stdout.write(`processes that cannot start with Redis are not tested: ${skip}\n`);

/** A server that takes connections and says nothing: its port. */
async function silent(t: TestContext): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** How a process ended, and how long after it had said why. */
async function endOf(served: Served, why: RegExp): Promise<{ code: number | null; after: number }> {
  await served.says(why);
  const told = performance.now();
  const { code } = await served.ended;
  return { code, after: performance.now() - told };
}

const redises: Readonly<Record<string, (t: TestContext) => Promise<string>>> = {
  async 'Redis is there'(t) {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    return redis.url;
  },
  'Redis is away': async () => `redis://127.0.0.1:${await freePort()}`,
  'Redis takes connections and never answers': async (t) => `redis://127.0.0.1:${await silent(t)}`,
};

for (const [state, redisOf] of Object.entries(redises)) {
  test(`a process whose SMTP port is taken ends within five seconds, where ${state}`, { skip }, async (t) => {
    const dir = await workDir(t);
    const served = Served.begin(t, dir, {
      STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${await silent(t)}`,
      STOPGAP_SMTP_RELAY_URL: 'maildir:mail',
      STOPGAP_REDIS: await redisOf(t),
    });
    const { code, after } = await endOf(served, /is taken by another process/);
    assert.equal(code, 1);
    assert.ok(after < 5 * SECOND, `it took ${after} ms`);
  });
}

test(
  'a worker that refuses its rules file ends, though Redis and the store are silent',
  { skip },
  async (t) => {
    const dir = await workDir(t);
    const store = await StandIn.start();
    t.after(() => store.kill());
    await store.tell({ do: 'faults', stalled: ['append', 'read', 'subscribe'] });
    await writeFile(path.join(dir, 'rules.yaml'), 'version: 1\nrules: none\n');
    const served = Served.begin(t, dir, {
      STOPGAP_ROLES: 'detector,worker',
      STOPGAP_STORE: store.url,
      STOPGAP_REDIS: `redis://127.0.0.1:${await silent(t)}`,
      STOPGAP_RULES: './rules.yaml',
    });
    const { code, after } = await endOf(served, /rules\.yaml/);
    assert.equal(code, 1);
    assert.ok(after < 5 * SECOND, `it took ${after} ms`);
  },
);

test('a worker whose Redis turns out to be too old ends within ten seconds', { skip }, async (t) => {
  const dir = await workDir(t);
  const port = await freePort();
  const served = await Served.start(t, dir, {
    STOPGAP_SMTP_RELAY_URL: 'maildir:mail',
    STOPGAP_REDIS: `redis://127.0.0.1:${port}`,
  });
  const old = await startFakeRedis('5.0.7', [], port);
  t.after(() => old.close());
  const { code, after } = await endOf(served, /stopping: sessions under way may finish/);
  assert.equal(code, 1);
  assert.ok(after < 10 * SECOND, `it took ${after} ms`);
  assert.match(served.stderr, /Redis 5\.0\.7 is too old/);
});

test('stopgap doctor ends by itself where KurrentDB hangs', async (t) => {
  const standIn = await StandIn.start();
  t.after(() => standIn.kill());
  standIn.freeze();
  const env = { ...ENVIRONMENT, STOPGAP_STORE: standIn.url, STOPGAP_SMTP_RELAY_URL: 'maildir:mail' };
  const child = spawn(process.execPath, [...FOR_SHORT_LIVES, PROGRAM, 'doctor'], {
    cwd: await workDir(t),
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const said = text(child.stdout);
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 1);
  assert.match(await said, /KurrentDB at \S+ does not answer/);
});

test('stopgap cuts nothing off that its reader has not taken yet', async (t) => {
  const cwd = await workDir(t);
  const hash = `$scrypt$ln=15,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
  const host = ['a', 'b', 'c'].map((letter) => letter.repeat(60)).join('.');
  const users = Array.from({ length: 4000 }, (_, n) => `  - { name: u${n}@${host}, password: '${hash}' }\n`);
  await writeFile(path.join(cwd, 'users.yaml'), `users:\n${users.join('')}`, { mode: 0o600 });
  // It waits for nothing, so that it ends before anybody could have taken all that.
  const hasty = 'const later = setTimeout; globalThis.setTimeout = (run) => later(run, 0);';
  const preload = `data:text/javascript,${encodeURIComponent(hasty)}`;
  const child = spawn(process.execPath, [...FOR_SHORT_LIVES, '--import', preload, PROGRAM, 'user', 'list'], {
    cwd,
    env: { ...ENVIRONMENT, STOPGAP_DATA: '.' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = await text(child.stdout);
  assert.equal(said.match(/u\d+@/g)?.length, 4000);
});
