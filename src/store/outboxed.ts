import type { Logger } from 'pino';
import { messageOf } from '../kernel/errors.js';
import type { NewEvent } from '../kernel/events.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import type { LocalStore } from './delivery.js';
import { Delivery, quarantine, QUARANTINE_STREAM, release } from './delivery.js';
import type { Person } from '../forgetting/person.js';
import type { Appended, EventStore, ExpectedRevision, Forgotten } from './port.js';
import { StoreUnavailable } from './port.js';

export interface OutboxOptions {
  /** The store that all share. */
  readonly remote: EventStore;
  readonly local: LocalStore;
  readonly clock: AlarmClock;
  readonly log: Logger;
  /** Events that may wait or be in quarantine. */
  readonly maxEvents: number;
  /** When there are so many. `accept`: what comes is not recorded, and counted as lost. `defer`: it is refused. */
  readonly whenFull: 'accept' | 'defer';
  readonly onLost?: (events: number) => void;
}

/**
 * A store that goes on taking what happened while the shared one is away: it waits on this node's disk, durable,
 * and is delivered later, each stream in order. Only appends to `any` revision can wait; decisions cannot, since they
 * depend on what is in the stream. An event that the shared store refuses by itself is kept in quarantine.
 *
 * A position of 0 in the answer says that the event waits. What had reached the shared store although its answer
 * got lost is delivered again under the same id: readers fold an id once.
 */
export class OutboxedStore implements EventStore {
  /** Called for each taken append, in the store or in the outbox, unless it was taken before: what happened at this node. */
  onTaken: (stream: string, events: readonly NewEvent[]) => void = () => undefined;
  readonly #options: OutboxOptions;
  readonly #remote: EventStore;
  readonly #local: LocalStore;
  readonly #delivery: Delivery;
  #waiting = 0;
  readonly #byStream = new StreamCounts();
  #quarantined = 0;
  #delivering: Promise<void> | undefined;
  #cleaning: Promise<void> | undefined;
  #isUnclean = false;
  #closed = false;

