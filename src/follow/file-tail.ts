import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Instant } from '../kernel/time.js';
import type { LiveLog, Piece } from './follower.js';

/** How far a log file has been read. */
export interface FilePlace {
  readonly device: number;
  readonly inode: number;
  /** Bytes: the end of a whole line. */
  readonly offset: number;
  /** A hash of what lies just before it: an inode is used again, and a file that was cut grows beyond where it was. */
  readonly before: string;
  /** When that file was last written to before it was read so far. */
  readonly writtenAt: Instant;
}

/** Bytes that are read at once. */
const AT_ONCE = 64 * 1024;
/** Bytes that show that a file is the one that was read: more than a line has, as a rule. */
const FINGERPRINT = 512;
/** What is read again after a restart, since later lines say more of the same messages. */
const CONTEXT = 16 * 1024 * 1024;
const NEWLINE = 10;

/** Rotated logs have the name of the log and a number or a date, or `old`. Packed ones cannot be read from where they were. */
const ROTATED = /^[.-](?:\d[\d.:T_-]*|old)$/;
const NUMBERED = /^\.(\d{1,4})$/;

/**
 * A log file that is written to, through its rotation, by renaming or by copying and cutting. It gives whole lines, each once,
 * as long as no rotated file is packed before it is read.
 */
export class FileTail implements LiveLog<FilePlace> {
  readonly #path: string;
  readonly #tell: (text: string) => void;
  /** Whether there is no file to read from, which is told. */
  #isAwaited = false;

  /** @param tell told where there is no file, and where lines are lost, since a rotated file is not there any more */
  constructor(file: string, tell: (text: string) => void) {
    this.#path = file;
    this.#tell = tell;
  }

  async *before(place: FilePlace): AsyncGenerator<Buffer> {
    try {
      const logs = await this.#logs();
      const own = await this.#holding(logs, place);
      if (own === undefined) return;
      const before = logs[logs.indexOf(own) - 1];
      const missing = CONTEXT - place.offset;
      if (before !== undefined && missing > 0) yield* tailOf(before, before.size, missing);
      yield* tailOf(own, place.offset, CONTEXT);
    } catch (error) {
      // It is read to know more of later lines; without it they still count.
      if (!(error instanceof Moved)) throw error;
    }
  }

