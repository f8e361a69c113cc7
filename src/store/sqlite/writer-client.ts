import type { NewEvent } from '../../kernel/events.js';
import { SECOND, type Clock, type Instant, type Milliseconds } from '../../kernel/time.js';
import { StoreUnavailable, type Appended, type ExpectedRevision } from '../port.js';
import { checkAppend } from '../check.js';
import { Health } from '../health.js';
import { AppendAcks } from './append-acks.js';
import type { LiveFeed } from './live.js';
import { Fifo, type Pending } from './pending.js';
import { ANY, NONE, type WriterOptions } from './wire.js';
import { WriterThread } from './writer-thread.js';

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
  resolve: (value: number) => void;
  reject: (error: Error) => void;
}
type CallMessage =
  | { kind: 'retain'; category: string; maxAge: number | null }
  | { kind: 'sweep'; now: Instant; limit: number }
  | { kind: 'remove'; positions: readonly number[] }
  | { kind: 'probe'; room: boolean };

/**
 * The main thread's side of the writer: collects the appends of one turn of the loop into one message, and gives up
 * on what is not answered in time.
 */
export class WriterClient {
  readonly thread: WriterThread;
  /** Resolves once the first writer is ready; rejects where it ended before. */
  readonly started: Promise<void>;
  private start!: () => void;
  private refuse!: (error: Error) => void;
  private unsent = new Fifo<Pending>();
  private readonly answering: AppendAcks;
  private readonly health = new Health({
    look: () => this.inTime(this.call({ kind: 'probe', room: false })),
    retry: () => this.call({ kind: 'probe', room: true }),
    backoff: PROBE_PAUSE,
  });
  private flushing = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly calls = new Map<number, Call>();
  private lastCall = 0;
  private underWay = 0;
  private gathering: NodeJS.Timeout | undefined;
  private lastFlush = 0;
  private lastBatch = 0;
  private idle: (() => void)[] = [];

  constructor(
    options: WriterOptions,
    private readonly clock: Clock,
    private readonly timeout: Milliseconds,
    feed: LiveFeed,
  ) {
    this.started = new Promise((resolve, reject) => ((this.start = resolve), (this.refuse = reject)));
    this.started.catch(() => undefined);
    this.answering = new AppendAcks(feed, this.health, () => this.wakeIdle());
    this.thread = new WriterThread(options, {
      ready: (head) => {
        this.underWay = 0;
        feed.resume(head);
        this.start();
        this.flush();
      },
      message: (message) => {
        if (message.kind === 'appended') {
          this.underWay--;
          this.flush();
          this.answering.take(message);
        } else {
          this.answerCall(message.call, message.value, message.error);
        }
      },
      died: (reason) => this.bury(reason),
    });
  }

  get healthy(): boolean {
    if (!this.health.good) return false;
    const oldest = this.answering.sent.peek() ?? this.unsent.peek();
    return oldest === undefined || performance.now() - oldest.since <= HEALTHY_WAIT;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const texts = checkAppend(stream, events, expected);
      if (this.answering.sent.length + this.unsent.length >= QUEUE_LIMIT) {
        this.health.fail();
        reject(new StoreUnavailable(`${QUEUE_LIMIT} appends are waiting for the store already`));
        return;
      }
      const since = performance.now();
      this.unsent.push({
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
      this.timer ??= setTimeout(this.expire, this.timeout);
      this.flushSoon();
    });
  }

  call(message: CallMessage): Promise<number> {
    return new Promise((resolve, reject) => {
      if (!this.thread.ready) {
        reject(new StoreUnavailable('the store has no writer just now'));
        return;
      }
      this.flush();
      const call = ++this.lastCall;
      this.calls.set(call, { resolve, reject });
      this.thread.post({ ...message, call });
    });
  }

  async remove(positions: readonly number[]): Promise<void> {
    await this.inTime(this.call({ kind: 'remove', positions }));
  }

  /** Rejects where appends would not go through, in no more time than one of them may take. */
  look(): Promise<void> {
    return this.health.look();
  }

