import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Database from 'better-sqlite3';
import { createPrivate, makePrivateDirectory } from '../../accounts/private-file.js';
import { isDiskFull, messageOf } from '../../kernel/errors.js';
import type { Clock } from '../../kernel/time.js';
import { formatInstant } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';
import { refuseUnloadable } from './library.js';
import { APPLICATION_ID, createSchema, EVENT_COLUMNS, SCHEMA_VERSION, upgradeSchema } from './schema.js';

const MAGIC = 'SQLite format 3\0';
const HEADER_LENGTH = 100;

/** After an unclean end the whole file is checked up to this size in bytes; a larger one would hold up the start. */
const QUICK_CHECK_LIMIT = 64 * 1024 * 1024;

const RESTORE = 'restore it from a backup, or move it away to start with an empty store';

/**
 * Creates the store's directory if it does not exist, and checks that the path can be a file.
 *
 * @returns the path without symbolic links, so that all ways to one file meet at one lock
 */
export function prepareDirectory(file: string): string {
  try {
    makePrivateDirectory(path.dirname(file));
  } catch (error) {
    throw new StoreRefused(
      `the directory of ${file} cannot be made (${messageOf(error)}): configure another data directory`,
    );
  }
  try {
    const exists = fs.statSync(file, { throwIfNoEntry: false });
    if (!exists) return path.join(fs.realpathSync(path.dirname(file)), path.basename(file));
    if (exists.isFile()) return fs.realpathSync(file);
  } catch (error) {
    throw explain(file, error);
  }
  throw new StoreRefused(`${file} is not a file: configure the path of a file, or of one to be made`);
}

/** Room that opening the store takes at most, for what SQLite keeps beside the file: bytes. */
const RESERVE = 256 * 1024;

/** Keeps some room on the disk beside the store, so that it can be opened where others have filled the rest. */
export function keepReserve(file: string): void {
  const reserve = `${file}.reserve`;
  if (fs.statSync(reserve, { throwIfNoEntry: false })?.size === RESERVE) return;
  try {
    fs.rmSync(reserve, { force: true });
    const descriptor = createPrivate(reserve);
    try {
      // File systems that compress need no room for zeros.
      fs.writeFileSync(descriptor, randomBytes(RESERVE));
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    if (!isDiskFull(error)) throw explain(reserve, error);
  }
}

/** Gives up what {@link keepReserve} kept; says whether there was any. */
export function giveUpReserve(file: string): boolean {
  const reserve = `${file}.reserve`;
  if (!fs.existsSync(reserve)) return false;
  fs.rmSync(reserve);
  return true;
}

/**
 * Sees that the file is a store that this version can use, and creates it if it is new. Call it under the store's lock,
 * before any other connection.
 *
 * @throws StoreRefused
 */
export function prepareFile(file: string): void {
  createUnlessThere(file);
  const unclean = (fs.statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
  checkHeader(file, unclean);
  try {
    fs.accessSync(file, fs.constants.R_OK | fs.constants.W_OK);
    const db = new Database(file, { timeout: 1000 });
    try {
      identify(db, file);
      if (unclean && fs.statSync(file).size <= QUICK_CHECK_LIMIT) check(db, file);
    } finally {
      db.close();
    }
  } catch (error) {
    throw explain(file, error);
  }
}

function checkHeader(file: string, unclean: boolean): void {
  const { header, size } = readHeader(file);
  if (size === 0) return;
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new StoreRefused(
      `${file} is not a Stopgap store: it does not begin like an SQLite database; move it away or configure another path`,
    );
  }
  if (size < HEADER_LENGTH) throw new StoreRefused(`${file} is cut off after ${size} bytes: ${RESTORE}`);
  // With a write-ahead log to replay, the file may rightly be shorter than its header says.
  if (unclean) return;
  const pageSize = header.readUInt16BE(16) === 1 ? 65536 : header.readUInt16BE(16);
  const expected = pageSize * header.readUInt32BE(28);
  if (size < expected) {
    throw new StoreRefused(`${file} is cut off: ${size} of ${expected} bytes are there; ${RESTORE}`);
  }
}

function readHeader(file: string): { header: Buffer; size: number } {
  const header = Buffer.alloc(HEADER_LENGTH);
  try {
    const descriptor = fs.openSync(file, 'r');
    try {
      fs.readSync(descriptor, header, 0, HEADER_LENGTH, 0);
      return { header, size: fs.fstatSync(descriptor).size };
    } finally {
      fs.closeSync(descriptor);
    }
  } catch (error) {
    throw explain(file, error);
  }
}

function identify(db: Database.Database, file: string): void {
  const applicationId = db.pragma('application_id', { simple: true }) as number;
  const version = db.pragma('user_version', { simple: true }) as number;
  const tables = db
    .prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all();
  if (applicationId === 0 && version === 0 && tables.length === 0) {
    // It must be said before there is anything.
    db.pragma('auto_vacuum = INCREMENTAL');
    db.pragma('journal_mode = WAL');
    createSchema(db);
    return;
  }
  if (applicationId !== APPLICATION_ID) {
    throw new StoreRefused(
      `${file} is an SQLite database of another program (application_id ${applicationId}, tables: ${tables.map(({ name }) => name).join(', ') || 'none'}): configure another path`,
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new StoreRefused(
      `${file} was written by a newer Stopgap (format ${version}; this one reads up to ${SCHEMA_VERSION}): upgrade, or restore a backup made before`,
    );
  }
  if (version < 1) throw new StoreRefused(`${file} has no valid format version (${version}): ${RESTORE}`);
  db.pragma('journal_mode = WAL');
  if (version < SCHEMA_VERSION) upgradeSchema(db, version);
  // Preparing fails if a table or column is missing; stepping fails if its pages are damaged.
  db.prepare(`SELECT ${EVENT_COLUMNS} FROM events ORDER BY position DESC LIMIT 1`).get();
  db.prepare('SELECT id, name, category_id, swept FROM streams LIMIT 1').get();
  db.prepare('SELECT id, name, max_age FROM categories LIMIT 1').get();
  db.prepare("SELECT value FROM counters WHERE name = 'head'").get();
}

function check(db: Database.Database, file: string): void {
  const finding = db.pragma('quick_check(1)', { simple: true }) as string;
  // SQLite begins with a line of its own for the database.
  const text = finding.split('\n').join(' ');
  if (finding !== 'ok') throw new StoreRefused(`${file} is damaged (${text}): ${RESTORE}`);
}

/** What is said where SQLite finds the file damaged; undefined of any other error. */
export function damageOf(file: string, error: unknown): string | undefined {
  const code = error instanceof Database.SqliteError ? error.code : '';
  if (code !== 'SQLITE_NOTADB' && !code.startsWith('SQLITE_CORRUPT')) return undefined;
  return `${file} is damaged (${messageOf(error)}): ${RESTORE}`;
}

function explain(file: string, error: unknown): StoreRefused {
  if (error instanceof StoreRefused) return error;
  if (isDiskFull(error)) return diskFull(file, error);
  const damage = damageOf(file, error);
  if (damage !== undefined) return new StoreRefused(damage);
  const code = error instanceof Database.SqliteError ? error.code : '';
  // A table or a column is missing.
  if (code === 'SQLITE_ERROR')
    return new StoreRefused(`${file} is damaged (${messageOf(error)}): ${RESTORE}`);
  if (code.startsWith('SQLITE_BUSY')) {
    return new StoreRefused(`${file} is locked by another program: stop whatever writes to it`);
  }
  return new StoreRefused(
    `${file} cannot be opened (${messageOf(error)}): make it readable and writable for the user that runs Stopgap`,
  );
}

/** The hold that one process has on a store; the operating system ends it with the process, however it dies. */
export interface Lock {
  release(): void;
}

/** The process that has a store open, by its own account. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
}

/**
 * Takes the store's lock: a small SQLite file beside it whose write lock is held for as long as the store is open. A
 * write lock lets others read, so the file itself says who holds it.
 *
 * Nothing in this process may open and close the lock file, or the store's file, by other means while it is held: POSIX
 * drops a process's locks on a file as soon as the process closes any descriptor of it.
 *
 * @throws StoreRefused if somebody holds it, it cannot be written, or SQLite cannot be loaded
 */
export function takeLock(file: string, clock: Clock): Lock {
  const path = `${file}.lock`;
  refuseUnloadable();
  createUnlessThere(path);
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { timeout: 0 });
    db.exec('BEGIN IMMEDIATE');
    sign(db, clock);
    db.exec('BEGIN IMMEDIATE');
  } catch (error) {
    const refusal = refuse(file, path, db, error);
    db?.close();
    throw refusal;
  }
  const held = db;
  return { release: () => void held.close() };
}

