import type { Job } from 'bullmq';
import { DelayedError, UnrecoverableError, Worker } from 'bullmq';
import { messageOf } from '../../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import type { RedisClient, RedisConnection } from '../../redis/connection.js';
import { endClient } from '../../redis/connection.js';
import type { TaskRunner, TimedTask } from '../port.js';
import { QUEUE } from './job-queue.js';
import type { JobData } from './jobs.js';
import { taskOfJob } from './jobs.js';
import { within } from '../../runtime/deadline.js';

export interface History {
  /** Jobs that are kept of each kind, finished and failed. */
  readonly count: number;
  /** How long they are kept at most. */
  readonly age: Milliseconds;
}

/** BullMQ's worker asks for its next job, and lets Redis wait with the answer, for no longer than this. */
export const LONGEST_BLOCK: Milliseconds = 10 * SECOND;

export interface RunnerOptions {
  readonly connection: RedisConnection;
  readonly prefix: string;
  readonly clock: AlarmClock;
  readonly run: TaskRunner;
  readonly concurrency: number;
  /** A worker that is silent for so long has lost its jobs to others; they have them after twice this at most. */
  readonly lock: Milliseconds;
  readonly history: History;
  readonly onDone: (task: TimedTask, lateness: Milliseconds) => void;
  readonly onFailed: (task: TimedTask, error: unknown) => void;
  readonly onError: (error: Error) => void;
  readonly onStalled: (job: string) => void;
}

/** A job that comes before its time, since another host's clock is ahead of ours, is held back for at most this. */
const LONGEST_WAIT: Milliseconds = 5 * SECOND;
/** A command that is harmless any number of times may lose its worker often before that is held against it. */
const STALLS_ALLOWED = 100;

/** BullMQ's worker around a {@link TaskRunner}. */
export class JobRunner {
  readonly #options: RunnerOptions;
  readonly #worker: Worker<JobData, void>;
  readonly #underWay = new Set<Promise<void>>();
  readonly #closing: Promise<void>;
  #close = (): void => undefined;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#closing = new Promise((resolve) => {
      this.#close = resolve;
    });
    const { connection, prefix, concurrency, lock, history } = options;
    const keep = { count: history.count, age: Math.ceil(history.age / SECOND) };
    this.#worker = new Worker<JobData, void>(QUEUE, (job, token) => this.#track(this.#process(job, token)), {
      connection: connection.client,
      prefix,
      concurrency,
      lockDuration: lock,
      stalledInterval: lock / 2,
      maxStalledCount: STALLS_ALLOWED,
      removeOnComplete: keep,
      removeOnFail: keep,
      runRetryDelay: SECOND,
    });
    this.#worker.on('error', options.onError);
    this.#worker.on('stalled', options.onStalled);
  }

  /** Connects anew: Redis does not answer, and what is half open would stay so. */
  reconnect(): void {
    const again = (client: RedisClient): void => {
      if (client.status === 'ready') client.disconnect(true);
    };
    again(this.#options.connection.client);
    void this.#blocking()?.then(again, this.#options.onError);
  }

  #blocking(): Promise<RedisClient> | undefined {
    return this.#worker.getBackend().blockingClient as unknown as Promise<RedisClient> | undefined;
  }

  /**
   * Takes no more jobs and waits for those under way; then for Redis to hear of it, but no longer than `patience`:
   * a job whose end Redis did not hear of is run again by another worker, and finds nothing to do.
   */
  async close(patience: Milliseconds): Promise<void> {
    const { connection, clock } = this.#options;
    this.#close();
    await this.#worker.pause(true);
    await Promise.allSettled(this.#underWay);
    const reachable = connection.client.status === 'ready';
    let isClosed = false;
    const closed = this.#worker
      .close(!reachable)
      .catch(this.#options.onError)
      .finally(() => (isClosed = true));
    await within(clock, patience, closed, () => undefined);
    // Where Redis went away meanwhile, BullMQ waits for it for ever, with timers that keep the process alive.
    connection.close();
    if (!isClosed) {
      void this.#blocking()?.then(endClient, this.#options.onError);
      await within(clock, SECOND, closed, () => undefined);
    }
  }

  #track(work: Promise<void>): Promise<void> {
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#underWay.add(settled);
    void settled.then(() => this.#underWay.delete(settled));
    return work;
  }

  async #process(job: Job<JobData, void>, token: string | undefined): Promise<void> {
    const { clock, run, onDone, onFailed } = this.#options;
    const task = taskOfJob(job.name, job.data);
    if (task === undefined) throw new UnrecoverableError('the job holds no task');
    if (!(await this.#isDue(task.dueAt))) {
      await job.moveToDelayed(task.dueAt, token);
      throw new DelayedError();
    }
    try {
      await run(task);
    } catch (error) {
      onFailed(task, error);
      throw error instanceof Error ? error : new Error(messageOf(error));
    }
    onDone(task, Math.max(0, clock.now() - task.dueAt));
  }

  /**
   * Whether the time has come by our own clock, by which the command is decided: done before, it would do nothing
   * and be done with. Waits where little is left, since handing the job back would only bring it here again.
   */
  async #isDue(dueAt: Instant): Promise<boolean> {
    const { clock } = this.#options;
    const now = clock.now();
    if (now >= dueAt) return true;
    await within(clock, Math.min(dueAt - now, LONGEST_WAIT), this.#closing, () => undefined);
    return clock.now() >= dueAt;
  }
}