  async *follow(from: FilePlace | undefined): AsyncGenerator<Piece<FilePlace> | undefined> {
    let log: OpenLog | undefined;
    let place = from ?? NOWHERE;
    try {
      if (from === undefined) {
        log = await steadily(() => this.#atEnd());
        place = log?.place ?? place;
        yield { bytes: Buffer.alloc(0), end: place };
      }
      for (;;) {
        if (log === undefined) {
          const found: FilePlace = place;
          log = await steadily(() => this.#resume(found));
          if (log === undefined) {
            if (!this.#isAwaited) this.#tell(`${this.#path} is not there: it is waited for`);
            this.#isAwaited = true;
            yield undefined;
          } else this.#isAwaited = false;
          continue;
        }
        const piece = await log.read();
        const next = piece === undefined ? await this.#next(log) : undefined;
        if (piece === 'cut') {
          // What had not been read of it is in a copy, or in none.
          ({ place } = log);
          await log.close();
          log = undefined;
        } else if (piece !== undefined) yield piece;
        else if (next === undefined) yield undefined;
        else {
          // Its last lines may have come since it was read: the next file gets none before them.
          for (let last = await log.read(); last !== undefined && last !== 'cut'; last = await log.read())
            yield last;
          const rest = await log.rest();
          if (rest !== undefined) yield rest;
          const opened = await OpenLog.at(next, 0).catch(unlessMoved);
          if (opened === undefined) continue;
          await log.close();
          log = opened;
        }
      }
    } finally {
      await log?.close();
    }
  }

  async #atEnd(): Promise<OpenLog | undefined> {
    const last = (await this.#logs()).at(-1);
    return last === undefined ? undefined : OpenLog.at(last, await endOfLines(last));
  }

  async #resume(place: FilePlace): Promise<OpenLog | undefined> {
    const logs = await this.#logs();
    const own = await this.#holding(logs, place);
    if (own !== undefined) return OpenLog.at(own, place.offset);
    if (place.offset > 0 && !this.#isAwaited)
      this.#tell(
        `${this.#path}: the file that was read last is gone, with what had not been read of it: stopgap import takes it from where it is`,
      );
    // A file of which nothing was read cannot be told from its copy: what is newer than it was then has not been read.
    const next =
      logs.find((log) => log.writtenAt > place.writtenAt || (place.offset === 0 && isOf(log, place))) ??
      logs.at(-1);
    return next === undefined ? undefined : OpenLog.at(next, 0);
  }

  /** The file with what was read up to a place: the same, renamed or not, or a copy of it. */
  async #holding(logs: readonly Log[], place: FilePlace): Promise<Log | undefined> {
    if (place.offset === 0) return undefined;
    const own = logs.filter((log) => isOf(log, place));
    for (const log of [...own, ...logs.filter((one) => !own.includes(one))])
      if (await holds(log, place)) return log;
    return undefined;
  }

  /** The file that comes after one that has been read to its end, once something is in it. */
  async #next(log: OpenLog): Promise<Log | undefined> {
    const current = await statOf(this.#path);
    if (current !== undefined && log.is(current)) return undefined;
    const logs = await this.#logs();
    const index = logs.findIndex((one) => log.is({ dev: one.device, ino: one.inode }));
    if (index >= 0) return logs.slice(index + 1).find(({ size }) => size > 0);
    const filled = logs.filter(({ size }) => size > 0);
    // Where the clock went back none is later: what has the name of the log has not been read.
    return (
      filled.find(({ writtenAt }) => writtenAt > log.place.writtenAt) ?? filled.find(({ end }) => end === '')
    );
  }

  /** The log and its rotated ones, the oldest first. */
  async #logs(): Promise<readonly Log[]> {
    const name = path.basename(this.#path);
    const folder = path.dirname(this.#path);
    const names = (await readdir(folder)).filter((one) => one.startsWith(name));
    const logs: Log[] = [];
    for (const one of names) {
      const end = one.slice(name.length);
      if (end !== '' && !ROTATED.test(end)) continue;
      const file = path.join(folder, one);
      const found = await statOf(file);
      if (found?.isFile() !== true) continue;
      const { dev: device, ino: inode, size, mtimeMs: writtenAt } = found;
      logs.push({ path: file, end, device, inode, size, writtenAt });
    }
    const rotated = logs.filter(({ end }) => end !== '');
    const numbered = rotated.filter(({ end }) => NUMBERED.test(end)).length;
    const numberOf = ({ end }: Log): number => Number(end.slice(1));
    if (numbered === rotated.length) rotated.sort((a, b) => numberOf(b) - numberOf(a));
    else if (numbered === 0) rotated.sort((a, b) => (a.end < b.end ? -1 : 1));
    else rotated.sort((a, b) => a.writtenAt - b.writtenAt);
    return [...rotated, ...logs.filter(({ end }) => end === '')];
  }
}

interface Log {
  readonly path: string;
  /** What its name has after that of the log. */
  readonly end: string;
  readonly device: number;
  readonly inode: number;
  readonly size: number;
  readonly writtenAt: Instant;
}

/** Where nothing has been read, since there was no file. */
const NOWHERE: FilePlace = { device: 0, inode: 0, offset: 0, before: '', writtenAt: 0 };

/** A log was rotated just when it was to be opened: another file may have its name. */
class Moved extends Error {}

function unlessMoved(error: unknown): undefined {
  if (!(error instanceof Moved)) throw error;
}

async function steadily<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 5; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left === 0) throw error;
      unlessMoved(error);
    }
  }
}

function isOf(log: Log, { device, inode }: FilePlace): boolean {
  return log.device === device && log.inode === inode;
}

async function openFound({ path: file, device, inode }: Log): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? new Moved(`${file} is gone`) : error;
  }
  const { dev, ino } = await handle.stat();
  if (dev === device && ino === inode) return handle;
  await handle.close();
  throw new Moved(`${file} is another file now`);
}

/** A log that is read from a place on. */
class OpenLog {
  readonly #handle: FileHandle;
  readonly #device: number;
  readonly #inode: number;
  #offset: number;
  #before: Buffer;
  /** What was seen of a line that has no end yet: in a file of which nothing was read, only this shows that it was cut. */
  #part: Buffer = Buffer.alloc(0);
  #writtenAt: Instant;

  private constructor(handle: FileHandle, { dev, ino, mtimeMs }: Stats, offset: number, before: Buffer) {
    this.#handle = handle;
    this.#device = dev;
    this.#inode = ino;
    this.#offset = offset;
    this.#before = before;
    this.#writtenAt = mtimeMs;
  }

