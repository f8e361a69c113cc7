import type { MaxAppendSizeExceededError } from '@kurrent/kurrentdb-client';
import { errorOf } from '../../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import { MINUTE, type Clock, type Instant, type Milliseconds } from '../../kernel/time.js';
import { Health } from '../health.js';
import { LogReplaced, StoreRefused, StoreUnavailable } from '../port.js';
import type {
  Appended,
  EventHandler,
  EventStore,
  ExpectedRevision,
  ReadAllOptions,
  ReadStreamOptions,
  SubscribeOptions,
  Subscription,
} from '../port.js';
import { Appender } from './appender.js';
import type { BackoffOptions } from '../../runtime/backoff.js';
import { checkForServer } from './check.js';
import { Connection } from './connection.js';
import { isRefusal, answered } from './errors.js';
import type { Nodes } from './nodes.js';
import { measureSkew, probe } from './probe.js';
import { Pulse } from './pulse.js';
import { Reader } from './reader.js';
import { Retention } from './retention.js';
import { ResumingSubscription } from './subscription.js';

export interface StoreSettings {
  readonly clock: Clock;
  readonly appendTimeout: Milliseconds;
  readonly retry: BackoffOptions;
  readonly silence: Milliseconds;
  readonly report: (problem: string, error: unknown) => void;
}

/** Bytes of one append that a server takes by default (`--max-append-size`): more is never sent at once. */
const LARGEST_APPEND = 1024 * 1024;

/** A server that is well confirms a subscription answered this time. */
const CONFIRMATION: Milliseconds = 3000;

/** What a leader has, it has given by then; and one that has been deposed knows it. */
const DOUBT: Milliseconds = 3000;

/** The clocks are compared anew after so long. */
const SKEW_LASTS: Milliseconds = MINUTE;

/** The store in KurrentDB; see {@link EventStore} and what `openKurrentStore` says about the differences. */
export class KurrentEventStore implements EventStore {
  private closing: Promise<void> | undefined;
  private limit = LARGEST_APPEND;
  /** Nothing accepted is unanswered any more: appends may read until then. */
  private closed = false;
  private readonly subscriptions = new Set<ResumingSubscription>();
  // Apart from each other, so that a failing read does not cut off the appends under way.
  private readonly writing: Connection;
  private readonly reading: Connection;
  private readonly following: Connection;
  private readonly backoff: BackoffOptions;
  private readonly health: Health;
  private readonly reader: Reader;
  private readonly retention: Retention;
  private readonly appender: Appender;
  private readonly pulse: Pulse;
  private skew: Milliseconds | undefined;
  private skewAt = -Infinity;

  /** @param node where connections begin */
  constructor(
    nodes: Nodes,
    node: string,
    private readonly settings: StoreSettings,
  ) {
    const { clock, appendTimeout: timeout, retry, silence, report } = settings;
    this.backoff = retry;
    this.writing = new Connection(nodes, node, true);
    this.reading = new Connection(nodes, node, false);
    this.following = new Connection(nodes, node, false);
    const look = async (): Promise<void> => this.appender.answered(await probe(this.writing, timeout));
    this.health = new Health({ look, retry: look, backoff: retry });
    this.retention = new Retention({
      connection: this.writing,
      clock,
      timeout,
      report,
      last: (stream, named) => this.reader.last(stream, named),
    });
    this.reader = new Reader({
      connection: this.reading,
      credentials: nodes.credentials,
      retention: this.retention,
      timeout,
      checkOpen: () => {
        if (this.closed) throw closedError();
      },
    });
    this.pulse = new Pulse({
      interval: silence,
      head: (patience) => this.look(Math.min(patience, timeout)),
      back: () => this.hurry(),
      report,
    });
    this.appender = new Appender({
      connection: this.writing,
      health: this.health,
      timeout,
      newest: (stream, limit) => this.reader.stream(stream, { direction: 'backwards', limit }),
      emptied: (stream, revision) => this.retention.emptied(stream, revision),
      written: (stream, fresh) => this.retention.touch(stream, fresh),
      limited: (error) => this.learnLimit(error),
    });
  }

