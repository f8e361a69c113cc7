import assert from 'node:assert/strict';
import path from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Config } from '../../../src/config/schema.js';
import { systemClock } from '../../../src/runtime/system-clock.js';
import { Upstreams } from '../../../src/smtp/role.js';
import { freePort } from '../../support/redis.js';

test('an upstream of arriving mail that is away says nothing of submissions, which go to another', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'stopgap-upstreams-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const smtp = {
    hostname: 'mx.example.com',
    relay: { url: `maildir:${folder}/out` },
    inbound: [{ relay: { url: `smtp://127.0.0.1:${await freePort()}?tls=off` } }],
  };
  const upstreams = new Upstreams({
    config: { smtp } as unknown as Config,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    metrics: { unanswered: () => undefined },
  });
  t.after(() => upstreams.close());
  await upstreams.asked();
  assert.equal(upstreams.stateFor('outbound'), 'ok');
  assert.equal(upstreams.stateFor('inbound'), 'failing');
  assert.equal(upstreams.state, 'failing');
});
