import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, fchownSync, lchownSync, mkdirSync, openSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';

/** The text of a file; undefined if it does not exist. @throws StopgapError `forbidden` if it may not be read */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw readFault(file, thrown);
  }
}

/** The error for a file that cannot be read, with what to do about it if that is known. */
export function readFault(file: string, thrown: unknown): unknown {
  if ((thrown as NodeJS.ErrnoException).code !== 'EACCES') return thrown;
  return new StopgapError('forbidden', `${file} ${fileFault(thrown, '')}`);
}

/** Tells a directory from every other on this machine, from within a container too; undefined if there is none. */
export async function directoryId(directory: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(directory, { bigint: true });
    return createHash('sha256').update(`${dev}:${ino}`).digest('hex').slice(0, 16);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

/**
 * Makes a directory, and those around it, that only its owner may enter; what root makes belongs to the owner of the
 * directory around it. Step by step: a recursive `mkdir` never ends if the system refuses with ENOENT, as in /proc.
 *
 * @throws the system's error
 */
export function makePrivateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
    const around = path.dirname(directory);
    if (code !== 'ENOENT' || existsSync(around)) throw thrown;
    makePrivateDirectory(around);
    makePrivateDirectory(directory);
    return;
  }
  // The owner of the directory around it may put a link in its place: what that points to is given to nobody.
  giveAsRoot(path.dirname(directory), (uid, gid) => lchownSync(directory, uid, gid));
}

function giveAsRoot(around: string, give: (uid: number, gid: number) => void): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(around);
  try {
    give(uid, gid);
  } catch (thrown) {
    // In a container root may lack the right, or the owner may be unknown there. Then root is the service.
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== 'EPERM' && code !== 'EINVAL') throw thrown;
  }
}

/**
 * Gives a file that root has just made to the owner of the directory that it was made in: a command of root's may come
 * before the service, which must be able to use the file. By its descriptor, and only if it was opened with `x`: the
 * owner of the directory may put a link to a file of root's under its name.
 *
 * @throws the system's error
 */
export function giveMade(descriptor: number, directory: string): void {
  giveAsRoot(directory, (uid, gid) => fchownSync(descriptor, uid, gid));
}

/**
 * Makes a file that only its owner may read, and opens it; what root makes belongs to the owner of the directory.
 *
 * @param flags `wx` or the like, so that nothing is opened that is there
 * @returns the descriptor
 * @throws the system's error: EEXIST if there is something
 */
export function createPrivate(file: string, flags: 'wx' | 'ax' = 'wx'): number {
  const descriptor = openSync(file, flags, 0o600);
  try {
    giveMade(descriptor, path.dirname(file));
  } catch (thrown) {
    closeSync(descriptor);
    throw thrown;
  }
  return descriptor;
}

/** What {@link makePrivateDirectory} threw, in words: the setting that names the directory, and what to do about it. */
export function directoryFault(thrown: unknown, setting: string, directory: string): unknown {
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return thrown;
  const why =
    code === 'EEXIST' || code === 'ENOTDIR'
      ? 'is a file, or lies in one: name a directory'
      : code === 'EACCES' || code === 'EPERM'
        ? `cannot be made by this user (id ${process.getuid?.() ?? '?'}): make it and give it to that user with chown, or name another`
        : `cannot be made (${code}): name another`;
  return new StopgapError('invalid-input', `${setting}: the directory ${directory} ${why}`);
}

/**
 * Replaces a file as a whole: after a crash there is the old content or the new one, and once this resolves it is the
 * new one. A symbolic link stays; what it points to is replaced. The file keeps its owner and mode; a new one is its
 * directory's owner's alone, since root adds accounts to the files of a service.
 *
 * @throws StopgapError `forbidden` if the file is somebody else's and could not be theirs any more
 */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  makePrivateDirectory(path.dirname(file));
  const target = await realpath(file).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return file;
    throw thrown;
  });
  const before = await stat(target).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return undefined;
    throw thrown;
  });
  await removeLeft(target, HOUR);
  const aside = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(aside, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      // A new file of a user who may only write to the directory stays that user's own.
      if (before === undefined) giveMade(handle.fd, path.dirname(target));
      else {
        await giveTo(handle, before, target);
        await handle.chmod(before.mode & 0o777);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, target);
  } catch (thrown) {
    await unlink(aside).catch((second: NodeJS.ErrnoException) => {
      if (second.code !== 'ENOENT') throw second;
    });
    const { code } = thrown as NodeJS.ErrnoException;
    // The system does not name the file then.
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw new StopgapError('unavailable', `${file} ${fileFault(thrown, 'it is as before: free some')}`);
    throw thrown;
  }
  await syncDirectory(path.dirname(target));
}

