import type { Logger } from 'pino';
import type { NewEvent, RecordedEvent } from '../kernel/events.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Appended, EventStore, ExpectedRevision } from './port.js';
import { StoreUnavailable } from './port.js';

export interface OutboxOptions {
  /** The store that all share. */
  readonly remote: EventStore;
  /** A store on this node's own disk. */
  readonly local: EventStore;
  readonly clock: AlarmClock;
  readonly log: Logger;
  /** Events that may wait. */
  readonly maxEvents: number;
  /** When so many wait. `accept`: what comes is not recorded, and counted as lost. `defer`: it is refused. */
  readonly whenFull: 'accept' | 'defer';
  readonly onLost?: (events: number) => void;
  /** Told of what was taken, wherever it went: what happened at this node. */
  readonly onTaken?: (stream: string, events: readonly NewEvent[]) => void;
}

/** Where in the local store it is written how much of it has been delivered. */
const PROGRESS_STREAM = 'delivered-outbox';
const PROGRESS_CATEGORY = 'delivered';
const BATCH = 200;
const FIRST_PAUSE: Milliseconds = SECOND / 4;
const LONGEST_PAUSE: Milliseconds = 10 * SECOND;

/**
 * A store that goes on taking what happened while the shared one is away: it waits on this node's disk, durable,
 * and is delivered in order later. Only appends to `any` revision can wait; decisions cannot, since they depend on
 * what is in the stream.
 *
 * A position of 0 in the answer says that the event waits. What had reached the shared store although its answer
 * got lost is delivered again under the same id: whoever folds it folds an id once.
 */
export class OutboxedStore implements EventStore {
  readonly #options: OutboxOptions;
  readonly #remote: EventStore;
  readonly #local: EventStore;
  #waiting = 0;
  #delivered = 0;
  #draining: Promise<void> | undefined;
  readonly #writes = new Set<Promise<unknown>>();
  #wake: (() => void) | undefined;
  #closed = false;

  private constructor(options: OutboxOptions) {
    this.#options = options;
    this.#remote = options.remote;
    this.#local = options.local;
  }

