import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { jobId } from '../../../src/expiry/bullmq/jobs.js';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { parseRedis } from '../../../src/redis/address.js';
import { connectRedis } from '../../../src/redis/connection.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { Proxy } from '../../support/proxy.js';
import { RedisServer, skipWithoutRedisServer } from '../../support/redis.js';
import { eventually } from '../../support/smtp/eventually.js';
import type { World } from './world.js';
import { Log, doNothing, openWorld, taskFor } from './world.js';
import { freePort } from '../../support/ports.js';

/** A wire to a Redis that refuses, once, the second INFO over its nth connection: the first is whether Redis is ready. */
async function refusingOnce(target: number, nth: number): Promise<{ port: number; close(): void }> {
  const sockets = new Set<net.Socket>();
  let [connections, isDone] = [0, false];
  const server = net.createServer((near) => {
    const number = ++connections;
    let asked = 0;
    const far = net.connect(target, '127.0.0.1');
    near.on('data', (bytes) => {
      if (/\binfo\b/i.test(bytes.toString('latin1')) && ++asked === 2 && number === nth && !isDone) {
        isDone = true;
        near.write('-BUSY Redis is busy\r\n');
      } else far.write(bytes);
    });
    far.on('data', (bytes) => near.write(bytes));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const skip = await skipWithoutRedisServer();
if (skip !== false) process.stdout.write(`outages of Redis are not tested: ${skip}\n`);

describe('timed work while Redis is away', { skip, timeout: 90_000 }, () => {
  const servers: RedisServer[] = [];
  const worlds: World[] = [];
  afterEach(async () => {
    await Promise.all(worlds.splice(0).map(({ work }) => work.close()));
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });
  const serve = async (...args: Parameters<typeof RedisServer.start>): Promise<RedisServer> => {
    const server = await RedisServer.start(...args);
    servers.push(server);
    return server;
  };
  const world = async (options: Parameters<typeof openWorld>[0]): Promise<World> => {
    const made = await openWorld({ reconcileEvery: HOUR, ...options });
    worlds.push(made);
    return made;
  };

  for (const appendOnly of [true, false]) {
    test(`loses nothing and does nothing twice if Redis ${appendOnly ? 'keeps' : 'loses'} its data`, async () => {
      const server = await serve({ appendOnly });
      const { work, done, notices } = await world({ redis: server.url });
      work.start(doNothing);
      await work.reconcile();
      const due = Date.now() + 400;
      const before = [...Array(20).keys()].map((n) => taskFor(`before-${n}`, due));
      for (const task of before) work.plan(task);
      await work.settled();
      await server.kill();
      await notices.until((all) => all.some((text) => text.includes('ECONNREFUSED')));
      assert.equal(work.status.connection, 'away');
      const meanwhile = [...Array(20).keys()].map((n) => taskFor(`meanwhile-${n}`, due));
      for (const task of meanwhile) work.plan(task);
      work.plan(taskFor('released', due));
      work.plan(taskFor('released', due + HOUR));
      work.cancel('expire', 'released');
      await assert.rejects(work.counts(), { code: 'unavailable' });
      await server.restart();
      const back = Date.now();
      await done.count(40);
      assert.ok(Date.now() - back < 10 * SECOND, `took ${Date.now() - back} ms`);
      await work.settled();
      await work.reconcile();
      const blocks = done.all.map(({ block }) => block).sort();
      assert.deepEqual(blocks, [...before, ...meanwhile].map(({ block }) => block).sort());
      assert.equal(work.size, 0);
      assert.ok(notices.all.some((text) => text.endsWith('is there again')));
    });
  }

  for (const start of ['before', 'after'] as const) {
    test(`knows within seconds that Redis is cut off (${start} it was there), and ends blocks once it is reached again`, async (t) => {
      const server = await serve();
      const proxy = await Proxy.to(server.port);
      t.after(() => proxy.close());
      if (start === 'before') proxy.mute();
      const { work, done } = await world({
        redis: `redis://127.0.0.1:${proxy.port}`,
        silence: 200,
        openTimeout: 100,
      });
      work.start(doNothing);
      if (start === 'after') {
        await eventually('it is there', () => work.status.connection === 'ready');
        work.plan(taskFor('planned', Date.now() + 500));
        await work.settled();
        proxy.mute();
      }
      await eventually('it is known to be away', () => work.status.connection === 'away');
      await assert.rejects(work.counts(), { code: 'unavailable' });
      work.plan(taskFor('meanwhile', Date.now()));
      // What was connected to it stays half open, for ever.
      proxy.strand();
      const healed = Date.now();
      await done.count(start === 'after' ? 2 : 1);
      assert.ok(Date.now() - healed < 15 * SECOND, `took ${Date.now() - healed} ms`);
      assert.equal(work.status.connection, 'ready');
    });
  }

  test('asks again over another connection what a worker asked over one that is half open', async (t) => {
    const server = await serve();
    const proxy = await Proxy.to(server.port);
    t.after(() => proxy.close());
    const ignore = (): void => undefined;
    const connection = connectRedis(parseRedis(`redis://127.0.0.1:${proxy.port}`), 'worker', ignore, 200);
    t.after(() => connection.close());
    assert.equal(await connection.client.ping(), 'PONG');
    proxy.mute();
    const answer = connection.client.ping();
    proxy.strand();
    assert.equal(await answer, 'PONG');
  });

  test('plans what Redis refused because it had no memory once there is room, and leaves no stale job', async () => {
    const server = await serve();
    const { work, notices } = await world({ redis: server.url, silence: 500 });
    const client = new Redis(server.url);
    const dueAt = Date.now() + HOUR;
    work.plan(taskFor('moved', dueAt));
    await work.settled();
    await client.config('SET', 'maxmemory', '1');
    work.plan(taskFor('moved', dueAt + 1));
    for (let n = 0; n < 1200; n++) work.plan(taskFor(`block-${n % 600}`, dueAt + n));
    await notices.until((all) => all.some((text) => text.includes('could not be planned')));
    const moved = taskFor('moved', dueAt + 2);
    work.plan(moved);
    work.plan(taskFor('released', dueAt));
    work.cancel('expire', 'released');
    assert.equal(work.status.unsent, 602);
    // Only once the last change was refused as well is it the heartbeat that sends it.
    const refusals = async (): Promise<number> =>
      Number(/cmdstat_evalsha:.*failed_calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0);
    const before = await refusals();
    await eventually('the last changes are refused', async () => (await refusals()) > before);
    await client.config('SET', 'maxmemory', '0');
    await work.settled();
    assert.equal(work.status.unsent, 0);
    const delayed = await client.zrange('stopgap:expiry:delayed', '0', '-1');
    client.disconnect();
    assert.equal(delayed.length, 601);
    assert.ok(delayed.includes(jobId(moved)));
  });

  test('is not called fit while Redis is full, though nothing is to be planned, until there is room', async () => {
    const server = await serve();
    const { work, notices } = await world({ redis: server.url, silence: 100 });
    work.start(doNothing);
    await work.reconcile();
    assert.equal(work.status.fit, true);
    const client = new Redis(server.url);
    await client.config('SET', 'maxmemory', '1');
    await notices.until((all) => all.some((text) => /takes no write: OOM/.test(text)));
    assert.deepEqual([work.status.connection, work.status.fit], ['ready', false]);
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
    await notices.until((all) => all.some((text) => text.endsWith('takes what is written again')));
    assert.equal(work.status.fit, true);
  });

  test('opens on a Redis that is full, and is fit once there is room', async () => {
    const server = await serve({ args: ['--maxmemory', '1'] });
    const { work, done, notices } = await world({ redis: server.url, silence: 100 });
    work.start(doNothing);
    work.plan(taskFor('a', Date.now()));
    assert.deepEqual([work.status.connection, work.status.fit], ['ready', false]);
    const client = new Redis(server.url);
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
    await done.count(1);
    await notices.until((all) => all.some((text) => text.endsWith('takes what is written again')));
  });

  test('is not fit while Redis refuses what a plan asks for, though it takes other writes', async () => {
    const server = await serve();
    const client = new Redis(server.url);
    const { work } = await world({ redis: server.url, silence: 100 });
    assert.equal(await client.call('ACL', 'SETUSER', 'default', '-evalsha', '-eval'), 'OK');
    work.plan(taskFor('a', Date.now() + HOUR));
    await eventually('it is not fit', () => !work.status.fit);
    assert.equal(await client.call('ACL', 'SETUSER', 'default', '+@all'), 'OK');
    client.disconnect();
    await work.settled();
    assert.equal(work.status.fit, true);
  });

  test('is calm while Redis is a replica: few new connections, few words, and work once it is a primary', async (t) => {
    const server = await serve();
    const { work, done, notices } = await world({ redis: server.url, silence: 100, reconcileEvery: 100 });
    work.start(doNothing);
    await work.reconcile();
    const client = new Redis(server.url);
    t.after(() => client.disconnect());
    const counted = async (section: string, what: RegExp): Promise<number> =>
      Number(what.exec(await client.info(section))?.[1] ?? 0);
    const connections = (): Promise<number> => counted('stats', /total_connections_received:(\d+)/);
    const before = await connections();
    const from = Date.now();
    await client.replicaof('127.0.0.1', 1);
    work.plan(taskFor('a', Date.now()));
    await eventually(
      'much was refused',
      async () => (await counted('errorstats', /errorstat_READONLY:count=(\d+)/)) > 30,
    );
    assert.equal(work.status.fit, false);
    // Each of three: the producer's, the worker's, and the one by which the worker waits.
    const rounds = 1 + (Date.now() - from) / (2 * SECOND);
    const made = (await connections()) - before;
    assert.ok(made <= 3 * rounds, `${made} new connections`);
    assert.ok(notices.all.length < 8, notices.all.join('\n'));
    assert.doesNotMatch(notices.all.join('\n'), /is there again|takes what/);
    await client.replicaof('NO', 'ONE');
    await done.count(1);
    // On a busy machine it may have been away for a moment too.
    await notices.until((all) =>
      all.some((text) => /takes what is written again$|is there again$/.test(text)),
    );
    assert.equal(work.status.fit, true);
  });

  for (const [nth, connection] of [
    [2, 'the one for its commands'],
    [3, 'the one by which it waits'],
  ] as const) {
    test(`makes another worker if Redis refuses what it asks first over ${connection}`, async (t) => {
      const server = await serve();
      const busy = await refusingOnce(server.port, nth);
      t.after(() => busy.close());
      const { work, done, notices } = await world({
        redis: `redis://127.0.0.1:${busy.port}`,
        silence: 100,
      });
      work.start(doNothing);
      work.plan(taskFor('a', Date.now()));
      await done.count(1);
      assert.match(notices.all.join('\n'), /: BUSY Redis is busy$/m);
    });
  }

  test('is not fit while Redis keeps the worker out that it lets others in', async (t) => {
    const server = await serve();
    const clock = { ...systemClock, monotonic: () => 50 * systemClock.monotonic() };
    const { work, notices } = await world({ redis: server.url, silence: 100, clock });
    work.start(doNothing);
    const client = new Redis(server.url);
    t.after(() => client.disconnect());
    const waiting = async (): Promise<string | undefined> =>
      /^id=(\d+) .* cmd=bzpopmin /m.exec(String(await client.call('CLIENT', 'LIST')))?.[1];
    await eventually('the worker waits', async () => (await waiting()) !== undefined);
    await client.config('SET', 'maxclients', '1');
    await client.call('CLIENT', 'KILL', 'ID', (await waiting())!);
    await notices.until((all) => all.some((text) => text.includes('does not let the worker in')));
    assert.deepEqual([work.status.connection, work.status.fit], ['ready', false]);
    await client.config('SET', 'maxclients', '100');
    await notices.until((all) => all.some((text) => text.endsWith('is there again')));
    assert.equal(work.status.fit, true);
  });

  test('is healed after a FLUSHALL under a waiting worker', async () => {
    const server = await serve();
    const { work, done } = await world({ redis: server.url, reconcileEvery: 200 });
    work.start(doNothing);
    for (let n = 0; n < 50; n++) work.plan(taskFor(`block-${n}`, Date.now() + 700));
    await work.settled();
    const client = new Redis(server.url);
    assert.equal(await client.flushall(), 'OK');
    client.disconnect();
    await done.count(50);
    assert.equal(new Set(done.all.map(({ block }) => block)).size, 50);
    assert.equal(done.all.length, 50);
  });

  test('reconciles again after a reconciliation that fell due while Redis was away', async () => {
    const server = await serve({ appendOnly: false });
    const { work, notices, healed } = await world({ redis: server.url });
    work.start(doNothing);
    await work.reconcile();
    work.plan(taskFor('a', Date.now() + HOUR));
    await work.settled();
    await server.kill();
    await notices.until((all) => all.some((text) => text.includes('ECONNREFUSED')));
    await work.reconcile();
    await server.restart();
    await healed.count(1);
    assert.equal(healed.all[0]!.added, 1);
    assert.equal(work.status.fit, true);
  });

  test('opens without Redis, and takes up work when Redis comes', async () => {
    const server = await serve();
    await server.kill();
    const { work, done, notices } = await world({ redis: server.url, openTimeout: 100 });
    assert.equal(work.status.connection, 'away');
    work.start(doNothing);
    work.plan(taskFor('a', Date.now()));
    assert.equal(work.status.unsent, 1);
    await server.restart();
    await done.count(1);
    assert.equal(work.status.connection, 'ready');
    assert.ok(notices.all.length > 0);
  });

  test('closes soon, although a run that ended cannot be reported', async () => {
    const server = await serve();
    const { work } = await world({ redis: server.url });
    const running = new Log<string>();
    let finish = (): void => undefined;
    let finished = false;
    const held = new Promise<void>((resolve) => (finish = resolve));
    work.start(async ({ block }) => {
      running.push(block);
      await held;
      finished = true;
    });
    work.plan(taskFor('a', Date.now()));
    await running.count(1);
    await server.kill();
    const from = Date.now();
    const closed = work.close();
    finish();
    await closed;
    assert.equal(finished, true);
    assert.ok(Date.now() - from < 8 * SECOND, `took ${Date.now() - from} ms`);
  });

  test('closes at once if Redis never was there', async () => {
    const { work } = await world({ redis: `redis://127.0.0.1:${await freePort()}`, openTimeout: 50 });
    work.start(doNothing);
    work.plan(taskFor('a', Date.now()));
    const from = Date.now();
    await work.close();
    assert.ok(Date.now() - from < 2 * SECOND, `took ${Date.now() - from} ms`);
    assert.equal(work.status.connection, 'closed');
  });
});