/** What comes after the name of a file that {@link writePrivateFile} writes aside. */
const ASIDE = /^\.[0-9a-f]{12}\.tmp$/;

/**
 * Removes what killed writes of a private file have left beside it: it holds the secrets and names of its time. One that cannot
 * be removed stays.
 *
 * @param age what is younger may still be written; without it all go
 */
export async function removeLeft(file: string, age?: Milliseconds): Promise<void> {
  const folder = path.dirname(file);
  const base = path.basename(file);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(base) && ASIDE.test(one.slice(base.length)))) {
    const left = path.join(folder, name);
    if (age === undefined || (await isOlder(left, age))) await unlink(left).catch(() => undefined);
  }
}

async function isOlder(file: string, age: Milliseconds): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > age;
}

/**
 * Gives an open file away. By its descriptor: the owner of the directory may put a link to a file of root's under its name.
 *
 * @param named how the message names it
 */
export async function giveTo(
  made: FileHandle,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  named: string,
): Promise<void> {
  const own = await made.stat();
  if (own.uid === uid && own.gid === gid) return;
  try {
    await made.chown(uid, gid);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EPERM') throw thrown;
    throw new StopgapError(
      'forbidden',
      `${named} belongs to user id ${uid} and group id ${gid}, who would lose it: run this as that user, as in sudo -u '#${uid}', or as root`,
    );
  }
}

/** Makes a new name in this directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What the operating system says of a file that was named, in words. */
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EISDIR: 'is a folder',
  EEXIST: 'exists already',
  ENOSPC: 'finds no room on its disk',
  EDQUOT: 'finds no room on its disk',
  EROFS: 'is on a disk that is read-only',
};

/**
 * Why a file cannot be used, and what to do about it; to be read after its name.
 *
 * @param remedy if it is not a question of who may use it
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
  // A file is made where it is not there: it is its folder that is missing.
  if (code === 'ENOENT' && use === 'written') return `is in a folder that does not exist; ${remedy}`;
  return `${WORDS[code ?? ''] ?? `cannot be ${use} (${code ?? messageOf(thrown)})`}; ${remedy}`;
}

const LASTING: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'EPERM',
  'EROFS',
]);

/** Whether somebody has to give a right, or name another file. Otherwise the system may be able to do it the next time. */
export function staysAsItIs(thrown: unknown): boolean {
  return LASTING.has((thrown as NodeJS.ErrnoException).code);
}

/** What {@link fileFault} says of an error that names its file, as a whole sentence; undefined of any other. */
export function pathFault(thrown: unknown): string | undefined {
  const { path, code, syscall } = (thrown ?? {}) as NodeJS.ErrnoException;
  if (path === undefined || code === undefined || syscall === undefined) return undefined;
  return `${path} ${fileFault(thrown, 'see that it is what it should be', 'used')}`;
}

/**
 * Whether there is something at a path. `existsSync` reports a path that this user may not read as missing.
 *
 * @throws StopgapError `forbidden` if this user may not look
 */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (thrown) {
    throw new StopgapError('forbidden', pathFault(thrown) ?? messageOf(thrown));
  }
}

/*
 * A file that is watched may lose most of its entries by accident, and then is not taken over. What the command line
 * removes is meant: it leaves a comment at the end that says how many entries there are now. A file that was cut has lost
 * it, and one that was changed otherwise has another number of entries.
 */

const markOf = (entries: number | string): string => `# so many entries are left by stopgap: ${entries}\n`;
const ANY_MARK = new RegExp(`^${markOf('\\d+')}`, 'gm');

/** The text with the mark at its end, and no other. */
export function withLeftMark(text: string, entries: number): string {
  const kept = withoutLeftMark(text);
  // A mark after a last line without an end would become part of the entry that is there.
  return `${kept}${kept.endsWith('\n') ? '' : '\n'}${markOf(entries)}`;
}

export function withoutLeftMark(text: string): string {
  return text.replace(ANY_MARK, '');
}

/** Whether the command line left a file so: with so many entries, and nothing cut off. */
export function isLeftSo(content: string | Buffer, entries: number): boolean {
  const mark = `\n${markOf(entries)}`;
  return content.slice(-mark.length).toString() === mark;
}
