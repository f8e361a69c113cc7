import { setImmediate as turn } from 'node:timers/promises';
import { InvalidInput, messageOf, StopgapError } from '../../kernel/errors.js';
import { FloodCoalescer } from '../../kernel/flood-coalescer.js';
import type { AlarmClock, Instant, Milliseconds } from '../../kernel/time.js';
import { DAY, SECOND } from '../../kernel/time.js';
import type { RedisSettings } from '../../redis/address.js';
import { parseRedis, RedisAddress } from '../../redis/address.js';
import type { Purpose, RedisConnection } from '../../redis/connection.js';
import {
  connectRedis,
  inspectServer,
  isRefusal,
  lacksDatabase,
  PATIENCE,
  pingServer,
  SAFE_POLICY,
} from '../../redis/connection.js';
import { within } from '../../runtime/clock.js';
import type { TaskRunner, TimedTask, TimedWork } from '../port.js';
import type { Healed } from '../reconcile.js';
import { Reconciler } from '../reconcile.js';
import type { Change, History, JobCounts, Retries } from './jobs.js';
import { jobId, JobQueue, JobRunner, LONGEST_BLOCK, RETRIES } from './jobs.js';
import { News } from './news.js';

/** Changes of jobs that go to Redis at once. */
const BATCH = 500;
const CLOSE_PATIENCE: Milliseconds = 3 * SECOND;
/** The worker's connections may be away for so long where Redis lets others in: they connect again by themselves. */
const OUTSIDE: Milliseconds = 5 * SECOND;
/** Redis says this if the password is missing or wrong: waiting does not help. */
const REFUSAL = /^(NOAUTH|WRONGPASS|NOPERM|ERR (invalid|Client sent AUTH|AUTH))/;

export interface BullWorkOptions {
  readonly redis: string | RedisSettings | RedisAddress;
  readonly clock: AlarmClock;
  /** What every key in Redis begins with; `stopgap` unless said otherwise. */
  readonly prefix?: string;
  /** What must be planned, by the ledger: what reconciliation goes by. By default what was planned here. */
  readonly planned?: () => Iterable<TimedTask>;
  /**
   * False while the ledger is being rebuilt or is known to lag. What is planned then is left to the next
   * reconciliation, so that a start does not send again what Redis has; and no job counts as a stray.
   */
  readonly caughtUp?: () => boolean;
  /** Tasks that run at once in this process; 16 unless said otherwise. */
  readonly concurrency?: number;
  /** Between reconciliations: 30 seconds unless said otherwise. */
  readonly reconcileEvery?: Milliseconds;
  /** A worker that is silent for so long (10 seconds unless said otherwise) has lost its jobs to others. */
  readonly lock?: Milliseconds;
  readonly retries?: Retries;
  /** Finished jobs that Redis keeps: 1,000 of each kind for a day unless said otherwise. */
  readonly history?: History;
  /** After so long without an answer, the connection to Redis is made again: 5 seconds by default. */
  readonly silence?: Milliseconds;
  /** How long opening waits for Redis before it goes on without: 5 seconds unless said otherwise. */
  readonly openTimeout?: Milliseconds;
  /** Told how late a task was carried out here, in milliseconds. */
  readonly onDone?: (task: TimedTask, lateness: Milliseconds) => void;
  /** Told of a task that failed here; it is tried again, after longer and longer pauses. */
  readonly onFailed?: (task: TimedTask, error: unknown) => void;
  /** Told in words what an operator should know: Redis away or back, a wrong `maxmemory-policy`, a stalled job. */
  readonly onNotice?: (text: string) => void;
  /** Told of a reconciliation that had something to heal. */
  readonly onHealed?: (healed: Healed) => void;
  /** Redis turned out to be too old, or to refuse us, only after opening: no timed work is done any more. */
  readonly onRefused?: (error: StopgapError) => void;
}

/** `away`: it was there, or has not come yet; `refused`: it is there, but cannot be used. */
export type ConnectionState = 'ready' | 'away' | 'refused' | 'closed';

export interface BullWorkStatus {
  readonly connection: ConnectionState;
  /** Redis is there, takes what is written (the last touch, send and pass worked), and lets the worker in. */
  readonly fit: boolean;
  /** Tasks whose changes Redis has not acknowledged. */
  readonly unsent: number;
  /** When the last reconciliation succeeded; undefined before the first, and if no runner was started. */
  readonly reconciledAt: Instant | undefined;
}

