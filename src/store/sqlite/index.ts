import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { InvalidInput, isDiskFull, messageOf } from '../../kernel/errors.js';
import type { Person } from '../../forgetting/person.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import type { Clock, Instant, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import { Cursor } from '../cursor.js';
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
import { StoreRefused, StoreUnavailable } from '../port.js';
import { FeedSubscription, LiveFeed } from './subscription.js';
import type { Lock } from './opening.js';
import { giveUpReserve, keepReserve, prepareDirectory, prepareFile, takeLock } from './opening.js';
import { Reader, SliceSize } from './reader.js';
import { WriterClient } from './writer-client.js';

export interface SqliteStoreOptions {
  /**
   * Path of the database; it and its directory are created if they are missing. Next to it are `-wal`, `-shm`, `.lock`
   * and `.reserve`.
   */
  readonly file: string;
  /** Gives `recordedAt`. */
  readonly clock: Clock;
  /** How long an append may wait for its answer; 5 s unless given. */
  readonly appendTimeout?: Milliseconds;
  /** Bound on the file's size, in pages of 4096 bytes; none unless given. Beyond it appends are refused as on a full disk. */
  readonly maxPages?: number;
}

/**
 * Opens the store in an SQLite file and holds it for this process alone, until `close` or the process's end.
 *
 * @throws StoreRefused if the file is corrupt, foreign, newer, in use, or cannot be read or written
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteEventStore> {
  const file = prepareDirectory(path.resolve(options.file));
  let store: SqliteEventStore;
  try {
    store = await open(file, options);
  } catch (error) {
    if (!isDiskFull(error) || !giveUpReserve(file)) throw error;
    return open(file, options);
  }
  keepReserve(file);
  return store;
}

async function open(
  file: string,
  { clock, appendTimeout = 5 * SECOND, maxPages }: SqliteStoreOptions,
): Promise<SqliteEventStore> {
  const lock = takeLock(file, clock);
  let writer: WriterClient | undefined;
  try {
    prepareFile(file);
    const feed = new LiveFeed();
    writer = new WriterClient({ file, maxPages }, clock, appendTimeout, feed);
    writer.thread.start();
    await writer.started;
    return new SqliteEventStore(writer, new Reader(file), feed, lock);
  } catch (error) {
    await writer?.close();
    lock.release();
    throw error instanceof StoreRefused
      ? error
      : new StoreRefused(`${file} cannot be opened: ${messageOf(error)}`, error);
  }
}

/** Events deleted in one transaction: some 10 ms for which appends wait. */
const SWEEP_SLICE = 250;

/** Pages given back in one transaction: some milliseconds for which appends wait. */
const GIVEN_BACK_AT_ONCE = 256;

/** Bytes in use of a file that is written anew beside a running server: appends wait for a second or two. */
const COMPACTED_AT_ONCE = 64 * 1024 * 1024;

const NOT_COMPACTED =
  'The file of the store is large, so what was erased may be found in its free space until it is written anew: stop Stopgap once and run stopgap storage compact.';

export class SqliteEventStore implements EventStore {
  readonly #reader: Reader;
  readonly #feed: LiveFeed;
  readonly #lock: Lock;
  readonly maxAppendBytes = Infinity;
  #closing: Promise<void> | undefined;
  readonly #subscriptions = new Set<FeedSubscription>();

  constructor(
    /** For tests, which end its thread. */
    readonly writer: WriterClient,
    reader: Reader,
    feed: LiveFeed,
    lock: Lock,
  ) {
    this.#reader = reader;
    this.#feed = feed;
    this.#lock = lock;
  }

  get healthy(): boolean {
    return !this.#closing && this.writer.healthy;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    if (this.#closing) return Promise.reject(closed());
    return this.writer.append(stream, events, expected);
  }

  readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    const { direction = 'forwards', from, limit } = options;
    const forwards = direction === 'forwards';
    const size = new SliceSize();
    let left = limit ?? Number.MAX_SAFE_INTEGER;
    return new Cursor((last) => {
      this.#checkOpen();
      const start = last
        ? last.revision + (forwards ? 1 : -1)
        : (from ?? (forwards ? 0 : Number.MAX_SAFE_INTEGER));
      const slice = this.#reader.stream(stream, direction, start, left, size);
      left -= slice.events.length;
      return left > 0 ? slice : { ...slice, more: false };
    });
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    return this.#reader.walk(options, () => {
      this.#checkOpen();
      return this.#feed.head;
    });
  }

  subscribe(options: SubscribeOptions, handler: EventHandler): Subscription {
    this.#checkOpen();
    const subscription = new FeedSubscription(this.#feed, this.#reader, options, handler);
    this.#subscriptions.add(subscription);
    const forget = () => this.#subscriptions.delete(subscription);
    subscription.ended.then(forget, forget);
    return subscription;
  }

  async head(): Promise<number> {
    this.#checkOpen();
    return this.#feed.head;
  }

  async setRetention(category: string, maxAge: Milliseconds | undefined): Promise<void> {
    this.#checkOpen();
    if (maxAge !== undefined && !(Number.isSafeInteger(maxAge) && maxAge >= 0)) {
      throw new InvalidInput('maxAge', `a retention is a number of whole milliseconds, not ${maxAge}`);
    }
    await this.writer.call({ kind: 'retain', category, maxAge: maxAge ?? null });
  }

  async lastWrittenBy(at: Instant): Promise<Instant | undefined> {
    this.#checkOpen();
    return this.#reader.lastWrittenBy(at);
  }

  async sweep(now: Instant, journals: readonly string[] = []): Promise<number> {
    let total = 0;
    for (;;) {
      this.#checkOpen();
      const gone = await this.writer.call({ kind: 'sweep', now, limit: SWEEP_SLICE });
      total += gone;
      if (gone < SWEEP_SLICE) break;
    }
    if (journals.length > 0) await this.#dropStreams(journals);
    // What retention frees each hour is used again; more than that goes back to the disk.
    while ((await this.writer.call({ kind: 'give-back', pages: GIVEN_BACK_AT_ONCE })) > 0) this.#checkOpen();
    return total;
  }

  async storage(): Promise<StorageUse> {
    this.#checkOpen();
    return this.#reader.storage();
  }

  async forget(person: Person, mayGoOn: () => void = () => undefined): Promise<Forgotten> {
    let [erased, rewritten] = [0, 0];
    for (let after = 0; ;) {
      this.#checkOpen();
      mayGoOn();
      const slice = await this.writer.forgetting<readonly number[]>({ kind: 'forget', person, after });
      erased += slice[1]!;
      rewritten += slice[2]!;
      after = slice[0]!;
      if (after === 0) break;
    }
    mayGoOn();
    await this.writer.forgetting({ kind: 'rename', person });
    this.#reader.forgetNames();
    return { erased, rewritten, remains: (await this.#compact()) ? [] : [NOT_COMPACTED] };
  }

  /**
   * Deletes these events, regardless of retention, in one transaction; positions without an event are skipped.
   *
   * @throws StoreUnavailable
   */
  async remove(positions: readonly number[]): Promise<void> {
    this.#checkOpen();
    await this.writer.remove(positions);
  }

  /**
   * Leaves nothing of what was deleted in the file and its log, nor the names of streams without events. What is there
   * stays as it is.
   *
   * @returns whether that was possible
   * @throws StoreUnavailable
   */
  async clean(): Promise<boolean> {
    await this.#dropStreams();
    return this.#compact();
  }

  /** Takes out the names of streams without events: of these categories, or of all. */
  async #dropStreams(categories?: readonly string[]): Promise<void> {
    let after = 0;
    let total = 0;
    do {
      this.#checkOpen();
      const slice = await this.writer.call<readonly number[]>({ kind: 'drop-streams', after, categories });
      after = slice[0]!;
      total += slice[1]!;
    } while (after > 0);
    if (total > 0) this.#reader.forgetNames();
  }

  async #compact(): Promise<boolean> {
    return (await this.writer.call({ kind: 'compact', most: COMPACTED_AT_ONCE })) === 1;
  }

  /** How many events each stream holds, also of streams that hold none any more. @throws StoreUnavailable */
  async *countByStream(): AsyncGenerator<{ readonly stream: string; readonly events: number }> {
    for (let after = 0; ;) {
      this.#checkOpen();
      const slice = this.#reader.countByStream(after);
      yield* slice;
      const last = slice.at(-1);
      if (last === undefined) return;
      after = last.id;
      await setImmediate();
    }
  }

  async probe(): Promise<void> {
    this.#checkOpen();
    await this.writer.look();
  }

  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  async #shut(): Promise<void> {
    await this.writer.drained();
    for (const subscription of this.#subscriptions)
      subscription.abort(new StoreUnavailable('the store was closed'));
    // The reader goes first: the connection that closes last folds the log into the file.
    this.#reader.close();
    await this.writer.close();
    this.#lock.release();
  }

  #checkOpen(): void {
    if (this.#closing) throw closed();
  }
}

function closed(): StoreUnavailable {
  return new StoreUnavailable('the store is closed');
}
