import fs from 'node:fs/promises';
import path from 'node:path';
import type { NewEvent, RecordedEvent } from '../../../src/kernel/events.js';
import {
  StoreUnavailable,
  type EventStore,
  type SubscribeOptions,
  type Subscription,
} from '../../../src/store/port.js';
import { openKurrentStore, type KurrentStoreOptions } from '../../../src/store/kurrentdb/index.js';
import { temporaryDirectory } from '../store/files.js';
import { Tally } from '../gate.js';
import type { ServerArguments } from './control.js';
import { StandIn } from './stand-in.js';

/** Short enough that a test of a time-out does not last, long enough for a busy machine. */
export const SHORT = 400;

/** Milliseconds after which a group of tests has failed: an event that never comes would hold it for ever. */
export const PATIENCE = 60_000;

/** Servers and stores of one test, ended with it. */
export class Scene {
  private readonly servers: StandIn[] = [];
  private readonly stores: EventStore[] = [];
  /** What stores have reported that they put right by themselves. */
  readonly reports: string[] = [];

  private constructor(readonly directory: string) {}

  static async play(act: (scene: Scene) => Promise<void>): Promise<void> {
    const scene = new Scene(await temporaryDirectory());
    try {
      await act(scene);
    } finally {
      await Promise.all(scene.stores.map((store) => store.close()));
      await Promise.all(scene.servers.map((server) => server.kill()));
      await fs.rm(scene.directory, { recursive: true });
    }
  }

  /** The file in which all servers keep their log. */
  get log(): string {
    return path.join(this.directory, 'log.jsonl');
  }

  async server(args: Partial<ServerArguments> = {}): Promise<StandIn> {
    const server = await StandIn.start({ file: this.log, ...args });
    this.servers.push(server);
    return server;
  }

  async restarted(server: StandIn): Promise<StandIn> {
    const again = await server.again();
    this.servers.push(again);
    return again;
  }

  async store(url: string, options: Partial<KurrentStoreOptions> = {}): Promise<EventStore> {
    const store = await openKurrentStore({
      url,
      clock: { now: Date.now },
      retry: { first: 5, most: 50 },
      report: (problem, error) => this.reports.push(`${problem}: ${String(error)}`),
      ...options,
    });
    this.stores.push(store);
    return store;
  }
}

/** Appends, again and again where the store is away. */
export async function insist(store: EventStore, stream: string, events: readonly NewEvent[]): Promise<void> {
  for (;;) {
    try {
      await store.append(stream, events, 'any');
      return;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }
}

/** Notes what a subscription hands over. */
export class Follower {
  readonly seen: RecordedEvent[] = [];
  private readonly tally = new Tally();
  readonly subscription: Subscription;

  constructor(store: EventStore, options: SubscribeOptions, before?: () => Promise<void> | undefined) {
    this.subscription = store.subscribe(options, (event) => {
      this.seen.push(event);
      this.tally.add();
      return before?.();
    });
  }

  get ids(): string[] {
    return this.seen.map(({ id }) => id);
  }

  reached(count: number): Promise<void> {
    return this.tally.reached(count);
  }
}
