import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { DaySummaryRecorder } from '../../../src/detector/scheduled-jobs.js';
import { newId } from '../../../src/runtime/ids.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { ReadModels } from '../../../src/detector/read-models.js';
import { RULES_STREAM } from '../../../src/rules/model.js';
import { PROFILE_CATEGORY, SUMMARIES_KEPT, dayOf } from '../../../src/sending/day-summary.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { sendStream } from '../../../src/sending/events.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { EventStore } from '../../../src/store/port.js';
import { DAY_0 } from '../../support/days.js';
import { folding } from '../../support/history.js';
import { ManualClock } from '../../support/manual-clock.js';
import { baselines } from '../../support/restored.js';
import { rulesChanged, sent } from '../../support/sends.js';
import { node } from '../../support/snapshots.js';
import { changed } from '../../support/store/changed.js';

const RULES =
  '  - { id: hour, per: account, count: messages, window: 1h, limit: { baseline: 2x, floor: 10 }, then: block, for: 1h }';
const DAWN = DAY_0 * DAY;
/** The senders that `baselines` looks at. */
const user = (number: number): string => `user${number}@example.com`;

/** Read models over a store, and what writes summaries. */
interface Detector {
  readonly models: ReadModels;
  readonly summaries: DaySummaryRecorder;
  readonly lines: readonly string[];
  stop(): Promise<void>;
}

class Scene {
  private constructor(
    readonly clock: ManualClock,
    readonly store: EventStore,
    readonly snapshots: string,
  ) {}

  static async open(t: TestContext): Promise<Scene> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-summaries-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const clock = new ManualClock(DAWN + 9 * HOUR);
    const store = await openSqliteStore({ file: path.join(dir, 'events.db'), clock });
    t.after(() => store.close());
    const { type, data, by } = rulesChanged(RULES, clock.now(), 1);
    await store.append(RULES_STREAM, [{ id: newId(), type, data, at: clock.now(), by }], 'any');
    return new Scene(clock, store, path.join(dir, 'snapshots'));
  }

  async detector(t: TestContext, through: EventStore = this.store): Promise<Detector> {
    const { models } = folding();
    await models.follow(this.store);
    const lines: string[] = [];
    const log = pino({ base: undefined }, { write: (line: string) => void lines.push(line) });
    const summaries = await DaySummaryRecorder.start({ store: through, models, clock: this.clock, log });
    const stop = async (): Promise<void> => {
      await summaries.stop();
      await models.stop();
    };
    t.after(stop);
    return { models, summaries, lines, stop };
  }

  async send(users: readonly number[], messages = 1): Promise<void> {
    for (const number of users) {
      const account = user(number);
      for (let count = 0; count < messages; count++) {
        const { type, data } = sent(this.clock.now(), 1, { account, returnPath: account });
        const event = { id: newId(), type, data, at: this.clock.now(), by: 'smtp:test' };
        await this.store.append(sendStream(account), [event], 'any');
      }
    }
  }

  /** Time passes; the woken jobs have done their work, and it is folded. */
  async pass(span: number, ...detectors: readonly Detector[]): Promise<void> {
    for (const { models } of detectors) await models.reached(await this.store.head());
    this.clock.advance(span);
    await this.settled(...detectors);
  }

  async settled(...detectors: readonly Detector[]): Promise<void> {
    for (const { summaries } of detectors) await summaries.idle();
    for (const { models } of detectors) await models.reached(await this.store.head());
  }

  async written(): Promise<readonly RecordedEvent<string, SenderDaySummarised>[]> {
    const events: RecordedEvent<string, SenderDaySummarised>[] = [];
    for await (const event of this.store.readAll({ categories: [PROFILE_CATEGORY] })) {
      events.push(event as RecordedEvent<string, SenderDaySummarised>);
    }
    return events;
  }

  async days(): Promise<readonly string[]> {
    const events = await this.written();
    return events
      .map(({ data }) => `${data.subject.value.split('@')[0]!} ${data.day - DAY_0} ${data.messages}`)
      .sort();
  }
}

