import type { AlarmClock } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import type { TimedTask } from '../port.js';
import { jobId } from './jobs.js';
import { pauseAfter } from '../../runtime/backoff.js';

/** What is to become of one task's jobs. */
export interface Change {
  readonly add: TimedTask | undefined;
  /** Ids of jobs that are out of date. */
  readonly remove: ReadonlySet<string>;
}

export interface OutboxOptions {
  readonly clock: AlarmClock;
  /** Applies changes in any order; may fail after it has applied some. */
  readonly send: (changes: readonly Change[]) => Promise<void>;
  /** False while there is no use in trying. */
  readonly canSend: () => boolean;
  /** Told of the first failure in a row. */
  readonly onFailed: (error: unknown) => void;
}

interface Waiting {
  add: TimedTask | undefined;
  readonly remove: Set<string>;
  /** A send that had `add` in it failed: it may or may not have arrived. */
  uncertain: boolean;
}

const BATCH = 500;
const FIRST_PAUSE = SECOND / 4;
const LONGEST_PAUSE = 10 * SECOND;

/**
 * Changes on their way to Redis. Of each task only the newest is kept, so it stays as small as there are tasks
 * however long Redis is away; batches go one after another, so that none overtakes another.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #waiting = new Map<string, Waiting>();
  #scheduled = false;
  #sending: Promise<void> | undefined;
  #failures = 0;
  #cancelRetry: (() => void) | undefined;
  #settled: (() => void)[] = [];

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Tasks with changes that Redis has not acknowledged. */
  get size(): number {
    return this.#waiting.size + (this.#sending === undefined ? 0 : 1);
  }

  /**
   * @param task what is to be planned now; undefined for nothing
   * @param before what was to be planned until now
   */
  put(key: string, task: TimedTask | undefined, before: TimedTask | undefined): void {
    const waiting = this.#waiting.get(key) ?? { add: undefined, remove: new Set<string>(), uncertain: false };
    const neverSent = waiting.add !== undefined && !waiting.uncertain;
    const outdated = waiting.add ?? before;
    if (outdated !== undefined && !neverSent) waiting.remove.add(jobId(outdated));
    waiting.add = task;
    waiting.uncertain = false;
    if (task !== undefined) waiting.remove.delete(jobId(task));
    this.#waiting.set(key, waiting);
    this.#schedule();
  }

  /** Sends what waits; called when the connection is there again. */
  flush(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
      if (this.#waiting.size === 0) for (const resolve of this.#settled.splice(0)) resolve();
      else if (this.#cancelRetry === undefined && this.#options.canSend()) this.#schedule();
    });
  }

  /** Resolves once nothing waits. */
  settled(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#settled.push(resolve);
    });
  }

  close(): void {
    this.#cancelRetry?.();
    this.#waiting = new Map();
  }

  /** After this turn of the loop, so that a burst goes as one batch. */
  #schedule(): void {
    if (this.#scheduled || this.#cancelRetry !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#waiting.size > 0 && this.#cancelRetry === undefined) this.flush();
    });
  }

  async #send(): Promise<void> {
    const { send, canSend, onFailed } = this.#options;
    while (this.#waiting.size > 0 && canSend()) {
      const batch = new Map<string, Waiting>();
      for (const [key, waiting] of this.#waiting) {
        batch.set(key, waiting);
        if (batch.size === BATCH) break;
      }
      for (const key of batch.keys()) this.#waiting.delete(key);
      try {
        await send([...batch.values()]);
        this.#failures = 0;
      } catch (error) {
        this.#takeBack(batch);
        if (this.#failures++ === 0) onFailed(error);
        this.#retryLater();
        return;
      }
    }
  }

  #takeBack(batch: ReadonlyMap<string, Waiting>): void {
    for (const [key, old] of batch) {
      const newer = this.#waiting.get(key);
      if (newer === undefined) {
        this.#waiting.set(key, { ...old, uncertain: true });
        continue;
      }
      for (const id of old.remove) newer.remove.add(id);
      if (newer.add !== undefined) newer.remove.delete(jobId(newer.add));
    }
  }

  #retryLater(): void {
    const { clock } = this.#options;
    const pause = pauseAfter(this.#failures, { first: FIRST_PAUSE, most: LONGEST_PAUSE });
    this.#cancelRetry = clock.after(pause, () => this.flush());
  }
}
