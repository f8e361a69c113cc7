import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, realpath, rename, unlink } from 'node:fs/promises';
import path from 'node:path';

/** The text of a file; undefined where it does not exist. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

/**
 * Replaces a file as a whole, readable by its owner only: after a crash there is the old content or the new one,
 * and once this resolves it is the new one. A symbolic link stays; what it points to is replaced.
 */
export async function writePrivateFile(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const target = await realpath(file).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return file;
    throw thrown;
  });
  const aside = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(aside, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, target);
  } catch (thrown) {
    await unlink(aside).catch((second: NodeJS.ErrnoException) => {
      if (second.code !== 'ENOENT') throw second;
    });
    throw thrown;
  }
  await syncDirectory(path.dirname(target));
}

/** Makes a rename in this directory durable. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
