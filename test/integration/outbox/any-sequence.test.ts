import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { InvalidInput, StopgapError } from '../../../src/kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../../src/kernel/events.js';
import { SECOND } from '../../../src/kernel/time.js';
import { OutboxedStore } from '../../../src/store/outboxed.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { LocalStore } from '../../../src/store/delivery.js';
import { QUARANTINE_STREAM, quarantined } from '../../../src/store/delivery.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { newEvent } from '../../support/store/events.js';

type Step =
  | { readonly do: 'send'; readonly stream: string; readonly poison: boolean }
  /** `deaf`: takes nothing. `mute`: takes everything and answers nothing. `flaky`: one of these or neither, in turn. */
  | { readonly do: 'store'; readonly is: 'there' | 'away' | 'deaf' | 'mute' | 'flaky' }
  /** After its restart the server knows no id. */
  | { readonly do: 'forget' }
  | { readonly do: 'wait' }
  | { readonly do: 'stop' }
  | { readonly do: 'kill' };

const STREAMS = ['send-a', 'send-b', 'send-c'];
const STEPS: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      stream: fc.constantFrom(...STREAMS),
      poison: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('store' as const),
      is: fc.constantFrom('there', 'away', 'deaf', 'mute', 'flaky'),
    }),
  },
  { weight: 6, arbitrary: fc.constant({ do: 'wait' as const }) },
  { weight: 1, arbitrary: fc.constantFrom({ do: 'forget' as const }, { do: 'stop' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'kill' as const }) },
);

/** What a process that was killed is still waiting for never comes. */
const NEVER = new Promise<never>(() => undefined);

/** The events of a server, which a killed process leaves as they are. */
class Shared {
  readonly streams = new Map<string, NewEvent[]>(STREAMS.map((stream) => [stream, []]));
  is: 'there' | 'away' | 'deaf' | 'mute' | 'flaky' = 'there';
  #calls = 0;
  #remembered = new Set<string>();

  forget(): void {
    this.#remembered = new Set();
  }

  /** As KurrentDB does under `any`: it goes by the ids that it remembers, and looks at the first of them. */
  append(stream: string, events: readonly NewEvent[]): void {
    const mood = this.is === 'flaky' ? (['there', 'deaf', 'mute'] as const)[this.#calls++ % 3]! : this.is;
    if (mood === 'away' || mood === 'deaf') throw new StoreUnavailable('not taken');
    if (events.some(({ type }) => type === 'Poison')) throw new InvalidInput('events', 'not this one');
    const known = events.map(({ id }) => this.#remembered.has(id));
    if (known[0] === true && known.includes(false)) throw new StopgapError('conflict', 'wrong version');
    if (known[0] !== true) this.streams.get(stream)!.push(...events);
    for (const { id } of events) this.#remembered.add(id);
    if (mood === 'mute') throw new StoreUnavailable('no answer');
  }
}

/** One process: what it calls is answered a turn later, and never once it is killed. */
class Process {
  killed = false;
  constructor(
    readonly shared: Shared,
    readonly disk: Map<number, RecordedEvent>,
    readonly head: { position: number },
  ) {}

  async #living(): Promise<void> {
    await turn();
    if (this.killed) await NEVER;
  }

  get remote(): EventStore {
    const { shared } = this;
    const store: Pick<EventStore, 'maxAppendBytes' | 'healthy' | 'append' | 'close'> = {
      maxAppendBytes: 2000,
      get healthy() {
        return shared.is !== 'away';
      },
      append: async (stream, events) => {
        await this.#living();
        shared.append(stream, events);
        await this.#living();
        return { revision: 0, position: 1, duplicate: false };
      },
      close: () => Promise.resolve(),
    };
    return store as EventStore;
  }

  get local(): LocalStore {
    const { disk, head } = this;
    const store: Pick<
      LocalStore,
      'append' | 'readAll' | 'readStream' | 'remove' | 'clean' | 'countByStream' | 'healthy' | 'close'
    > = {
      healthy: true,
      append: async (stream, events) => {
        await this.#living();
        const duplicate = [...disk.values()].some(({ id }) => id === events[0]!.id);
        for (const event of duplicate ? [] : events) {
          const position = ++head.position;
          disk.set(position, { ...event, stream, revision: 0, position, recordedAt: NOON });
        }
        await this.#living();
        return { revision: 0, position: head.position, duplicate };
      },
      readAll: ({ after = 0, categories } = {}) =>
        this.#give(
          [...disk.values()].filter(
            ({ stream, position }) =>
              position > after && (categories === undefined || stream === QUARANTINE_STREAM),
          ),
        ),
      readStream: () => this.#give([]),
      remove: async (positions) => {
        await this.#living();
        for (const position of positions) disk.delete(position);
        await this.#living();
      },
      clean: async () => {
        await this.#living();
        return true;
      },
      async *countByStream() {
        for (const { stream } of disk.values()) yield { stream, events: 1 };
      },
      close: () => Promise.resolve(),
    };
    return store as LocalStore;
  }

