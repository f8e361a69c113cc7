import fs from 'node:fs';
import Database from 'better-sqlite3';
import { messageOf } from '../../kernel/errors.js';
import type { Instant } from '../../kernel/time.js';
import type { Holder } from './opening.js';
import { readHolder } from './opening.js';
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.js';

/** Looked through as a whole up to this size in bytes; more would take its time. */
const READ_LIMIT = 64 * 1024 * 1024;

/** Bytes of the header (https://sqlite.org/fileformat2.html, 1.3). */
const HEADER = { length: 100, writeVersion: 18, userVersion: 60, applicationId: 68 } as const;
const MAGIC = 'SQLite format 3\0';
const ROLLBACK_JOURNAL = 1;

export interface StoreInspection {
  /**
   * `absent`: not made yet. `held`: a process has it open. `free`: no process has. `unclean`: no process has, and the last
   * one did not close it. `barred`: this user may not read it.
   */
  readonly state: 'absent' | 'held' | 'free' | 'unclean' | 'barred';
  /** The process that says that it has the store open. */
  readonly holder?: Holder | undefined;
  /** Bytes of the file and of its write-ahead log. */
  readonly size: number;
  readonly logSize: number;
  /** Version of the tables; undefined if it could not be read. */
  readonly format?: number | undefined;
  /** What keeps this version from using it. */
  readonly fault?: string | undefined;
  /** Why it was not looked through. */
  readonly unread?: string | undefined;
  /** When the last event was written; undefined without one. */
  readonly lastRecordedAt?: Instant | undefined;
  /** When the newest event was written: earlier than that if the clock was set back in between. */
  readonly newestRecordedAt?: Instant | undefined;
}

export interface StoreCounts {
  readonly events: number;
  readonly streams: number;
  /** Events by type. */
  readonly types: Readonly<Record<string, number>>;
}

/**
 * Looks at the store in an SQLite file from outside, beside the process that has it open or without one, and changes
 * nothing: a file that no process has open is read into memory, since SQLite would leave files beside it.
 *
 * Never to be called in a process that has the store open itself: closing a descriptor of the file would drop its locks.
 */
export function inspectStore(file: string): StoreInspection {
  const sizeOf = (path: string): number => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  try {
    if (fs.statSync(file, { throwIfNoEntry: false }) === undefined)
      return { state: 'absent', size: 0, logSize: 0 };
    const sizes = { size: sizeOf(file), logSize: sizeOf(`${file}-wal`) };
    const { held, holder } = lookAtLock(`${file}.lock`);
    const state = held ? 'held' : sizes.logSize > 0 ? 'unclean' : 'free';
    const header = readHeader(file);
    const common = { state, holder, ...sizes, format: header?.readUInt32BE(HEADER.userVersion) } as const;
    const fault = faultOf(header);
    if (fault !== undefined) return { ...common, fault };
    if (state === 'unclean') {
      const unread = 'who had it last did not close it; the next start takes in its log and checks it';
      return { ...common, unread };
    }
    if (sizes.size > READ_LIMIT) return { ...common, unread: `it is large; ${FULL_CHECK}` };
    return { ...common, ...withStore(file, held, lookThrough) };
  } catch (error) {
    return { state: 'barred', size: 0, logSize: 0, unread: messageOf(error) };
  }
}

/** How much there is of what. @throws where {@link inspectStore} would not look through it */
export function countEvents(file: string): StoreCounts {
  const { state, fault, unread } = inspectStore(file);
  if (state === 'absent' || fault !== undefined || unread !== undefined)
    throw new Error(fault ?? unread ?? 'there is none yet');
  return withStore(file, state === 'held', (db) => {
    const rows = db
      .prepare<[], { type: string; events: number }>(
        'SELECT type, count(*) AS events FROM events GROUP BY type ORDER BY events DESC',
      )
      .all();
    return {
      events: rows.reduce((sum, { events }) => sum + events, 0),
      streams: db.prepare<[], number>('SELECT count(*) FROM streams').pluck().get() ?? 0,
      types: Object.fromEntries(rows.map(({ type, events }) => [type, events])),
    };
  });
}

const FULL_CHECK = `sqlite3 FILE 'PRAGMA quick_check' looks through it`;

/** The process that has the store open holds the write lock of the file beside it. */
function lookAtLock(path: string): { held: boolean; holder?: Holder | undefined } {
  if (fs.statSync(path, { throwIfNoEntry: false }) === undefined) return { held: false };
  const db = new Database(path, { timeout: 0, fileMustExist: true });
  try {
    db.exec('BEGIN IMMEDIATE');
    db.exec('ROLLBACK');
    return { held: false };
  } catch (error) {
    if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_BUSY')) throw error;
    return { held: true, holder: readHolder(db) };
  } finally {
    db.close();
  }
}

/** The first bytes; undefined if there are too few. */
function readHeader(file: string): Buffer | undefined {
  const header = Buffer.alloc(HEADER.length);
  const descriptor = fs.openSync(file, 'r');
  try {
    return fs.readSync(descriptor, header, 0, HEADER.length, 0) === HEADER.length ? header : undefined;
  } finally {
    fs.closeSync(descriptor);
  }
}

function faultOf(header: Buffer | undefined): string | undefined {
  if (header === undefined) return 'it is cut off';
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC) return 'it is no SQLite database';
  if (header.readUInt32BE(HEADER.applicationId) !== APPLICATION_ID)
    return 'it is a database of another program';
  const format = header.readUInt32BE(HEADER.userVersion);
  if (format > SCHEMA_VERSION) return `a newer Stopgap wrote it (format ${format}, not ${SCHEMA_VERSION})`;
  return undefined;
}

function lookThrough(
  db: Database.Database,
): Pick<StoreInspection, 'fault' | 'lastRecordedAt' | 'newestRecordedAt'> {
  try {
    const finding = db.pragma('quick_check(1)', { simple: true }) as string;
    if (finding !== 'ok') return { fault: `it is damaged (${finding})` };
    const last = db.prepare<[], number | null>('SELECT max(recorded_at) FROM events').pluck().get();
    // By time, not by position: after the clock was set back the newest event says nothing of those before.
    const newest = db
      .prepare<[], number>('SELECT recorded_at FROM events ORDER BY position DESC LIMIT 1')
      .pluck()
      .get();
    return { lastRecordedAt: last ?? undefined, newestRecordedAt: newest };
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
    return { fault: `it is damaged (${error.message})` };
  }
}

function withStore<T>(file: string, held: boolean, look: (db: Database.Database) => T): T {
  const db = held ? new Database(file, { readonly: true, timeout: 1000 }) : inMemory(file);
  try {
    return look(db);
  } finally {
    db.close();
  }
}

/** In memory there is no write-ahead log: the copy is made to say that it was written without one. */
function inMemory(file: string): Database.Database {
  const bytes = fs.readFileSync(file);
  bytes.fill(ROLLBACK_JOURNAL, HEADER.writeVersion, HEADER.writeVersion + 2);
  return new Database(bytes);
}
