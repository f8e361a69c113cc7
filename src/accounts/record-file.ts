import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { link, open, readFile, rename, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { YAMLMap } from 'yaml';
import { isMap, isSeq, parseDocument, stringify, YAMLSeq } from 'yaml';
import { isDiskFull, StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import {
  fileFault,
  giveMade,
  makePrivateDirectory,
  readIfThere,
  staysAsItIs,
  withLeftMark,
  withoutLeftMark,
  writePrivateFile,
} from './private-file.js';
import type { RecordLines } from './yaml-source.js';
import { blockOf, recordsOf, YamlSource } from './yaml-source.js';

type Fields = Readonly<Record<string, unknown>>;

/** What becomes of the records of a file. */
export type RecordChange =
  | { readonly add: readonly Fields[] }
  /** Of the record at an index, the fields that change; one that is undefined goes. */
  | { readonly at: number; readonly set: Fields }
  | { readonly remove: number };

export interface RecordFile {
  readonly file: string;
  /** The key of the list. */
  readonly list: string;
  /** The comment that a new file begins with. */
  readonly comment: string;
  /** The names of the records, in order. Refuses a file that is broken, by throwing: it must not be written over. */
  readonly names: (text: string) => readonly string[];
}

/**
 * Changes such a file under its lock, as a whole and durably; comments in it stay. A file that does not exist is
 * made.
 *
 * @param decide what to change, by the names that there are; undefined: nothing
 */
export function changeRecords(
  target: RecordFile,
  decide: (names: readonly string[]) => RecordChange | undefined,
  options?: LockOptions,
): Promise<void> {
  return withFileLock(
    target.file,
    async () => {
      const before = (await readIfThere(target.file)) ?? `# ${target.comment}\n${target.list}: []\n`;
      const text = withoutLeftMark(before);
      const names = target.names(text);
      const change = decide(names);
      if (change === undefined) return;
      // One without an end of its last line would be looked at twice: it might be half written.
      const after = changedText(text, target, change).replace(/[^\n]$/, '$&\n');
      await writePrivateFile(target.file, 'remove' in change ? withLeftMark(after, names.length - 1) : after);
    },
    options,
  );
}

/** Only the lines of the record that changes are touched, if the file has the form that Stopgap writes. */
function changedText(text: string, { file, list }: RecordFile, change: RecordChange): string {
  const block = blockOf(text, list);
  if (block === undefined) return changedDocument(text, file, list, change);
  const { indent } = block;
  if ('add' in change) {
    const isWhole = text.endsWith('\n');
    return `${text}${isWhole ? '' : '\n'}${indented(stringify(change.add, { lineWidth: 0 }), indent)}`;
  }
  const records = [...recordsOf(text, block)];
  if ('remove' in change) {
    if (records.length === 1) return changedDocument(text, file, list, change);
    const record = records[change.remove]!;
    return text.slice(0, record.start) + text.slice(contentEnd(text, record));
  }
  const record = records[change.at]!;
  const end = contentEnd(text, record);
  const document = parseDocument(text.slice(record.start, end));
  const entry = (document.contents as unknown as YAMLSeq).items[0] as YAMLMap;
  setFields(entry, change.set);
  const lines = indented(document.toString({ lineWidth: 0 }), indent);
  return text.slice(0, record.start) + lines + text.slice(end);
}

function setFields(entry: YAMLMap, fields: Fields): void {
  for (const [field, value] of Object.entries(fields))
    if (value === undefined) entry.delete(field);
    else entry.set(field, value);
}

/** Where comments and empty lines begin after a record: they may be about the next. */
function contentEnd(text: string, { start, end }: RecordLines): number {
  let at = end;
  while (at > start) {
    const before = text.lastIndexOf('\n', at - 2) + 1;
    if (!/^\s*(?:#.*)?$/s.test(text.slice(before, at))) return at;
    at = before;
  }
  return at;
}

/** Only LF ends a line here: for `^` and `.` U+2028 does too, and a name that has it would become another. */
function indented(lines: string, indent: number): string {
  return lines.replace(/(?<=^|\n)(?=[^\n])/g, ' '.repeat(indent));
}

function changedDocument(text: string, file: string, list: string, change: RecordChange): string {
  const { doc } = new YamlSource(text, file);
  if (!isMap(doc.contents)) doc.contents = doc.createNode({}) as unknown as typeof doc.contents;
  if (!isSeq(doc.get(list, true))) doc.set(list, new YAMLSeq());
  const items = doc.get(list, true) as YAMLSeq;
  if ('add' in change) {
    // One record a line block: a list in brackets grows into a line that nobody can read.
    items.flow = false;
    for (const record of change.add) items.add(doc.createNode(record));
  } else if ('remove' in change) {
    items.delete(change.remove);
    if (items.items.length === 0) items.flow = true;
  } else {
    const entry = items.items[change.at];
    if (isMap(entry)) setFields(entry, change.set);
  }
  return doc.toString({ lineWidth: 0 });
}

/** True for what YAML gives as text; a name such as 2024 or true is none unless it is quoted. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

export interface LockOptions {
  /** How long to try. 5 s by default. */
  readonly patience?: Milliseconds;
  /** A lock whose process cannot be asked for is taken for left behind at this age. 60 s by default. */
  readonly staleAfter?: Milliseconds;
  /** Waits between two tries; tests put their own here. */
  readonly pause?: (span: Milliseconds) => Promise<void>;
  readonly now?: () => number;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: number;
  readonly nonce: string | undefined;
}

/** Of the locks that this process holds: one that has its number and is not among them is a former process's. */
const held = new Set<string>();

const PAUSE: Milliseconds = 50;

/**
 * Does `work` while holding `<file>.lock`, so that two writers of one file come one after the other. The lock names its
 * holder (the file's directory is created if it is missing); one whose process is gone (or, from another machine or
 * another process 1, that is too old) is swept away.
 *
 * @throws StopgapError `unavailable` if the lock stays taken or cannot be made now, `forbidden` if this user may not write
 * there; what `work` throws
 */
export async function withFileLock<T>(
  file: string,
  work: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const { patience = 5 * SECOND, staleAfter = 60 * SECOND, now = Date.now } = options;
  const pause = options.pause ?? ((span: Milliseconds) => wait(span).then(() => undefined));
  const lock = `${file}.lock`;
  makePrivateDirectory(path.dirname(file));
  const own = nonce();
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), since: now(), nonce: own });
  const tries = Math.max(1, Math.ceil(patience / PAUSE));
  held.add(own);
  try {
    for (let attempt = 1; !(await create(file, lock, mine)); attempt += 1) {
      await sweep(lock, staleAfter, now());
      if (attempt >= tries) {
        throw new StopgapError(
          'unavailable',
          `${file} is being changed by another process; try again, or remove ${lock} where none is running`,
        );
      }
      await pause(PAUSE);
    }
    const since = performance.now();
    try {
      return await work();
    } finally {
      await release(lock, mine, () => performance.now() - since < staleAfter);
    }
  } finally {
    held.delete(own);
  }
}

