import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { StopgapError } from '../kernel/errors.js';
import { fileFault } from './file-fault.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { makePrivateDirectory } from './private-file.js';

export interface LockOptions {
  /** How long to try. 5 s by default. */
  readonly patience?: Milliseconds;
  /** A lock of another machine is taken for left behind at this age. 60 s by default. */
  readonly staleAfter?: Milliseconds;
  /** Waits between two tries; tests put their own here. */
  readonly pause?: (span: Milliseconds) => Promise<void>;
  readonly now?: () => number;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: number;
}

const PAUSE: Milliseconds = 50;

/**
 * Does `work` while holding `<file>.lock`, so that two writers of one file come one after the other. The lock
 * names its holder (the file's directory is made where it is missing); one whose process is gone (or, from another machine, that is too old) is swept away.
 *
 * @throws StopgapError `unavailable` where the lock stays taken, `forbidden` where this user may not write there
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
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), since: now(), nonce: nonce() });
  const tries = Math.max(1, Math.ceil(patience / PAUSE));
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
  try {
    return await work();
  } finally {
    if ((await content(lock)) === mine) await unlink(lock);
  }
}

async function create(file: string, lock: string, mine: string): Promise<boolean> {
  // Written aside and linked: a lock that is there always says whose it is.
  const aside = `${lock}.${nonce()}`;
  const handle = await open(aside, 'wx', 0o600).catch((thrown: unknown) => {
    throw new StopgapError(
      'forbidden',
      `${file} ${fileFault(thrown, 'make room, or name another', 'written')}`,
    );
  });
  try {
    await handle.writeFile(mine);
  } finally {
    await handle.close();
  }
  try {
    await link(aside, lock);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw thrown;
  } finally {
    await unlink(aside);
  }
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
  // Between the look and the rename another may have swept and locked: then its lock goes back.
  if ((await content(aside)) !== seen) {
    await link(aside, lock).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== 'EEXIST') throw thrown;
    });
  }
  await unlink(aside);
}

function isStale(text: string, staleAfter: Milliseconds, now: number): boolean {
  const holder = holderOf(text);
  if (holder === undefined) return true; // ours are never half written
  if (holder.host !== hostname()) return now - holder.since > staleAfter;
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
    const { pid, host, since } = holder ?? {};
    if (typeof pid !== 'number' || typeof host !== 'string' || typeof since !== 'number') return undefined;
    return { pid, host, since };
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
