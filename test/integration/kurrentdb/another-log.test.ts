import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pseudonymOf } from '../../../src/kernel/pseudonym.js';
import { HOUR, type Instant } from '../../../src/kernel/time.js';
import { LogReplaced } from '../../../src/store/port.js';
import { direct } from '../../support/kurrentdb/direct.js';
import { Follower, PATIENCE, Scene } from '../../support/kurrentdb/scene.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvents } from '../../support/store/events.js';

describe('a log of KurrentDB that is another one', { timeout: PATIENCE }, () => {
  it('is recognised although it is longer than the former one', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { silence: 50 });
      await store.append('block-a', newEvents(5), 'none');
      const log = path.join(scene.directory, 'log.jsonl');
      const backup = await fs.readFile(log);
      await store.append('block-a', newEvents(5), 4);
      const follower = new Follower(store, { after: 0, categories: ['block'] });
      await follower.reached(10);
      await server.kill();
      await fs.writeFile(log, backup);
      const elsewhere = await scene.server();
      const other = await scene.store(elsewhere.url);
      await other.append('block-b', newEvents(50), 'none');
      assert.ok((await other.head()) > follower.subscription.position);
      await elsewhere.kill();
      await scene.restarted(server);
      await assert.rejects(follower.subscription.ended, (error: Error) => {
        assert.ok(error instanceof LogReplaced);
        assert.match(error.message, /block-a has no event 9/);
        return true;
      });
      assert.equal(follower.seen.length, 10);
    }));

  it('is recognised by another event at the same place', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { silence: 50 });
      await store.append('block-a', newEvents(5), 'none');
      const follower = new Follower(store, { after: 0, categories: ['block'] });
      await follower.reached(5);
      await server.kill();
      await fs.rm(path.join(scene.directory, 'log.jsonl'));
      const elsewhere = await scene.server();
      const other = await scene.store(elsewhere.url);
      await other.append('block-a', newEvents(50), 'none');
      await elsewhere.kill();
      await scene.restarted(server);
      await assert.rejects(follower.subscription.ended, /block-a has another event 4/);
    }));

  it('is not concluded from events that retention has deleted', () =>
    Scene.play(async (scene) => {
      let now: Instant = Date.now();
      const server = await scene.server();
      await server.tell({ do: 'time', now });
      const store = await scene.store(server.url, { clock: { now: () => now }, silence: 50 });
      await store.setRetention('send', HOUR);
      await store.append('send-a', newEvents(3), 'any');
      await eventually('its retention is set', () =>
        direct(server.url, async (client) => {
          const { metadata } = await client.getStreamMetadata('send-a');
          return metadata?.maxAge === HOUR / 1000;
        }),
      );
      const follower = new Follower(store, { after: 0, categories: ['send'] });
      await follower.reached(3);
      now += 2 * HOUR;
      await server.tell({ do: 'time', now });
      await server.tell({ do: 'end quietly' });
      await store.append('send-b', newEvents(1), 'any');
      await follower.reached(4);
      await follower.subscription.stop();
      await follower.subscription.ended;
    }));

  it('is recognised by a position at which no event ends', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { silence: 50 });
      const { position } = await store.append('block-a', newEvents(2), 'none');
      const follower = new Follower(store, { after: position - 1 });
      await assert.rejects(follower.subscription.ended, LogReplaced);
      assert.equal(follower.seen.length, 0);
      assert.ok(scene.reports.length > 0, 'it was doubted before');
    }));

  for (const isOlder of [false, true]) {
    const how = isOlder ? 'is from before that' : 'began empty';
    it(`hides nothing of somebody who was forgotten in the former one if it ${how}`, () =>
      Scene.play(async (scene) => {
        const server = await scene.server();
        const store = await scene.store(server.url, { silence: 50 });
        const alice = 'block-account:alice@example.com';
        const old = newEvents(3);
        await store.append(alice, old, 'none');
        const backup = await fs.readFile(scene.log);
        await store.forget({ name: 'alice@example.com', pseudonym: pseudonymOf('a') });
        await store.append('block-b', newEvents(5), 'none');
        const follower = new Follower(store, { after: 0, categories: ['block'] });
        await follower.reached(8);
        assert.ok(follower.seen.every(({ stream }) => stream !== alice));
        await server.kill();
        if (isOlder) await fs.writeFile(scene.log, backup);
        else await fs.rm(scene.log);
        await scene.restarted(server);
        await assert.rejects(follower.subscription.ended, LogReplaced);
        const young = newEvents(1);
        await store.append(alice, young, 'any');
        const wanted = ids(isOlder ? [...old, ...young] : young);
        const again = new Follower(store, { after: 0, categories: ['block'] });
        await again.subscription.caughtUp;
        assert.deepEqual(again.ids, wanted);
        assert.deepEqual(ids(await collect(store.readStream(alice))), wanted);
        assert.deepEqual(ids(await collect(store.readAll({ categories: ['block'] }))), wanted);
      }));
  }
});