  /** What can be done at once where the leader is known to answer, and would wait for its next attempt. */
  private hurry(): void {
    if (this.health.good) return;
    this.writing.renew(this.writing.client);
    this.health.hurry();
  }

  /**
   * Finds out where the log stands, and whether it takes appends; until that has been done, an append that is made again
   * is not told as such.
   *
   * @throws StoreRefused where the server refuses the user or password, StoreUnavailable
   */
  async connect(): Promise<void> {
    const results = await Promise.allSettled([this.head(), this.probe()]);
    const [read, append] = results;
    if (read.status === 'fulfilled' && append.status === 'fulfilled') return;
    this.health.fail();
    const errors = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    );
    // Where a cluster refuses a password, reads say no more than that nobody is there. A user who may only read is none
    // that is refused.
    if (read.status === 'rejected' && errors.some(isRefusal))
      throw new StoreRefused('KurrentDB refuses the user or password');
    throw errors[0];
  }

  get maxAppendBytes(): number {
    return this.limit;
  }

  get healthy(): boolean {
    return !this.closing && this.appender.healthy;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    try {
      this.checkOpen();
      checkForServer(stream, events, expected);
    } catch (error) {
      return Promise.reject(errorOf(error));
    }
    return this.appender.append(stream, events, expected);
  }

  /** A server may be set to take less than servers do by default; it says so when it refuses. */
  private learnLimit(error: MaxAppendSizeExceededError): void {
    if (!(error.maxAppendSize < this.limit)) return;
    this.limit = error.maxAppendSize;
    this.settings.report(`KurrentDB takes appends of up to ${this.limit} bytes only`, error);
  }

  readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    return this.reader.stream(stream, options);
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    return this.reader.all(options);
  }

  subscribe(options: SubscribeOptions, handler: EventHandler): Subscription {
    this.checkOpen();
    const { appendTimeout: timeout, silence, report } = this.settings;
    const subscription = new ResumingSubscription(
      {
        connection: this.following,
        reader: this.reader,
        retention: this.retention,
        pulse: this.pulse,
        backoff: this.backoff,
        timeout: Math.min(CONFIRMATION, timeout),
        doubt: Math.min(DOUBT, silence),
        report,
      },
      options,
      handler,
    );
    // An append that is made after this call must not come before the end that is being asked for.
    if (options.after === 'end') {
      const release = this.appender.gate.hold();
      answered(timeout, subscription.placed).then(release, release);
    }
    this.subscriptions.add(subscription);
    const forget = (): void => void this.subscriptions.delete(subscription);
    subscription.ended.then(forget, (error: unknown) => {
      forget();
      if (!(error instanceof LogReplaced)) return;
      this.appender.logReplaced();
      this.retention.forget();
    });
    return subscription;
  }

  async head(): Promise<number> {
    this.checkOpen();
    return this.look();
  }

  private async look(timeout?: Milliseconds): Promise<number> {
    const before = this.appender.reached;
    const position = await this.reader.head(timeout);
    this.appender.sawHead(position, before);
    return position;
  }

  async setRetention(category: string, maxAge: Milliseconds | undefined): Promise<void> {
    this.checkOpen();
    this.retention.set(category, maxAge);
  }

  async sweep(_now: Instant): Promise<number> {
    this.checkOpen();
    return 0;
  }

  async probe(): Promise<void> {
    this.checkOpen();
    await this.health.look();
    if (!this.health.good || performance.now() - this.skewAt < SKEW_LASTS) return;
    try {
      this.skew = await measureSkew(this.writing, this.settings.appendTimeout);
      this.skewAt = performance.now();
    } catch (error) {
      this.health.fail();
      throw error;
    }
  }

  get clockSkew(): Milliseconds | undefined {
    return this.skew;
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  private async shut(): Promise<void> {
    await this.appender.drained();
    await this.retention.stop();
    this.closed = true;
    for (const subscription of this.subscriptions)
      subscription.abort(new StoreUnavailable('the store was closed'));
    this.health.close();
    this.writing.close();
    this.reading.close();
    this.following.close();
  }

  private checkOpen(): void {
    if (this.closing) throw closedError();
  }
}

function closedError(): StoreUnavailable {
  return new StoreUnavailable('the store is closed');
}