/**
 * Writes down which process holds the lock, and releases the lock by that. On a full disk nothing is written: the lock
 * itself needs no room.
 */
function sign(db: Database.Database, clock: Clock): void {
  try {
    db.exec('CREATE TABLE IF NOT EXISTS holder (pid INTEGER, host TEXT, since TEXT)');
    db.exec('DELETE FROM holder');
    db.prepare<[number, string, string]>('INSERT INTO holder VALUES (?, ?, ?)').run(
      process.pid,
      os.hostname(),
      formatInstant(clock.now()),
    );
    db.exec('COMMIT');
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    if (db.inTransaction) db.exec('ROLLBACK');
  }
}

/** Makes an empty file for its owner's eyes only, unless there is one. SQLite's side files inherit owner and mode. */
function createUnlessThere(path: string): void {
  try {
    fs.closeSync(createPrivate(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    if (isDiskFull(error)) throw diskFull(path, error);
    throw new StoreRefused(
      `${path} cannot be created (${messageOf(error)}): give the data directory to the user that runs Stopgap, or configure another one`,
    );
  }
}

function refuse(file: string, path: string, db: Database.Database | undefined, error: unknown): StoreRefused {
  const code = error instanceof Database.SqliteError ? error.code : '';
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    const holder = db && readHolder(db);
    const who = holder ? `process ${holder.pid} on ${holder.host} since ${holder.since}` : 'another process';
    return new StoreRefused(
      `${file} is in use by ${who}: a store serves one process at a time; stop that one or configure another data directory`,
    );
  }
  if (code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT')) {
    return new StoreRefused(
      `${path} is no lock file of Stopgap's: move it away; the store itself is ${file}`,
    );
  }
  if (isDiskFull(error)) return diskFull(path, error);
  return new StoreRefused(
    `${path} cannot be locked (${messageOf(error)}): make it writable for the user that runs Stopgap`,
  );
}

function diskFull(path: string, error: unknown): StoreRefused {
  return new StoreRefused(
    `${path} cannot be opened: the disk is full (${messageOf(error)}); make room on it`,
    error,
  );
}

export function readHolder(db: Database.Database): Holder | undefined {
  try {
    return db.prepare<[], Holder>('SELECT pid, host, since FROM holder').get();
  } catch (error) {
    // The holder is just writing its name: the refusal is right without it.
    if (error instanceof Database.SqliteError) return undefined;
    throw error;
  }
}
