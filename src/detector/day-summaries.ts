import type { Logger } from 'pino';
import { DAY_SUMMARY_JOB, dueSummaries } from './scheduled-jobs.js';
import { summaryId } from '../runtime/ids.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import type { ReadModels } from './read-models.js';
import { PROFILE_CATEGORY, SUMMARIES_KEPT, profileStream } from '../sending/day-summary.js';
import type { EventStore } from '../store/port.js';

/** Summaries that are written at once: live mail must not wait behind those of all senders. */
const AT_ONCE = 16;
/** How soon it is tried again where the store did not take them all. */
const AGAIN: Milliseconds = 5 * MINUTE;

export interface DaySummaryRecorderOptions {
  readonly store: EventStore;
  readonly models: ReadModels;
  readonly clock: AlarmClock;
  readonly log: Logger;
}

/**
 * Writes the summary of every sender's day once the day is over, and at the start those of the days on which nothing ran.
 * A detector's task: it alone has counted them.
 */
export class DaySummaryRecorder {
  readonly #options: DaySummaryRecorderOptions;
  #cancel: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  /** When the store last did not take them, by `performance.now()`. */
  #failedAt = 0;

  private constructor(options: DaySummaryRecorderOptions) {
    this.#options = options;
  }

  /** Read models must be caught up: only then is it known what has been written. */
  static async start(options: DaySummaryRecorderOptions): Promise<DaySummaryRecorder> {
    await options.store.setRetention(PROFILE_CATEGORY, SUMMARIES_KEPT);
    const summaries = new DaySummaryRecorder(options);
    summaries.#run();
    return summaries;
  }

  /** Waits for those that are being written; the others are written at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }

  /** Resolves once what is under way is done. */
  async idle(): Promise<void> {
    await this.#running;
  }

  #run(): void {
    const { clock, models } = this.#options;
    // A store that has been away may be back with another log. The feed, which finds out, goes first.
    const written = models.isFreshSince(this.#failedAt) ? this.#write() : Promise.resolve(false);
    this.#running = written.then((complete) => {
      if (this.#stopped) return;
      const run = (): void => this.#run();
      this.#cancel = complete
        ? clock.wakeAt(DAY_SUMMARY_JOB.after(clock.now()), run)
        : clock.after(AGAIN, run);
    });
  }

  /** @returns false where the store did not take them all */
  async #write(): Promise<boolean> {
    const { store, models, clock, log } = this.#options;
    const now = clock.now();
    let written = 0;
    try {
      // Looked up as they are written, not all at first: there may be a hundred thousand.
      for (const some of slices(dueSummaries(models, now), AT_ONCE)) {
        if (this.#stopped) break;
        // Whoever stops waits for all of them, also where one fails.
        const outcomes = await Promise.allSettled(
          some.map(({ type, data }) => {
            const event = { type, data, id: summaryId(data), at: now, by: DAY_SUMMARY_JOB.by };
            return store.append(profileStream(data.subject), [event], 'any');
          }),
        );
        const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
        written += outcomes.length - failed.length;
        if (failed.length > 0) throw failed[0]!.reason;
      }
    } catch (error) {
      this.#failedAt = performance.now();
      log.warn({ written, error: messageOf(error) }, 'day summaries could not be written; it is tried again');
      return false;
    }
    if (written > 0) log.info({ senders: written }, 'the days of senders were summarised');
    return true;
  }
}

function* slices<T>(all: Iterable<T>, size: number): Generator<readonly T[]> {
  let slice: T[] = [];
  for (const each of all) {
    slice.push(each);
    if (slice.length < size) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}
