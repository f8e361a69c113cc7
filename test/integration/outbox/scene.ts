import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { AlarmClock } from '../../../src/kernel/time.js';
import type { OutboxOptions } from '../../../src/store/outboxed.js';
import { OUTBOX_CATEGORIES, OutboxedStore } from '../../../src/store/outboxed.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';

/** A store that is there or away as it is told, or refuses what it will never take. */
class Distant implements EventStore {
  away = false;
  /** Events of this type it never takes. */
  refuses: string | undefined;
  /** Takes everything, and loses its answers. */
  mute = false;
  appends = 0;

  constructor(readonly inner: EventStore) {}

  get healthy(): boolean {
    return !this.away;
  }

  append: EventStore['append'] = async (stream, events, expected) => {
    this.appends++;
    if (this.away) throw new StoreUnavailable('away');
    if (events.some(({ type }) => type === this.refuses)) throw new TypeError('it cannot be stored');
    const appended = await this.inner.append(stream, events, expected);
    if (this.mute) throw new StoreUnavailable('no answer');
    return appended;
  };

  readStream: EventStore['readStream'] = (...args) => this.inner.readStream(...args);
  readAll: EventStore['readAll'] = (...args) => this.inner.readAll(...args);
  subscribe: EventStore['subscribe'] = (...args) => this.inner.subscribe(...args);
  head: EventStore['head'] = () => this.inner.head();
  setRetention: EventStore['setRetention'] = (...args) => this.inner.setRetention(...args);
  sweep: EventStore['sweep'] = (now) => this.inner.sweep(now);
  probe: EventStore['probe'] = () => this.inner.probe();
  close: EventStore['close'] = () => this.inner.close();
}

export interface Scene {
  readonly distant: Distant;
  readonly outbox: OutboxedStore;
  readonly lost: () => number;
  /** Ends it and opens it again on what it left on its disk; the distant store stays as it is. */
  readonly again: () => Promise<Scene>;
}

export async function openScene(
  t: Pick<TestContext, 'after'>,
  clock: AlarmClock,
  options: Partial<Pick<OutboxOptions, 'maxEvents' | 'whenFull' | 'onTaken'>> = {},
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
  const begin = async (): Promise<Scene> => {
    const local = await openSqliteStore({ file: path.join(dir, 'outbox.db'), clock });
    for (const category of OUTBOX_CATEGORIES) await local.setRetention(category, 1);
    let lost = 0;
    // The distant store outlives the outbox, as it does when the process ends.
    const shared: EventStore = Object.assign(Object.create(distant) as EventStore, {
      close: () => Promise.resolve(),
    });
    const outbox = await OutboxedStore.open({
      ...{ maxEvents: 1000, whenFull: 'defer', ...options },
      ...{ remote: shared, local, clock, log: pino({ level: 'silent' }) },
      onLost: (events) => (lost += events),
    });
    open = outbox;
    return {
      ...{ distant, outbox, lost: () => lost },
      async again() {
        await outbox.close();
        return begin();
      },
    };
  };
  return begin();
}