/** Never rejects: what became of the work is what counts, and a lock that stays is swept by its age. */
async function release(lock: string, mine: string, isFresh: () => boolean): Promise<void> {
  try {
    // To look takes a descriptor, to unlink none. Nobody takes a fresh lock from a process that lives.
    const seen = await content(lock).catch(() => (isFresh() ? mine : undefined));
    if (seen === mine) await unlink(lock);
  } catch {
    // Somebody has removed it, or the disk is failing.
  }
}

async function create(file: string, lock: string, mine: string): Promise<boolean> {
  // Written aside and linked: a lock that is there always says whose it is.
  const aside = `${lock}.${nonce()}`;
  const handle = await open(aside, 'wx', 0o600).catch((thrown: unknown) => {
    throw lockFault(file, thrown);
  });
  try {
    await writeLock(handle, lock, mine).catch((thrown: unknown) => {
      throw lockFault(file, thrown);
    });
    await link(aside, lock);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw thrown;
  } finally {
    await unlink(aside);
  }
}

async function writeLock(handle: FileHandle, lock: string, mine: string): Promise<void> {
  try {
    giveMade(handle.fd, path.dirname(lock));
    await handle.writeFile(mine);
  } finally {
    await handle.close();
  }
}

/** The system does not name the file where the disk is full. */
function lockFault(file: string, thrown: unknown): StopgapError {
  const { code } = thrown as NodeJS.ErrnoException;
  const stays = staysAsItIs(thrown);
  const first = isDiskFull(thrown)
    ? 'make room, or '
    : code === 'EROFS'
      ? 'mount it writable, or '
      : stays
        ? ''
        : 'try again, or ';
  const fault = fileFault(thrown, `${first}name another`, 'written');
  return new StopgapError(stays ? 'forbidden' : 'unavailable', `${file} ${fault}`);
}

async function sweep(lock: string, staleAfter: Milliseconds, now: number): Promise<void> {
  const seen = await content(lock);
  if (seen === undefined || !isStale(seen, staleAfter, now)) return;
  const aside = `${lock}.${nonce()}`;
  try {
    await rename(lock, aside);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return; // somebody else has swept it
    throw thrown;
  }
  try {
    // Between the look and the rename another may have swept and locked: then its lock goes back, as does one that
    // cannot be looked at.
    if ((await content(aside).catch(() => undefined)) !== seen) {
      await link(aside, lock).catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code !== 'EEXIST') throw thrown;
      });
    }
  } finally {
    await unlink(aside);
  }
}

function isStale(text: string, staleAfter: Milliseconds, now: number): boolean {
  const holder = holderOf(text);
  if (holder === undefined) return true; // ours are never half written
  const isOurs = holder.host === hostname();
  // Number 1 is the process of each container, and may be of several under one host name: only age tells.
  const isNamesake = isOurs && holder.pid === process.pid && !held.has(holder.nonce ?? '');
  if (!isOurs || isNamesake) return now - holder.since > staleAfter;
  try {
    process.kill(holder.pid, 0);
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function holderOf(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null;
    const { pid, host, since, nonce } = holder ?? {};
    if (typeof pid !== 'number' || typeof host !== 'string' || typeof since !== 'number') return undefined;
    return { pid, host, since, nonce };
  } catch {
    return undefined; // JSON.parse has no other way to say "not JSON"
  }
}

async function content(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

function nonce(): string {
  return randomBytes(6).toString('hex');
}
