import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { StopgapError } from '../../../src/kernel/errors.js';
import { parseRedis } from '../../../src/redis/address.js';
import { readInfo } from '../../../src/redis/connection.js';
import { freePort } from '../../support/ports.js';
import { RedisServer, skipWithoutRedisServer, startFakeRedis } from '../../support/redis.js';
import type { World } from './world.js';
import { doNothing, openWorld, taskFor } from './world.js';

const skip = await skipWithoutRedisServer();
if (skip !== false) process.stdout.write(`what kinds of Redis are taken is not tested: ${skip}\n`);

describe('the server', { timeout: 30_000 }, () => {
  const closers: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  const serve = async (...args: string[]): Promise<RedisServer> => {
    const server = await RedisServer.start({ args });
    closers.push(() => server.stop());
    return server;
  };
  const fake = async (version: string, info?: readonly string[]): Promise<string> => {
    const server = await startFakeRedis(version, info);
    closers.push(() => server.close());
    return server.url;
  };
  const world = async (options: Parameters<typeof openWorld>[0]): Promise<World> => {
    const made = await openWorld(options);
    closers.push(() => made.work.close());
    return made;
  };
  /** That a task is really run through this server. */
  const works = async ({ work, done }: World): Promise<void> => {
    work.start(doNothing);
    const task = taskFor('a', Date.now() + 20);
    work.plan(task);
    await done.count(1);
    assert.deepEqual(done.all, [task]);
  };

  for (const version of ['6.0.0', '5.0.14', '6.1.240']) {
    test(`is refused if it is as old as ${version}`, async () => {
      await assert.rejects(world({ redis: await fake(version) }), (error) => {
        assert.ok(error instanceof StopgapError);
        assert.equal(error.code, 'unavailable');
        assert.equal(error.message, `Redis ${version} is too old: timed work needs 6.2 or newer`);
        return true;
      });
    });
  }

  test('is taken if it is just new enough', async () => {
    const { work, notices } = await world({ redis: await fake('6.2.0', ['maxmemory_policy:noeviction']) });
    assert.equal(work.status.connection, 'ready');
    assert.deepEqual(notices.all, []);
  });

  test('is refused also if its age is found out late', async () => {
    const url = await fake('6.0.9');
    const port = Number(new URL(url).port);
    await closers.pop()!();
    const { work, refused } = await world({ redis: url, openTimeout: 50 });
    const late = await startFakeRedis('6.0.9', [], port);
    closers.push(() => late.close());
    await refused.count(1);
    assert.match(refused.all[0]!.message, /^Redis 6\.0\.9 is too old/);
    assert.equal(work.status.connection, 'refused');
  });

  test('reads INFO as other engines write it', () => {
    assert.deepEqual(
      readInfo('# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n'),
      {
        version: '7.2.4',
        evictionPolicy: undefined,
        isReplica: false,
        fullAt: undefined,
      },
    );
    assert.equal(readInfo('nonsense').version, '0');
  });

  test('is full by the reckoning of Redis, which leaves out its own buffers', () => {
    const fullAt = (used: number, uncounted: number, most: number): number | undefined =>
      readInfo(`used_memory:${used}\r\nmem_not_counted_for_evict:${uncounted}\r\nmaxmemory:${most}\r\n`)
        .fullAt;
    assert.equal(fullAt(1001, 0, 1000), 1000);
    assert.equal(fullAt(1001, 1, 1000), undefined);
    assert.equal(fullAt(1001, 0, 0), undefined);
  });

  test('is refused if it has no database of the number, also once it had', { skip }, async () => {
    const server = await serve();
    await assert.rejects(
      world({ redis: `${server.url}/16` }),
      /refuses us: ERR DB index is out of range; correct the number of the database in redis/,
    );
    const client = new Redis(server.url);
    closers.push(async () => client.disconnect());
    assert.deepEqual(await client.keys('*'), []);
    const { work, refused } = await world({ redis: `${server.url}/15` });
    await server.kill();
    server.take('--databases', '4');
    await server.restart();
    await refused.count(1);
    assert.match(refused.all[0]!.message, /DB index is out of range/);
    assert.equal(work.status.connection, 'refused');
    assert.deepEqual(await client.keys('*'), []);
  });

  test('that deletes data when its memory is full causes a warning', { skip }, async () => {
    const server = await serve('--maxmemory-policy', 'allkeys-lru');
    const { notices } = await world({ redis: server.url });
    assert.deepEqual(notices.all, [
      'Redis has maxmemory-policy allkeys-lru: when its memory is full it throws timed work away. Set it to noeviction',
    ]);
  });

  test('may ask for a password, which is never shown', { skip }, async () => {
    const server = await serve('--requirepass', 'tr0ub4dor');
    const good = `redis://:tr0ub4dor@127.0.0.1:${server.port}/3`;
    const open = await world({ redis: good });
    await works(open);
    await assert.rejects(world({ redis: `redis://:wr0ng@127.0.0.1:${server.port}` }), (error) => {
      assert.ok(error instanceof StopgapError);
      assert.match(error.message, /refuses us: WRONGPASS/);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /wr0ng/);
      return true;
    });
    await assert.rejects(world({ redis: server.url }), /refuses us: NOAUTH/);
    await server.kill();
    await open.notices.until((all) => all.some((text) => text.includes('ECONNREFUSED')));
    assert.doesNotMatch(open.notices.all.join('\n'), /tr0ub4dor/);
    assert.doesNotMatch(inspect(parseRedis(good), { depth: 9, showHidden: true }), /tr0ub4dor/);
    assert.doesNotMatch(JSON.stringify(parseRedis(good)), /tr0ub4dor/);
  });

  test('may repeat the login that it refuses: the password is not shown', async (t) => {
    const server = net.createServer((socket) => {
      const refuse = (command: string): boolean =>
        socket.write(`-ERR invalid command ${command.replaceAll('\r\n', ' ')}\r\n`);
      socket.on('error', () => undefined);
      // Each command begins with a star.
      socket.on('data', (asked) => String(asked).split('*').slice(1).forEach(refuse));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    await assert.rejects(world({ redis: `redis://:tr0ub4dor@127.0.0.1:${port}` }), (error) => {
      assert.match(String(error), /refuses us: ERR invalid command .*\*\*\*/);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /tr0ub4dor/);
      return true;
    });
  });

  test('may be a cluster: the queue lives in one slot', { skip }, async () => {
    // A node that has met no other knows no address of its own.
    const announced = ['--cluster-announce-ip', '127.0.0.1', '--cluster-port', String(await freePort())];
    const server = await serve('--cluster-enabled', 'yes', ...announced);
    const client = new Redis(server.url);
    closers.push(async () => client.disconnect());
    await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383);
    const open = await world({ redis: `redis+cluster://127.0.0.1:${server.port}`, openTimeout: 10_000 });
    await works(open);
    const keys = await client.keys('*');
    assert.ok(keys.length > 0);
    assert.deepEqual(
      keys.filter((key) => !key.startsWith('{stopgap}:expiry:')),
      [],
    );
  });

  test('may be found by sentinels', { skip }, async () => {
    const server = await serve();
    const sentinel = await RedisServer.start({ sentinelOf: server.port });
    closers.push(() => sentinel.stop());
    const open = await world({
      redis: `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`,
      openTimeout: 10_000,
    });
    await works(open);
  });
});

