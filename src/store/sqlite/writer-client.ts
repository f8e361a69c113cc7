import type { NewEvent } from '../../kernel/events.js';
import { StopgapError } from '../../kernel/errors.js';
import type { Clock, Instant, Milliseconds } from '../../kernel/time.js';
import { StoreUnavailable, WrongExpectedRevision, type Appended, type ExpectedRevision } from '../port.js';
import { checkAppend } from '../check.js';
import type { LiveFeed } from './live.js';
import { Fifo, type Pending } from './pending.js';
import { fromAppend } from './recorded.js';
import { Share } from '../turn.js';
import { ANY, NONE, Outcome, type AppendedMessage, type WriterOptions } from './wire.js';
import { WriterThread } from './writer-thread.js';

/** Appends that may wait for their answer; more would only wait longer than they are willing to. */
const QUEUE_LIMIT = 20_000;

/**
 * Appends answered in one turn of the loop: whatever waits for them goes on in that same turn, and a thousand
 * continuations in a row would hold up everything else.
 */
const ANSWERS_A_TURN = 128;

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

/** How often a store that failed is tried again: nobody may dare to append while it is not healthy. */
const PROBE_PAUSE: Milliseconds = 1000;

/** An answer that takes longer is a sign of an ailing disk. */
const HEALTHY_WAIT: Milliseconds = 1000;

interface Call {
  resolve: (value: number) => void;
  reject: (error: Error) => void;
}
type CallMessage =
  | { kind: 'retain'; category: string; maxAge: number | null }
  | { kind: 'sweep'; now: Instant; limit: number }
  | { kind: 'probe' };

/**
 * The main thread's side of the writer: collects the appends of one turn of the loop into one message, and
 * answers them in order: first whoever follows live gets the events, then the append resolves.
 */
export class WriterClient {
  readonly thread: WriterThread;
  /** Resolves once the first writer is ready; rejects where it ended before. */
  readonly started: Promise<void>;
  private start!: () => void;
  private refuse!: (error: Error) => void;
  private unsent = new Fifo<Pending>();
  private readonly sent = new Fifo<Pending>();
  private readonly answers = new Fifo<{ message: AppendedMessage; next: number }>();
  private answering = false;
  private flushing = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly calls = new Map<number, Call>();
  private lastCall = 0;
  private failed = false;
  private probing: NodeJS.Timeout | undefined;
  private underWay = 0;
  private gathering: NodeJS.Timeout | undefined;
  private lastFlush = 0;
  private lastBatch = 0;
  private closed = false;
  private idle: (() => void)[] = [];

  constructor(
    options: WriterOptions,
    private readonly clock: Clock,
    private readonly timeout: Milliseconds,
    private readonly feed: LiveFeed,
  ) {
    this.started = new Promise((resolve, reject) => ((this.start = resolve), (this.refuse = reject)));
    this.started.catch(() => undefined);
    this.thread = new WriterThread(options, {
      ready: (head) => {
        this.underWay = 0;
        this.feed.resume(head);
        this.start();
        this.flush();
      },
      message: (message) => {
        if (message.kind === 'appended') {
          this.underWay--;
          this.flush();
          this.answers.push({ message, next: 0 });
          if (!this.answering) this.answer();
        } else {
          this.answerCall(message.call, message.value, message.error);
        }
      },
      died: (reason) => this.bury(reason),
    });
  }

  get healthy(): boolean {
    if (this.failed) return false;
    const oldest = this.sent.peek() ?? this.unsent.peek();
    return oldest === undefined || performance.now() - oldest.since <= HEALTHY_WAIT;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const texts = checkAppend(stream, events, expected);
      if (this.sent.length + this.unsent.length >= QUEUE_LIMIT) {
        this.fail();
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

  /** Resolves once no append is unanswered, which is by its time-out at the latest. */
  async drained(): Promise<void> {
    while (this.busy) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  /** Ends the writer after whatever it was handed. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.probing);
    await this.thread.close();
    clearTimeout(this.timer);
  }

  /** Not healthy until an append, or a probe where none is made, has gone through. */
  private fail(): void {
    this.failed = true;
    if (this.closed) return;
    this.probing ??= setTimeout(() => {
      this.probing = undefined;
      if (!this.failed) return;
      this.call({ kind: 'probe' }).then(
        () => (this.failed = false),
        () => this.fail(),
      );
    }, PROBE_PAUSE).unref();
  }

  private get busy(): boolean {
    if (this.unsent.length > 0) return true;
    for (const pending of this.sent) if (!pending.settled) return true;
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
      this.sent.push(pending);
    }
    this.thread.post({ kind: 'append', count: batch.length, recordedAt, flat });
  }

  /** Answers what the writer has decided, a few milliseconds and so many at a time unless it must be `all` at once. */
  private answer(all = false): void {
    this.answering = true;
    const share = new Share();
    let answered = 0;
    for (let batch = this.answers.peek(); batch; batch = this.answers.peek()) {
      const { outcomes, reasons } = batch.message;
      while (batch.next * 3 < outcomes.length) {
        const i = batch.next++;
        this.settle(
          this.sent.shift()!,
          outcomes[i * 3]!,
          outcomes[i * 3 + 1]!,
          outcomes[i * 3 + 2]!,
          reasons.get(i),
        );
        if (!all && (++answered >= ANSWERS_A_TURN || share.spent())) {
          setImmediate(() => this.answer());
          return;
        }
      }
      this.answers.shift();
    }
    this.answering = false;
    this.wakeIdle();
  }

  private settle(
    pending: Pending,
    outcome: number,
    revision: number,
    position: number,
    reason?: string,
  ): void {
    switch (outcome) {
      case Outcome.written:
        this.failed = false;
        this.feed.committed(position, () => recordedEvents(pending, revision, position));
        pending.resolve({ revision, position, duplicate: false });
        break;
      case Outcome.duplicate:
        this.failed = false;
        pending.resolve({ revision, position, duplicate: true });
        break;
      case Outcome.wrongRevision:
        pending.reject(
          new WrongExpectedRevision(pending.stream, pending.expected, revision < 0 ? 'none' : revision),
        );
        break;
      case Outcome.conflict:
        pending.reject(new StopgapError('conflict', `append to ${pending.stream}: ${reason}`));
        break;
      default:
        this.fail();
        pending.reject(
          new StoreUnavailable(`the store did not take an append to ${pending.stream}: ${reason}`),
        );
    }
    pending.settled = true;
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
    this.answer(true);
    const error = () => new StoreUnavailable(`the store's writer ended: ${reason}`);
    for (const pending of [...this.sent.drain(), ...this.unsent.drain()]) {
      this.fail();
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
        this.fail();
        pending.reject(
          new StoreUnavailable(
            `the store did not answer an append to ${pending.stream} within ${this.timeout} ms`,
          ),
        );
        return true;
      };
      for (const pending of this.sent) late(pending);
      const keep = new Fifo<Pending>();
      for (const pending of this.unsent) if (!late(pending)) keep.push(pending);
      this.unsent = keep;
      this.timer = next === undefined ? undefined : setTimeout(this.expire, next);
      this.wakeIdle();
    });
  };
}

function recordedEvents({ events, texts, stream, recordedAt }: Pending, revision: number, position: number) {
  const before = events.length - 1;
  return events.map((event, i) =>
    fromAppend(event, texts[i]!, stream, revision - before + i, position - before + i, recordedAt),
  );
}
