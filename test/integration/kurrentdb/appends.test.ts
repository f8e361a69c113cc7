import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { describe, it } from 'node:test';
import { binaryEvent, jsonEvent } from '@kurrent/kurrentdb-client';
import { InvalidInput, StopgapError } from '../../../src/kernel/errors.js';
import { UNREADABLE } from '../../../src/kernel/events.js';
import { DAY, HOUR, SECOND } from '../../../src/kernel/time.js';
import {
  eventBytes,
  StoreRefused,
  StoreUnavailable,
  WrongExpectedRevision,
} from '../../../src/store/port.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { direct } from '../../support/kurrentdb/direct.js';
import { Follower, PATIENCE, Scene, SHORT } from '../../support/kurrentdb/scene.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvent, newEvents } from '../../support/store/events.js';

const STREAM = 'send-a';

describe('an append to KurrentDB', { timeout: 3 * PATIENCE }, () => {
  it('is given up if it is never answered, and the store becomes healthy again by itself', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      await store.append(STREAM, [newEvent()], 'none');
      await server.tell({ do: 'faults', stalled: ['append'] });
      await assert.rejects(store.append(STREAM, [newEvent()], 'any'), StoreUnavailable);
      assert.equal(store.healthy, false);
      await server.tell({ do: 'heal' });
      await eventually('healthy', () => store.healthy);
      assert.equal((await store.append(STREAM, [newEvent()], 0)).revision, 1);
    }));

  it('is given up in time if it waits for one that is not answered', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      await server.tell({ do: 'faults', stalled: ['append'] });
      const began = performance.now();
      const results = await Promise.allSettled(
        newEvents(200).map((event) => store.append(STREAM, [event], 'any')),
      );
      assert.ok(performance.now() - began < 3 * SHORT);
      for (const result of results) {
        assert.ok(result.status === 'rejected' && result.reason instanceof StoreUnavailable);
      }
      await server.tell({ do: 'heal' });
      await eventually('healthy', () => store.healthy);
      const events = newEvents(50);
      await Promise.all(events.map((event, i) => store.append('block-a', [event], i === 0 ? 'none' : i - 1)));
      assert.deepEqual(ids(await collect(store.readStream('block-a'))), ids(events));
    }));

  it('succeeds although the server did not answer the first question', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      await server.tell({ do: 'faults', stalled: ['features'] });
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      await assert.rejects(store.append(STREAM, [newEvent()], 'none'), StoreUnavailable);
      await server.tell({ do: 'heal' });
      await eventually('healthy', () => store.healthy);
      assert.equal((await store.append(STREAM, [newEvent()], 'none')).revision, 0);
    }));

  it('that is late among others does not cost the connection', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      await store.append(STREAM, [newEvent()], 'none');
      await server.tell({ do: 'faults', slow: 50 });
      const events = newEvents(200);
      const began = performance.now();
      await Promise.all(events.map((event) => store.append(STREAM, [event], 'any')));
      assert.ok(performance.now() - began < 200 * 50, 'they were under way together');
      assert.deepEqual(ids(await collect(store.readStream(STREAM, { from: 1 }))), ids(events));
    }));

  for (const expected of ['none', 'any'] as const) {
    it(`is written once if it was written, not answered, and made again (${expected})`, () =>
      Scene.play(async (scene) => {
        const server = await scene.server();
        const store = await scene.store(server.url, { appendTimeout: SHORT });
        await server.tell({ do: 'faults', mute: true });
        const events = newEvents(2);
        await assert.rejects(store.append(STREAM, events, expected), StoreUnavailable);
        // After this the server knows of no id: under `any` it would write again.
        await server.kill();
        await scene.restarted(server);
        await eventually('healthy', () => store.healthy);
        const { revision } = await store.append(STREAM, events, expected);
        assert.equal(revision, 1);
        assert.deepEqual(ids(await collect(store.readStream(STREAM))), ids(events));
      }));
  }

  it('writes an event once that was written, not answered, and made again among others', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      const [first, second, third] = newEvents(3);
      await server.tell({ do: 'faults', mute: true });
      await assert.rejects(store.append(STREAM, [second!], 'any'), StoreUnavailable);
      await server.tell({ do: 'heal' });
      await eventually('healthy', () => store.healthy);
      // Of a run whose first event it does not know, the server writes the others again.
      const { revision, duplicate } = await store.append(STREAM, [first!, second!, third!], 'any');
      assert.deepEqual([revision, duplicate], [2, false]);
      assert.deepEqual(ids(await collect(store.readStream(STREAM))), ids([second!, first!, third!]));
    }));

  it('passes over an event that the server knows, further back than a stream is searched', () =>
    Scene.play(async (scene) => {
      const store = await scene.store((await scene.server()).url);
      const [old, one, two] = newEvents(3);
      await store.append(STREAM, [old!], 'none');
      const others = newEvents(1200);
      for (let from = 0; from < others.length; from += 200)
        await store.append(STREAM, others.slice(from, from + 200), 'any');
      const { revision, duplicate } = await store.append(STREAM, [old!, one!, two!], 'any');
      assert.deepEqual([revision, duplicate], [1202, false]);
      assert.deepEqual(ids(await collect(store.readStream(STREAM))), ids([old!, ...others, one!, two!]));
    }));

  it('goes on when the log is replaced by a shorter one, and takes no new event for an old one', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      await store.append(STREAM, newEvents(1), 'none');
      const backup = await fs.readFile(scene.log);
      await store.append(STREAM, newEvents(20), 'any');
      await server.kill();
      await fs.writeFile(scene.log, backup);
      await scene.restarted(server);
      await eventually('the end of the log was read', () =>
        store.head().then(
          () => true,
          () => false,
        ),
      );
      await eventually('healthy', () => store.healthy);
      const { revision, duplicate } = await store.append(STREAM, newEvents(1), 'any');
      assert.deepEqual([revision, duplicate], [1, false]);
    }));

  for (const apart of [-DAY, -HOUR, -250, 0, 11 * SECOND, HOUR, DAY]) {
    it(`succeeds on a server whose clock is ${apart / SECOND} s ahead of ours, and the store knows the skew`, () =>
      Scene.play(async (scene) => {
        const server = await scene.server();
        await server.tell({ do: 'skew', by: apart });
        const store = await scene.store(server.url);
        for (const expected of ['none', 0, 'any'] as const)
          await store.append(STREAM, newEvents(1), expected);
        assert.equal(store.healthy, true);
        const { clockSkew } = store;
        assert.ok(Math.abs(clockSkew! - apart) <= 500, `measured ${clockSkew}`);
        assert.deepEqual(scene.reports, []);
      }));
  }

  it('under `any` writes a duplicate if neither server nor process remembers the first', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      const event = newEvent();
      await store.append(STREAM, [event], 'any');
      assert.equal((await store.append(STREAM, [event], 'any')).duplicate, true);
      await server.tell({ do: 'forget' });
      assert.deepEqual(await (await scene.store(server.url)).append(STREAM, [event], 'any'), {
        revision: 1,
        position: await store.head(),
        duplicate: false,
      });
      const follower = new Follower(store, { after: 0 });
      await follower.subscription.caughtUp;
      assert.deepEqual(follower.ids, [event.id, event.id]);
    }));

  it('fails and recovers with a server that is killed meanwhile, and no acknowledged event is lost', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      const acknowledged: string[] = [];
      const load = Promise.all(
        Array.from({ length: 16 }, async (_, i) => {
          try {
            for (;;) {
              const event = newEvent();
              await store.append(`send-${i}`, [event], 'any');
              acknowledged.push(event.id);
            }
          } catch (error) {
            assert.ok(error instanceof StoreUnavailable, String(error));
          }
        }),
      );
      await eventually('under load', () => acknowledged.length > 200);
      await server.kill();
      await load;
      assert.equal(store.healthy, false);
      await scene.restarted(server);
      await eventually('healthy', () => store.healthy);
      const there = new Set(ids(await collect(store.readAll({ categories: ['send'] }))));
      assert.deepEqual(
        acknowledged.filter((id) => !there.has(id)),
        [],
      );
      await store.append('send-0', [newEvent()], 'any');
    }));

  for (const batch of [true, false]) {
    it(`gives the port's errors for what the server refuses (${batch ? 'BatchAppend' : 'Append'})`, () =>
      Scene.play(async (scene) => {
        const server = await scene.server({ batch });
        const store = await scene.store(server.url);
        await assert.rejects(store.append(STREAM, [newEvent()], 3), WrongExpectedRevision);
        await store.append(STREAM, newEvents(3), 'none');
        await assert.rejects(store.append(STREAM, [newEvent()], 'none'), WrongExpectedRevision);
        const large = newEvents(2, () => 'x'.repeat(600_000));
        await assert.rejects(store.append(STREAM, large, 'any'), InvalidInput);
        await direct(server.url, (client) => client.tombstoneStream(STREAM));
        await assert.rejects(
          store.append(STREAM, [newEvent()], 'any'),
          (error) => error instanceof StopgapError && error.code === 'conflict',
        );
        assert.deepEqual(await collect(store.readStream(STREAM)), []);
        assert.equal(store.healthy, true, 'the server has answered all of it');
      }));
  }

  it('learns how much the server takes at once if that is less than the default', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      assert.equal(store.maxAppendBytes, 1024 * 1024);
      await server.tell({ do: 'faults', maxAppend: 10_000 });
      const events = newEvents(20, () => ({ text: 'x'.repeat(1000) }));
      await assert.rejects(store.append(STREAM, events, 'any'), InvalidInput);
      assert.equal(store.maxAppendBytes, 10_000);
      assert.ok(scene.reports.some((report) => report.includes('up to 10000 bytes only')));
      const fitting = events.slice(0, 7);
      assert.ok(fitting.reduce((sum, event) => sum + eventBytes(event), 0) <= store.maxAppendBytes);
      await store.append(STREAM, fitting, 'any');
    }));

  it('is refused if KurrentDB cannot hold it', () =>
    Scene.play(async (scene) => {
      const store = await scene.store((await scene.server()).url);
      await assert.rejects(store.append('$mine', [newEvent()], 'any'), InvalidInput);
      for (const id of ['1', '00000000-0000-0000-0000-000000000000']) {
        await assert.rejects(store.append(STREAM, [newEvent({}, { id })], 'any'), InvalidInput);
      }
    }));

  it('that holds text is read as text; one that holds no JSON, or is not ours, is unreadable', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url);
      await store.append(STREAM, [newEvent('{"not":"an object"'), newEvent(null), newEvent(7)], 'none');
      await direct(server.url, async (client) => {
        await client.appendToStream(STREAM, [
          jsonEvent({ type: 'Foreign', data: { a: 1 } }),
          binaryEvent({ type: 'Bytes', data: Buffer.from([1, 2]) }),
        ]);
      });
      const follower = new Follower(store, { after: 0 });
      await follower.subscription.caughtUp;
      assert.deepEqual(
        follower.seen.map(({ type, data }) => [type, data]),
        [
          ['Noted', '{"not":"an object"'],
          ['Noted', null],
          ['Noted', 7],
          [UNREADABLE, { type: 'Foreign', error: 'not written by Stopgap' }],
          [UNREADABLE, { type: 'Bytes', error: 'not JSON' }],
        ],
      );
      assert.deepEqual(await collect(store.readStream(STREAM)), follower.seen);
    }));
});

