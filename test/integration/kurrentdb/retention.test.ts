import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { describe, it } from 'node:test';
import { pseudonymOf } from '../../../src/kernel/pseudonym.js';
import { InvalidInput } from '../../../src/kernel/errors.js';
import { DAY, HOUR, SECOND } from '../../../src/kernel/time.js';
import type { KurrentStoreOptions } from '../../../src/store/kurrentdb/index.js';
import { StoreUnavailable, WrongExpectedRevision } from '../../../src/store/port.js';
import { direct } from '../../support/kurrentdb/direct.js';
import { Follower, insist, PATIENCE, Scene, SHORT } from '../../support/kurrentdb/scene.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ManualClock } from '../../support/manual-clock.js';
import { collect, ids, newEvent, newEvents, revisions } from '../../support/store/events.js';

/** Every write of metadata to a stream so far. The log holds what is answered; a client would take half a second to connect. */
const metadata = async (log: string, stream: string): Promise<unknown[]> => {
  const lines = (await fs.readFile(log, 'utf8')).split('\n').slice(0, -1);
  return lines
    .map((line) => JSON.parse(line) as { readonly stream: string; readonly data: string })
    .filter((event) => event.stream === `$$${stream}`)
    .map(({ data }): unknown => JSON.parse(Buffer.from(data, 'base64').toString()));
};

/** Milliseconds for which an event that was written cannot be read. */
const INDEXING = 5;

async function tools(stage: Scene) {
  const server = await stage.server({ indexing: INDEXING });
  const clock = new ManualClock();
  const advance = async (by: number) => {
    clock.advance(by);
    await server.tell({ do: 'time', now: clock.now() });
  };
  await advance(0);
  const open = (options: Partial<KurrentStoreOptions> = {}) => stage.store(server.url, { clock, ...options });
  const { reports, log } = stage;
  return { server, clock, advance, open, store: await open(), reports, log };
}

type Tools = Awaited<ReturnType<typeof tools>>;
const scene = (act: (tools: Tools) => Promise<void>) => Scene.play(async (stage) => act(await tools(stage)));