describe('the summaries of days', () => {
  test('are written when they are due by a clock that was years ahead and was put right', async (t) => {
    const scene = await Scene.open(t);
    scene.clock.jump(730 * DAY);
    const detector = await scene.detector(t);
    await scene.settled(detector);
    scene.clock.jump(-730 * DAY);
    await scene.send([0], 2);
    await scene.pass(15 * HOUR, detector);
    assert.deepEqual(await scene.days(), [], 'midnight: what comes late is waited for');
    await scene.pass(HOUR, detector);
    assert.deepEqual(await scene.days(), ['user0 0 2']);
    await scene.send([0]);
    await scene.pass(DAY, detector);
    assert.deepEqual(await scene.days(), ['user0 0 2', 'user0 1 1']);
    assert.equal(scene.clock.waiting, 2, 'of one run');
  });

  test('are written an hour after midnight, each once, in the streams of their senders', async (t) => {
    const scene = await Scene.open(t);
    const detector = await scene.detector(t);
    await scene.send([0, 1], 3);
    await scene.pass(15 * HOUR, detector);
    assert.deepEqual(await scene.days(), [], 'midnight: what comes late is waited for');
    await scene.send([1]);
    await scene.pass(HOUR - 1, detector);
    assert.deepEqual(await scene.days(), []);
    await scene.pass(1, detector);
    assert.deepEqual(await scene.days(), ['user0 0 3', 'user1 0 3']);
    for (const { stream, by, at, data } of await scene.written()) {
      assert.deepEqual(
        [stream, by, at],
        [`profile-${data.subject.value}`, 'system:profiles', DAWN + DAY + HOUR],
      );
    }
    await scene.pass(3 * DAY, detector);
    assert.deepEqual(await scene.days(), ['user0 0 3', 'user1 0 3', 'user1 1 1']);
    assert.match(detector.lines.join(''), /"senders":2,.*the days of senders were summarised/);
  });

  test('are written once by two detectors, and both know the same', async (t) => {
    const scene = await Scene.open(t);
    const [one, other] = [await scene.detector(t), await scene.detector(t)];
    await scene.send([0, 1, 2, 3], 2);
    await scene.pass(16 * HOUR, one, other);
    assert.deepEqual(await scene.days(), ['user0 0 2', 'user1 0 2', 'user2 0 2', 'user3 0 2']);
    assert.deepEqual(baselines(other.models, scene.clock.now()), baselines(one.models, scene.clock.now()));
    assert.equal(one.models.sendVolume.profiles.sizes.open, 0);
  });

  test('are not of days that a clock which is ahead dates, and go on once it is put right', async (t) => {
    const scene = await Scene.open(t);
    const detector = await scene.detector(t);
    await scene.send([0], 3);
    await scene.pass(16 * HOUR, detector);
    await scene.send([0], 2);
    scene.clock.jump(730 * DAY);
    await scene.send([0], 5);
    for (const span of [0, DAY, DAY]) await scene.pass(span, detector);
    assert.deepEqual(await scene.days(), ['user0 0 3', 'user0 1 2']);
    assert.equal(detector.lines.filter((line) => line.includes('the clock leapt ahead')).length, 1);
    await detector.stop();
    scene.clock.jump(-730 * DAY);
    const after = await scene.detector(t);
    await scene.send([0], 4);
    await scene.pass(DAY, after);
    assert.deepEqual(await scene.days(), ['user0 0 3', 'user0 1 2', 'user0 3 4']);
    assert.doesNotMatch(after.lines.join(''), /leapt ahead/);
  });

  test('wait for a week after a start long after the last event, as the clock may be ahead', async (t) => {
    const scene = await Scene.open(t);
    await scene.send([0], 3);
    scene.clock.skip(60 * DAY);
    const detector = await scene.detector(t);
    await scene.send([0], 2);
    await scene.pass(16 * HOUR, detector);
    assert.deepEqual(await scene.days(), ['user0 0 3'], 'what is surely over');
    await scene.pass(6 * DAY, detector);
    assert.deepEqual(await scene.days(), ['user0 0 3']);
    await scene.pass(2 * DAY, detector);
    assert.deepEqual(await scene.days(), ['user0 0 3', 'user0 60 2']);
  });

  test('are tried again if the store does not take them, and none twice', async (t) => {
    const scene = await Scene.open(t);
    let left = 18;
    const failing = changed(scene.store, {
      append: async (stream, events, expected) => {
        if (stream.startsWith('profile-') && left-- <= 0) throw new StoreUnavailable('the disk is full');
        return scene.store.append(stream, events, expected);
      },
    });
    const detector = await scene.detector(t, failing);
    const users = Array.from({ length: 40 }, (_, index) => index);
    await scene.send(users);
    await scene.pass(16 * HOUR, detector);
    assert.equal((await scene.days()).length, 18, 'those of the second sixteen that went through');
    assert.match(detector.lines.join(''), /"written":18,"error":"the disk is full"/);
    await scene.pass(4 * MINUTE, detector);
    assert.equal((await scene.days()).length, 18, 'not before five minutes have passed');
    left = 10;
    await scene.pass(MINUTE, detector);
    left = Infinity;
    await scene.pass(5 * MINUTE, detector);
    const days = await scene.days();
    assert.deepEqual([days.length, new Set(days).size], [40, 40]);
    await scene.pass(DAY, detector);
    assert.equal((await scene.days()).length, 40);
  });

  test('of days on which nothing ran are written at the start', async (t) => {
    const scene = await Scene.open(t);
    await scene.send([0, 1]);
    scene.clock.advance(DAY);
    await scene.send([1], 2);
    scene.clock.advance(3 * DAY);
    await scene.send([1], 4);
    const detector = await scene.detector(t);
    await scene.settled(detector);
    assert.deepEqual(await scene.days(), ['user0 0 1', 'user1 0 1', 'user1 1 2']);
    await scene.pass(16 * HOUR, detector);
    assert.deepEqual((await scene.days()).at(-1), 'user1 4 4');
  });

  test('that a stop cut short are written at the next start', async (t) => {
    const scene = await Scene.open(t);
    const users = Array.from({ length: 40 }, (_, index) => index);
    await scene.send(users);
    const running: Detector[] = [];
    const stopping = changed(scene.store, {
      append: async (stream, events, expected) => {
        // Not awaited: it waits for what is under way, which this is.
        if (stream.startsWith('profile-')) void running[0]?.summaries.stop();
        return scene.store.append(stream, events, expected);
      },
    });
    const detector = await scene.detector(t, stopping);
    running.push(detector);
    await scene.pass(16 * HOUR, detector);
    assert.equal((await scene.days()).length, 16, 'what was under way is finished, no more');
    assert.equal(scene.clock.waiting, 0, 'and nobody is to be woken');
    await detector.stop();
    const next = await scene.detector(t);
    await scene.settled(next);
    assert.equal((await scene.days()).length, 40);
  });

  test('are kept for 400 days', async (t) => {
    const scene = await Scene.open(t);
    const detector = await scene.detector(t);
    await scene.send([0]);
    await scene.pass(16 * HOUR, detector);
    await detector.stop();
    await scene.store.sweep(DAWN + DAY + HOUR + SUMMARIES_KEPT);
    assert.equal((await scene.days()).length, 1);
    await scene.store.sweep(DAWN + DAY + HOUR + SUMMARIES_KEPT + 1);
    assert.equal((await scene.days()).length, 0);
  });
});

