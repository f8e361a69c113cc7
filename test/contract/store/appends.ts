import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StopgapError } from '../../../src/kernel/errors.js';
import { categoryOf } from '../../../src/kernel/events.js';
import { DAY } from '../../../src/kernel/time.js';
import {
  eventBytes,
  WrongExpectedRevision,
  type Appended,
  type EventStore,
  type ExpectedRevision,
} from '../../../src/store/port.js';
import { eventually } from '../../support/smtp/eventually.js';
import {
  collect,
  ids,
  newEvent,
  newEvents,
  rising,
  START,
  TRACE,
  uniqueCategory,
} from '../../support/store/events.js';
import type { StoreHarness } from './harness.js';
import type { Subject } from './suite.js';

export function appendContract(subject: Subject, harness: StoreHarness): void {
  const append = (stream: string, count: number, expected: ExpectedRevision = 'any') =>
    subject().store.append(stream, newEvents(count), expected);
  const read = (stream: string) => collect(subject().store.readStream(stream));
  const isWrong =
    (stream: string, expected: ExpectedRevision, actual: number | 'none') => (error: unknown) => {
      assert.ok(error instanceof WrongExpectedRevision, String(error));
      assert.deepEqual([error.stream, error.expected, error.actual], [stream, expected, actual]);
      assert.equal(error.code, 'conflict');
      return true;
    };
  const isConflict = (error: unknown) =>
    error instanceof StopgapError && error.code === 'conflict' && !(error instanceof WrongExpectedRevision);

  describe('an append', () => {
    it('counts revisions from 0 and lets positions rise', async () => {
      const stream = `${uniqueCategory()}-a`;
      const one = await append(stream, 1);
      const two = await append(stream, 3);
      assert.deepEqual([one.revision, two.revision, one.duplicate], [0, 3, false]);
      const events = await read(stream);
      assert.deepEqual(
        events.map(({ revision }) => revision),
        [0, 1, 2, 3],
      );
      assert.deepEqual([events[0]!.position, events[3]!.position], [one.position, two.position]);
      assert.ok(one.position > 0 && rising(events.map(({ position }) => position)));
    });

    it('gives back what it was given', async () => {
      const stream = `${uniqueCategory()}-whole`;
      const data = { text: 'Grüße 🦉\u2028"\\', list: [1, -0.5, null, true], deep: { er: [{}] } };
      const full = newEvent(data, {
        type: 'Told',
        version: 3,
        at: START + 7,
        by: 'admin:zoë',
        correlation: 'c-1',
        trace: TRACE,
      });
      const plain = newEvent({ n: 1 });
      await subject().store.append(stream, [full, plain], 'none');
      const [first, second] = await read(stream);
      const { position, recordedAt, ...rest } = first!;
      assert.deepEqual(rest, { ...full, stream, revision: 0 });
      assert.ok(Number.isSafeInteger(position) && Number.isSafeInteger(recordedAt));
      assert.equal(second!.version ?? 1, 1);
      assert.equal(second!.correlation, undefined);
      assert.ok(!('trace' in second!));
      assert.deepEqual(second!.data, { n: 1 });
    });

    it("takes recordedAt from the store's clock", { skip: harness.unsupported?.clock ?? false }, async () => {
      const { store, clock } = subject();
      const stream = `${uniqueCategory()}-when`;
      const first = clock.now();
      await store.append(stream, [newEvent()], 'any');
      clock.advance(1234);
      await store.append(stream, [newEvent()], 'any');
      assert.deepEqual(
        (await read(stream)).map(({ recordedAt }) => recordedAt),
        [first, first + 1234],
      );
    });

    it('expects a stream without events', async () => {
      const stream = `${uniqueCategory()}-new`;
      await append(stream, 2, 'none');
      await assert.rejects(append(stream, 1, 'none'), isWrong(stream, 'none', 1));
      assert.equal((await read(stream)).length, 2);
    });

    it('expects a revision', async () => {
      const stream = `${uniqueCategory()}-at`;
      await assert.rejects(append(stream, 1, 0), isWrong(stream, 0, 'none'));
      await append(stream, 2, 'none');
      await assert.rejects(append(stream, 1, 0), isWrong(stream, 0, 1));
      await assert.rejects(append(stream, 1, 2), isWrong(stream, 2, 1));
      assert.equal((await append(stream, 1, 1)).revision, 2);
      assert.equal((await read(stream)).length, 3);
    });

    it('lets one of many at the same revision win, and the losers change nothing', async () => {
      const category = uniqueCategory();
      await append(`${category}-race`, 1, 'none');
      const racers = Array.from({ length: 20 }, () => append(`${category}-race`, 2, 0));
      const others = Array.from({ length: 20 }, (_, i) => append(`${category}-other${i}`, 1, 'none'));
      const results = await Promise.allSettled(racers);
      await Promise.all(others);
      const lost = results.filter((result) => result.status === 'rejected');
      assert.equal(lost.length, 19);
      for (const { reason } of lost) isWrong(`${category}-race`, 0, 2)(reason);
      assert.equal((await read(`${category}-race`)).length, 3);
    });

    /** Two writers, one stream without events: one wins, and the other finds what it has lost to. */
    const duel = async (writers: readonly [EventStore, EventStore], stream: string): Promise<void> => {
      const events = newEvents(2);
      const results = await Promise.allSettled(
        writers.map((store, i) => store.append(stream, [events[i]!], 'none')),
      );
      const loser = results.findIndex(({ status }) => status === 'rejected');
      assert.deepEqual(
        results.map(({ status }) => status),
        loser === 0 ? ['rejected', 'fulfilled'] : ['fulfilled', 'rejected'],
      );
      isWrong(stream, 'none', 0)((results[loser] as PromiseRejectedResult).reason);
      assert.deepEqual(ids(await collect(writers[loser]!.readStream(stream))), [events[1 - loser]!.id]);
    };

    it('lets exactly one of two writers begin a stream, and shows the other the event of the first', async () => {
      const { store } = subject();
      const rival = harness.unsupported?.several === undefined ? await subject().another() : store;
      const writers = [store, rival] as const;
      for (const retention of [undefined, 100 * DAY]) {
        const category = uniqueCategory();
        for (const writer of new Set(writers)) await writer.setRetention(category, retention);
        for (let n = 0; n < 30; n++) await duel(writers, `${category}-${n}`);
        for (let n = 100; n < 200; n += 20)
          await Promise.all(Array.from({ length: 20 }, (_, i) => duel(writers, `${category}-${n + i}`)));
      }
    });

    it('keeps the order of appends whose caller does not wait', async () => {
      const stream = `${uniqueCategory()}-queue`;
      const events = newEvents(100);
      await Promise.all(
        events.map((event, i) => subject().store.append(stream, [event], i === 0 ? 'none' : i - 1)),
      );
      assert.deepEqual(ids(await read(stream)), ids(events));
    });

    it('takes large events', async () => {
      const stream = `${uniqueCategory()}-large`;
      const events = newEvents(3, (i) => ({ i, text: 'ö'.repeat(150_000) }));
      await subject().store.append(stream, events, 'none');
      assert.deepEqual(
        (await read(stream)).map(({ data }) => data),
        events.map(({ data }) => data),
      );
    });

    it('takes an append of `maxAppendBytes` bytes', async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-full`;
      const most = Math.min(store.maxAppendBytes, 2 * 1024 * 1024);
      const events = newEvents(100, (i) => ({ i, text: 'x'.repeat(5000) }));
      const left = most - events.reduce((sum, event) => sum + eventBytes(event), 0);
      const last = newEvent({ text: '' });
      events.push({ ...last, data: { text: 'x'.repeat(left - eventBytes(last)) } });
      assert.equal(
        events.reduce((sum, event) => sum + eventBytes(event), 0),
        most,
      );
      await store.append(stream, events, 'any');
      assert.deepEqual(ids(await read(stream)), ids(events));
    });

    it('takes stream names with dashes, signs and any script', async () => {
      const category = uniqueCategory();
      const names = ['a-b-c', '-', 'ж-пример@例え.jp', "o'brien@example.com", '%_*', '🦉', ' spaced out '];
      for (const key of names)
        await subject().store.append(`${category}-${key}`, [newEvent({ key })], 'none');
      const events = await collect(subject().store.readAll({ categories: [category] }));
      assert.deepEqual(
        events.map(({ stream }) => stream),
        names.map((key) => `${category}-${key}`),
      );
      for (const key of names) assert.deepEqual((await read(`${category}-${key}`))[0]?.data, { key });
    });

    it('refuses what it could not give back', async () => {
      const stream = `${uniqueCategory()}-bad`;
      const { store } = subject();
      const circular: Record<string, unknown> = {};
      circular.self = circular;
      const bad: [string, () => Promise<Appended>][] = [
        ['events', () => store.append(stream, [], 'any')],
        ['stream', () => store.append('', [newEvent()], 'any')],
        ['expected', () => store.append(stream, [newEvent()], -1)],
        ['at', () => store.append(stream, [newEvent({}, { at: NaN })], 'any')],
        ['data', () => store.append(stream, [newEvent(circular)], 'any')],
        ['data', () => store.append(stream, [newEvent(() => 1)], 'any')],
        ['type', () => store.append(stream, [newEvent({}, { type: '' })], 'any')],
        ['trace', () => store.append(stream, [newEvent({}, { trace: '' })], 'any')],
      ];
      for (const [field, attempt] of bad) {
        await assert.rejects(
          attempt,
          (e) => e instanceof StopgapError && e.code === 'invalid-input' && e.details.field === field,
          field,
        );
      }
      assert.deepEqual(await read(stream), []);
    });
  });

  describe('an append that is made again', () => {
    const partly = harness.unsupported?.idempotence;

    it('recognises an append that fits the stream as it is', { skip: partly ?? false }, async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-fits`;
      const events = newEvents(2);
      const first = await store.append(stream, events, 'none');
      await append(stream, 1);
      assert.deepEqual(await store.append(stream, events, 2), { ...first, duplicate: true });
      assert.equal((await read(stream)).length, 3);
    });

    it('writes nothing and gives the first result, even if the expected revision is wrong by now', async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-again`;
      const events = newEvents(2);
      const first = await store.append(stream, events, 'none');
      await append(stream, 1);
      for (const expected of ['none', 'any', 0, 99] as const) {
        assert.deepEqual(await store.append(stream, events, expected), { ...first, duplicate: true });
      }
      assert.equal((await read(stream)).length, 3);
    });

    it('writes two identical appends once, even if both are under way together', async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-twins`;
      const event = newEvent();
      const results = await Promise.all([
        store.append(stream, [event], 'none'),
        store.append(stream, [event], 'none'),
        store.append(stream, [event], 'any'),
      ]);
      assert.equal(results.filter(({ duplicate }) => !duplicate).length, 1);
      assert.equal(new Set(results.map(({ position }) => position)).size, 1);
      assert.equal((await read(stream)).length, 1);
    });

    const [a, b, c] = [0, 1, 2];
    const runs: [title: string, before: number[][], again: number[]][] = [
      ['the first of three', [[a]], [a, b, c]],
      ['the first two of three', [[a, b]], [a, b, c]],
      ['two of three, each by itself', [[a], [b]], [a, b, c]],
      ['all three, each by itself', [[a], [b], [c]], [a, b, c]],
      ['all three, in two appends', [[a], [b, c]], [a, b, c]],
      ['the last two of three', [[a, b, c]], [b, c]],
    ];
    for (const [title, before, again] of runs) {
      it(`writes only the missing events under any if the stream holds ${title}`, async () => {
        const { store } = subject();
        const stream = `${uniqueCategory()}-run`;
        const events = newEvents(3);
        const seen: string[] = [];
        const subscription = store.subscribe({ after: 'end', categories: [categoryOf(stream)] }, (event) => {
          seen.push(event.id);
        });
        await subscription.caughtUp;
        for (const run of before)
          await store.append(
            stream,
            run.map((n) => events[n]!),
            'any',
          );
        const appended = await store.append(
          stream,
          again.map((n) => events[n]!),
          'any',
        );
        const there = await read(stream);
        assert.deepEqual(ids(there), ids(events));
        const { revision, position } = there.at(-1)!;
        assert.deepEqual(appended, { revision, position, duplicate: before.flat().length === 3 });
        await eventually('all of it was handed over', () => seen.length >= 3);
        assert.deepEqual(seen, ids(events));
        await subscription.stop();
      });
    }

    it(
      'passes over events that the stream holds under `any`, at any place in a run',
      { skip: partly ?? false },
      async () => {
        const { store } = subject();
        const stream = `${uniqueCategory()}-mixed`;
        const [one, two, three] = newEvents(3);
        await store.append(stream, [two!], 'none');
        const { revision } = await store.append(stream, [one!, two!, three!], 'any');
        assert.equal(revision, 2);
        assert.deepEqual(ids(await read(stream)), ids([two!, one!, three!]));
      },
    );

    it('refuses ids of which only some were written if a revision is expected, and writes none', async () => {
      const { store } = subject();
      const stream = `${uniqueCategory()}-part`;
      const [old, fresh] = newEvents(2);
      await store.append(stream, [old!], 'none');
      await assert.rejects(store.append(stream, [old!, fresh!], 'none'), isConflict);
      // Where the revision fits, KurrentDB does not look for ids.
      if (partly === undefined) await assert.rejects(store.append(stream, [old!, fresh!], 0), isConflict);
      assert.deepEqual(ids(await read(stream)), [old!.id]);
    });

    it('refuses an id that another stream holds', { skip: partly ?? false }, async () => {
      const { store } = subject();
      const category = uniqueCategory();
      const event = newEvent();
      await store.append(`${category}-one`, [event], 'none');
      await append(`${category}-two`, 1);
      await assert.rejects(store.append(`${category}-two`, [event], 'any'), isConflict);
      await assert.rejects(store.append(`${category}-three`, [newEvent(), event], 'none'), isConflict);
      assert.equal((await read(`${category}-two`)).length, 1);
      assert.deepEqual(await read(`${category}-three`), []);
      await append(`${category}-three`, 1, 'none');
    });

    it('refuses one id twice in an append', async () => {
      const stream = `${uniqueCategory()}-same`;
      const event = newEvent();
      await assert.rejects(subject().store.append(stream, [event, event], 'any'), StopgapError);
      assert.deepEqual(await read(stream), []);
    });

    it('still recognises an append after a restart', async () => {
      const stream = `${uniqueCategory()}-restart`;
      const event = newEvent();
      const first = await subject().store.append(stream, [event], 'none');
      await subject().reopen();
      assert.deepEqual(await subject().store.append(stream, [event], 'none'), { ...first, duplicate: true });
      assert.equal((await append(stream, 1, 0)).revision, 1);
    });
  });
}