describe('retention in KurrentDB', { timeout: PATIENCE }, () => {
  it("puts $maxAge on a stream once, after its first append, and keeps to its category's", () =>
    scene(async ({ store, open, log }) => {
      await store.setRetention('send', 35 * DAY);
      await store.append('send-a', [newEvent()], 'none');
      await store.append('block-a', [newEvent()], 'none');
      await eventually('it is there', async () => (await metadata(log, 'send-a')).length > 0);
      await store.append('send-a', newEvents(3), 'any');
      const other = await open();
      await other.setRetention('send', 35 * DAY);
      await other.append('send-a', [newEvent()], 'any');
      await other.close();
      await store.close();
      assert.deepEqual(await metadata(log, 'send-a'), [{ $maxAge: (35 * DAY) / SECOND }]);
      assert.deepEqual(await metadata(log, 'block-a'), []);
    }));

  it('is set when an append is answered, of however many streams that never get another', () =>
    scene(async ({ server, store, log }) => {
      await store.setRetention('send', DAY);
      const streams = Array.from({ length: 400 }, (_, i) => `send-${i}`);
      await Promise.all(streams.map((stream) => store.append(stream, [newEvent()], 'any')));
      await server.kill();
      const lines = (await fs.readFile(log, 'utf8')).trim().split('\n');
      const written = new Set(lines.map((line) => (JSON.parse(line) as { stream: string }).stream));
      assert.deepEqual(
        streams.filter((stream) => !written.has(`$$${stream}`)),
        [],
      );
    }));

  it('is set by the next attempt at an append where it could not be set', () =>
    scene(async ({ server, open, reports, log }) => {
      const store = await open({ appendTimeout: SHORT });
      await store.setRetention('send', DAY);
      await insist(store, 'send-b', [newEvent()]);
      await server.tell({ do: 'faults', stalledStream: '$$send-a' });
      const events = [newEvent()];
      await assert.rejects(store.append('send-a', events, 'any'), StoreUnavailable);
      await server.tell({ do: 'heal' });
      await insist(store, 'send-a', events);
      assert.deepEqual(await metadata(log, 'send-a'), [{ $maxAge: DAY / SECOND }]);
      assert.deepEqual(ids(await collect(store.readStream('send-a'))), ids(events));
      assert.deepEqual(reports, []);
    }));

  it('changes a `$maxAge` that was set otherwise, leaves the other metadata, and removes it', () =>
    scene(async ({ server, store, log }) => {
      await direct(server.url, (client) =>
        client.setStreamMetadata('send-a', { maxCount: 5000, maxAge: 7, owner: 'them' }),
      );
      await store.setRetention('send', DAY);
      await store.append('send-a', [newEvent()], 'none');
      await eventually('changed', async () => (await metadata(log, 'send-a')).length === 2);
      await store.setRetention('send', undefined);
      await store.append('send-a', [newEvent()], 'any');
      await eventually('taken away', async () => (await metadata(log, 'send-a')).length === 3);
      assert.deepEqual((await metadata(log, 'send-a')).slice(1), [
        { $maxCount: 5000, $maxAge: DAY / SECOND, owner: 'them' },
        { $maxCount: 5000, owner: 'them' },
      ]);
    }));

  it('hides what is too old from every read, and from subscriptions, before the server has scavenged', () =>
    scene(async ({ advance, clock, store, log }) => {
      await store.setRetention('send', DAY);
      const old = newEvents(3);
      await store.append('send-a', old, 'none');
      await store.append('block-a', [newEvent()], 'none');
      await eventually('set', async () => (await metadata(log, 'send-a')).length === 1);
      await advance(DAY);
      assert.equal((await collect(store.readStream('send-a'))).length, 3, 'not older than allowed');
      await advance(HOUR);
      const young = newEvents(2);
      await store.append('send-a', young, 2);
      const follower = new Follower(store, { after: 0, categories: ['send'] });
      await follower.subscription.caughtUp;
      assert.deepEqual(follower.ids, ids(young));
      assert.deepEqual(ids(await collect(store.readAll({ categories: ['send'] }))), ids(young));
      assert.deepEqual(revisions(await collect(store.readStream('send-a'))), [3, 4]);
      assert.equal((await collect(store.readAll({ categories: ['block'] }))).length, 1);
      assert.equal(await store.sweep(clock.now()), 0, 'that is for the scavenge');
    }));

  it('treats a stream whose events are all too old as one without events', () =>
    scene(async ({ advance, store, log }) => {
      await store.setRetention('profile', DAY);
      await store.append('profile-a', newEvents(3), 'none');
      await eventually('set', async () => (await metadata(log, 'profile-a')).length === 1);
      await advance(DAY + HOUR);
      await assert.rejects(store.append('profile-a', [newEvent()], 0), (error) => {
        assert.ok(error instanceof WrongExpectedRevision);
        assert.equal(error.actual, 'none');
        return true;
      });
      assert.equal((await store.append('profile-a', [newEvent()], 'none')).revision, 3);
      await assert.rejects(store.append('profile-a', [newEvent()], 'none'), WrongExpectedRevision);
    }));

  it('lets one of two writers begin a stream whose events are all too old', () =>
    scene(async ({ advance, store, open, log }) => {
      const writers = [store, await open()];
      for (const writer of writers) await writer.setRetention('profile', DAY);
      await store.append('profile-a', [newEvent()], 'none');
      await eventually('set', async () => (await metadata(log, 'profile-a')).length === 1);
      for (let revision = 1; revision <= 10; revision++) {
        await advance(DAY + HOUR);
        const results = await Promise.allSettled(
          writers.map((writer) => writer.append('profile-a', [newEvent()], 'none')),
        );
        assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
        for (const [i, result] of results.entries()) {
          if (result.status === 'fulfilled') assert.equal(result.value.revision, revision);
          else {
            assert.ok(result.reason instanceof WrongExpectedRevision, String(result.reason));
            assert.equal(result.reason.actual, revision);
          }
          assert.deepEqual(revisions(await collect(writers[i]!.readStream('profile-a'))), [revision]);
        }
      }
    }));

  it('is set again on a stream that begins anew in another process than the one that forgot somebody', () =>
    scene(async ({ store, open, log }) => {
      const other = await open();
      for (const each of [store, other]) await each.setRetention('send', DAY);
      await other.append('send-alice@example.com', [newEvent()], 'none');
      const all = () => metadata(log, 'send-alice@example.com');
      await eventually('set', async () => (await all()).length === 1);
      await store.forget({ name: 'alice@example.com', pseudonym: pseudonymOf('a') });
      await collect(other.readAll());
      await other.append('send-alice@example.com', [newEvent()], 'any');
      await eventually('set again', async () => '$maxAge' in ((await all()).at(-1) as object));
    }));

  it('is set by several processes at once without a report', () =>
    scene(async ({ store, open, reports, log }) => {
      const stores = [store, await open(), await open()];
      const streams = Array.from({ length: 20 }, (_, i) => `send-${i}`);
      for (const each of stores) await each.setRetention('send', DAY);
      await Promise.all(
        streams.flatMap((stream) => stores.map((each) => each.append(stream, [newEvent()], 'any'))),
      );
      await Promise.all(stores.map((each) => each.close()));
      for (const stream of streams)
        assert.equal((await metadata(log, stream)).length, 1, 'what is set is not set again');
      assert.deepEqual(reports, []);
    }));

  it('refuses a value that is no span of time', () =>
    scene(async ({ store }) => {
      for (const span of [-1, 0.5, Number.NaN])
        await assert.rejects(store.setRetention('send', span), InvalidInput);
    }));
});
