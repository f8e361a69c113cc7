import { WrongExpectedVersionError, type MaxAppendSizeExceededError } from '@kurrent/kurrentdb-client';
import type { Person } from '../../forgetting/person.js';
import { errorOf, InvalidInput } from '../../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import type { Clock, Instant, Milliseconds } from '../../kernel/time.js';
import { MINUTE, SECOND } from '../../kernel/time.js';
import type { BackoffOptions } from '../../runtime/clock.js';
import { Health } from '../health.js';
import type {
  Appended,
  EventHandler,
  EventStore,
  ExpectedRevision,
  Forgotten,
  ReadAllOptions,
  ReadStreamOptions,
  StorageUse,
  SubscribeOptions,
  Subscription,
} from '../port.js';
import { checkAppend, LogReplaced, StoreRefused, StoreUnavailable } from '../port.js';
import { Appender } from './appender.js';
import { Connection, measureSkew, Nodes, probe, redacted } from './connection.js';
import { safeNumber } from './envelope.js';
import { answered, atLeader, isRefusal, portError } from './errors.js';
import { Pulse } from './feed.js';
import { Erasures, forgetIn } from './forget.js';
import { Reader } from './reader.js';
import { Retention } from './retention.js';
import { ResumingSubscription } from './subscription.js';

export interface KurrentStoreOptions {
  /**
   * `kurrentdb://[user:password@]host[:port][,host…][?tls=…]`, `kurrentdb+discover://name` for a cluster behind one
   * DNS name, or either with `esdb`. The port is 2113 unless given, and TLS is on unless `tls=false`, where user
   * and password are ignored. `tlsCaFile`, `tlsVerifyCert`, `userCertFile`, `userKeyFile`, `nodePreference`,
   * `keepAliveInterval` and the like as in KurrentDB's documents.
   */
  readonly url: string;
  /** Tells what has outlived its retention. `recordedAt` is by the server's clock. */
  readonly clock: Clock;
  /** How long an append may wait for its answer, and each step of a read; 5 s unless given. */
  readonly appendTimeout?: Milliseconds;
  /** Pauses between attempts to reach the server; from 100 ms to 10 s unless given. */
  readonly retry?: BackoffOptions;
  /** How often the leader is asked how far the log goes, to see that subscriptions follow it; 3 s unless given. */
  readonly silence?: Milliseconds;
  /** Told of what the store puts right by itself, for a log: a lost subscription, a retention that could not be set. */
  readonly report?: (problem: string, error: unknown) => void;
}

/**
 * Opens a store in KurrentDB (23.10 or later). A server that is away is no error: the store opens after
 * `appendTimeout`, is not healthy, and becomes so by itself.
 *
 * What differs from an embedded store:
 * - Idempotence is the server's. An append with an expected revision (`none` or a number) that is made again is
 *   recognised by the events of the stream. With `any` the server goes by a cache in memory: after its restart the same
 *   events are written once more, under the same ids, so a reader must fold an id once. The same happens to a known id
 *   in an append whose first id is unknown. An id is not looked for in other streams.
 * - An append under `any` of which the stream holds a part is written in several appends: if one of them fails, those
 *   before it have been written.
 * - `duplicate` is reported if this process can know: by positions that it had seen when the append was sent.
 * - `setRetention` lasts for this process. It puts `$maxAge` on each stream of the category with its first append, which
 *   resolves when both are written, and passes over what is older in `readAll` and subscriptions. Deleting is the
 *   server's scavenge, which runs on each node: `sweep` deletes nothing and resolves with 0, and
 *   `lastWrittenBy` tells nothing.
 * - At most 1 MiB an append, as the server is set by default; ids must be UUIDs; streams must not begin with `$`.
 *
 * @throws StoreRefused if the URL cannot be used, or the server refuses user or password
 */
export async function openKurrentStore(options: KurrentStoreOptions): Promise<KurrentEventStore> {
  const nodes = new Nodes(options.url);
  const store = new KurrentEventStore(nodes, await nodes.answering(), {
    appendTimeout: 5 * SECOND,
    retry: { first: 100, most: 10 * SECOND },
    silence: 3 * SECOND,
    report: () => undefined,
    ...withoutGaps(options),
  });
  try {
    await store.connect();
  } catch (error) {
    if (error instanceof StoreRefused) {
      await store.close();
      throw new StoreRefused(`KurrentDB at ${redacted(options.url)} refuses the user or password`);
    }
    options.report?.('KurrentDB is away; the store opens without it', error);
  }
  return store;
}

/** An option that is given as undefined is not given. */
function withoutGaps<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

