import { statSync } from 'node:fs';
import { messageOf, StopgapError } from '../kernel/errors.js';

/** What the operating system says of a file that was named, in words. */
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EISDIR: 'is a folder',
  EEXIST: 'exists already',
  ENOSPC: 'finds no room on its disk',
  EDQUOT: 'finds no room on its disk',
  EROFS: 'is on a disk that cannot be written to',
};

/**
 * Why a file cannot be used, and what to do about it; to be read after its name.
 *
 * @param remedy where it is not a question of who may use it
 */
export function fileFault(
  thrown: unknown,
  remedy: string,
  use: 'read' | 'written' | 'used' = 'read',
): string {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') {
    const who = `this user (id ${process.getuid?.() ?? '?'})`;
    return `cannot be ${use} by ${who}: give it to the service's user with chown, and run this as that user`;
  }
  return `${WORDS[code ?? ''] ?? `cannot be ${use} (${code ?? messageOf(thrown)})`}; ${remedy}`;
}

/** The same of an error that names its file, as a whole sentence; undefined of any other. */
export function pathFault(thrown: unknown): string | undefined {
  const { path, code, syscall } = (thrown ?? {}) as NodeJS.ErrnoException;
  if (path === undefined || code === undefined || syscall === undefined) return undefined;
  return `${path} ${fileFault(thrown, 'see that it is what it should be', 'used')}`;
}

/**
 * Whether there is something at a path. `existsSync` takes what this user may not look at for what is not there.
 *
 * @throws StopgapError `forbidden` where this user may not look
 */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (thrown) {
    throw new StopgapError('forbidden', pathFault(thrown) ?? messageOf(thrown));
  }
}
