import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HOUR } from '../../../src/kernel/time.js';
import { openTestRedis, skipWithoutRedis } from '../../support/redis.js';
import { doNothing, openWorld, taskFor } from './world.js';

const skip = await skipWithoutRedis();
if (skip !== false) process.stdout.write(`the death of a worker is not tested: ${skip}\n`);

const LOCK = 600;

describe('a worker that is killed in the middle of a job', { skip, timeout: 30_000 }, () => {
  test('is replaced by another worker, which runs the job again', async (t) => {
    const redis = await openTestRedis();
    t.after(() => redis.close());
    const prefix = redis.freshPrefix();
    const { work, done, notices } = await openWorld({
      redis: redis.url,
      prefix,
      lock: LOCK,
      reconcileEvery: HOUR,
    });
    t.after(() => work.close());
    const task = taskFor('a', Date.now());
    work.plan(task);
    await work.settled();
    const script = fileURLToPath(new URL('./crash-child.js', import.meta.url));
    const child = fork(script, [redis.url, prefix, String(LOCK)]);
    t.after(() => child.kill('SIGKILL'));
    const [block] = (await once(child, 'message')) as [string];
    assert.equal(block, 'a');
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal((await work.counts()).active, 1);
    work.start(doNothing);
    await done.count(1);
    assert.deepEqual(done.all, [task]);
    assert.ok(notices.all.some((text) => /lost its worker/.test(text)));
  });
});