describe('a KurrentDB store', { timeout: PATIENCE }, () => {
  it('refuses a URL that cannot be used, and shows no password', async () => {
    for (const url of [
      'http://admin:hush@127.0.0.1:1',
      'kurrentdb://admin:hush@',
      'kurrentdb://admin:hush@h?tls=maybe',
      'kurrentdb://admin:hush@h?tlss=false',
      'kurrentdb://admin:hush%@h?tls=false',
    ]) {
      await assert.rejects(openKurrentStore({ url, clock: { now: Date.now } }), (error: Error) => {
        assert.ok(error instanceof StoreRefused, String(error));
        assert.doesNotMatch(error.message, /hush/);
        return true;
      });
    }
  });

  it('takes the former name of the scheme', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url.replace('kurrentdb', 'esdb'));
      assert.equal(await store.head(), 0);
      assert.equal(store.healthy, true);
    }));

  it('refuses to open if the server refuses the user', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      await server.tell({ do: 'faults', denied: true });
      await assert.rejects(openKurrentStore({ url: server.url, clock: { now: Date.now } }), StoreRefused);
    }));

  it('opens for a user who may read and not write, and says so', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      await server.tell({ do: 'faults', readOnly: true });
      const store = await scene.store(server.url);
      assert.equal(await store.head(), 0);
      assert.match(scene.reports.join(), /refuses the user or password/);
      assert.equal(store.healthy, false);
    }));

  it('says that it is away if a read is never answered', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      await server.tell({ do: 'faults', stalled: ['read'] });
      await assert.rejects(collect(store.readStream(STREAM)), StoreUnavailable);
      await assert.rejects(store.head(), StoreUnavailable);
      await server.tell({ do: 'heal' });
      assert.equal(await store.head(), 0);
    }));

  it('waits for a reader that is slower than a server may be', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: SHORT });
      const events = newEvents(10_000);
      for (let n = 0; n < events.length; n += 500)
        await store.append(STREAM, events.slice(n, n + 500), 'any');
      const read = store.readAll()[Symbol.asyncIterator]();
      const first = await read.next();
      assert.ok(!first.done);
      const seen = [first.value.id];
      await server.tell({ do: 'faults', stalled: ['append'] });
      for (let n = 0; n < 3; n++)
        await assert.rejects(store.append(STREAM, [newEvent()], 'any'), StoreUnavailable);
      for (let step = await read.next(); !step.done; step = await read.next()) seen.push(step.value.id);
      assert.deepEqual(seen, ids(events));
    }));
});