type StoreSettings = Required<Omit<KurrentStoreOptions, 'url'>>;

/** Bytes of one append that a server takes by default (`--max-append-size`): more is never sent at once. */
const LARGEST_APPEND = 1024 * 1024;

/** A server that is well confirms a subscription answered this time. */
const CONFIRMATION: Milliseconds = 3000;

/** What a leader has, it has given by then; and one that has been deposed knows it. */
const DOUBT: Milliseconds = 3000;

/** The clocks are compared again after so long. */
const SKEW_LASTS: Milliseconds = MINUTE;

/** The store in KurrentDB; see {@link EventStore} and what `openKurrentStore` says about the differences. */
export class KurrentEventStore implements EventStore {
  readonly #settings: StoreSettings;
  #closing: Promise<void> | undefined;
  #limit = LARGEST_APPEND;
  /** Nothing accepted is unanswered any more: appends may read until then. */
  #closed = false;
  readonly #subscriptions = new Set<ResumingSubscription>();
  // Apart from each other, so that a failing read does not cut off the appends under way.
  readonly #writing: Connection;
  readonly #reading: Connection;
  readonly #following: Connection;
  readonly #backoff: BackoffOptions;
  readonly #health: Health;
  readonly #reader: Reader;
  readonly #retention: Retention;
  readonly #appender: Appender;
  readonly #pulse: Pulse;
  #skew: Milliseconds | undefined;
  #skewAt = -Infinity;

