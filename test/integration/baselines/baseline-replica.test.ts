import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { newId, summaryId } from '../../../src/runtime/ids.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { BaselineReplica } from '../../../src/detector/baseline-replica.js';
import { RULES_STREAM } from '../../../src/rules/model.js';
import { dayOf, profileStream } from '../../../src/sending/day-summary.js';
import type { Day } from '../../../src/sending/day-summary.js';
import { sendStream } from '../../../src/sending/events.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import type { EventStore } from '../../../src/store/port.js';
import { LogReplaced, StoreUnavailable } from '../../../src/store/port.js';
import { summary } from '../../support/days.js';
import { Gate, Tally, settle } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { rulesChanged, sent } from '../../support/sends.js';
import { eventually } from '../../support/smtp/eventually.js';
import { changed } from '../../support/store/changed.js';

const RULES =
  '  - { id: hour, per: account, count: messages, window: 1h, limit: { baseline: 2x, floor: 5 }, then: block, for: 1h }';
const SENDERS = ['a@example.com', 'b@example.com', 'c@example.com'];

interface Node {
  readonly known: BaselineReplica;
  /** Events handed over. */
  readonly folded: Tally;
  readonly faults: unknown[];
  /** Counts the faults. */
  readonly faulted: Tally;
  /** It has said that it knows. */
  readonly knowing: Gate;
  readonly lines: readonly string[];
}

class Scene {
  /** What is to be closed, the last first: nodes write a snapshot into the folder as they stop. */
  readonly #closing: (() => Promise<unknown>)[] = [];

  private constructor(
    readonly clock: ManualClock,
    readonly store: EventStore,
    readonly dir: string,
  ) {}

  static async open(t: TestContext): Promise<Scene> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-baselines-'));
    const clock = new ManualClock();
    const store = await openSqliteStore({ file: path.join(dir, 'events.db'), clock });
    const scene = new Scene(clock, store, dir);
    scene.#closing.push(
      () => rm(dir, { recursive: true, force: true }),
      () => store.close(),
    );
    t.after(async () => {
      for (const close of scene.#closing.reverse()) await close();
    });
    const { type, data, by } = rulesChanged(RULES, clock.now(), 1);
    await store.append(RULES_STREAM, [{ id: newId(), type, data, at: clock.now(), by }], 'any');
    return scene;
  }

  /** Each sender's summary of a day; and a send, which is none of it. */
  async summarise(day: Day): Promise<void> {
    for (const value of SENDERS) {
      const data = summary(day, { subject: { type: 'account', value }, peaks: { 'messages/1h': 7 } });
      const envelope = { at: this.clock.now(), by: 'system:profiles' };
      const event = { id: summaryId(data), type: 'SenderDaySummarised', data, ...envelope };
      await this.store.append(profileStream(data.subject), [event], 'any');
      const { type, data: message } = sent(this.clock.now(), 1, { account: value });
      await this.store.append(sendStream(value), [{ id: newId(), type, data: message, ...envelope }], 'any');
    }
  }

  get today(): Day {
    return dayOf(this.clock.now());
  }

  node(change: Partial<EventStore> = {}): Node {
    const lines: string[] = [];
    const [folded, faulted, knowing] = [new Tally(), new Tally(), new Gate()];
    const faults: unknown[] = [];
    const write = (line: string): void => {
      lines.push(line);
      if (line.includes('it is known what senders usually do')) knowing.open();
    };
    const readsOnly = { append: () => Promise.reject(new Error('it writes nothing')), ...change };
    const known = new BaselineReplica({
      store: changed(this.store, readsOnly),
      data: this.dir,
      clock: this.clock,
      metrics: new Metrics(),
      log: pino({ level: 'debug', base: undefined }, { write }),
      onFatal: (error) => {
        faults.push(error);
        faulted.add();
      },
      onSummarised: () => folded.add(),
      onSkipped: ({ type }, reason) => assert.fail(`${type}: ${reason}`),
    });
    this.#closing.push(() => known.close());
    return { known, folded, faults, faulted, knowing, lines };
  }
}

/** As {@link EventStore.subscribe}, but each event waits, and is counted before. */
function held(store: EventStore, gate: Gate, holding = new Tally()): EventStore['subscribe'] {
  return (options, handler) =>
    store.subscribe(options, async (event: RecordedEvent) => {
      holding.add();
      await gate.opened;
      await handler(event);
    });
}