/**
 * Opens timed work on Redis. Where Redis cannot be reached it opens all the same and goes on trying: `until`
 * governs what is refused meanwhile, and reconciliation makes good what was missed.
 *
 * @throws InvalidInput for an address or prefix that cannot be used, StopgapError `unavailable` where Redis is
 *   older than 6.2 or refuses us
 */
export async function openBullWork(options: BullWorkOptions): Promise<BullWork> {
  const address = options.redis instanceof RedisAddress ? options.redis : parseRedis(options.redis);
  const work = new BullWork(options, address);
  const { clock, openTimeout = 5 * SECOND } = options;
  try {
    await within(clock, openTimeout, work.opened, () => undefined);
    if (work.status.connection === 'away')
      options.onNotice?.(`Redis at ${address.toString()} is not there yet: timed work waits for it`);
  } catch (error) {
    await work.close();
    throw error;
  }
  return work;
}

/** What must work for Redis to be called fit. */
type Part = 'touch' | 'send' | 'pass' | 'runner';

/** Timed work as delayed jobs in Redis: what one process plans, any process may carry out. */
export class BullWork implements TimedWork {
  readonly #options: BullWorkOptions;
  readonly #address: RedisAddress;
  /** The address without secrets. */
  readonly #where: string;
  readonly #prefix: string;
  readonly #connection: RedisConnection;
  readonly #tasks = new Map<string, TimedTask>();
  /** Anybody who writes to Redis can make as many as they like. */
  readonly #dropped: FloodCoalescer<string>;
  /** What Redis has not acknowledged. Of each task only the newest is kept, however long Redis is away. */
  readonly #unsent = new Map<string, Change>();
  #sending: Promise<void> | undefined;
  readonly #settled: (() => void)[] = [];
  /** Resolves when Redis was looked at and is fit; rejects if it is not. */
  readonly opened: Promise<void>;
  #settleOpened!: { resolve: () => void; reject: (error: StopgapError) => void };
  #state: ConnectionState = 'away';
  #isOpen = false;
  #queue: JobQueue | undefined;
  #reconciler: Reconciler | undefined;
  #reconciledAt: Instant | undefined;
  #passing: Promise<void> | undefined;
  #passAgain = false;
  #cancelPass: (() => void) | undefined;
  #run: TaskRunner | undefined;
  #runner: JobRunner | undefined;
  #closing: Promise<void> | undefined;
  readonly #news: News;
  /** What failed when it was last tried although Redis was there: it may answer, and take no write. */
  readonly #failing = new Set<Part>();
  /** Since when Redis keeps the worker out, on the monotonic clock. */
  #outSince: Milliseconds | undefined;
  #beating: NodeJS.Timeout | undefined;