  /** @param node where connections begin */
  constructor(nodes: Nodes, node: string, settings: StoreSettings) {
    this.#settings = settings;
    const { clock, appendTimeout: timeout, retry, silence, report } = settings;
    this.#backoff = retry;
    this.#writing = new Connection(nodes, node, true, report);
    this.#reading = new Connection(nodes, node, false, report);
    this.#following = new Connection(nodes, node, false, report);
    const look = async (): Promise<void> => this.#appender.answered(await probe(this.#writing, timeout));
    this.#health = new Health({ look, retry: look, backoff: retry });
    this.#retention = new Retention({
      connection: this.#writing,
      clock,
      timeout,
      report,
      last: (stream, named) => this.#reader.last(stream, named),
      erased: Erasures.read({ readStream: (stream, given) => this.#reader.stream(stream, given ?? {}) }),
    });
    this.#reader = new Reader({
      connection: this.#reading,
      credentials: nodes.credentials,
      retention: this.#retention,
      timeout,
      checkOpen: () => {
        if (this.#closed) throw closedError();
      },
    });
    this.#pulse = new Pulse({
      interval: silence,
      head: (patience) => this.#look(Math.min(patience, timeout)),
      back: () => this.#hurry(),
      report,
    });
    this.#appender = new Appender({
      connection: this.#writing,
      health: this.#health,
      timeout,
      newest: (stream, limit) => this.#reader.stream(stream, { direction: 'backwards', limit }),
      emptied: (stream, revision) => this.#retention.emptied(stream, revision),
      provide: (stream) => this.#retention.provide(stream),
      limited: (error) => this.#learnLimit(error),
    });
  }

  /** The leader is known to answer: what would wait for its next attempt is done at once. */
  #hurry(): void {
    if (this.#health.good) return;
    this.#writing.renew(this.#writing.client);
    this.#health.hurry();
  }

  /**
   * Finds the end of the log, and whether it takes appends. Until then a repeated append is not recognised as a
   * duplicate.
   *
   * @throws StoreRefused if the server refuses the user or password, StoreUnavailable
   */
  async connect(): Promise<void> {
    const results = await Promise.allSettled([this.head(), this.probe()]);
    const [read, append] = results;
    if (read.status === 'fulfilled' && append.status === 'fulfilled') return;
    const errors = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    );
    this.#health.fail(errors[0]);
    // When a cluster refuses a password, reads only say that no node can be reached. A user with the right to read alone
    // is not refused.
    if (read.status === 'rejected' && errors.some(isRefusal))
      throw new StoreRefused('KurrentDB refuses the user or password');
    throw errors[0];
  }

  get maxAppendBytes(): number {
    return this.#limit;
  }

  get healthy(): boolean {
    return !this.#closing && this.#appender.healthy;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    try {
      this.#checkOpen();
      checkForServer(stream, events, expected);
    } catch (error) {
      return Promise.reject(errorOf(error));
    }
    return this.#appender.append(stream, events, expected);
  }

  /** A server may be set to take less than servers do by default; it says so when it refuses. */
  #learnLimit(error: MaxAppendSizeExceededError): void {
    if (!(error.maxAppendSize < this.#limit)) return;
    this.#limit = error.maxAppendSize;
    this.#settings.report(`KurrentDB takes appends of up to ${this.#limit} bytes only`, error);
  }

  readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    return this.#reader.stream(stream, options);
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    return this.#reader.all(options);
  }

  subscribe(options: SubscribeOptions, handler: EventHandler): Subscription {
    this.#checkOpen();
    const { appendTimeout: timeout, silence, report } = this.#settings;
    const subscription = new ResumingSubscription(
      {
        connection: this.#following,
        reader: this.#reader,
        retention: this.#retention,
        pulse: this.#pulse,
        backoff: this.#backoff,
        timeout: Math.min(CONFIRMATION, timeout),
        doubt: Math.min(DOUBT, silence),
        report,
      },
      options,
      handler,
    );
    // An append that is made after this call must not come before the end that is being asked for.
    if (options.after === 'end') {
      const release = this.#appender.gate.hold();
      answered(timeout, subscription.placed).then(release, release);
    }
    this.#subscriptions.add(subscription);
    const forget = (): void => void this.#subscriptions.delete(subscription);
    subscription.ended.then(forget, (error: unknown) => {
      forget();
      if (!(error instanceof LogReplaced)) return;
      this.#appender.logReplaced();
      this.#retention.forget();
    });
    return subscription;
  }

  async head(): Promise<number> {
    this.#checkOpen();
    return this.#look();
  }

  async #look(timeout?: Milliseconds): Promise<number> {
    const before = this.#appender.reached;
    const position = await this.#reader.head(timeout);
    this.#appender.sawHead(position, before);
    return position;
  }

  async setRetention(category: string, maxAge: Milliseconds | undefined): Promise<void> {
    this.#checkOpen();
    this.#retention.set(category, maxAge);
  }

  async lastWrittenBy(): Promise<undefined> {
    this.#checkOpen();
    return undefined;
  }

  async sweep(_now: Instant): Promise<number> {
    this.#checkOpen();
    return 0;
  }

  async forget(person: Person, mayGoOn?: () => void): Promise<Forgotten> {
    this.#checkOpen();
    const { clock, appendTimeout: timeout } = this.#settings;
    const deleteStream = async (stream: string, last: number): Promise<boolean> => {
      const expectedRevision = BigInt(last);
      const attempt = () => this.#writing.client.deleteStream(stream, { expectedRevision });
      try {
        await answered(timeout, atLeader(attempt));
        return true;
      } catch (error) {
        if (!(error instanceof WrongExpectedVersionError)) throw portError(error, 'deleting a stream');
        if (typeof error.actualState !== 'bigint') return true;
        // The refusal may have come before that for which it refuses can be read.
        await this.#reader.last(stream, safeNumber(error.actualState));
        return false;
      }
    };
    const forgotten = await forgetIn({ store: this, clock, deleteStream }, person, mayGoOn);
    // Streams that begin again have no retention yet.
    this.#retention.forget();
    return forgotten;
  }

  async storage(): Promise<StorageUse> {
    this.#checkOpen();
    return { categories: null, bytes: null, reclaimable: null, givesBack: false, free: null };
  }

  async probe(): Promise<void> {
    this.#checkOpen();
    await this.#health.look();
    if (performance.now() - this.#skewAt < SKEW_LASTS) return;
    try {
      this.#skew = await measureSkew(this.#writing, this.#settings.appendTimeout);
      this.#skewAt = performance.now();
    } catch (error) {
      this.#health.fail(error);
      throw error;
    }
  }

  get clockSkew(): Milliseconds | undefined {
    return this.#skew;
  }

  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  async #shut(): Promise<void> {
    await this.#appender.drained();
    this.#closed = true;
    for (const subscription of this.#subscriptions)
      subscription.abort(new StoreUnavailable('the store was closed'));
    this.#health.close();
    this.#writing.close();
    this.#reading.close();
    this.#following.close();
  }

  #checkOpen(): void {
    if (this.#closing) throw closedError();
  }
}

function closedError(): StoreUnavailable {
  return new StoreUnavailable('the store is closed');
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * Sees that an append can be stored by the server and read back as it is: besides what holds for every store, event
 * ids are UUIDs here, and streams that begin with `$` belong to the server.
 *
 * @throws InvalidInput
 */
export function checkForServer(
  stream: string,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): void {
  checkAppend(stream, events, expected);
  if (stream.startsWith('$'))
    throw new InvalidInput('stream', "streams whose names begin with $ are the server's");
  for (const { id } of events) {
    if (!UUID.test(id) || id === NO_UUID) throw new InvalidInput('id', `an event's id is a UUID, not ${id}`);
  }
}
