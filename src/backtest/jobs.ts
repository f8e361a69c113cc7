import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { StopgapError, messageOf } from '../kernel/errors.js';
import type { AlarmClock, Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { StoreLocation } from '../store/open-for-reading.js';
import type { Progress, RequestedRules } from './run.js';
import type { BacktestReport } from './report.js';

/** What somebody wants to have tried out on the recorded history. */
export interface BacktestRequest {
  readonly from: Instant | undefined;
  readonly to: Instant | undefined;
  readonly rules: RequestedRules;
  readonly against: RequestedRules | undefined;
}

export interface BacktestJob extends BacktestRequest {
  readonly id: string;
  readonly by: string;
  readonly state: 'running' | 'done' | 'cancelled' | 'failed';
  readonly startedAt: Instant;
  readonly endedAt: Instant | undefined;
  readonly progress: Progress | undefined;
  readonly report: BacktestReport | undefined;
  /** Why it failed. */
  readonly error: string | undefined;
}

export interface BacktestJobsOptions {
  readonly location: StoreLocation;
  readonly clock: AlarmClock;
  readonly log: Logger;
  /** What the thread runs: {@link ./worker.ts} unless a test has its own. */
  readonly script?: URL;
}

/** What the thread of a back-test is given. */
export interface Assignment {
  readonly location: StoreLocation;
  readonly from: Instant | undefined;
  readonly to: Instant | undefined;
  readonly rules: RequestedRules;
  readonly against: RequestedRules | undefined;
  /** Cases that the report lists. */
  readonly most: number;
}

/** What it tells; `done`, `cancelled` and `failed` come last. */
export type Told =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'done'; readonly report: BacktestReport }
  | { readonly kind: 'cancelled' }
  /** `expected`: the message is meant for the person who asked. */
  | { readonly kind: 'failed'; readonly message: string; readonly expected: boolean };

/** The one thing that it is told. */
export const CANCEL = 'cancel';

const WORKER = new URL('./worker.js', import.meta.url);
/** Jobs that are remembered, the newest; each may hold a report. */
const KEPT = 10;
/** Cases that a report lists, for each rule set: about half a megabyte. */
const MOST_CASES = 1000;
/** Mebibytes of heap; windows are outside it, in proportion to the number of senders. */
const HEAP = 1024;
/** A thread that does not hear is ended. */
const PATIENCE = 5 * SECOND;

interface Running {
  readonly id: string;
  readonly thread: Worker;
  readonly ended: Promise<void>;
}

/** Back-tests of the server's own history: one at a time, each in a thread of its own, nothing of it recorded. */
export class BacktestJobs {
  readonly #options: BacktestJobsOptions;
  /** Oldest first. */
  readonly #jobs = new Map<string, BacktestJob>();
  #running: Running | undefined;

  constructor(options: BacktestJobsOptions) {
    this.#options = options;
  }

  /** @throws StopgapError `conflict` while another runs; Error if there is no thread for it */
  start(id: string, request: BacktestRequest, by: string): BacktestJob {
    if (this.#running !== undefined) {
      const message = 'a back-test is running: wait for it, or cancel it';
      throw new StopgapError('conflict', message, { state: 'running', running: this.#running.id });
    }
    const startedAt = this.#options.clock.now();
    const { from, to, rules, against } = request;
    const { location, log, script = WORKER } = this.#options;
    const workerData: Assignment = { location, from, to, rules, against, most: MOST_CASES };
    // First of all: where the system has no thread left this throws, and there is no back-test.
    const thread = new Worker(script, {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: HEAP },
    });
    this.#jobs.set(id, {
      id,
      by,
      from,
      to,
      rules,
      against,
      state: 'running',
      startedAt,
      endedAt: undefined,
      progress: undefined,
      report: undefined,
      error: undefined,
    });
    for (const oldest of this.#jobs.keys()) {
      if (this.#jobs.size <= KEPT) break;
      this.#jobs.delete(oldest);
    }
    log.info({ correlation: `backtest:${id}`, by }, 'a back-test has begun');
    this.#running = { id, thread, ended: this.#follow(id, thread) };
    return this.#jobs.get(id)!;
  }

  get(id: string): BacktestJob | undefined {
    return this.#jobs.get(id);
  }

  /** Newest first. */
  list(): readonly BacktestJob[] {
    return [...this.#jobs.values()].reverse();
  }

  /** Cancels a job that runs, and forgets one that has ended. @returns it as it then is, or last was */
  async remove(id: string): Promise<BacktestJob | undefined> {
    const job = this.#jobs.get(id);
    if (job?.state === 'running') {
      await this.#cancel();
      return this.#jobs.get(id);
    }
    this.#jobs.delete(id);
    return job;
  }

  async close(): Promise<void> {
    await this.#cancel();
  }

  async #cancel(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const { clock } = this.#options;
    running.thread.postMessage(CANCEL);
    const spare = clock.after(PATIENCE, () => void running.thread.terminate());
    await running.ended;
    spare();
  }

  /** Resolves when the thread has ended for any reason: another may begin only then. */
  #follow(id: string, thread: Worker): Promise<void> {
    const { log, clock } = this.#options;
    const correlation = `backtest:${id}`;
    // Ended from outside, it says nothing.
    let outcome: Partial<BacktestJob> = { state: 'cancelled' };
    const fail = (error: string): void => void (outcome = { state: 'failed', error });
    thread.on('message', (told: Told) => {
      switch (told.kind) {
        case 'progress':
          return this.#change(id, { progress: told.progress });
        case 'notice':
          return log.warn({ correlation, notice: told.text }, 'news of the store that a back-test reads');
        case 'done':
          return void (outcome = { state: 'done', report: told.report });
        case 'cancelled':
          return;
        case 'failed':
          if (!told.expected) log.error({ correlation, error: told.message }, 'a back-test failed');
          return fail(told.message);
      }
    });
    thread.on('error', (error: NodeJS.ErrnoException) => {
      log.error({ correlation, error: messageOf(error) }, 'a back-test failed');
      const hungry = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      fail(hungry ? `it needed more than ${HEAP} MiB of memory: try a shorter span` : messageOf(error));
    });
    return new Promise((resolve) =>
      thread.on('exit', () => {
        this.#running = undefined;
        this.#change(id, { ...outcome, endedAt: clock.now() });
        log.info({ correlation, outcome: outcome.state }, 'a back-test has ended');
        resolve();
      }),
    );
  }

  #change(id: string, change: Partial<BacktestJob>): void {
    const job = this.#jobs.get(id);
    if (job !== undefined) this.#jobs.set(id, { ...job, ...change });
  }
}