describe('what a node knows of baselines', () => {
  test('is nothing until it has caught up, then all there is, and goes on from there', async (t) => {
    const scene = await Scene.open(t);
    for (let day = scene.today - 3; day < scene.today; day++) await scene.summarise(day);
    const gate = new Gate();
    const { known, folded, knowing, lines } = scene.node({ subscribe: held(scene.store, gate) });
    known.start();
    await settle();
    assert.deepEqual([known.ready, known.baselines], [false, undefined]);
    gate.open();
    await knowing.opened;
    assert.deepEqual([folded.count, known.ready, known.baselines!.size], [9, true, 3]);
    assert.match(lines.at(-1)!, /"senders":3,.*it is known what senders usually do/);
    scene.clock.advance(DAY);
    await scene.summarise(scene.today - 1);
    await folded.reached(12);
    const { lastDay } = known.baselines!.profile('account', SENDERS[0]!, scene.today);
    assert.equal(lastDay, scene.today - 1);
  });

  test('is there again after the end, from a snapshot of its own', async (t) => {
    const scene = await Scene.open(t);
    for (let day = scene.today - 3; day < scene.today; day++) await scene.summarise(day);
    const first = scene.node();
    first.known.start();
    await first.knowing.opened;
    await first.known.close();
    scene.clock.advance(DAY);
    await scene.summarise(scene.today - 1);

    const second = scene.node();
    second.known.start();
    await second.knowing.opened;
    assert.equal(second.folded.count, 3, 'only what came after it');
    assert.equal(second.known.ready, true);
    assert.equal(second.known.baselines!.size, 3);
    assert.ok(second.lines.some((line) => line.includes('start from a snapshot')));
    assert.deepEqual(second.faults, []);
  });

  test('waits for a store that has just gone, rather than going through everything again', async (t) => {
    const scene = await Scene.open(t);
    await scene.summarise(scene.today - 1);
    const first = scene.node();
    first.known.start();
    await first.knowing.opened;
    await first.known.close();

    const asked = new Tally();
    let away = true;
    const head = (): Promise<number> => {
      asked.add();
      return away ? Promise.reject(new StoreUnavailable('away')) : scene.store.head();
    };
    const second = scene.node({ head });
    second.known.start();
    for (let times = 1; times <= 3; times++) {
      await asked.reached(times);
      await settle();
      if (times === 3) away = false;
      scene.clock.advance(5 * SECOND);
    }
    await second.knowing.opened;
    assert.deepEqual([second.folded.count, second.known.baselines!.size], [0, 3]);

    away = true;
    const third = scene.node({ head });
    third.known.start();
    await asked.reached(5);
    await settle();
    await third.known.close();
    assert.deepEqual([third.faults, third.known.ready, scene.clock.waiting], [[], false, 0]);
  });

  test('is written down seldom: decisions come all the time, summaries once a day', async (t) => {
    const scene = await Scene.open(t);
    const { known, folded, knowing, lines } = scene.node();
    const written = (): number => lines.filter((line) => line.includes('was written')).length;
    known.start();
    await knowing.opened;
    scene.clock.advance(5 * HOUR + 59 * MINUTE);
    await scene.summarise(scene.today - 1);
    await folded.reached(3);
    await settle();
    assert.equal(written(), 0);
    await known.close();
    assert.equal(written(), 1, 'and at the end');
  });
});

describe('a feed of baselines', () => {
  test('that is stopped while it catches up has not failed', async (t) => {
    const scene = await Scene.open(t);
    const gate = new Gate();
    const { known, faults } = scene.node({ subscribe: held(scene.store, gate) });
    known.start();
    await settle();
    const closed = known.close();
    gate.open();
    await closed;
    await settle();
    assert.deepEqual([faults, known.ready], [[], false]);
  });

  test('that is stopped before it began has not failed either', async (t) => {
    const scene = await Scene.open(t);
    const { known, faults, folded } = scene.node();
    known.start();
    await known.close();
    assert.deepEqual([faults, folded.count], [[], 0]);
  });

  for (const when of ['while it catches up', 'later'] as const) {
    test(`that breaks ${when} ends the process`, async (t) => {
      const scene = await Scene.open(t);
      let breakIt = when === 'while it catches up';
      const subscribe: EventStore['subscribe'] = (options, handler) =>
        scene.store.subscribe(options, (event) => {
          if (breakIt) throw new Error('it broke');
          return handler(event);
        });
      const { known, faults, faulted, knowing } = scene.node({ subscribe });
      known.start();
      if (!breakIt) await knowing.opened;
      breakIt = true;
      await scene.summarise(scene.today - 1);
      await faulted.reached(1);
      await settle();
      assert.deepEqual(faults.map(String), ['Error: it broke']);
    });
  }

  test('begins again if the store is back with another log', async (t) => {
    const scene = await Scene.open(t);
    await scene.summarise(scene.today - 1);
    const subscriptions: { end: (error: Error) => void }[] = [];
    const again = new Tally();
    const { known, knowing, lines, folded, faults } = scene.node({
      subscribe(options, handler) {
        const subscription = scene.store.subscribe(options, handler);
        const ended = new Promise<void>((_, reject) => subscriptions.push({ end: reject }));
        ended.catch(() => undefined);
        again.add();
        const { caughtUp, position, lag } = subscription;
        return { caughtUp, ended, position, lag, stop: () => subscription.stop() };
      },
    });
    known.start();
    await knowing.opened;
    assert.equal(folded.count, 3);
    subscriptions[0]!.end(new LogReplaced('it has become another'));
    await again.reached(2);
    await folded.reached(6);
    await eventually('it is known again', () => known.baselines?.size === 3);
    assert.deepEqual(faults, []);
    assert.equal(lines.filter((line) => line.includes('it is known what senders usually do')).length, 2);
  });
});