  /** Opens it, and goes on delivering what an earlier process left behind. */
  static async open(options: OutboxOptions): Promise<OutboxedStore> {
    const store = new OutboxedStore(options);
    for await (const event of options.local.readStream(PROGRESS_STREAM, {
      direction: 'backwards',
      limit: 1,
    })) {
      store.#delivered = (event.data as { through: number }).through;
    }
    for await (const event of options.local.readAll({ after: store.#delivered })) {
      if (event.stream !== PROGRESS_STREAM) store.#waiting++;
    }
    if (store.#waiting > 0) store.#startDraining();
    return store;
  }

  /** Events that wait for the shared store. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Events that may wait. */
  get limit(): number {
    return this.#options.maxEvents;
  }

  /** When the oldest that waits was written down here; undefined where none waits. @throws StoreUnavailable */
  async oldestAt(): Promise<Instant | undefined> {
    if (this.#waiting === 0) return undefined;
    for await (const event of this.#local.readAll({ after: this.#delivered })) {
      if (event.stream !== PROGRESS_STREAM) return event.recordedAt;
    }
    return undefined;
  }

  /** True while what is appended goes to this node's disk. */
  get away(): boolean {
    return this.#waiting > 0 || !this.#remote.healthy;
  }

  async append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    if (expected !== 'any') return this.#remote.append(stream, events, expected);
    const appended = await this.#take(stream, events);
    this.#options.onTaken?.(stream, events);
    return appended;
  }

  async #take(stream: string, events: readonly NewEvent[]): Promise<Appended> {
    // What waits goes first: a later event must not overtake it.
    if (this.#waiting === 0 && this.#remote.healthy) {
      try {
        return await this.#remote.append(stream, events, 'any');
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    }
    return this.#keep(stream, events);
  }

  readStream: EventStore['readStream'] = (stream, options) => this.#remote.readStream(stream, options);
  readAll: EventStore['readAll'] = (options) => this.#remote.readAll(options);
  subscribe: EventStore['subscribe'] = (options, handler) => this.#remote.subscribe(options, handler);
  head: EventStore['head'] = () => this.#remote.head();
  setRetention: EventStore['setRetention'] = (category, maxAge) =>
    this.#remote.setRetention(category, maxAge);
  sweep: EventStore['sweep'] = (now) => this.#remote.sweep(now);
  probe: EventStore['probe'] = () => this.#remote.probe();

  /** Whether what happens can be recorded, here or there. */
  get healthy(): boolean {
    if (this.#waiting === 0 && this.#remote.healthy) return true;
    return (
      this.#options.whenFull === 'accept' || (this.#waiting < this.#options.maxEvents && this.#local.healthy)
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#draining;
    await this.#local.close();
    await this.#remote.close();
  }

  async #keep(stream: string, events: readonly NewEvent[]): Promise<Appended> {
    const { maxEvents, whenFull, onLost, log } = this.#options;
    if (this.#waiting + events.length > maxEvents) {
      if (whenFull === 'defer')
        throw new StoreUnavailable(`the store is away and ${maxEvents} events wait already`);
      onLost?.(events.length);
      return { revision: -1, position: 0, duplicate: false };
    }
    if (this.#waiting === 0) log.warn('the store is away: events wait on this disk');
    this.#waiting += events.length;
    const at = this.#options.clock.now();
    const write = this.#local.append(
      stream,
      events.map((event) => marked(event, at)),
      'any',
    );
    this.#writes.add(write);
    try {
      // What waits already under the same ids is not written again.
      if ((await write).duplicate) this.#waiting -= events.length;
    } catch (error) {
      this.#waiting -= events.length;
      throw error;
    } finally {
      this.#writes.delete(write);
    }
    this.#startDraining();
    return { revision: -1, position: 0, duplicate: false };
  }

  #startDraining(): void {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
      // Something came between the last look and now.
      if (this.#waiting > 0 && !this.#closed) this.#startDraining();
    });
  }

  async #drain(): Promise<void> {
    const { log, clock } = this.#options;
    let pause = FIRST_PAUSE;
    while (this.#waiting > 0 && !this.#closed) {
      try {
        if (await this.#deliverBatch()) pause = FIRST_PAUSE;
        else await Promise.allSettled(this.#writes);
      } catch (error) {
        log.debug({ error: messageOf(error), waiting: this.#waiting }, 'the outbox cannot be delivered yet');
        await this.#sleep(pause);
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
    }
    if (this.#waiting === 0) {
      log.warn('the store is back: the outbox is delivered');
      await this.#local.sweep(clock.now());
    }
  }

  async #deliverBatch(): Promise<boolean> {
    const batch: RecordedEvent[] = [];
    let through = this.#delivered;
    for await (const event of this.#local.readAll({ after: this.#delivered, limit: BATCH })) {
      through = event.position;
      if (event.stream !== PROGRESS_STREAM) batch.push(event);
    }
    if (batch.length === 0) {
      this.#delivered = through;
      return false;
    }
    for (const run of runsOf(batch)) await this.#deliver(run);
    this.#delivered = through;
    this.#waiting -= batch.length;
    const { clock } = this.#options;
    const progress = {
      id: crypto.randomUUID(),
      type: 'OutboxDelivered',
      at: clock.now(),
      by: 'system:outbox',
    };
    await this.#local.append(PROGRESS_STREAM, [{ ...progress, data: { through } }], 'any');
    return true;
  }

  /** @throws StoreUnavailable where it is to be tried again */
  async #deliver(run: readonly RecordedEvent[]): Promise<void> {
    const { log, onLost } = this.#options;
    const { stream } = run[0]!;
    try {
      await this.#remote.append(stream, run.map(plain), 'any');
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error;
      // The store will never take it: it must not keep everything behind it waiting for ever.
      log.error(
        { stream, events: run.map(({ id }) => id), error: messageOf(error) },
        'the store refuses what waited: it is lost',
      );
      onLost?.(run.length);
    }
  }

  #sleep(span: Milliseconds): Promise<void> {
    const { clock } = this.#options;
    // Closing has waited for the attempt under way already.
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = clock.after(span, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** What is swept from the outbox once it has been delivered. */
export const OUTBOX_CATEGORIES = ['send', 'auth', PROGRESS_CATEGORY];

/** Neighbours of one stream together: one append, in order. */
function runsOf(events: readonly RecordedEvent[]): RecordedEvent[][] {
  const runs: RecordedEvent[][] = [];
  for (const event of events) {
    const last = runs.at(-1);
    if (last?.[0]!.stream === event.stream) last.push(event);
    else runs.push([event]);
  }
  return runs;
}

/** Says when it was written down here, since the shared store will know of it only later. */
function marked(event: NewEvent, outboxedAt: Instant): NewEvent {
  return { ...event, data: { ...(event.data as object), outboxedAt } };
}

function plain({ id, type, version, at, by, correlation, trace, data }: RecordedEvent): NewEvent {
  return {
    id,
    type,
    at,
    by,
    data,
    ...(version === undefined ? {} : { version }),
    ...(correlation === undefined ? {} : { correlation }),
    ...(trace === undefined ? {} : { trace }),
  };
}
