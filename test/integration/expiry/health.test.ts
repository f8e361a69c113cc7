import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedisServer, skipWithoutRedisServer } from '../../support/redis.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Stopgap } from '../../support/smtp/stopgap.js';

const skip = await skipWithoutRedisServer();

test(
  'a worker whose Redis is away says that it is degraded, and why, until Redis is back',
  { skip },
  async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const stopgap = await Stopgap.start(t, { settings: { redis: redis.url } });
    const saying = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/healthz`);
      const health = (await answer.json()) as Record<'status' | 'store' | 'redis', string>;
      return [health.status, health.store, health.redis].join(' ');
    };
    assert.equal(await saying(), 'ok ok ok');
    await redis.kill();
    await eventually('it says so', async () => (await saying()) === 'degraded ok failing');
    await redis.restart();
    await eventually('all is well again', async () => (await saying()) === 'ok ok ok');
  },
);