  async *#give(events: readonly RecordedEvent[]): AsyncGenerator<RecordedEvent> {
    for (const event of events) {
      await this.#living();
      yield event;
    }
  }
}

/** A node that takes events, over the same disk in all its processes. */
class Stage {
  readonly shared = new Shared();
  readonly clock = new ManualClock();
  readonly #disk = new Map<number, RecordedEvent>();
  readonly #head = { position: 0 };
  lost = 0;
  /** What was acknowledged, each stream in order: who sends goes on when the last was answered. */
  readonly acknowledged = new Map<string, NewEvent[]>(STREAMS.map((stream) => [stream, []]));
  readonly #sending = new Map<string, Promise<void>>();
  process!: Process;
  outbox!: OutboxedStore;

  async open(): Promise<void> {
    const { shared, clock } = this;
    this.process = new Process(shared, this.#disk, this.#head);
    this.#sending.clear();
    const { remote, local } = this.process;
    this.outbox = await OutboxedStore.open({
      remote,
      local,
      clock,
      log: pino({ level: 'silent' }),
      maxEvents: 1000,
      whenFull: 'defer',
      onLost: (events) => (this.lost += events),
    });
  }

  send(stream: string, poison: boolean): void {
    const event = newEvent({ text: 'x'.repeat(300) }, poison ? { type: 'Poison' } : {});
    const { outbox } = this;
    const sent = (this.#sending.get(stream) ?? Promise.resolve()).then(async () => {
      await outbox.append(stream, [event], 'any');
      this.acknowledged.get(stream)!.push(event);
    });
    this.#sending.set(stream, sent);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#sending.values());
    for (let rounds = 0; this.outbox.waiting > 0; rounds++) {
      assert.ok(rounds < 10_000, `${this.outbox.waiting} events wait for ever`);
      this.clock.advance(SECOND);
      await turn();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#sending.values());
    await this.outbox.close();
  }

  async inQuarantine(): Promise<Set<string>> {
    const all = new Set<string>();
    for await (const { event } of quarantined(this.process.local)) all.add(event.id);
    return all;
  }

  get onDisk(): number {
    return [...this.#disk.values()].filter(({ stream }) => stream !== QUARANTINE_STREAM).length;
  }
}

async function play(steps: readonly Step[]): Promise<Stage> {
  const stage = new Stage();
  await stage.open();
  for (const step of steps) {
    if (step.do === 'send') stage.send(step.stream, step.poison);
    else if (step.do === 'store') stage.shared.is = step.is;
    else if (step.do === 'forget') stage.shared.forget();
    else if (step.do === 'wait') {
      for (let turns = 0; turns < 5; turns++) await turn();
      stage.clock.advance(SECOND);
    } else {
      if (step.do === 'stop') await stage.stop();
      stage.process.killed = true;
      await stage.open();
    }
  }
  stage.shared.is = 'there';
  await stage.settle();
  return stage;
}

test('each acknowledged event arrives after any sequence of faults, in the order of its stream', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEPS, { maxLength: 60 }), async (steps) => {
      const stage = await play(steps);
      const kept = await stage.inQuarantine();
      for (const [stream, acknowledged] of stage.acknowledged) {
        const there = stage.shared.streams.get(stream)!.map(({ id }) => id);
        const sound = acknowledged.filter(({ type }) => type !== 'Poison').map(({ id }) => id);
        const first = sound.map((id) => there.indexOf(id));
        assert.ok(!first.includes(-1), `${first.filter((place) => place === -1).length} are lost`);
        assert.deepEqual(
          first,
          first.toSorted((a, b) => a - b),
          'the order is another',
        );
        assert.ok(
          sound.every((id) => !kept.has(id)),
          'in quarantine for nothing',
        );
        for (const { id, type } of acknowledged)
          if (type === 'Poison') assert.ok(kept.has(id), 'what the store refuses is gone');
      }
      assert.equal(stage.lost, 0);
      await stage.stop();
      assert.equal(stage.onDisk, 0, 'what has arrived is still there');
    }),
    { numRuns: 300 },
  );
});