  /** Use {@link openBullWork}. */
  constructor(options: BullWorkOptions, address: RedisAddress) {
    this.#options = options;
    this.#dropped = new FloodCoalescer(options.clock, (where, count) =>
      options.onNotice?.(
        `Redis at ${where} held ${count === 1 ? 'a timed job' : `${count} timed jobs`} that Stopgap cannot have planned: dropped. See who else may write there`,
      ),
    );
    this.#news = new News(options.clock, (text) => options.onNotice?.(text));
    this.#address = address;
    this.#where = address.toString();
    this.#prefix = keyPrefix(options.prefix ?? 'stopgap', address);
    this.opened = new Promise((resolve, reject) => {
      this.#settleOpened = { resolve, reject };
    });
    // `openBullWork` waits for it only so long.
    this.opened.catch(() => undefined);
    const { silence = PATIENCE } = options;
    this.#connection = this.#connect('producer', silence);
    this.#beatIn(silence);
    const { client } = this.#connection;
    client.on('ready', () => void this.#welcome());
    client.on('close', () => this.#lost());
    client.on('error', (error: Error) => this.#settleRefusal(error));
  }

  get size(): number {
    return this.#tasks.size;
  }

  get status(): BullWorkStatus {
    return {
      connection: this.#state,
      fit: this.#state === 'ready' && this.#failing.size === 0,
      unsent: this.#unsent.size,
      reconciledAt: this.#reconciledAt,
    };
  }

  plan(task: TimedTask): void {
    const key = `${task.kind} ${task.block}`;
    const before = this.#tasks.get(key);
    this.#tasks.set(key, task);
    if (before?.dueAt !== task.dueAt && this.#isLive()) this.#change(key, task, before);
  }

  /** Redis hears of it by a reconciliation, which begins at once: most of it, it has already. */
  replan(tasks: Iterable<TimedTask>): void {
    this.#tasks.clear();
    for (const task of tasks) this.#tasks.set(`${task.kind} ${task.block}`, task);
    if (this.#runner !== undefined) void this.reconcile();
  }

  cancel(kind: TimedTask['kind'], block: string): void {
    const key = `${kind} ${block}`;
    const before = this.#tasks.get(key);
    this.#tasks.delete(key);
    // An overdue one is over because its job was done: the job is left among the finished ones, for people to see.
    const isOver = before !== undefined && before.dueAt <= this.#options.clock.now();
    if (before !== undefined && !isOver && this.#isLive()) this.#change(key, undefined, before);
  }

  /** Begins to run what is due, and to reconcile. A process that only plans for others does not call it. */
  start(run: TaskRunner): void {
    this.#run = run;
    if (this.#state === 'ready') this.#startRunner();
  }

  /** Resolves once Redis has acknowledged everything that was planned so far; not before it is there. */
  async settled(): Promise<void> {
    if (this.#unsent.size > 0) await new Promise<void>((resolve) => this.#settled.push(resolve));
  }

  /** @throws StopgapError `unavailable` if Redis does not answer */
  async counts(): Promise<JobCounts> {
    if (this.#queue === undefined || this.#state !== 'ready')
      throw new StopgapError('unavailable', `Redis is ${this.#state}`);
    try {
      return await this.#queue.counts();
    } catch (error) {
      throw new StopgapError('unavailable', `Redis does not answer: ${messageOf(error)}`);
    }
  }

  /** Compares the queue with what must be planned now, rather than when it is time. Resolves after that pass. */
  async reconcile(): Promise<void> {
    if (this.#passing === undefined) this.#passing = this.#passes();
    else this.#passAgain = true;
    await this.#passing;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { clock } = this.#options;
    clearTimeout(this.#beating);
    this.#cancelPass?.();
    await this.#runner?.close(CLOSE_PATIENCE);
    if (this.#state === 'ready') {
      const rest = Promise.all([this.#sending, this.#passing]);
      await within(clock, CLOSE_PATIENCE, rest, () => undefined);
    }
    this.#state = 'closed';
    this.#dropped.flush();
    await this.#queue?.close();
    this.#connection.close();
  }

  #isLive(): boolean {
    return this.#closing === undefined && (this.#options.caughtUp?.() ?? true);
  }

  /**
   * @param task what is to be planned now; undefined for nothing
   * @param before what was to be planned until now
   */
  #change(key: string, task: TimedTask | undefined, before: TimedTask | undefined): void {
    const unsent = this.#unsent.get(key);
    const outdated = unsent?.add ?? before;
    const remove = new Set(unsent?.remove);
    if (outdated !== undefined) remove.add(jobId(outdated));
    if (task !== undefined) remove.delete(jobId(task));
    // Always a new one: the former may be under way.
    this.#unsent.set(key, { add: task, remove });
    this.#send();
  }

  #send(): void {
    if (this.#unsent.size > 0 && this.#state === 'ready') this.#sending ??= this.#sendAll();
  }

  /** Batches go one after another, so that none overtakes another. What fails goes with the next change or heartbeat. */
  async #sendAll(): Promise<void> {
    try {
      // After this turn of the loop, so that a burst goes as one batch.
      await turn();
      while (this.#unsent.size > 0 && this.#state === 'ready') await this.#sendBatch();
      if (this.#unsent.size > 0) return;
      this.#worked('send');
      for (const resolve of this.#settled.splice(0)) resolve();
    } catch (error) {
      this.#failed('send');
      this.#news.fault('send', `timed work could not be planned: ${messageOf(error)}; tried again`);
    } finally {
      this.#sending = undefined;
    }
  }

  async #sendBatch(): Promise<void> {
    const batch = new Map<string, Change>();
    for (const [key, change] of this.#unsent) {
      batch.set(key, change);
      if (batch.size === BATCH) break;
    }
    await this.#queue!.apply([...batch.values()]);
    for (const [key, change] of batch) if (this.#unsent.get(key) === change) this.#unsent.delete(key);
  }

  #connect(purpose: Purpose, patience: Milliseconds): RedisConnection {
    return connectRedis(this.#address, purpose, (error) => this.#trouble(error), patience);
  }

  #beatIn(pause: Milliseconds): void {
    if (this.#closing !== undefined) return;
    // Not by the clock on the wall, which may be set back.
    this.#beating = setTimeout(() => void this.#beat().then(() => this.#beatIn(pause)), pause).unref();
  }

  /** That there is a connection says little, since it may be half open: Redis is there when it answers. */
  async #beat(): Promise<void> {
    const { client } = this.#connection;
    if (client.status !== 'ready') return;
    try {
      await pingServer(client);
      if (this.#state === 'away') await this.#welcome();
      else if (this.#state === 'ready') {
        await this.#touch();
        this.#send();
        this.#lookAfterRunner();
      }
    } catch (error) {
      this.#trouble(error);
      this.#lost();
      this.#runner?.reconnect();
    }
  }

  /** That Redis answers says little, since it may be full or a replica. @throws what the connection throws */
  async #touch(): Promise<void> {
    try {
      await this.#queue!.touch();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#failed('touch');
      this.#news.fault(
        'touch',
        `Redis at ${this.#where} takes no write: ${this.#address.conceal(error.message).replace(/\.$/, '')}. Ends of blocks are recorded once it does`,
      );
      return;
    }
    this.#worked('touch');
  }

  /** The worker has connections of its own, which Redis may keep out. */
  #lookAfterRunner(): void {
    if (this.#run === undefined) return;
    if (this.#runner === undefined) this.#startRunner();
    if (this.#runner?.isConnected === true) {
      this.#outSince = undefined;
      this.#worked('runner');
      return;
    }
    const now = this.#options.clock.monotonic();
    this.#outSince ??= now;
    if (now - this.#outSince < OUTSIDE) return;
    this.#failed('runner');
    this.#news.fault(
      'runner',
      `Redis at ${this.#where} does not let the worker in: ends of blocks are recorded once it does. See its maxclients`,
    );
  }

  #failed(what: Part): void {
    this.#failing.add(what);
    // One that is away is told of by `#lost`.
    if (what === 'touch' || this.#state === 'ready')
      this.#news.broke(
        `Redis at ${this.#where} ${what === 'runner' ? 'is there' : 'takes what is written'} again`,
      );
  }

  #worked(what: Part): void {
    this.#failing.delete(what);
    if (this.status.fit) this.#news.well();
  }

  async #welcome(): Promise<void> {
    try {
      const { evictionPolicy } = await inspectServer(this.#connection.client);
      if (evictionPolicy !== undefined && evictionPolicy !== SAFE_POLICY) {
        this.#news.fault(
          'policy',
          `Redis has maxmemory-policy ${evictionPolicy}: when its memory is full it throws timed work away. ` +
            `Set it to ${SAFE_POLICY}`,
        );
      }
      if (this.#isOver()) return;
      this.#queue ??= this.#openQueue();
      await this.#touch();
    } catch (error) {
      if (error instanceof StopgapError) this.#refuse(error);
      else this.#trouble(error);
      return;
    }
    if (this.#isOver()) return;
    this.#isOpen = true;
    this.#state = 'ready';
    if (this.status.fit) this.#news.well();
    this.#settleOpened.resolve();
    this.#send();
    if (this.#run !== undefined) this.#startRunner();
  }

  #isOver(): boolean {
    return this.#state === 'closed' || this.#state === 'refused' || this.#closing !== undefined;
  }

  #openQueue(): JobQueue {
    const { clock, planned = () => this.#tasks.values(), caughtUp = () => true, retries } = this.#options;
    const queue = new JobQueue({
      client: this.#connection.client,
      prefix: this.#prefix,
      clock,
      retries: retries ?? RETRIES,
      onError: (error) => this.#trouble(error),
    });
    this.#reconciler = new Reconciler({ queue, planned, caughtUp, clock });
    return queue;
  }

  #startRunner(): void {
    const { clock, concurrency = 16, lock = 10 * SECOND, history, onDone, onFailed } = this.#options;
    const { silence = PATIENCE } = this.#options;
    const runner = (this.#runner ??= new JobRunner({
      connection: this.#connect('worker', LONGEST_BLOCK + silence),
      prefix: this.#prefix,
      clock,
      run: this.#run!,
      concurrency,
      lock,
      history: history ?? { count: 1000, age: DAY },
      onDone: (task, lateness) => {
        this.#forget(task);
        onDone?.(task, lateness);
      },
      onFailed: (task, error) => onFailed?.(task, error),
      onError: (error) => this.#trouble(error),
      onStalled: (job) =>
        this.#news.fault(`stalled ${job}`, `timed job ${job} lost its worker; another runs it`),
      onDropped: () => this.#dropped.add('', this.#where),
      onStillborn: (error) => {
        this.#trouble(error);
        if (this.#runner === runner) this.#runner = undefined;
        void runner.close(CLOSE_PATIENCE);
      },
    }));
    void this.reconcile();
  }

  #forget(task: TimedTask): void {
    const key = `${task.kind} ${task.block}`;
    if (this.#tasks.get(key)?.dueAt === task.dueAt) this.#tasks.delete(key);
  }

  async #passes(): Promise<void> {
    const { clock, reconcileEvery = 30 * SECOND, onHealed } = this.#options;
    this.#cancelPass?.();
    // Where Redis is away the rest ends at once: only after the caller has set `#passing`, which it unsets.
    await Promise.resolve();
    try {
      do {
        this.#passAgain = false;
        if (this.#reconciler === undefined || this.#state !== 'ready') break;
        if (await this.#queue!.release())
          this.#news.fault(
            'release',
            `Redis at ${this.#where} had the queue of timed work paused or limited: resumed. See who else may write there`,
          );
        const healed = await this.#reconciler.pass();
        this.#reconciledAt = clock.now();
        this.#worked('pass');
        if (healed.added + healed.moved + healed.removed > 0) onHealed?.(healed);
      } while (this.#passAgain && this.#closing === undefined);
    } catch (error) {
      this.#failed('pass');
      this.#trouble(error);
    } finally {
      this.#passing = undefined;
    }
    if (this.#closing !== undefined || this.#run === undefined) return;
    this.#cancelPass = clock.after(reconcileEvery, () => void this.reconcile());
  }

  #lost(): void {
    if (this.#state !== 'ready') return;
    this.#state = 'away';
    this.#outSince = undefined;
    this.#news.broke(`Redis at ${this.#where} is there again`);
  }

  /** A fault of the connection: it is said once, not with every attempt. */
  #trouble(fault: unknown): void {
    if (this.#closing !== undefined || this.#state === 'refused') return;
    const text = messageOf(fault) || (fault instanceof AggregateError ? messageOf(fault.errors[0]) : '');
    // After such a word Redis names the command or the script, and there are many.
    const kind = /^(?!ERR)[A-Z]{3,}(?= )/.exec(text)?.[0] ?? text;
    this.#news.fault(
      `trouble ${kind}`,
      `Redis at ${this.#where}: ${text === '' ? 'no connection' : this.#address.conceal(text)}`,
    );
  }

  #settleRefusal(error: Error): void {
    // At any time: what is written afterwards goes to database 0.
    const isElsewhere = lacksDatabase(error);
    if (!isElsewhere && (this.#isOpen || !REFUSAL.test(error.message))) return;
    const wrong = isElsewhere ? 'the number of the database' : 'user and password';
    this.#refuse(
      new StopgapError(
        'unavailable',
        `Redis at ${this.#where} refuses us: ${this.#address.conceal(error.message).replace(/\.$/, '')}; correct ${wrong} in redis (STOPGAP_REDIS)`,
      ),
    );
  }

  #refuse(error: StopgapError): void {
    if (this.#state === 'refused' || this.#closing !== undefined) return;
    this.#state = 'refused';
    this.#connection.close();
    this.#settleOpened.reject(error);
    this.#options.onRefused?.(error);
  }
}

/** In a cluster all keys of the queue must share a slot: the text in braces decides which. */
function keyPrefix(prefix: string, { topology }: RedisAddress): string {
  if (!/^[\w.{}-]{1,64}$/.test(prefix))
    throw new InvalidInput(
      'redis.prefix',
      'must be 1 to 64 letters, digits, dots, dashes, underscores or braces',
    );
  return topology === 'cluster' && !/\{[^{}]+\}/.test(prefix) ? `{${prefix}}` : prefix;
}