  static async at(log: Log, offset: number): Promise<OpenLog> {
    const handle = await openFound(log);
    try {
      return new OpenLog(handle, await handle.stat(), offset, await fingerprint(handle, offset));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get place(): FilePlace {
    return {
      device: this.#device,
      inode: this.#inode,
      offset: this.#offset,
      before: hashOf(this.#before),
      writtenAt: this.#writtenAt,
    };
  }

  is({ dev, ino }: Pick<Stats, 'dev' | 'ino'>): boolean {
    return dev === this.#device && ino === this.#inode;
  }

  /** The next whole lines; undefined if there are none yet. `cut`: what was read of it is not in it any more. */
  async read(): Promise<Piece<FilePlace> | 'cut' | undefined> {
    const bytes = await this.#peek();
    if (bytes === 'cut' || bytes === undefined) return bytes;
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    // A line that fills all that is read at once is too long to be one of a mail log: it is passed on in parts.
    const whole = end > 0 ? end : bytes.length === AT_ONCE ? AT_ONCE : 0;
    this.#part = bytes.subarray(whole);
    return whole === 0 ? undefined : this.#pass(bytes.subarray(0, whole));
  }

  /** What comes after its last whole line: nobody will end that. */
  async rest(): Promise<Piece<FilePlace> | undefined> {
    const bytes = await this.#peek();
    if (bytes === 'cut' || bytes === undefined) return undefined;
    this.#part = Buffer.alloc(0);
    return this.#pass(Buffer.concat([bytes, Buffer.of(NEWLINE)]), bytes.length);
  }

  async #peek(): Promise<Buffer | 'cut' | undefined> {
    const { size, mtimeMs } = await this.#handle.stat();
    if (size < this.#offset) return 'cut';
    // Lines of one length may make a file that was cut as long as it was.
    if (size === this.#offset && mtimeMs === this.#writtenAt) return undefined;
    if (!(await fingerprint(this.#handle, this.#offset)).equals(this.#before)) return 'cut';
    const bytes = await read(this.#handle, this.#offset, AT_ONCE);
    if (!bytes.subarray(0, this.#part.length).equals(this.#part)) return 'cut';
    this.#writtenAt = mtimeMs;
    return bytes.length === 0 ? undefined : bytes;
  }

  #pass(bytes: Buffer, length = bytes.length): Piece<FilePlace> {
    this.#offset += length;
    this.#before = Buffer.concat([this.#before, bytes.subarray(0, length)]).subarray(-FINGERPRINT);
    return { bytes, end: this.place };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Reads so many bytes, unless the file ends before. */
async function read(handle: FileHandle, from: number, most: number): Promise<Buffer> {
  const buffer = Buffer.alloc(most);
  let length = 0;
  while (length < most) {
    const { bytesRead } = await handle.read(buffer, length, most - length, from + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

async function fingerprint(handle: FileHandle, offset: number): Promise<Buffer> {
  const length = Math.min(FINGERPRINT, offset);
  return read(handle, offset - length, length);
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('base64');
}

async function holds(log: Log, { offset, before }: FilePlace): Promise<boolean> {
  if (log.size < offset) return false;
  const handle = await openFound(log);
  try {
    return hashOf(await fingerprint(handle, offset)) === before;
  } finally {
    await handle.close();
  }
}

/** Where the last whole line of a file ends. */
async function endOfLines(log: Log): Promise<number> {
  const handle = await openFound(log);
  try {
    const from = Math.max(0, log.size - AT_ONCE);
    return from + (await read(handle, from, AT_ONCE)).lastIndexOf(NEWLINE) + 1;
  } finally {
    await handle.close();
  }
}

/** Whole lines that end where `end` is, so many bytes at most. */
async function* tailOf(log: Log, end: number, most: number): AsyncGenerator<Buffer> {
  let from = Math.max(0, end - most);
  const handle = await openFound(log);
  try {
    let isWhole = from === 0;
    while (from < end) {
      const bytes = await read(handle, from, Math.min(AT_ONCE, end - from));
      if (bytes.length === 0) return;
      from += bytes.length;
      yield isWhole ? bytes : bytes.subarray(bytes.indexOf(NEWLINE) + 1);
      isWhole = true;
    }
  } finally {
    await handle.close();
  }
}

async function statOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
