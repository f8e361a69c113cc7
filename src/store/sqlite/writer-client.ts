import { closeSync, openSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../kernel/errors.js';
import type { Person } from '../../forgetting/person.js';
import type { NewEvent } from '../../kernel/events.js';
import type { Clock, Instant, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import { Backoff, systemClock, within } from '../../runtime/clock.js';
import { Health } from '../health.js';
import type { Appended, ExpectedRevision } from '../port.js';
import { checkAppend, StoreDamaged, StoreUnavailable } from '../port.js';
import type { CallAnswer, FromWriter, Pending, ToWriter, WriterOptions } from './appends.js';
import { ANY, AppendAcks, Fifo, NONE } from './appends.js';
import type { LiveFeed } from './subscription.js';

/** Appends that may wait for their answer; more would only wait longer than they are willing to. */
const QUEUE_LIMIT = 20_000;

/**
 * Batches that may be under way to the writer: one that it works on, one that waits. What comes meanwhile becomes one
 * batch, so the busier the disk, the fewer the flushes.
 */
const BATCHES_UNDER_WAY = 2;

/**
 * A flush of the disk costs the same for one append as for fifty. So while appends come from several sides at once,
 * a batch waits until a few milliseconds have passed since the last one, one for each append that was in it, or enough
 * have gathered; one alone never waits.
 */
const LONGEST_GATHERING: Milliseconds = 4;
const ENOUGH_GATHERED = 24;

/** An answer that takes longer is a sign of an ailing disk. */
const HEALTHY_WAIT: Milliseconds = 1000;

/** How often a store that failed is tried again. */
const PROBE_PAUSE = { first: SECOND, most: SECOND };

interface Call {
  resolve: (value: CallAnswer) => void;
  reject: (error: Error) => void;
}
type CallMessage =
  | { kind: 'retain'; category: string; maxAge: number | null }
  | { kind: 'sweep'; now: Instant; limit: number }
  | { kind: 'forget'; person: Person; after: number }
  | { kind: 'rename'; person: Person }
  | { kind: 'give-back'; pages: number }
  | { kind: 'compact'; most: number }
  | { kind: 'drop-streams'; after: number; categories: readonly string[] | undefined }
  | { kind: 'remove'; positions: readonly number[] }
  | { kind: 'probe'; room: boolean };

/**
 * The main thread's side of the writer: collects the appends of one turn of the loop into one message, and gives up
 * on what is not answered in time.
 */
export class WriterClient {
  readonly #clock: Clock;
  readonly #timeout: Milliseconds;
  readonly thread: WriterThread;
  /** Resolves when the first writer is ready; rejects if it ended before. */
  readonly started: Promise<void>;
  #start!: () => void;
  #refuse!: (error: Error) => void;
  #unsent = new Fifo<Pending>();
  readonly #acks: AppendAcks;
  readonly #health = new Health({
    look: () => this.#inTime(this.call({ kind: 'probe', room: false })),
    retry: () => this.call({ kind: 'probe', room: true }),
    backoff: PROBE_PAUSE,
  });
  #flushing = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #calls = new Map<number, Call>();
  #lastCall = 0;
  #underWay = 0;
  #gathering: NodeJS.Timeout | undefined;
  #lastFlush = 0;
  #lastBatch = 0;
  #idle: (() => void)[] = [];
  /** The writer of now cannot load what forgets. */
  #spoilt = false;
  #renewing: Promise<void> | undefined;

  constructor(options: WriterOptions, clock: Clock, timeout: Milliseconds, feed: LiveFeed) {
    this.#clock = clock;
    this.#timeout = timeout;
    this.started = new Promise((resolve, reject) => ((this.#start = resolve), (this.#refuse = reject)));
    this.started.catch(() => undefined);
    this.#acks = new AppendAcks(feed, this.#health, () => this.#wakeIdle());
    this.thread = new WriterThread(options, {
      ready: (head) => {
        this.#underWay = 0;
        feed.resume(head);
        this.#start();
        this.#spoilt = false;
        this.#flush();
      },
      message: (message) => {
        if (message.kind === 'appended') {
          this.#underWay--;
          this.#flush();
          this.#acks.take(message);
        } else {
          this.#answerCall(message);
        }
      },
      died: (reason) => this.#bury(reason),
    });
  }

  get healthy(): boolean {
    if (!this.#health.good) return false;
    const oldest = this.#acks.sent.peek() ?? this.#unsent.peek();
    return oldest === undefined || performance.now() - oldest.since <= HEALTHY_WAIT;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const texts = checkAppend(stream, events, expected);
      if (this.#acks.sent.length + this.#unsent.length >= QUEUE_LIMIT) {
        this.#health.fail();
        reject(new StoreUnavailable(`${QUEUE_LIMIT} appends are waiting for the store already`));
        return;
      }
      const since = performance.now();
      this.#unsent.push({
        stream,
        events,
        texts,
        expected,
        since,
        resolve,
        reject,
        recordedAt: 0,
        settled: false,
      });
      this.#timer ??= setTimeout(this.#expire, this.#timeout);
      this.#flushSoon();
    });
  }

  /** Most calls answer with one number, `forget` with several. */
  call<T extends CallAnswer = number>(message: CallMessage): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.thread.ready) {
        reject(new StoreUnavailable('the store has no writer just now'));
        return;
      }
      this.#flush();
      const call = ++this.#lastCall;
      this.#calls.set(call, { resolve: resolve as (value: CallAnswer) => void, reject });
      this.thread.post({ ...message, call });
    });
  }

  /**
   * A call for which the writer loads more of the program. Where one could not, another takes its place first, once it can
   * load all that it needs.
   *
   * @throws StoreUnavailable
   */
  async forgetting<T extends CallAnswer = number>(message: CallMessage): Promise<T> {
    if (this.#spoilt && this.thread.ready) {
      checkLoadable();
      this.#renewing = this.thread.renew().finally(() => (this.#renewing = undefined));
    }
    if (this.#renewing) await this.#inTime(this.#renewing);
    return this.call<T>(message);
  }

  async remove(positions: readonly number[]): Promise<void> {
    await this.#inTime(this.call({ kind: 'remove', positions }));
  }

  /** Rejects where appends would not go through, in no more time than one of them may take. */
  look(): Promise<void> {
    return this.#health.look();
  }

  /** Resolves once no append is unanswered, which is by its time-out at the latest. */
  async drained(): Promise<void> {
    while (this.#busy) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Ends the writer after the work that it has. */
  async close(): Promise<void> {
    this.#health.close();
    await this.thread.close();
    clearTimeout(this.#timer);
  }

  /** A disk that hangs answers nothing. */
  #inTime(answer: Promise<unknown>): Promise<unknown> {
    return within(systemClock, this.#timeout, answer, () => {
      throw new StoreUnavailable(`the store did not answer within ${this.#timeout} ms`);
    });
  }

  get #busy(): boolean {
    if (this.#unsent.length > 0) return true;
    for (const pending of this.#acks.sent) if (!pending.settled) return true;
    return false;
  }

  #wakeIdle(): void {
    if (this.#idle.length === 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const wake of waiting) wake();
  }

  #flush(): void {
    this.#flushing = false;
    if (!this.thread.ready || this.#unsent.length === 0 || this.#underWay >= BATCHES_UNDER_WAY) return;
    this.#underWay++;
    this.#lastFlush = performance.now();
    this.#lastBatch = this.#unsent.length;
    const batch = this.#unsent.drain();
    const recordedAt = this.#clock.now();
    const flat: (string | number | null)[] = [];
    for (const pending of batch) {
      const { stream, expected, events, texts } = pending;
      flat.push(stream, expected === 'any' ? ANY : expected === 'none' ? NONE : expected, events.length);
      events.forEach(({ id, type, version = 1, at, by, correlation = null, trace = null }, i) =>
        flat.push(id, type, version, at, by, correlation, texts[i]!, trace),
      );
      pending.recordedAt = recordedAt;
      this.#acks.sent.push(pending);
    }
    this.thread.post({ kind: 'append', count: batch.length, recordedAt, flat });
  }

  #answerCall(answer: Extract<FromWriter, { kind: 'answer' }>): void {
    const { call: number, value, error, damaged, spoilt } = answer;
    const call = this.#calls.get(number);
    this.#calls.delete(number);
    this.#spoilt ||= spoilt === true;
    if (error === undefined) call?.resolve(value);
    else if (damaged === true) call?.reject(new StoreDamaged(error));
    else call?.reject(new StoreUnavailable(`the store failed: ${error}`));
    this.#wakeIdle();
  }

  #bury(reason: string): void {
    this.#refuse(new Error(reason));
    this.#acks.finish();
    const error = () => new StoreUnavailable(`the store's writer ended: ${reason}`);
    for (const pending of [...this.#acks.sent.drain(), ...this.#unsent.drain()]) {
      this.#health.fail();
      pending.settled = true;
      pending.reject(error());
    }
    for (const call of this.#calls.values()) call.reject(error());
    this.#calls.clear();
    this.#wakeIdle();
  }

  #flushSoon(): void {
    const waiting = this.#unsent.length;
    if (this.#flushing && waiting !== ENOUGH_GATHERED) return;
    clearTimeout(this.#gathering);
    this.#flushing = true;
    const gathers = this.#lastBatch > 1 && waiting < ENOUGH_GATHERED;
    const gathering = Math.min(LONGEST_GATHERING, this.#lastBatch);
    const wait = gathers ? this.#lastFlush + gathering - performance.now() : 0;
    if (wait > 0) this.#gathering = setTimeout(() => this.#flush(), wait);
    else setImmediate(() => this.#flush());
  }

  readonly #expire = (): void => {
    // Answers that came while something else held the loop are taken first.
    setImmediate(() => {
      const now = performance.now();
      let next: number | undefined;
      const late = (pending: Pending): boolean => {
        if (pending.settled) return false;
        if (now - pending.since < this.#timeout) {
          next ??= pending.since + this.#timeout - now;
          return false;
        }
        pending.settled = true;
        this.#health.fail();
        pending.reject(
          new StoreUnavailable(
            `the store did not answer an append to ${pending.stream} within ${this.#timeout} ms`,
          ),
        );
        return true;
      };
      for (const pending of this.#acks.sent) late(pending);
      const keep = new Fifo<Pending>();
      for (const pending of this.#unsent) if (!late(pending)) keep.push(pending);
      this.#unsent = keep;
      this.#timer = next === undefined ? undefined : setTimeout(this.#expire, next);
      this.#wakeIdle();
    });
  };
}

const WRITER = new URL('./writer.js', import.meta.url);

/** More than a thread opens at once while it loads its modules and the file. */
const OPENED_AT_ONCE = 50;

/**
 * A writer that cannot forget still takes appends: it stays until another one can surely be had.
 *
 * @throws StoreUnavailable if the program's files, or so many, cannot be opened now
 */
function checkLoadable(): void {
  const opened: number[] = [];
  try {
    while (opened.length < OPENED_AT_ONCE) opened.push(openSync(WRITER, 'r'));
  } catch (error) {
    throw new StoreUnavailable(`the store cannot load what forgets: ${messageOf(error)}`);
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** Mebibytes for young objects: a batch is gone as soon as it is written. */
const YOUNG = 8;

const FIRST_PAUSE: Milliseconds = 50;
const LONGEST_PAUSE: Milliseconds = 5000;

/** How long a writer that was told to close may take before it is ended. */
const CLOSING_TIME: Milliseconds = 3000;

interface ThreadEvents {
  /** A writer is ready; the last position in the file is `head`. */
  ready(head: number): void;
  message(message: Exclude<FromWriter, { kind: 'ready' }>): void;
  /** The writer is gone and its unanswered work is lost; another follows after a pause. */
  died(reason: string): void;
}

/** Keeps one writer's thread alive: starts another, after a growing pause, if one dies. */
class WriterThread {
  readonly #options: WriterOptions;
  readonly #events: ThreadEvents;
  #worker: Worker | undefined;
  #up = false;
  #closing = false;
  readonly #backoff = new Backoff({ first: FIRST_PAUSE, most: LONGEST_PAUSE });
  #timer: NodeJS.Timeout | undefined;
  #gone: () => void = () => undefined;
  #renewal: { readonly done: () => void; readonly failed: (error: Error) => void } | undefined;

  constructor(options: WriterOptions, events: ThreadEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** True while a writer takes messages. */
  get ready(): boolean {
    return this.#up;
  }

  start(): void {
    let reason = 'it ended without a reason';
    let worker: Worker;
    try {
      worker = new Worker(WRITER, {
        workerData: this.#options,
        name: 'store-writer',
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG },
      });
    } catch (error) {
      // The system has no thread left; it may have one later.
      return this.#end(messageOf(error));
    }
    this.#worker = worker;
    worker.on('message', (message: FromWriter) => {
      if (message.kind === 'ready') {
        this.#up = true;
        this.#events.ready(message.head);
        this.#renewal?.done();
        this.#renewal = undefined;
      } else {
        this.#backoff.reset();
        this.#events.message(message);
      }
    });
    worker.on('error', (error) => (reason = messageOf(error)));
    worker.on('exit', (code) => {
      // It has answered all that it was given.
      if (this.#renewal && !this.#closing && code === 0) this.start();
      else this.#end(reason);
    });
  }

  /** Puts another writer in the place of this one, once that has done the work that it has; no append is lost. */
  renew(): Promise<void> {
    this.#up = false;
    this.post({ kind: 'close' });
    return new Promise((done, failed) => (this.#renewal = { done, failed }));
  }

  #end(reason: string): void {
    this.#up = false;
    this.#worker = undefined;
    this.#events.died(reason);
    this.#renewal?.failed(new StoreUnavailable(`the store's writer ended: ${reason}`));
    this.#renewal = undefined;
    if (this.#closing) this.#gone();
    else this.#timer = setTimeout(() => this.start(), this.#backoff.next());
  }

  post(message: ToWriter): void {
    this.#worker?.postMessage(message);
  }

  /** Ends the thread at once, as a crash would. */
  async kill(): Promise<void> {
    await this.#worker?.terminate();
  }

  /** Lets the writer close its file, and ends it if it does not. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    const worker = this.#worker;
    if (!worker) return;
    const gone = new Promise<void>((resolve) => (this.#gone = resolve));
    this.post({ kind: 'close' });
    await within(systemClock, CLOSING_TIME, gone, () => worker.terminate());
  }
}