describe('a process that starts again', () => {
  test('knows what is usual from a snapshot, and from nothing, as the one before it knew', async (t) => {
    const scene = await Scene.open(t);
    const detector = await scene.detector(t);
    const snapshot = async (): Promise<Awaited<ReturnType<typeof node>>> => {
      const one = await node(scene.snapshots, scene.clock, { within: 1000 * HOUR });
      await one.snapshots.restore(scene.store);
      await one.models.follow(scene.store, undefined, () => one.snapshots.folded());
      return one;
    };
    for (let day = 0; day < 12; day++) {
      await scene.send([0, 1, 2, 3].slice(0, 1 + (day % 4)), 1 + day);
      await scene.pass(DAY, detector);
      if (day !== 5) continue;
      const first = await snapshot();
      await first.models.stop();
      await first.snapshots.close();
    }
    await scene.send([0, 3]);
    await detector.models.reached(await scene.store.head());
    const now = scene.clock.now();
    const expected = baselines(detector.models, now);
    const known = detector.models.sendVolume.profiles.profile('account', user(0), dayOf(now));
    assert.ok(known.firstDay === DAY_0 && known.lastDay === DAY_0 + 11, 'it shows something');

    const restored = await snapshot();
    assert.match(restored.logs.join(''), /start from a snapshot/);
    assert.deepEqual(baselines(restored.models, now), expected);
    await restored.models.stop();
    await restored.snapshots.close();

    const { models } = folding();
    await models.follow(scene.store);
    assert.deepEqual(baselines(models, now), expected);
    await models.stop();

    // The sends of all days that are over have outlived their time.
    await scene.store.setRetention('send', DAY / 2);
    await scene.store.sweep(now);
    const { models: later } = folding();
    await later.follow(scene.store);
    assert.deepEqual(baselines(later, now), expected);
    await later.stop();
  });
});
