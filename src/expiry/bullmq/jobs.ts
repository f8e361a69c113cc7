import type { Job } from 'bullmq';
import { DelayedError, Queue, UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { messageOf } from '../../kernel/errors.js';
import type { AlarmClock, Clock, Instant, Milliseconds } from '../../kernel/time.js';
import { MINUTE, SECOND } from '../../kernel/time.js';
import type { RedisClient, RedisConnection } from '../../redis/connection.js';
import { endClient, isReady } from '../../redis/connection.js';
import { within } from '../../runtime/clock.js';
import { SUBJECT_TYPES } from '../../sending/subjects.js';
import type { TaskRunner, TimedTask } from '../port.js';
import type { FoundJob, QueueView } from '../reconcile.js';

const QUEUE = 'expiry';
/** The farthest time that a Date can hold. */
const FARTHEST: Instant = 8_640_000_000_000_000;

/** What a job carries; the kind is the job's name. */
export type JobData = Omit<TimedTask, 'kind'>;

/**
 * A job's id. It holds the due time, since BullMQ silently ignores an id that it keeps as finished: an extended block
 * gets another job, in any state of the first. Every process makes the same id of the same task. No `:`, which
 * separates the parts of a key.
 */
export function jobId({ kind, block, dueAt }: TimedTask): string {
  return `${kind}.${encodeURIComponent(block)}.${dueAt}`;
}

interface NewJob {
  readonly name: TimedTask['kind'];
  readonly data: JobData;
  readonly opts: { readonly jobId: string; readonly delay: Milliseconds; readonly timestamp: Instant };
}

/**
 * The job for a task. BullMQ runs a job at `timestamp + delay`, so this gives the due time itself, independent of the
 * producer's clock. An overdue task gets the smallest delay that there is: so it is one of the delayed jobs, in the
 * order of their due times, and does not come after them.
 */
export function newJob(task: TimedTask, now: Instant): NewJob {
  const { kind, block, subject, dueAt } = task;
  const delay = Math.max(1, dueAt - now);
  return {
    name: kind,
    data: { block, subject, dueAt },
    opts: { jobId: jobId(task), delay, timestamp: dueAt - delay },
  };
}

/** The task of a job; undefined for one that is not ours or was damaged: no block ends at such a time. */
export function taskOfJob(name: string, data: unknown): TimedTask | undefined {
  if (name !== 'expire' && name !== 'lapse') return undefined;
  if (typeof data !== 'object' || data === null) return undefined;
  const { block, subject, dueAt } = data as Partial<JobData>;
  if (typeof block !== 'string' || !isInstant(dueAt)) return undefined;
  if (typeof subject?.value !== 'string' || !SUBJECT_TYPES.includes(subject.type)) return undefined;
  return { kind: name, block, subject, dueAt };
}

function isInstant(at: unknown): at is Instant {
  return Number.isInteger(at) && Math.abs(at as number) <= FARTHEST;
}

/** The change for one task's jobs. */
export interface Change {
  readonly add: TimedTask | undefined;
  /** Ids of jobs that are out of date. */
  readonly remove: ReadonlySet<string>;
}

/** The number of jobs in each state. */
export interface JobCounts {
  /** Their turn has come. */
  readonly waiting: number;
  readonly delayed: number;
  readonly active: number;
  /** Failed too often; reconciliation gives them another round. */
  readonly failed: number;
}

export interface Retries {
  /** Tries before a job counts as failed. */
  readonly attempts: number;
  /** Before the second try; doubled each time. */
  readonly firstPause: Milliseconds;
}

/** Seven tries take about a minute; then reconciliation begins again. */
export const RETRIES: Retries = { attempts: 7, firstPause: SECOND };

const SLICE = 1000;
/** BullMQ's scores are milliseconds in units of 1/4096, to keep jobs of one millisecond in order. */
const SCORE_UNIT = 0x1000;
/** A worker's lock lasts seconds, and is renewed. One that lasts longer is none of ours, and may last for ever. */
const LONGEST_LOCK: Milliseconds = MINUTE;
/** Entries of BullMQ's own event stream, which Stopgap does not read. */
const EVENTS_KEPT = 1000;

export interface JobQueueOptions {
  readonly client: RedisClient;
  readonly prefix: string;
  readonly clock: Clock;
  readonly retries: Retries;
  readonly onError: (error: Error) => void;
}

/** BullMQ's queue of timed jobs, as the producing side sees it: every call is one or few round trips. */
export class JobQueue implements QueueView {
  readonly #queue: Queue<JobData, void>;
  readonly #clock: Clock;
  /** A Cluster answers the same calls; the types of the two do not unite. */
  readonly #client: Redis;

  constructor({ client, prefix, clock, retries, onError }: JobQueueOptions) {
    this.#client = client as Redis;
    this.#clock = clock;
    this.#queue = new Queue(QUEUE, {
      connection: client,
      prefix,
      // `inspectServer` has looked at the server already.
      skipVersionCheck: true,
      streams: { events: { maxLen: EVENTS_KEPT } },
      defaultJobOptions: {
        attempts: retries.attempts,
        backoff: { type: 'exponential', delay: retries.firstPause },
        stackTraceLimit: 1,
      },
    });
    this.#queue.on('error', onError);
  }

  idOf(task: TimedTask): string {
    return jobId(task);
  }

  /** What is new is added before what is old goes: at no moment is a task without a job. */
  async apply(changes: readonly Change[]): Promise<void> {
    await this.add(changes.flatMap(({ add }) => (add === undefined ? [] : [add])));
    await this.remove(changes.flatMap(({ remove }) => [...remove]));
  }

  async add(tasks: readonly TimedTask[]): Promise<void> {
    if (tasks.length === 0) return;
    const now = this.#clock.now();
    await this.#queue.addBulk(tasks.map((task) => newJob(task, now)));
  }

  async remove(ids: readonly string[]): Promise<void> {
    await Promise.all(
      ids.map(async (id) => {
        if (!(await readable(this.#remove(id)))) await this.#client.del(this.#queue.toKey(id));
      }),
    );
  }

  /** BullMQ removes no job that has a lock. */
  async #remove(id: string): Promise<void> {
    if ((await this.#queue.remove(id)) === 1 || !(await this.#isHeldForEver(id))) return;
    await this.#client.del(this.#lockOf(id));
    await this.#queue.remove(id);
  }

  async #isHeldForEver(id: string): Promise<boolean> {
    const left = await this.#client.pttl(this.#lockOf(id));
    return left === -1 || left > LONGEST_LOCK;
  }

  #lockOf(id: string): string {
    return `${this.#queue.toKey(id)}:lock`;
  }

  /** Writes what nobody reads. @throws what Redis says if it takes no write */
  async touch(): Promise<void> {
    await this.#client.set(this.#queue.toKey('touched'), '', 'PX', MINUTE);
  }

  /**
   * Takes away what keeps every job from its turn: anybody who writes to Redis, or clicks in a dashboard of BullMQ, can
   * pause the queue or limit it, and Stopgap never does.
   *
   * @returns whether there was anything
   */
  async release(): Promise<boolean> {
    const isPaused = await this.#queue.isPaused();
    if (isPaused) await this.#queue.resume();
    const { concurrency, max } = await this.#queue.getMeta();
    if (concurrency !== undefined) await this.#queue.removeGlobalConcurrency();
    if (max !== undefined) {
      await this.#queue.removeGlobalRateLimit();
      // What was counted by it would hold until its span is over.
      await this.#queue.removeRateLimitKey();
    }
    return isPaused || concurrency !== undefined || max !== undefined;
  }

  async *scan(): AsyncGenerator<readonly FoundJob[]> {
    // By hand: BullMQ's own calls read every job whole, and tell neither the scores nor the jobs of a paused queue.
    const delayed = this.#queue.toKey('delayed');
    let cursor = '0';
    do {
      const [next, flat] = await this.#client.zscan(delayed, cursor, 'COUNT', SLICE);
      cursor = next;
      const slice: FoundJob[] = [];
      for (let i = 0; i < flat.length; i += 2)
        slice.push({ id: flat[i]!, runsAt: Math.floor(Number(flat[i + 1]) / SCORE_UNIT) });
      yield slice;
    } while (cursor !== '0');
    // In the order in which a job passes through them.
    for (const list of ['wait', 'paused']) yield* this.#scanList(this.#queue.toKey(list));
    for await (const slice of this.#scanList(this.#queue.toKey('active')))
      yield await Promise.all(slice.map(({ id }) => this.#underWay(id)));
  }

  async #underWay(id: string): Promise<FoundJob> {
    return { id, runsAt: (await this.#isHeldForEver(id)) ? FARTHEST : undefined };
  }

  async *#scanList(key: string): AsyncGenerator<readonly FoundJob[]> {
    for (let from = 0; ; from += SLICE) {
      const ids = await this.#client.lrange(key, from, from + SLICE - 1);
      if (ids.length > 0) yield ids.map((id) => ({ id, runsAt: undefined }));
      if (ids.length < SLICE) return;
    }
  }

  async lookUp(ids: readonly string[]): Promise<ReadonlyMap<string, Instant | 'waits' | 'remains'>> {
    const found = new Map<string, Instant | 'waits' | 'remains'>();
    await Promise.all(
      ids.map(async (id) => {
        const look = async (): Promise<void> => {
          const job = await this.#queue.getJob(id);
          if (job === undefined) return;
          const isLost = async (): Promise<boolean> => (await job.getState()) === 'unknown';
          found.set(id, job.finishedOn ?? ((await isLost()) ? 'remains' : 'waits'));
        };
        if (!(await readable(look()))) found.set(id, 'remains');
      }),
    );
    return found;
  }

  async counts(): Promise<JobCounts> {
    const counts = await this.#queue.getJobCounts('wait', 'delayed', 'active', 'failed');
    const of = (state: string): number => counts[state] ?? 0;
    return {
      waiting: of('wait'),
      delayed: of('delayed'),
      active: of('active'),
      failed: of('failed'),
    };
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }
}

/** False where somebody else has written what is no job under its key: no other job may wait for that. */
async function readable(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && error.message.includes('WRONGTYPE')))
      return false;
    throw error;
  }
}

export interface History {
  /** Jobs that are kept of each kind, finished and failed. */
  readonly count: number;
  /** How long they are kept at most. */
  readonly age: Milliseconds;
}

/** BullMQ's worker asks for its next job, and lets Redis wait with the answer, for no longer than this. */
export const LONGEST_BLOCK: Milliseconds = 10 * SECOND;

interface RunnerOptions {
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
  /** Told that it has not begun, and never will: another is to be made. */
  readonly onStillborn: (error: unknown) => void;
  readonly onStalled: (job: string) => void;
  /** Told of a job that holds no task, and is dropped. */
  readonly onDropped: () => void;
}

/** A job that comes before its time by no more than this, since another host's clock is ahead of ours, is held back. */
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
  /** The connection over which it waits for its next job; undefined until it has begun. */
  #waitsBy: RedisClient | undefined;

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
      autorun: false,
    });
    this.#worker.on('error', options.onError);
    this.#worker.on('stalled', options.onStalled);
    this.#begin().catch(options.onStillborn);
  }

  /**
   * BullMQ asks Redis once, over each connection, what it is. Where that fails a worker that runs all the same would ask
   * for jobs in a circle, and leave nothing else its turn.
   */
  async #begin(): Promise<void> {
    await this.#worker.waitUntilReady();
    this.#waitsBy = await this.#blocking();
    this.#worker.run().catch(this.#options.onError);
  }

  /** Whether Redis has let both its connections in. */
  get isConnected(): boolean {
    return [this.#options.connection.client, this.#waitsBy].every(
      (client) => client !== undefined && isReady(client),
    );
  }

  /** Connects again: Redis does not answer, and a half-open connection would stay so. */
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
    const { clock, run, onDone, onFailed, onDropped } = this.#options;
    const task = taskOfJob(job.name, job.data);
    if (task === undefined) {
      onDropped();
      throw new UnrecoverableError('the job holds no task');
    }
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
   * and be done with. Waits where little is left, since handing the job back would only bring it here again. Where more is
   * left it is handed back at once: many such jobs would else keep those that are due from their turn.
   */
  async #isDue(dueAt: Instant): Promise<boolean> {
    const { clock } = this.#options;
    const now = clock.now();
    if (now >= dueAt) return true;
    if (dueAt - now > LONGEST_WAIT) return false;
    await within(clock, dueAt - now, this.#closing, () => undefined);
    return clock.now() >= dueAt;
  }
}
