import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { setImmediate as loopTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { keepSwept } from '../../../src/detector/housekeeping.js';
import type { Milliseconds } from '../../../src/kernel/time.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { EventStore } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { collect, newEvents } from '../../support/store/events.js';
import { temporaryDirectory } from '../../support/store/files.js';

const YEARS = 700 * DAY;
const KEPT = 35 * DAY;
const NOTHING_GOES = 'nothing is deleted for a day: the clock is ahead, or nothing was written for long';

/** A store whose events are kept for 35 days. A process sweeps it that a test may start anew. */
class Scene {
  readonly logs: { readonly msg: string; readonly lastAt?: string }[] = [];
  readonly #pending: Promise<unknown>[] = [];
  #stop: () => void = () => undefined;

  constructor(
    readonly store: EventStore,
    readonly clock: ManualClock,
  ) {}

  static async open(t: TestContext): Promise<Scene> {
    const folder = await temporaryDirectory();
    const clock = new ManualClock();
    const store = await openSqliteStore({ file: path.join(folder, 'events.db'), clock });
    t.after(async () => {
      await store.close();
      await fs.rm(folder, { recursive: true });
    });
    await store.setRetention('send', KEPT);
    return new Scene(store, clock);
  }

  start(): void {
    this.#stop();
    const kept = <T>(promise: Promise<T>): Promise<T> => {
      this.#pending.push(promise);
      return promise;
    };
    const store: Pick<EventStore, 'sweep' | 'lastWrittenBy'> = {
      lastWrittenBy: (at) => kept(this.store.lastWrittenBy(at)),
      sweep: (now, journals) => kept(this.store.sweep(now, journals)),
    };
    const write = (line: string): void => void this.logs.push(JSON.parse(line) as never);
    this.#stop = keepSwept(store, this.clock, pino({}, { write }));
  }

  async writes(count = 1): Promise<void> {
    await this.store.append('send-a', newEvents(count), 'any');
  }

  /** Lets time pass, and what is swept on the way be done. */
  async passes(span: Milliseconds): Promise<void> {
    this.clock.advance(span);
    while (this.#pending.length > 0) {
      await Promise.all(this.#pending.splice(0));
      await loopTurn();
    }
  }

  async left(): Promise<number> {
    return (await collect(this.store.readAll())).length;
  }

  held(): number {
    return this.logs.filter(({ msg }) => msg === NOTHING_GOES).length;
  }
}

describe('what has outlived its retention', () => {
  test('goes within an hour while the clock is right, without a word of the clock', async (t) => {
    const scene = await Scene.open(t);
    scene.start();
    await scene.writes(3);
    await scene.passes(KEPT);
    assert.equal(await scene.left(), 3);
    await scene.passes(2 * HOUR);
    assert.deepEqual([await scene.left(), scene.held()], [0, 0]);
  });

  test('goes a minute after a start, where the store was written to in the days before', async (t) => {
    const scene = await Scene.open(t);
    await scene.writes(3);
    await scene.passes(KEPT - DAY);
    await scene.writes();
    await scene.passes(2 * DAY);
    scene.start();
    await scene.passes(MINUTE);
    assert.deepEqual([await scene.left(), scene.held()], [1, 0]);
  });

  test('stays while the clock is years ahead at starts, and this is said once by each', async (t) => {
    const scene = await Scene.open(t);
    await scene.writes(3);
    scene.clock.jump(YEARS);
    for (const start of [1, 2]) {
      scene.start();
      await scene.writes();
      await scene.passes(11 * HOUR);
      assert.deepEqual([await scene.left(), scene.held()], [3 + start, start]);
    }
    assert.equal(scene.logs[0]!.lastAt, new Date(NOON).toISOString());
    scene.clock.jump(-YEARS);
    scene.start();
    await scene.passes(2 * DAY);
    assert.deepEqual([await scene.left(), scene.held()], [5, 2]);
  });

  test('stays for a day after the clock was set years ahead while a process runs', async (t) => {
    const scene = await Scene.open(t);
    scene.start();
    await scene.writes(3);
    await scene.passes(10 * DAY);
    await scene.writes();
    scene.clock.jump(YEARS);
    await scene.passes(20 * HOUR);
    scene.clock.jump(-YEARS);
    await scene.passes(20 * HOUR);
    assert.deepEqual([await scene.left(), scene.held()], [4, 1]);
    await scene.passes(KEPT - 2 * DAY);
    assert.deepEqual([await scene.left(), scene.held()], [1, 1]);
  });

  test('goes after a day where nothing was written for a year', async (t) => {
    const scene = await Scene.open(t);
    await scene.writes(3);
    await scene.passes(365 * DAY);
    scene.start();
    await scene.passes(DAY - HOUR);
    assert.deepEqual([await scene.left(), scene.held()], [3, 1]);
    await scene.passes(2 * HOUR);
    assert.deepEqual([await scene.left(), scene.held()], [0, 1]);
  });
});

test('the store knows when it was last written to before an instant', async (t) => {
  const scene = await Scene.open(t);
  assert.equal(await scene.store.lastWrittenBy(NOON), undefined);
  for (let hour = 0; hour < 50; hour += 1) {
    await scene.writes(1 + (hour % 3));
    scene.clock.advance(HOUR);
  }
  for (const hour of [0, 1, 17, 48, 49]) {
    const at = NOON + hour * HOUR;
    assert.deepEqual(
      [await scene.store.lastWrittenBy(at), await scene.store.lastWrittenBy(at + HOUR - 1)],
      [at, at],
    );
  }
  assert.equal(await scene.store.lastWrittenBy(NOON - 1), undefined);
  assert.equal(await scene.store.lastWrittenBy(Infinity), NOON + 49 * HOUR);
  // Of what is swept it knows nothing.
  await scene.store.sweep(NOON + KEPT + 10 * HOUR);
  assert.equal(await scene.store.lastWrittenBy(NOON + 9 * HOUR), undefined);
  assert.equal(await scene.store.lastWrittenBy(NOON + 10 * HOUR), NOON + 10 * HOUR);
});
