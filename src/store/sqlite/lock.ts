import fs from 'node:fs';
import os from 'node:os';
import Database from 'better-sqlite3';
import { isDiskFull, messageOf } from '../../kernel/errors.js';
import { formatInstant, type Clock } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';

/** The hold that one process has on a store; the operating system ends it with the process, however it dies. */
export interface Lock {
  release(): void;
}

/** Who has a store open, by its own account. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
}

/**
 * Takes the store's lock: a small SQLite file beside it whose write lock is held for as long as the store is
 * open. A write lock lets others read, so the file itself says who holds it.
 *
 * Nothing in this process may open and close the lock file, or the store's file, by other means while it
 * is held: POSIX drops a process's locks on a file as soon as the process closes any descriptor of it.
 *
 * @throws StoreRefused where somebody holds it, or where it cannot be written
 */
export function takeLock(file: string, clock: Clock): Lock {
  const path = `${file}.lock`;
  createPrivate(path);
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

/** Writes down who holds the lock, and gives it up for that. A full disk leaves it unsaid: to hold it needs no room. */
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

/** Makes an empty file for its owner's eyes only, unless there is one. SQLite's side files inherit its mode. */
export function createPrivate(path: string): void {
  try {
    fs.closeSync(fs.openSync(path, 'wx', 0o600));
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

export function diskFull(path: string, error: unknown): StoreRefused {
  return new StoreRefused(
    `${path} cannot be opened: the disk is full (${messageOf(error)}); make room on it`,
    error,
  );
}

export function readHolder(db: Database.Database): Holder | undefined {
  try {
    return db.prepare<[], Holder>('SELECT pid, host, since FROM holder').get();
  } catch (error) {
    // The holder is just writing its name: the refusal stands without it.
    if (error instanceof Database.SqliteError) return undefined;
    throw error;
  }
}