describe('an address of Redis', () => {
  const shown = (url: string): string => parseRedis(url).toString();

  test('has one form for each kind', () => {
    assert.equal(shown('redis://example.org'), 'redis://example.org:6379');
    assert.equal(shown('rediss://u:p@example.org:6380/2'), 'rediss://example.org:6380/2');
    assert.equal(shown('redis://[2001:db8::1]:6380'), 'redis://[2001:db8::1]:6380');
    assert.equal(shown('redis+sentinel://a,b:26380/main/1'), 'redis+sentinel://a:26379,b:26380/main/1');
    assert.equal(shown('rediss-cluster://a:7000,b:7001'), 'rediss+cluster://a:7000,b:7001');
  });

  test('keeps its secrets aside, and prefers those of the settings to those of the URL', () => {
    const { username, password } = parseRedis('redis://us%40er:p%3Ass%40word@h').secrets();
    assert.deepEqual([username, password], ['us@er', 'p:ss@word']);
    const both = parseRedis({ url: 'redis+sentinel://:a@h/m?sentinelPassword=b', password: 'c' }).secrets();
    assert.deepEqual([both.password, both.sentinelPassword], ['c', 'b']);
  });

  for (const [url, why] of [
    ['http://h', /redis:\/\/\[user/],
    ['redis://', /host/],
    ['redis://a,b', /several hosts/],
    ['redis://h:0', /host/],
    ['redis://h:99999', /host/],
    ['redis://h/x', /database/],
    ['redis://h/1/2', /database/],
    ['redis+cluster://h/1', /cluster/],
    ['redis+sentinel://h', /master/],
    ['redis://h?db=1', /not known: db/],
    ['redis://:100%@h', /%25/],
  ] as const) {
    test(`is refused if it is ${url}`, () => {
      assert.throws(() => parseRedis(url), { name: 'InvalidInput', field: 'redis', message: why });
    });
  }

  test('is not repeated in the refusal', () => {
    assert.throws(
      () => parseRedis('redis://:s3cret@h:bad'),
      (error) => error instanceof StopgapError && !inspect(error).includes('s3cret'),
    );
  });
});
