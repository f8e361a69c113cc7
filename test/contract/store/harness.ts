import type { EventStore } from '../../../src/store/port.js';
import type { ManualClock } from '../../support/manual-clock.js';

/** One store, made for one test file's run. */
export interface StoreUnderTest {
  readonly store: EventStore;
  /** The store's clock; where an adapter cannot be given one, see {@link StoreHarness.unsupported}. */
  readonly clock: ManualClock;
  /** Closes the store and opens it again over the same data, as a restart would. */
  reopen(): Promise<void>;
  /** Opens the same data once more, as another process would; `destroy` closes it. */
  another(): Promise<EventStore>;
  /** Makes it take no more appends, however it would come to that, and take them again. */
  readonly outage?: Outage;
  /** Exchanges the log under the open store, as a restored backup does. */
  readonly history?: History;
  /** Closes it and deletes its data. */
  destroy(): Promise<void>;
}

interface Outage {
  begin(): Promise<void>;
  end(): Promise<void>;
}

interface History {
  /** Remembers the log as it is. */
  save(): Promise<void>;
  /** The log is as it was when it was saved. */
  restore(): Promise<void>;
  /** The log holds nothing. */
  empty(): Promise<void>;
}

/** Opens one by `open`; `remove` deletes its data once it is closed, `restart` is what lies between two openings. */
export async function underTest(
  clock: ManualClock,
  open: () => Promise<EventStore>,
  remove: () => Promise<unknown>,
  restart: () => Promise<unknown> = () => Promise.resolve(),
  { outage, history }: Pick<StoreUnderTest, 'outage' | 'history'> = {},
): Promise<StoreUnderTest> {
  let store = await open();
  const others: EventStore[] = [];
  return {
    get store() {
      return store;
    },
    clock,
    ...(outage && { outage }),
    ...(history && { history }),
    async reopen() {
      await store.close();
      await restart();
      store = await open();
    },
    async another() {
      const other = await open();
      others.push(other);
      return other;
    },
    async destroy() {
      await Promise.all([store, ...others].map((each) => each.close()));
      await remove();
    },
  };
}

export interface StoreHarness {
  open(): Promise<StoreUnderTest>;
  /** What an adapter cannot do under test, each with the reason that the skip prints. */
  readonly unsupported?: {
    /** The store's time cannot be driven: tests of `recordedAt` and of retention are skipped. */
    readonly clock?: string;
    /** Not every append that holds an id of an earlier one is recognised: only one that is the same in every way. */
    readonly idempotence?: string;
    /** One process at a time may have the data open: two writers share one store. */
    readonly several?: string;
    /** The store cannot be taken away: tests of {@link StoreUnderTest.outage} are skipped. */
    readonly outage?: string;
    /** Its log cannot be exchanged: tests of {@link StoreUnderTest.history} are skipped. */
    readonly replacement?: string;
  };
}
