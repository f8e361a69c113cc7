import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { Connection, Nodes } from '../../../src/store/kurrentdb/connection.js';
import { Pulse } from '../../../src/store/kurrentdb/feed.js';
import { Reader } from '../../../src/store/kurrentdb/reader.js';
import type { Retention } from '../../../src/store/kurrentdb/retention.js';
import { ResumingSubscription } from '../../../src/store/kurrentdb/subscription.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { Command } from '../../support/kurrentdb/control.js';
import { Follower, insist, PATIENCE, Scene, SHORT, urlOf } from '../../support/kurrentdb/scene.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Gate, isSettled, settle } from '../../support/gate.js';
import { ids, newEvent, newEvents, positions, rising } from '../../support/store/events.js';

const STREAM = 'block-a';

/** Appends one at a time until it is stopped; only what was acknowledged counts. */
function writer(store: EventStore) {
  const written: string[] = [];
  let going = true;
  const done = (async () => {
    while (going) {
      const event = newEvent();
      await insist(store, STREAM, [event]);
      written.push(event.id);
    }
  })();
  return {
    written,
    stop: async () => {
      going = false;
      await done;
    },
  };
}

describe('a KurrentDB subscription', { timeout: PATIENCE }, () => {
  const losses: [name: string, command: Command][] = [
    ['its connection is cut', { do: 'drop' }],
    ['the server ends it as if all were well', { do: 'end quietly' }],
    ['the server calls it too slow', { do: 'too slow' }],
  ];
  for (const [name, command] of losses) {
    it(`goes on from its position when ${name}, again and again, while events come`, () =>
      Scene.play(async (scene) => {
        const server = await scene.server();
        const store = await scene.store(server.url);
        const other = await scene.store(server.url);
        const follower = new Follower(store, { after: 0, categories: ['block'] });
        await follower.subscription.caughtUp;
        const { written, stop } = writer(other);
        for (let round = 1; round <= 5; round++) {
          await follower.reached(follower.seen.length + 20);
          await server.tell(command);
          await eventually('the loss was noticed', () => scene.reports.length >= round);
        }
        await follower.reached(follower.seen.length + 20);
        await stop();
        await follower.reached(written.length);
        assert.deepEqual([...new Set(follower.ids)], written);
        assert.equal(follower.seen.length, written.length, 'each event once');
        assert.ok(rising(positions(follower.seen)));
      }));
  }

  it('misses nothing if a node that lags says that it has given everything', () =>
    Scene.play(async (scene) => {
      // A former leader that has lost its cluster: it answers, from a log of its own.
      const behind = await scene.server({ file: path.join(scene.directory, 'behind.jsonl') });
      const leader = await scene.server();
      const events = newEvents(3);
      const store = await scene.store(leader.url);
      await store.append(STREAM, events, 'none');
      const nodes = new Nodes(urlOf(behind, leader));
      const retry = { first: 5, most: 50 };
      const report = (problem: string, error: unknown): void =>
        void scene.reports.push(`${problem}: ${String(error)}`);
      const timeout = 5 * SECOND;
      const [following, reading] = [behind, leader].map(
        ({ port }) => new Connection(nodes, `127.0.0.1:${port}`, false, report),
      ) as [Connection, Connection];
      const retention = {
        outlived: () => false,
        mayHaveTaken: () => false,
        keeps: () => true,
        refresh: () => Promise.resolve(),
      } as unknown as Retention;
      const reader = new Reader({
        connection: reading,
        credentials: undefined,
        retention,
        timeout,
        checkOpen: () => undefined,
      });
      const pulse = new Pulse({ interval: 50, head: () => reader.head(), back: () => undefined, report });
      const seen: string[] = [];
      const subscription = new ResumingSubscription(
        { connection: following, reader, retention, pulse, backoff: retry, timeout, doubt: timeout, report },
        { after: 0, categories: ['block'] },
        ({ id }) => void seen.push(id),
      );
      try {
        await subscription.caughtUp;
        assert.deepEqual(seen, ids(events));
        assert.match(scene.reports.join(), /nothing came for a while/);
      } finally {
        await subscription.stop();
        following.close();
        reading.close();
      }
    }));

  it('goes on after the server was killed and started again', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      const follower = new Follower(store, { after: 'end', categories: ['block'] });
      const before = newEvents(10);
      await store.append(STREAM, before, 'none');
      await follower.reached(10);
      await server.kill();
      await eventually('the loss was noticed', () => scene.reports.length > 1);
      await scene.restarted(server);
      const other = await scene.store(server.url);
      const after = newEvents(10);
      await other.append(STREAM, after, 9);
      await follower.reached(20);
      assert.deepEqual(follower.ids, ids([...before, ...after]));
    }));

  it('begins when a server appears at last, also a subscription from the end', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      await server.kill();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      assert.equal(store.healthy, false);
      const all = new Follower(store, { after: 0, categories: ['block'] });
      const end = new Follower(store, { after: 'end', categories: ['block'] });
      await scene.restarted(server);
      await Promise.all([all.subscription.caughtUp, end.subscription.caughtUp]);
      await eventually('it is healthy by itself', () => store.healthy);
      const event = newEvent();
      await store.append(STREAM, [event], 'none');
      await Promise.all([all.reached(1), end.reached(1)]);
      assert.deepEqual([all.ids, end.ids], [[event.id], [event.id]]);
    }));

  it('tries again if its confirmation does not come', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      await server.tell({ do: 'faults', stalled: ['subscribe'] });
      const follower = new Follower(store, { after: 0, categories: ['block'] });
      await eventually('it was given up', () => scene.reports.some((text) => text.includes('no answer')));
      await server.tell({ do: 'heal' });
      await follower.subscription.caughtUp;
    }));

  it('notices that the server has forgotten it', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT, silence: 50 });
      const follower = new Follower(store, { after: 0, categories: ['block'] });
      await follower.subscription.caughtUp;
      await server.tell({ do: 'faults', stalled: ['subscribe'] });
      const events = newEvents(3);
      await store.append(STREAM, events, 'none');
      // It is given up for its silence; that its successor is not confirmed is what gets reported.
      await eventually('it was given up', () => scene.reports.some((text) => text.includes('no answer')));
      assert.deepEqual(follower.ids, []);
      await server.tell({ do: 'heal' });
      await follower.reached(3);
      assert.deepEqual(follower.ids, ids(events));
    }));

  it('says how far it may lag while the server says nothing', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT, silence: 50 });
      const { subscription } = new Follower(store, { after: 0, categories: ['block'] });
      await subscription.caughtUp;
      const other = await scene.store(server.url);
      await other.append('send-a', newEvents(3), 'none');
      await eventually('what does not concern it is no lag', async () => {
        return subscription.position === (await other.head()) && subscription.lag < SHORT;
      });
      server.freeze();
      await eventually('it is known to be stale', () => subscription.lag > 2 * SHORT);
      server.thaw();
      await eventually('it is known not to be', () => subscription.lag < SHORT);
    }));

  it('does not run ahead of its handler, however much has come in', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      const events = newEvents(100);
      await store.append(STREAM, events, 'none');
      const other = new Follower(store, { after: 0 });
      const gate = new Gate();
      const follower: Follower = new Follower(store, { after: 0, categories: ['block'] }, () =>
        follower.seen.length === 20 ? gate.opened : undefined,
      );
      await follower.reached(20);
      // By then the server has said to both that they have caught up.
      await other.subscription.caughtUp;
      await settle();
      assert.equal(await isSettled(follower.subscription.caughtUp), false);
      assert.equal(follower.subscription.position, follower.seen[18]!.position);
      gate.open();
      await follower.reached(100);
      assert.deepEqual(follower.ids, ids(events));
    }));

  it('hands nothing over twice if the connection is lost while its handler works', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      const events = newEvents(50);
      await store.append(STREAM, events, 'none');
      let dropped = false;
      const follower = new Follower(store, { after: 0, categories: ['block'] }, async () => {
        if (follower.seen.length !== 20 || dropped) return;
        dropped = true;
        await server.tell({ do: 'drop' });
        const [more] = newEvents(1);
        events.push(more!);
        await insist(store, STREAM, [more!]);
      });
      await follower.reached(51);
      assert.deepEqual(follower.ids, ids(events));
    }));

  it('stops while the server is away, and when the store closes', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      const one = new Follower(store, { after: 0 });
      const two = new Follower(store, { after: 0 });
      await Promise.all([one.subscription.caughtUp, two.subscription.caughtUp]);
      await server.kill();
      await eventually('both losses were noticed', () => scene.reports.length >= 2);
      await one.subscription.stop();
      await one.subscription.ended;
      await store.close();
      await assert.rejects(two.subscription.ended, StoreUnavailable);
    }));
});
