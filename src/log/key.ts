import { randomBytes } from 'node:crypto';
import { link, open, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { makePrivateDirectory, readIfThere } from '../accounts/private-file.js';
import { StopgapError } from '../kernel/errors.js';

const BYTES = 32;

/**
 * The secret that names in the log are hashed with: 32 random bytes in hexadecimal, readable by its owner only. Made
 * where there is none; of several processes that make it at once, one does.
 *
 * @throws StopgapError where the file holds something else; the system's error where it cannot be read or made
 */
export async function openLogKey(file: string): Promise<Buffer> {
  if ((await readIfThere(file)) === undefined) await make(file);
  const text = (await readFile(file, 'utf8')).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new StopgapError(
      'invalid-input',
      `${file}: is no key of ${BYTES} bytes in hexadecimal; remove it, and another is made: hashes are others then`,
    );
  }
  return Buffer.from(text, 'hex');
}

async function make(file: string): Promise<void> {
  const directory = path.dirname(file);
  makePrivateDirectory(directory);
  const aside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  const handle = await open(aside, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(`${randomBytes(BYTES).toString('hex')}\n`);
      // The superuser may look something up before the service has made its key: it must be the service's all the same.
      // By its descriptor: the service may put a link to a file of root's under its name.
      if (process.getuid?.() === 0) {
        const { uid, gid } = await stat(directory);
        await handle.chown(uid, gid);
      }
    } finally {
      await handle.close();
    }
    await link(aside, file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  } finally {
    await unlink(aside);
  }
}
