import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { asRelay } from '../../../src/config/values.js';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { Notices } from '../../../src/notices/notices.js';
import { ApiServer } from '../../support/api/server.js';
import { channelOf } from '../../support/notices/channels.js';
import { Receiver } from '../../support/notices/receiver.js';
import { eventually } from '../../support/smtp/eventually.js';

test('of several processes that send notices one sends each, and the others take over when it is gone', async (t) => {
  const receiver = await Receiver.start(t);
  const server = await ApiServer.start();
  const { store, models } = server.deps;
  const { clock } = server;
  const channel = channelOf({ url: receiver.url(), events: 'imposed,proposed' });
  const workers = [1, 2, 3].map(
    () =>
      new Notices({
        ...{ channels: [channel], store, models, clock, log: pino({ level: 'silent' }) },
        ...{ metrics: new Metrics().notices, isAlone: false, retention: 35 * DAY },
        ...{
          publicUrl: undefined,
          relay: asRelay('smtp://127.0.0.1:9', path.resolve('.')),
          hostname: 'mx.example.com',
        },
      }),
  );
  t.after(async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    await server.stop();
    await rm(server.directory, { recursive: true, force: true });
  });
  for (const worker of workers) await worker.start();
  const recorded = async (type: string): Promise<number> => {
    let count = 0;
    for await (const event of store.readStream('notices-ops')) if (event.type === type) count += 1;
    return count;
  };
  for (let round = 1; round <= 5; round += 1) {
    await server.block(`a${round}@example.com`);
    await eventually(`notice ${round} is delivered`, async () => {
      clock.advance(10 * SECOND);
      return (await recorded('NoticeDelivered')) === round;
    });
  }
  assert.equal(receiver.received.length, 5);
  assert.equal(await recorded('NoticeAttempted'), 5);
  // One claims an attempt and is gone.
  receiver.reply = 'silence';
  await server.block('last@example.com');
  await eventually('it is claimed', async () => {
    clock.advance(SECOND);
    return receiver.received.length === 6 && (await recorded('NoticeAttempted')) === 6;
  });
  receiver.reply = { status: 200 };
  await Promise.all(workers.slice(0, 3).map((worker) => worker.close()));
  await workers[2]!.start();
  await eventually('another one sends it', async () => {
    clock.advance(SECOND);
    return (await recorded('NoticeDelivered')) === 6;
  });
  assert.equal(receiver.received[6]!.headers['webhook-id'], receiver.received[5]!.headers['webhook-id']);
});
