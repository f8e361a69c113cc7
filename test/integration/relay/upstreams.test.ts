import assert from 'node:assert/strict';
import path from 'node:path';
import { rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Config } from '../../../src/config/schema.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { Upstreams } from '../../../src/smtp/role.js';
import { ENVELOPE, MESSAGE, bodyOf, temporaryDir, yes } from '../../support/relay/helpers.js';
import { freePort } from '../../support/ports.js';

test('an upstream of arriving mail that is away says nothing of submissions, which go to another', async (t) => {
  const folder = await temporaryDir(t);
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

test('an upstream that answers when it is asked, and only messages not, is told apart from one that is away', async (t) => {
  const folder = path.join(await temporaryDir(t), 'out');
  const relay = { url: `maildir:${folder}` };
  const upstreams = new Upstreams({
    config: { smtp: { hostname: 'mx.example.com', relay, inbound: [] } } as unknown as Config,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    metrics: { unanswered: () => undefined },
  });
  t.after(() => upstreams.close());
  await upstreams.asked();
  await rm(folder, { recursive: true });
  await writeFile(folder, '');
  const transaction = upstreams.relayOf(relay as Config['smtp']['relay']).begin(ENVELOPE);
  await transaction.offer({ address: 'one@example.net' });
  await transaction.transmit(await bodyOf(MESSAGE), yes);
  assert.deepEqual([upstreams.state, upstreams.stateFor('outbound')], ['unanswered', 'unanswered']);
});