  private constructor(options: OutboxOptions) {
    const { remote, local, clock, log } = options;
    this.#options = options;
    this.#remote = remote;
    this.#local = local;
    this.#delivery = new Delivery({
      remote,
      local,
      clock,
      log,
      waiting: () => this.#waiting,
      onDone: (stream, events) => this.#done(stream, events),
      refused: (stream, event, reason) => this.#quarantine(stream, event, reason),
    });
  }

  /** Opens it, and goes on delivering what an earlier process left. @throws StoreUnavailable */
  static async open(options: OutboxOptions): Promise<OutboxedStore> {
    const store = new OutboxedStore(options);
    await dropDelivered(options.local);
    for await (const { stream, events } of options.local.countByStream()) {
      if (stream === QUARANTINE_STREAM) store.#quarantined += events;
      else store.#count(stream, events);
    }
    if (store.#waiting > 0) store.#deliver();
    // An earlier process may have been killed before it had cleaned up.
    else store.clean();
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

  /** Events that the shared store refuses. */
  get quarantined(): number {
    return this.#quarantined;
  }

  /** When the oldest that waits was written down here; undefined if none waits. @throws StoreUnavailable */
  async oldestAt(): Promise<Instant | undefined> {
    if (this.#waiting === 0) return undefined;
    for await (const { stream, position, recordedAt } of this.#local.readAll()) {
      if (stream !== QUARANTINE_STREAM && !this.#delivery.hasArrived(position)) return recordedAt;
    }
    return undefined;
  }

  /** True while some of what is appended goes to this node's disk. */
  get away(): boolean {
    return this.#waiting > 0 || !this.#remote.healthy;
  }

  get maxAppendBytes(): number {
    return this.#remote.maxAppendBytes;
  }

  async append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    if (expected !== 'any') return this.#remote.append(stream, events, expected);
    const appended = await this.#take(stream, events);
    if (!appended.duplicate) this.onTaken(stream, events);
    return appended;
  }

  async #take(stream: string, events: readonly NewEvent[]): Promise<Appended> {
    // What waits of its stream goes first: a later event must not overtake it.
    if (this.#byStream.of(stream) === 0 && this.#remote.healthy) {
      try {
        return await this.#remote.append(stream, events, 'any');
      } catch {
        // It waits for any reason: the delivery logs it, and finds the faulty event if there is one.
      }
    }
    return { revision: -1, position: 0, duplicate: await this.#keep(stream, events) };
  }

  /**
   * Tries events in quarantine once more, those of these ids or all. They come to the store after what came since.
   *
   * @returns how many
   * @throws StopgapError `not-found` for an id that is not in quarantine; StoreUnavailable
   */
  retry(ids?: readonly string[]): Promise<number> {
    const keep = (stream: string, event: NewEvent): Promise<void> => this.#writeAgain(stream, event);
    return release(this.#local, ids, keep, () => this.#quarantined--);
  }

  /** The copy that was refused may still be here. It does not wait, and its id lets no other be written. */
  async #writeAgain(stream: string, event: NewEvent): Promise<void> {
    for (;;) {
      const { duplicate, position } = await this.#write(stream, event);
      if (!duplicate || !this.#delivery.isGoing(position)) return;
      await this.#delivery.deleteArrived();
      if (this.#delivery.hasArrived(position))
        throw new StoreUnavailable('this disk does not delete what was refused before: try again');
    }
  }

  readStream: EventStore['readStream'] = (stream, options) => this.#remote.readStream(stream, options);
  readAll: EventStore['readAll'] = (options) => this.#remote.readAll(options);
  subscribe: EventStore['subscribe'] = (options, handler) => this.#remote.subscribe(options, handler);
  head: EventStore['head'] = () => this.#remote.head();
  setRetention: EventStore['setRetention'] = (category, maxAge) =>
    this.#remote.setRetention(category, maxAge);
  lastWrittenBy: EventStore['lastWrittenBy'] = (at) => this.#remote.lastWrittenBy(at);
  sweep: EventStore['sweep'] = (now, journals) => this.#remote.sweep(now, journals);

  /** What waits here is forgotten too; elsewhere each node has an outbox of its own. */
  async forget(person: Person, mayGoOn?: () => void): Promise<Forgotten> {
    if (this.#waiting > 0)
      throw new StoreUnavailable('events wait on this disk for the store: try again once they are delivered');
    const there = await this.#remote.forget(person, mayGoOn);
    const here = await this.#local.forget(person, mayGoOn);
    this.#quarantined -= here.erased;
    return { ...there, remains: [...there.remains, ...here.remains] };
  }

  /**
   * Leaves nothing on this disk of what was delivered, which may be of somebody who is to be forgotten. While something
   * waits that is put off until it is delivered.
   */
  clean(): void {
    this.#isUnclean = true;
    this.#cleaning ??= this.#clean().finally(() => (this.#cleaning = undefined));
  }

  async #clean(): Promise<void> {
    while (this.#isUnclean && this.#waiting === 0 && !this.#closed) {
      this.#isUnclean = false;
      const { log } = this.#options;
      try {
        if ((await this.#delivery.deleteArrived()) && (await this.#local.clean())) continue;
        log.warn('traces of delivered events stay in the outbox for now');
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'traces of delivered events stay in the outbox for now');
      }
    }
  }

  storage: EventStore['storage'] = () => this.#remote.storage();
  probe: EventStore['probe'] = () => this.#remote.probe();

  /** Whether what happens can be recorded, here or there. */
  get healthy(): boolean {
    if (this.#waiting === 0 && this.#remote.healthy) return true;
    return this.#options.whenFull === 'accept' || (this.#room > 0 && this.#local.healthy);
  }

  get clockSkew(): Milliseconds | undefined {
    return this.#remote.clockSkew;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#delivery.stop();
    await this.#delivering;
    await this.#cleaning;
    await this.#local.close();
    await this.#remote.close();
  }

  /** Events that still have room here. */
  get #room(): number {
    return this.#options.maxEvents - this.#waiting - this.#quarantined;
  }

  /** @returns whether all of it waits already */
  async #keep(stream: string, events: readonly NewEvent[]): Promise<boolean> {
    const { clock, maxEvents, whenFull, onLost, log } = this.#options;
    if (events.length > this.#room) {
      if (whenFull === 'defer')
        throw new StoreUnavailable(`this disk holds ${maxEvents} events for the store already`);
      onLost?.(events.length);
      return false;
    }
    if (this.#waiting === 0) log.warn('events wait on this disk for the store');
    const at = clock.now();
    const written = await Promise.all(events.map((event) => this.#write(stream, marked(event, at))));
    return written.every(({ duplicate }) => duplicate);
  }

  /** One at a time, since a local store does not say how many of several it had already. */
  async #write(stream: string, event: NewEvent): Promise<Appended> {
    this.#count(stream, 1);
    try {
      // What is here already under the same id is not written again.
      const appended = await this.#local.append(stream, [event], 'any');
      if (appended.duplicate) this.#count(stream, -1);
      return appended;
    } catch (error) {
      this.#count(stream, -1);
      throw error;
    } finally {
      this.#delivery.notice();
      this.#deliver();
    }
  }

  async #quarantine(stream: string, event: NewEvent, reason: string): Promise<void> {
    const { clock, log } = this.#options;
    await quarantine(this.#local, clock, stream, event, reason);
    this.#quarantined++;
    const { id, type } = event;
    log.error({ stream, id, type, error: reason }, 'the store refuses an event: it is in quarantine');
  }

  #count(stream: string, events: number): void {
    this.#waiting += events;
    this.#byStream.add(stream, events);
  }

  /** An append whose answer did not come is not counted, and may be here all the same: it is delivered with the others. */
  #done(stream: string, events: number): void {
    this.#count(stream, -Math.min(events, this.#byStream.of(stream)));
  }

  #deliver(): void {
    if (this.#waiting === 0 || this.#closed) return;
    this.#delivering ??= this.#delivery.run().finally(() => {
      this.#delivering = undefined;
      // Something may have come between the last look and now.
      if (this.#waiting > 0) return this.#deliver();
      this.#options.log.warn('the outbox is delivered');
      this.clean();
    });
  }
}

/**
 * How many events of each stream wait, in a megabyte however many streams there are. Streams may share a count: then one
 * that has nothing waiting is taken for one that has, and its events wait their turn.
 */
class StreamCounts {
  readonly #counts = new Uint32Array(1 << 18);

  of(stream: string): number {
    return this.#counts[this.#place(stream)]!;
  }

  add(stream: string, events: number): void {
    this.#counts[this.#place(stream)]! += events;
  }

  /** FNV-1a, folded. */
  #place(stream: string): number {
    let hash = 0x811c9dc5;
    for (let i = 0; i < stream.length; i++) hash = Math.imul(hash ^ stream.charCodeAt(i), 0x01000193);
    return (hash ^ (hash >>> 18)) & (this.#counts.length - 1);
  }
}

/** Where an earlier version noted how much it had delivered, which it left to a sweep. */
const PROGRESS_STREAM = 'delivered-outbox';

/** Events that are deleted at once. */
const SLICE = 1000;

async function dropDelivered(local: LocalStore): Promise<void> {
  let through = 0;
  for await (const { data } of local.readStream(PROGRESS_STREAM, { direction: 'backwards', limit: 1 }))
    ({ through } = data as { through: number });
  if (through === 0) return;
  const delivered: number[] = [];
  for await (const { stream, position } of local.readAll())
    if (position <= through || stream === PROGRESS_STREAM) delivered.push(position);
  for (let from = 0; from < delivered.length; from += SLICE)
    await local.remove(delivered.slice(from, from + SLICE));
}

/** Says when it was written down here, or earlier elsewhere, since the shared store will know of it only later. */
function marked(event: NewEvent, outboxedAt: Instant): NewEvent {
  return { ...event, data: { outboxedAt, ...(event.data as object) } };
}
