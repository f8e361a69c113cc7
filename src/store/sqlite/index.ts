import path from 'node:path';
import { isDiskFull, messageOf } from '../../kernel/errors.js';
import { SECOND, type Clock, type Milliseconds } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';
import { LiveFeed } from './live.js';
import { takeLock } from './lock.js';
import { giveUpReserve, keepReserve, prepareDirectory, prepareFile } from './opening.js';
import { Reader } from './reader.js';
import { SqliteEventStore } from './store.js';
import { WriterClient } from './writer-client.js';

export type { SqliteEventStore } from './store.js';

export interface SqliteStoreOptions {
  /** Path of the database; it and its directory are made where they are missing. Beside it stand `-wal`, `-shm`, `.lock` and `.reserve`. */
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
 * @throws StoreRefused where the file is corrupt, foreign, newer, in use, or cannot be read or written
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
