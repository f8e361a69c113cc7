import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Clock, Instant, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import type { RedisClient } from '../../redis/connection.js';
import type { TimedTask } from '../port.js';
import type { FoundJob, QueueView } from '../reconcile.js';
import type { JobData } from './jobs.js';
import { jobId, newJob } from './jobs.js';
import type { Change } from './outbox.js';

export const QUEUE = 'expiry';

/** How many jobs stand where. */
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

/** Seven tries take about a minute; then reconciliation begins anew. */
export const RETRIES: Retries = { attempts: 7, firstPause: SECOND };

const SLICE = 1000;
/** BullMQ's scores are milliseconds in units of 1/4096, to keep jobs of one millisecond in order. */
const SCORE_UNIT = 0x1000;
/** Of BullMQ's own event stream, which nobody here reads. */
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
      // Whoever made the client has looked at the server already.
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
    await Promise.all(ids.map((id) => this.#queue.remove(id)));
  }

  async *scan(): AsyncGenerator<readonly FoundJob[]> {
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
    for (const list of ['wait', 'paused', 'active']) yield* this.#scanList(this.#queue.toKey(list));
  }

  async *#scanList(key: string): AsyncGenerator<readonly FoundJob[]> {
    for (let from = 0; ; from += SLICE) {
      const ids = await this.#client.lrange(key, from, from + SLICE - 1);
      if (ids.length > 0) yield ids.map((id) => ({ id, runsAt: undefined }));
      if (ids.length < SLICE) return;
    }
  }

  async lookUp(ids: readonly string[]): Promise<ReadonlyMap<string, Instant | 'unfinished'>> {
    const found = new Map<string, Instant | 'unfinished'>();
    await Promise.all(
      ids.map(async (id) => {
        // Two fields in one reply: every job has a name.
        const [name, finishedOn] = await this.#client.hmget(this.#queue.toKey(id), 'name', 'finishedOn');
        if (name === null) return;
        found.set(id, finishedOn === null || finishedOn === undefined ? 'unfinished' : Number(finishedOn));
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
