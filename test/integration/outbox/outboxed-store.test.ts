import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import type { NewEvent } from '../../../src/kernel/events.js';
import type { StopgapError } from '../../../src/kernel/errors.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { Quarantined } from '../../../src/store/delivery.js';
import { QUARANTINE_STREAM, quarantined } from '../../../src/store/delivery.js';
import { Gate } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvent, newEvents, START, TRACE } from '../../support/store/events.js';
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

/** What has arrived is deleted a little later. */
async function emptied({ local }: Scene): Promise<void> {
  await eventually('nothing is left on this disk', async () => (await collect(local.readAll())).length === 0);
}

async function quarantineOf({ local }: Scene): Promise<Quarantined[]> {
  const all: Quarantined[] = [];
  for await (const entry of quarantined(local)) all.push(entry);
  return all;
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

  test('says that it is away as soon as the shared store is, although nothing waits', async (t) => {
    const { distant, outbox } = await openScene(t, new ManualClock());
    distant.away = true;
    assert.deepEqual([outbox.waiting, outbox.away, outbox.healthy], [0, true, true]);
    distant.away = false;
    assert.equal(outbox.away, false);
  });

  test('delivers later what it took meanwhile, each stream in order', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    distant.away = true;
    const events = [newEvent({}, { correlation: 'c-1', trace: TRACE }), ...newEvents(449)];
    const streamOf = (index: number): string => (index % 3 === 0 ? BOB : ALICE);
    const since = clock.now();
    for (const [index, event] of events.entries()) {
      const { position } = await outbox.append(streamOf(index), [event], 'any');
      assert.equal(position, 0, 'a position that says that it waits');
    }
    assert.deepEqual([outbox.waiting, outbox.away], [450, true]);
    assert.equal(outbox.healthy, true, 'what happens can still be recorded');
    distant.away = false;
    await delivered(scene, clock);
    for (const stream of [ALICE, BOB]) {
      const wanted = events.filter((_, index) => streamOf(index) === stream);
      assert.deepEqual(ids(await collect(distant.readStream(stream))), ids(wanted));
    }
    const found = await collect(distant.readAll());
    const [first] = await collect(distant.readStream(BOB));
    assert.deepEqual([first!.correlation, first!.trace], ['c-1', TRACE]);
    assert.ok(found.every(({ data }) => (data as { outboxedAt: number }).outboxedAt === since));
    const next = newEvent();
    await outbox.append(ALICE, [next], 'any');
    assert.equal((await collect(distant.readAll())).at(-1)!.id, next.id);
  });

  test('keeps the time at which an event waited elsewhere before', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    distant.away = true;
    const outboxedAt = clock.now() - HOUR;
    const event = newEvent();
    await outbox.append(ALICE, [{ ...event, data: { ...(event.data as object), outboxedAt } }], 'any');
    distant.away = false;
    await delivered(scene, clock);
    const [found] = await collect(distant.readStream(ALICE));
    assert.equal((found!.data as { outboxedAt: number }).outboxedAt, outboxedAt);
  });

  test('delivers many streams at once, and no more than 128 of them', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    distant.away = true;
    const streams = Array.from({ length: 300 }, (_, index) => `send-${index}`);
    await Promise.all(streams.map((stream) => outbox.append(stream, newEvents(2), 'any')));
    Object.assign(distant, { away: false, mostUnderWay: 0 });
    await delivered(scene, clock);
    assert.equal(distant.mostUnderWay, 128);
    assert.equal((await collect(distant.readAll())).length, 600);
  });

  test('delivers the other streams when one gets no answer', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    distant.away = true;
    const [first, second] = newEvents(2);
    await outbox.append(ALICE, [first!], 'any');
    await outbox.append(BOB, newEvents(3), 'any');
    distant.stalled.add(ALICE);
    distant.away = false;
    await eventually('only the stalled stream waits', () => {
      clock.advance(SECOND);
      return outbox.waiting === 1;
    });
    const direct = await outbox.append(BOB, [newEvent()], 'any');
    assert.ok(direct.position > 0, 'nothing of this stream waits: it goes to the store at once');
    const waits = await outbox.append(ALICE, [second!], 'any');
    assert.equal(waits.position, 0, 'something of this stream waits');
    distant.stalled.clear();
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readStream(ALICE))), ids([first!, second!]));
  });

  test('delivers in appends that are no larger than the store takes', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox, lost } = scene;
    distant.away = true;
    distant.maxAppendBytes = 64 * 1024;
    const events = newEvents(60, (i) => ({ i, text: 'x'.repeat(5000) }));
    for (const event of events) await outbox.append(ALICE, [event], 'any');
    distant.appends.length = 0;
    distant.away = false;
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readStream(ALICE))), ids(events));
    assert.ok(distant.appends.length > 1 && distant.appends.length <= 6, String(distant.appends));
    assert.deepEqual([outbox.quarantined, lost()], [0, 0]);
  });

  test('knows how many events may wait, and since when the oldest waits', async (t) => {
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
    // What was delivered is not meant, and may be about to be cleaned.
    await eventually('the oldest is the new one', async () => (await scene.outbox.oldestAt()) === again);
  });

  test('lets no event overtake one that waits', async (t) => {
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

  test('survives the end of its process, also in the middle of a delivery', async (t) => {
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

  test('refuses events and is not healthy when it is full, under `defer`', async (t) => {
    const { distant, outbox, lost } = await openScene(t, new ManualClock(), { maxEvents: 2 });
    distant.away = true;
    await outbox.append(ALICE, newEvents(2), 'any');
    assert.equal(outbox.healthy, false);
    await assert.rejects(outbox.append(ALICE, [newEvent()], 'any'), StoreUnavailable);
    assert.deepEqual([outbox.waiting, lost()], [2, 0]);
  });

  test('goes on without a record and counts the loss when it is full, under `accept`', async (t) => {
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

  test('delivers events one by one if the store refuses them together, and quarantines the one at fault', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox, lost } = scene;
    distant.away = true;
    const [poison, ...good] = [newEvent({ n: 1 }, { type: 'Poison' }), ...newEvents(6)];
    const inOrder = [...good.slice(0, 3), poison, ...good.slice(3)];
    for (const event of inOrder) await outbox.append(ALICE, [event], 'any');
    Object.assign(distant, { away: false, refuses: 'Poison' });
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readAll())), ids(good));
    assert.deepEqual([outbox.quarantined, lost()], [1, 0]);
    const [entry, ...others] = await quarantineOf(scene);
    assert.deepEqual(others, []);
    const { stream, event, reason, refusedAt } = entry!;
    assert.deepEqual(
      [stream, event.id, event.type, (event.data as { n: number }).n],
      [ALICE, poison.id, 'Poison', 1],
    );
    assert.equal(reason, 'it cannot be stored');
    assert.ok(refusedAt > START && refusedAt <= clock.now());
  });

  test('loses nothing if an append was written and not answered, and more waits after it', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox, lost } = scene;
    const events = newEvents(4);
    distant.mute = true;
    await outbox.append(ALICE, events.slice(0, 1), 'any');
    distant.away = true;
    for (const event of events.slice(1)) await outbox.append(ALICE, [event], 'any');
    Object.assign(distant, { away: false, mute: false });
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readAll())), ids(events));
    assert.deepEqual([outbox.quarantined, lost()], [0, 0]);
  });

  test('goes on with the store after its own disk wrote an event and did not answer', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox, local } = scene;
    const [unanswered, waits, later] = newEvents(3) as [NewEvent, NewEvent, NewEvent];
    distant.away = true;
    const append = local.append.bind(local);
    local.append = async (...args) => {
      await append(...args);
      throw new StoreUnavailable('no answer');
    };
    await assert.rejects(outbox.append(ALICE, [unanswered], 'any'), StoreUnavailable);
    local.append = append;
    await outbox.append(ALICE, [waits], 'any');
    distant.away = false;
    await delivered(scene, clock);
    await emptied(scene);
    assert.equal(outbox.waiting, 0);
    await outbox.append(ALICE, [later], 'any');
    assert.deepEqual(ids(await collect(distant.readAll())), ids([unanswered, waits, later]));
    assert.equal(outbox.waiting, 0);
  });

  test('takes an event that the store refuses at once: it goes to quarantine, and the client does not send again', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, outbox } = scene;
    distant.refuses = 'Poison';
    const { position } = await outbox.append(ALICE, [newEvent({}, { type: 'Poison' })], 'any');
    assert.equal(position, 0);
    await delivered(scene, clock);
    assert.equal(outbox.quarantined, 1);
    const after = await outbox.append(ALICE, [newEvent()], 'any');
    assert.ok(after.position > 0);
  });

  test('keeps its quarantine over a restart, and tries it once more when it is told to', async (t) => {
    const clock = new ManualClock();
    let scene = await openScene(t, clock);
    const { distant } = scene;
    distant.refuses = 'Poison';
    const [one, two] = [newEvent({}, { type: 'Poison' }), newEvent({}, { type: 'Poison' })];
    await scene.outbox.append(ALICE, [one], 'any');
    await scene.outbox.append(BOB, [two], 'any');
    await delivered(scene, clock);
    scene = await scene.again();
    const { outbox } = scene;
    assert.deepEqual([outbox.quarantined, outbox.waiting], [2, 0]);
    await assert.rejects(outbox.retry([newEvent().id]), (error: StopgapError) => error.code === 'not-found');
    assert.equal(await outbox.retry([two.id]), 1);
    await delivered(scene, clock);
    assert.equal(outbox.quarantined, 2, 'it was refused again');
    distant.refuses = undefined;
    assert.equal(await outbox.retry(), 2);
    await delivered(scene, clock);
    assert.equal(outbox.quarantined, 0);
    assert.deepEqual(new Set(ids(await collect(distant.readAll()))), new Set([one.id, two.id]));
    await emptied(scene);
  });

  test('keeps in quarantine what it tries once more as long as the refused copy cannot be deleted', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, local, outbox } = scene;
    distant.refuses = 'Poison';
    const poison = newEvent({}, { type: 'Poison' });
    const remove = local.remove.bind(local);
    local.remove = () => Promise.reject(new StoreUnavailable('the disk is full'));
    await outbox.append(ALICE, [poison], 'any');
    await delivered(scene, clock);
    assert.equal(outbox.quarantined, 1);
    distant.refuses = undefined;
    await assert.rejects(outbox.retry(), StoreUnavailable);
    assert.deepEqual(
      (await quarantineOf(scene)).map(({ event }) => event.id),
      [poison.id],
    );
    local.remove = remove;
    assert.equal(await outbox.retry(), 1);
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readStream(ALICE))), [poison.id]);
    await emptied(scene);
    assert.equal(outbox.quarantined, 0);
  });

  test('tries once more what was refused a moment ago, before the refused copy is deleted', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    const { distant, local, outbox } = scene;
    distant.refuses = 'Poison';
    const poison = newEvent({}, { type: 'Poison' });
    const append = local.append.bind(local);
    const [written, answered] = [new Gate(), new Gate()];
    local.append = async (...args) => {
      const appended = await append(...args);
      if (args[0] === QUARANTINE_STREAM) {
        written.open();
        await answered.opened;
      }
      return appended;
    };
    await outbox.append(ALICE, [poison], 'any');
    await written.opened;
    distant.refuses = undefined;
    const retried = outbox.retry();
    await collect(local.readAll());
    answered.open();
    assert.equal(await retried, 1);
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readStream(ALICE))), [poison.id]);
    await emptied(scene);
  });

  test('refuses events when it is full of quarantined ones, under `defer`', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock, { maxEvents: 1 });
    const { distant, outbox } = scene;
    distant.refuses = 'Poison';
    await outbox.append(ALICE, [newEvent({}, { type: 'Poison' })], 'any');
    await delivered(scene, clock);
    distant.away = true;
    assert.equal(outbox.healthy, false);
    await assert.rejects(outbox.append(ALICE, [newEvent()], 'any'), StoreUnavailable);
  });

  test('after a restart delivers only what had not arrived, in whatever order streams were delivered', async (t) => {
    const clock = new ManualClock();
    let scene = await openScene(t, clock);
    const { distant } = scene;
    distant.away = true;
    await scene.outbox.append(ALICE, newEvents(2), 'any');
    await scene.outbox.append(BOB, newEvents(3), 'any');
    distant.stalled.add(ALICE);
    distant.away = false;
    await eventually('one stream is delivered', () => {
      clock.advance(SECOND);
      return scene.outbox.waiting === 2;
    });
    // The append under way ends unanswered.
    distant.away = true;
    distant.stalled.clear();
    scene = await scene.again();
    assert.equal(scene.outbox.waiting, 2);
    distant.away = false;
    await delivered(scene, clock);
    assert.equal((await collect(distant.readAll())).length, 5);
  });

  test('goes on from where an earlier version noted that it had delivered', async (t) => {
    const clock = new ManualClock();
    let scene = await openScene(t, clock);
    const { distant, local } = scene;
    distant.away = true;
    const [old, ...waiting] = newEvents(3);
    const { position: through } = await local.append('profile-alice', [old!], 'any');
    await local.append(ALICE, waiting.slice(0, 1), 'any');
    await local.append('delivered-outbox', [newEvent({ through }, { type: 'OutboxDelivered' })], 'any');
    await local.append(ALICE, waiting.slice(1), 'any');
    scene = await scene.again();
    assert.equal(scene.outbox.waiting, 2);
    distant.away = false;
    await delivered(scene, clock);
    assert.deepEqual(ids(await collect(distant.readAll())), ids(waiting));
    await emptied(scene);
  });

  test('holds an event once that it was given twice', async (t) => {
    const clock = new ManualClock();
    const scene = await openScene(t, clock);
    scene.distant.away = true;
    const taken: string[] = [];
    scene.outbox.onTaken = (stream) => taken.push(stream);
    const event = newEvent();
    const append = async (): Promise<boolean> => (await scene.outbox.append(ALICE, [event], 'any')).duplicate;
    assert.deepEqual([await append(), await append()], [false, true]);
    assert.equal(scene.outbox.waiting, 1);
    scene.distant.away = false;
    await delivered(scene, clock);
    assert.equal((await collect(scene.distant.readAll())).length, 1);
    assert.equal(await append(), true);
    assert.deepEqual(taken, [ALICE], 'it counts here once, however often it is reported');
  });

  test('never lets a decision wait, since it depends on what the stream holds', async (t) => {
    const taken: string[] = [];
    const { distant, outbox } = await openScene(t, new ManualClock());
    outbox.onTaken = (stream) => taken.push(stream);
    distant.away = true;
    await assert.rejects(outbox.append('block-x', [newEvent()], 'none'), StoreUnavailable);
    await assert.rejects(outbox.append('block-x', [newEvent()], 3), StoreUnavailable);
    assert.equal(outbox.waiting, 0);
    await outbox.append(ALICE, [newEvent()], 'any');
    assert.deepEqual(taken, [ALICE], 'only what happened here');
  });
});
