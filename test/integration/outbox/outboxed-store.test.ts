import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvent, newEvents, TRACE } from '../../support/store/events.js';
import type { Scene } from './scene.js';
import { openScene } from './scene.js';

const ALICE = 'send-alice@example.com';
const BOB = 'send-bob@example.com';

/** Lets pauses between attempts pass until nothing waits. */
async function delivered({ outbox }: Scene, clock: ManualClock): Promise<void> {
  await eventually('the outbox is delivered', () => {
    if (outbox.waiting > 0) clock.advance(10 * SECOND);
    return outbox.waiting === 0;
  });
}

describe('an outbox', () => {
  test('keeps nothing while the store is there', async (t) => {
    const { distant, outbox } = await openScene(t, new ManualClock());
    const appended = await outbox.append(ALICE, [newEvent()], 'any');
    assert.equal(appended.position, await distant.head());
    assert.deepEqual([outbox.waiting, outbox.away, outbox.healthy], [0, false, true]);
    const [event] = await collect(distant.readStream(ALICE));
    assert.ok(!('outboxedAt' in (event!.data as object)));
  });

  test('is away as soon as the shared store is known to be, although nothing waits', async (t) => {
    const { distant, outbox } = await openScene(t, new ManualClock());
    distant.away = true;
    assert.deepEqual([outbox.waiting, outbox.away, outbox.healthy], [0, true, true]);
    distant.away = false;
    assert.equal(outbox.away, false);
  });

  test('delivers later, in order over all streams, what it took meanwhile', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    distant.away = true;
    // More than one batch, and streams that take turns.
    const events = [newEvent({}, { correlation: 'c-1', trace: TRACE }), ...newEvents(449)];
    const since = clock.now();
    for (const [index, event] of events.entries()) {
      const { position } = await outbox.append(index % 3 === 0 ? BOB : ALICE, [event], 'any');
      assert.equal(position, 0, 'a position that says that it waits');
    }
    assert.deepEqual([outbox.waiting, outbox.away], [450, true]);
    assert.equal(outbox.healthy, true, 'what happens can still be recorded');
    distant.away = false;
    await delivered(scene, clock);
    const found = await collect(distant.readAll());
    assert.deepEqual(ids(found), ids(events));
    assert.deepEqual([found[0]!.correlation, found[0]!.trace], ['c-1', TRACE]);
    assert.ok(found.every(({ data }) => (data as { outboxedAt: number }).outboxedAt === since));
    const next = newEvent();
    await outbox.append(ALICE, [next], 'any');
    assert.equal((await collect(distant.readAll())).at(-1)!.id, next.id);
  });

  test('knows how many may wait, and since when the oldest does', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock, { maxEvents: 500 });
    assert.equal(scene.outbox.limit, 500);
    assert.equal(await scene.outbox.oldestAt(), undefined);
    scene.distant.away = true;
    const since = clock.now();
    await scene.outbox.append(ALICE, [newEvent()], 'any');
    clock.skip(HOUR);
    await scene.outbox.append(BOB, [newEvent()], 'any');
    assert.equal(await scene.outbox.oldestAt(), since);
    scene.distant.away = false;
    await delivered(scene, clock);
    assert.equal(await scene.outbox.oldestAt(), undefined);
    scene.distant.away = true;
    const again = clock.now();
    await scene.outbox.append(ALICE, [newEvent()], 'any');
    assert.equal(await scene.outbox.oldestAt(), again, 'what was delivered is not meant');
  });

  test('lets nothing overtake what waits', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    scene.distant.away = true;
    const first = newEvent();
    await scene.outbox.append(ALICE, [first], 'any');
    scene.distant.away = false;
    // The store is back, and the outbox does not know it yet.
    const second = newEvent();
    await scene.outbox.append(ALICE, [second], 'any');
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(scene.distant.readAll())), [first.id, second.id]);
  });

  test('survives its process, also one that ended while it delivered', async (t) => {
    const clock = new ManualClock();
    let scene = await openScene(t, clock);
    const { distant } = scene;
    distant.away = true;
    const events = newEvents(5);
    for (const event of events.slice(0, 3)) await scene.outbox.append(ALICE, [event], 'any');
    scene = await scene.again();
    assert.equal(scene.outbox.waiting, 3);
    for (const event of events.slice(3)) await scene.outbox.append(ALICE, [event], 'any');
    // It is all written, but no answer comes, and so nothing says that it was delivered.
    distant.away = false;
    distant.mute = true;
    await eventually('it is written', async () => {
      clock.advance(SECOND);
      return (await collect(distant.readAll())).length === 5;
    });
    distant.away = true;
    scene = await scene.again();
    assert.equal(scene.outbox.waiting, 5, 'better twice than never');
    Object.assign(distant, { away: false, mute: false });
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readAll())), ids(events));
    scene = await scene.again();
    assert.equal(scene.outbox.waiting, 0, 'what was delivered is not delivered again');
  });

  test('is used again after it was emptied', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    const all: string[] = [];
    for (let outage = 0; outage < 3; outage++) {
      distant.away = true;
      const events = newEvents(20);
      for (const event of events) await outbox.append(ALICE, [event], 'any');
      all.push(...ids(events));
      distant.away = false;
      await delivered(scene, clock);
      clock.advance(HOUR);
    }
    assert.deepEqual(ids(await collect(distant.readAll())), all);
    assert.equal((await scene.again()).outbox.waiting, 0);
  });

  test('full: `defer` refuses, and is not healthy', async (t) => {
    const { distant, outbox, lost } = await openScene(t, new ManualClock(), { maxEvents: 2 });
    distant.away = true;
    await outbox.append(ALICE, newEvents(2), 'any');
    assert.equal(outbox.healthy, false);
    await assert.rejects(outbox.append(ALICE, [newEvent()], 'any'), StoreUnavailable);
    assert.deepEqual([outbox.waiting, lost()], [2, 0]);
  });

  test('full: `accept` goes on without a record, and counts it', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock, { maxEvents: 2, whenFull: 'accept' });
    const { distant, outbox, lost } = scene;
    distant.away = true;
    const kept = newEvents(2);
    await outbox.append(ALICE, kept, 'any');
    assert.equal(outbox.healthy, true);
    await outbox.append(ALICE, newEvents(3), 'any');
    assert.equal(lost(), 3);
    distant.away = false;
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readAll())), ids(kept));
  });

  test('what the store will never take does not keep the rest waiting', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox, lost } = scene;
    distant.away = true;
    const [before, after] = [newEvent(), newEvent()];
    await outbox.append(ALICE, [before], 'any');
    await outbox.append(BOB, [newEvent({}, { type: 'Poison' })], 'any');
    await outbox.append(ALICE, [after], 'any');
    Object.assign(distant, { away: false, refuses: 'Poison' });
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readAll())), [before.id, after.id]);
    assert.equal(lost(), 1);
  });

  test('the same event twice waits once', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    scene.distant.away = true;
    const event = newEvent();
    await scene.outbox.append(ALICE, [event], 'any');
    await scene.outbox.append(ALICE, [event], 'any');
    assert.equal(scene.outbox.waiting, 1);
    scene.distant.away = false;
    await delivered(scene, clock);
    assert.equal((await collect(scene.distant.readAll())).length, 1);
  });

  test('decisions never wait: they depend on what is in the stream', async (t) => {
    const taken: string[] = [];
    const { distant, outbox } = await openScene(t, new ManualClock(), {
      onTaken: (stream) => taken.push(stream),
    });
    distant.away = true;
    await assert.rejects(outbox.append('block-x', [newEvent()], 'none'), StoreUnavailable);
    await assert.rejects(outbox.append('block-x', [newEvent()], 3), StoreUnavailable);
    assert.equal(outbox.waiting, 0);
    await outbox.append(ALICE, [newEvent()], 'any');
    assert.deepEqual(taken, [ALICE], 'only what happened here');
  });
});
