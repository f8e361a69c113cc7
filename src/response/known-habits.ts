import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Habits } from '../../projections/sender-profiles/habits.js';
import { HabitFeed } from '../habit-feed.js';
import type { HabitFeedListeners } from '../habit-feed.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { HOUR, SECOND } from '../kernel/time.js';
import { HABITS_ONLY } from '../known-events.js';
import type { Metrics } from '../metrics/metrics.js';
import { Snapshots } from '../snapshots/snapshots.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';

/** What comes in between are a few decisions: a snapshot of a hundred thousand senders is not written for these. */
const SNAPSHOTS_WITHIN: Milliseconds = 6 * HOUR;
/** Catching up, it rests for as long as it took to fold so many: half a core, and less where there is mail. */
const AT_ONCE = 64;
const REST: Milliseconds = 4;
/** How soon a store that did not answer is asked again. */
const AGAIN: Milliseconds = 5 * SECOND;

export interface KnownHabitsOptions extends HabitFeedListeners {
  readonly store: EventStore;
  /** Of the process. */
  readonly data: string;
  readonly clock: AlarmClock;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** The feed broke. */
  readonly onFatal: (error: unknown) => void;
}

/** Keeps what senders usually do at hand, for a node that takes mail and folds no sends. */
export class KnownHabits {
  readonly #options: KnownHabitsOptions;
  readonly #feed: HabitFeed;
  #snapshots: Snapshots | undefined;
  #begun: Promise<void> = Promise.resolve();
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(options: KnownHabitsOptions) {
    this.#options = options;
    this.#feed = new HabitFeed(options);
  }

  /** Undefined until it has caught up: who is half known looks like somebody else. */
  get habits(): Habits | undefined {
    return this.#feed.ready ? this.#feed.habits : undefined;
  }

  get ready(): boolean {
    return this.#feed.ready;
  }

  /** Begins to catch up. Nobody waits for it: mail is taken meanwhile. */
  start(): void {
    this.#begun = this.#begin();
    this.#begun.catch((error: unknown) => {
      if (!this.#closed) this.#options.onFatal(error);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#feed.stop();
    await this.#begun.catch(() => undefined);
    await this.#snapshots?.close();
  }

  async #begin(): Promise<void> {
    const { store, data, clock, metrics, log, onFatal } = this.#options;
    const snapshots = await Snapshots.open({
      ...{ folder: path.join(data, 'snapshots'), categories: HABITS_ONLY, models: this.#feed, clock, log },
      ...{ within: SNAPSHOTS_WITHIN, patient: true },
      onFailed: () => metrics.store.snapshotFailures.inc(),
    });
    this.#snapshots = snapshots;
    await this.#restore(snapshots);
    if (this.#closed) return;
    let folded = 0;
    const { ended } = await this.#feed.follow(store, () => {
      snapshots.folded();
      return this.ready || ++folded % AT_ONCE > 0 ? undefined : setTimeout(REST);
    });
    ended.catch(onFatal);
    const { habits, position } = this.#feed;
    log.info({ senders: habits.size, position }, 'it is known what senders usually do');
  }
  /** To go through everything again costs far more than to wait for a store that has just gone. */
  async #restore(snapshots: Snapshots): Promise<void> {
    const { store, clock } = this.#options;
    while (!this.#closed) {
      try {
        await snapshots.restore(store);
        return;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        await new Promise<void>((resolve) => {
          const cancel = clock.after(AGAIN, resolve);
          this.#wake = () => {
            cancel();
            resolve();
          };
        });
      }
    }
  }
}
