import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import { asRelay } from '../../../src/config/values.js';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { Notices } from '../../../src/notices/notices.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import type { EventStore } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { call, startOn } from '../../support/api/server.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { ManualClock } from '../../support/manual-clock.js';
import { channelOf } from '../../support/notices/channels.js';
import { Receiver } from '../../support/notices/receiver.js';
import { eventually } from '../../support/smtp/eventually.js';
import { temporaryDirectory } from '../../support/store/files.js';

interface Opened {
  readonly store: EventStore;
  readonly end: () => Promise<unknown>;
}

async function onSqlite(clock: ManualClock): Promise<Opened> {
  const directory = await temporaryDirectory();
  const store = await openSqliteStore({ file: path.join(directory, 'events.db'), clock });
  return { store, end: () => rm(directory, { recursive: true }) };
}

async function onStandIn(clock: ManualClock): Promise<Opened> {
  const server = await StandIn.start();
  return { store: await openKurrentStore({ url: server.url, clock }), end: () => server.kill() };
}

describe('of several processes that send notices', () => {
  for (const [name, open] of [
    ['SQLite', onSqlite],
    ['the stand-in for KurrentDB', onStandIn],
  ] as const)
    test(`one sends each, and another takes over when it is gone, over ${name}`, async (t) => {
      const clock = new ManualClock();
      const { store, end } = await open(clock);
      const node = await startOn(store, '', clock);
      const receiver = await Receiver.start(t);
      const { models } = node.deps;
      const channel = channelOf({ url: receiver.url(), events: 'imposed,proposed' });
      const workers = [1, 2, 3].map(
        () =>
          new Notices({
            channels: [channel],
            store,
            models,
            clock,
            log: pino({ level: 'silent' }),
            metrics: new Metrics().notices,
            isAlone: false,
            retention: 35 * DAY,
            publicUrl: undefined,
            relay: asRelay('smtp://127.0.0.1:9', '/'),
            hostname: 'mx.example.com',
          }),
      );
      t.after(async () => {
        await Promise.all(workers.map((worker) => worker.close()));
        await node.stop();
        await end();
      });
      for (const worker of workers) await worker.start();
      const recorded = async (...types: string[]): Promise<number> => {
        let count = 0;
        for await (const event of store.readStream('notices-ops')) if (types.includes(event.type)) count += 1;
        return count;
      };
      /** While a notice is on its way no time passes, or its deadline would. */
      const passes = async (): Promise<void> => {
        if ((await recorded('NoticeAttempted')) === (await recorded('NoticeDelivered', 'NoticeFailed')))
          clock.advance(5 * SECOND);
      };
      const block = async (value: string): Promise<void> => {
        const body = { subject: { type: 'account', value }, duration: '9h' };
        assert.equal((await call(node.url, 'POST', '/api/v1/blocks', { body })).status, 201);
      };
      for (let round = 1; round <= 5; round += 1) {
        await block(`a${round}@example.com`);
        await eventually(`notice ${round} is delivered`, async () => {
          await passes();
          return (await recorded('NoticeDelivered')) === round;
        });
      }
      assert.equal(receiver.received.length, 5);
      assert.equal(await recorded('NoticeAttempted'), 5);
      receiver.reply = 'silence';
      await block('last@example.com');
      await eventually('it is claimed', async () => {
        await passes();
        return receiver.received.length === 6;
      });
      receiver.reply = { status: 200 };
      // As if the one that claimed it had been killed: all end, and another one begins.
      await Promise.all(workers.map((worker) => worker.close()));
      await workers[2]!.start();
      assert.equal(receiver.received.length, 6, 'nobody sends it while the claim holds');
      await eventually('another one sends it', async () => {
        if (receiver.received.length === 6) clock.advance(SECOND);
        return (await recorded('NoticeDelivered')) === 6;
      });
      assert.equal(receiver.received[6]!.headers['webhook-id'], receiver.received[5]!.headers['webhook-id']);
    });
});