  /** Resolves once no append is unanswered, which is by its time-out at the latest. */
  async drained(): Promise<void> {
    while (this.busy) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  /** Ends the writer after whatever it was handed. */
  async close(): Promise<void> {
    this.health.close();
    await this.thread.close();
    clearTimeout(this.timer);
  }

  /** A disk that hangs answers nothing. */
  private inTime(answer: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = (): void =>
        reject(new StoreUnavailable(`the store did not answer within ${this.timeout} ms`));
      // An answer that came while something else held the loop is taken first.
      const timer = setTimeout(() => setImmediate(late), this.timeout);
      const done = (): void => clearTimeout(timer);
      answer.then(resolve, reject).finally(done);
    });
  }

  private get busy(): boolean {
    if (this.unsent.length > 0) return true;
    for (const pending of this.answering.sent) if (!pending.settled) return true;
    return false;
  }

  private wakeIdle(): void {
    if (this.idle.length === 0) return;
    const waiting = this.idle;
    this.idle = [];
    for (const wake of waiting) wake();
  }

  private flush(): void {
    this.flushing = false;
    if (!this.thread.ready || this.unsent.length === 0 || this.underWay >= BATCHES_UNDER_WAY) return;
    this.underWay++;
    this.lastFlush = performance.now();
    this.lastBatch = this.unsent.length;
    const batch = this.unsent.drain();
    const recordedAt = this.clock.now();
    const flat: (string | number | null)[] = [];
    for (const pending of batch) {
      const { stream, expected, events, texts } = pending;
      flat.push(stream, expected === 'any' ? ANY : expected === 'none' ? NONE : expected, events.length);
      events.forEach(({ id, type, version = 1, at, by, correlation = null, trace = null }, i) =>
        flat.push(id, type, version, at, by, correlation, texts[i]!, trace),
      );
      pending.recordedAt = recordedAt;
      this.answering.sent.push(pending);
    }
    this.thread.post({ kind: 'append', count: batch.length, recordedAt, flat });
  }

  private answerCall(number: number, value: number, error: string | undefined): void {
    const call = this.calls.get(number);
    this.calls.delete(number);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new StoreUnavailable(`the store failed: ${error}`));
    this.wakeIdle();
  }

  private bury(reason: string): void {
    this.refuse(new Error(reason));
    this.answering.finish();
    const error = () => new StoreUnavailable(`the store's writer ended: ${reason}`);
    for (const pending of [...this.answering.sent.drain(), ...this.unsent.drain()]) {
      this.health.fail();
      pending.settled = true;
      pending.reject(error());
    }
    for (const call of this.calls.values()) call.reject(error());
    this.calls.clear();
    this.wakeIdle();
  }

  private flushSoon(): void {
    const waiting = this.unsent.length;
    if (this.flushing && waiting !== ENOUGH_GATHERED) return;
    clearTimeout(this.gathering);
    this.flushing = true;
    const gathers = this.lastBatch > 1 && waiting < ENOUGH_GATHERED;
    const gathering = Math.min(LONGEST_GATHERING, this.lastBatch);
    const wait = gathers ? this.lastFlush + gathering - performance.now() : 0;
    if (wait > 0) this.gathering = setTimeout(() => this.flush(), wait);
    else setImmediate(() => this.flush());
  }

  private readonly expire = (): void => {
    // Answers that came while something else held the loop are taken first.
    setImmediate(() => {
      const now = performance.now();
      let next: number | undefined;
      const late = (pending: Pending): boolean => {
        if (pending.settled) return false;
        if (now - pending.since < this.timeout) {
          next ??= pending.since + this.timeout - now;
          return false;
        }
        pending.settled = true;
        this.health.fail();
        pending.reject(
          new StoreUnavailable(
            `the store did not answer an append to ${pending.stream} within ${this.timeout} ms`,
          ),
        );
        return true;
      };
      for (const pending of this.answering.sent) late(pending);
      const keep = new Fifo<Pending>();
      for (const pending of this.unsent) if (!late(pending)) keep.push(pending);
      this.unsent = keep;
      this.timer = next === undefined ? undefined : setTimeout(this.expire, next);
      this.wakeIdle();
    });
  };
}