describe('baselines that begin anew, because somebody was forgotten', () => {
  test('end nothing while they catch up, and are complete afterwards', async (t) => {
    const scene = await Scene.open(t);
    for (let day = scene.today - 3; day < scene.today; day++) await scene.summarise(day);
    const [gate, holding] = [new Gate(), new Tally()];
    const { known, knowing, faults } = scene.node({ subscribe: held(scene.store, gate, holding) });
    known.start();
    await holding.reached(1);
    const anew = known.beginAnew();
    await settle();
    gate.open();
    await anew;
    await knowing.opened;
    await settle();
    assert.deepEqual([faults, known.baselines!.size], [[], 3]);
  });

  test('do not wait for a store that does not answer the run before', async (t) => {
    const scene = await Scene.open(t);
    await scene.summarise(scene.today - 1);
    const first = scene.node();
    first.known.start();
    await first.knowing.opened;
    await first.known.close();
    const asked = new Tally();
    const head = (): Promise<number> => {
      asked.add();
      return Promise.reject(new StoreUnavailable('away'));
    };
    const { known, knowing, faults } = scene.node({ head });
    known.start();
    await asked.reached(1);
    await known.beginAnew();
    await knowing.opened;
    assert.deepEqual([faults, known.baselines!.size], [[], 3]);
  });

  test('do not begin from a snapshot, which may hold who was forgotten', async (t) => {
    const scene = await Scene.open(t);
    await scene.summarise(scene.today - 1);
    const first = scene.node();
    first.known.start();
    await first.knowing.opened;
    await first.known.close();
    const { known, knowing, folded, lines } = scene.node();
    await known.beginAnew();
    known.start();
    await knowing.opened;
    assert.equal(folded.count, 3, 'all events are folded');
    assert.ok(!lines.some((line) => line.includes('start from a snapshot')));
  });

  test('follow one feed at a time, however often they begin', async (t) => {
    const scene = await Scene.open(t);
    for (let day = scene.today - 3; day < scene.today; day++) await scene.summarise(day);
    const open = new Set<object>();
    let most = 0;
    const { known, folded, faults } = scene.node({
      subscribe(options, handler) {
        const subscription = scene.store.subscribe(options, handler);
        open.add(subscription);
        most = Math.max(most, open.size);
        const { caughtUp, ended, position, lag } = subscription;
        const stop = async (): Promise<void> => {
          await subscription.stop();
          open.delete(subscription);
        };
        return { caughtUp, ended, position, lag, stop };
      },
    });
    // As a node does that learns at its start of somebody who was forgotten.
    await known.beginAnew();
    known.start();
    await Promise.all([known.beginAnew(), known.beginAnew()]);
    await known.beginAnew();
    await eventually('it is known', () => known.baselines?.size === 3);
    const before = folded.count;
    await scene.summarise(scene.today);
    await folded.reached(before + 3);
    assert.deepEqual([most, open.size, faults], [1, 1, []]);
    await known.close();
    assert.equal(open.size, 0);
  });

  test('stay closed once they are closed', async (t) => {
    const scene = await Scene.open(t);
    await scene.summarise(scene.today - 1);
    const { known, folded, faults } = scene.node();
    known.start();
    const anew = known.beginAnew();
    await known.close();
    await Promise.all([anew, known.beginAnew()]);
    known.start();
    await settle();
    assert.deepEqual([faults, folded.count, known.ready], [[], 0, false]);
  });
});
