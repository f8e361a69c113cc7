import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { InvalidInput } from '../../../src/kernel/errors.js';
import type { AlarmClock } from '../../../src/kernel/time.js';
import type { OutboxOptions } from '../../../src/store/outboxed.js';
import { OutboxedStore } from '../../../src/store/outboxed.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { SqliteEventStore } from '../../../src/store/sqlite/index.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { changed } from '../../support/store/changed.js';

/** A store that is there or away as it is told, or refuses what it will never take. */
class Distant implements EventStore {
  away = false;
  /** Events of this type it never takes, nor any append that holds one. */
  refuses: string | undefined;
  /** Takes everything, and loses its answers. */
  mute = false;
  /** Appends to these streams are neither written nor answered before the stream is taken out of the set. */
  readonly stalled = new Set<string>();
  maxAppendBytes = Infinity;
  /** The events that each append held. */
  readonly appends: number[] = [];
  /** Appends under way, and the most that ever were. */
  underWay = 0;
  mostUnderWay = 0;

  constructor(readonly inner: EventStore) {}

  get healthy(): boolean {
    return !this.away;
  }

  append: EventStore['append'] = async (stream, events, expected) => {
    this.appends.push(events.length);
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    try {
      while (this.stalled.has(stream)) await turn();
      if (this.away) throw new StoreUnavailable('away');
      if (events.some(({ type }) => type === this.refuses)) throw new TypeError('it cannot be stored');
      const size = Buffer.byteLength(JSON.stringify(events));
      if (size > this.maxAppendBytes) throw new InvalidInput('events', `${size} bytes are too many`);
      const appended = await this.inner.append(stream, events, expected);
      if (this.mute) throw new StoreUnavailable('no answer');
      return appended;
    } finally {
      this.underWay--;
    }
  };

  readStream: EventStore['readStream'] = (...args) => this.inner.readStream(...args);
  readAll: EventStore['readAll'] = (...args) => this.inner.readAll(...args);
  subscribe: EventStore['subscribe'] = (...args) => this.inner.subscribe(...args);
  head: EventStore['head'] = () => this.inner.head();
  setRetention: EventStore['setRetention'] = (...args) => this.inner.setRetention(...args);
  lastWrittenBy: EventStore['lastWrittenBy'] = (at) => this.inner.lastWrittenBy(at);
  sweep: EventStore['sweep'] = (...args) => this.inner.sweep(...args);
  forget: EventStore['forget'] = (...args) => this.inner.forget(...args);
  storage: EventStore['storage'] = () => this.inner.storage();
  probe: EventStore['probe'] = () => this.inner.probe();
  close: EventStore['close'] = () => this.inner.close();
}

export interface Scene {
  readonly distant: Distant;
  readonly outbox: OutboxedStore;
  /** The store on this node's disk. */
  readonly local: SqliteEventStore;
  /** Where that is, and nothing else. */
  readonly folder: string;
  readonly lost: () => number;
  /** Ends it and opens it again on what it left on its disk; the distant store stays as it is. */
  readonly again: () => Promise<Scene>;
}

export async function openScene(
  t: Pick<TestContext, 'after'>,
  clock: AlarmClock,
  options: Partial<Pick<OutboxOptions, 'maxEvents' | 'whenFull'>> = {},
): Promise<Scene> {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-outbox-'));
  const remote = await openSqliteStore({ file: path.join(dir, 'remote.db'), clock });
  const distant = new Distant(remote);
  let open: OutboxedStore | undefined;
  t.after(async () => {
    await open?.close();
    await remote.close();
    await rm(dir, { recursive: true, force: true });
  });
  const folder = path.join(dir, 'node');
  const begin = async (): Promise<Scene> => {
    const local = await openSqliteStore({ file: path.join(folder, 'outbox.db'), clock });
    let lost = 0;
    // The distant store outlives the outbox, as it does when the process ends.
    const shared = changed(distant, { close: () => Promise.resolve() });
    const outbox = await OutboxedStore.open({
      maxEvents: 1000,
      whenFull: 'defer',
      ...options,
      remote: shared,
      local,
      clock,
      log: pino({ level: 'silent' }),
      onLost: (events) => (lost += events),
    });
    open = outbox;
    return {
      distant,
      outbox,
      local,
      folder,
      lost: () => lost,
      async again() {
        await outbox.close();
        return begin();
      },
    };
  };
  return begin();
}
