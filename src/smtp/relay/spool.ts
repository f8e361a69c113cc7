import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import fs, { mkdir, open, readdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../../kernel/errors.js';

const SUFFIX = '.spool';
const READ_SIZE = 64 * 1024;
/**
 * What long messages leave of the disk to the store and everything else on it: strangers who send many of them slowly could
 * keep it full for hours. A share where the disk is small.
 */
const LEFT_BYTES = 1024 * 1024 * 1024;
const LEFT_SHARE = 0.05;
/** The disk is looked at before each of these. */
const LOOK_EVERY = 1024 * 1024;

/** A message could not be written to or read from the spool (disk full, no permission): the client is to try again. */
export class SpoolFailed extends Error {
  constructor(what: string, cause: unknown) {
    super(`spool: ${what}: ${messageOf(cause)}`, { cause });
    this.name = 'SpoolFailed';
  }
}

/**
 * The content of one long message on disk, mode 0600. It is no promise to anyone (250 is said only once the
 * upstream has the message), so it is never synced.
 */
export class SpoolFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #size = 0;
  #looksAt = 0;
  #removed: Promise<void> | undefined;

  /** Takes over an open file; {@link SpoolFile.create} makes a new one. */
  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Throws SpoolFailed. The directory is made where it is missing. */
  static async create(dir: string): Promise<SpoolFile> {
    const path = join(dir, `${process.pid}-${randomUUID()}${SUFFIX}`);
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      return new SpoolFile(path, await open(path, 'wx+', 0o600));
    } catch (error) {
      throw new SpoolFailed('cannot create a file', error);
    }
  }

  /** Appends; one call at a time. Throws SpoolFailed. */
  async write(chunks: readonly Buffer[]): Promise<void> {
    try {
      if (this.#size >= this.#looksAt) await this.#look();
      let rest = chunks.filter((chunk) => chunk.length > 0);
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.writev(rest, this.#size);
        this.#size += bytesWritten;
        rest = behind(rest, bytesWritten);
      }
    } catch (error) {
      throw new SpoolFailed('cannot write', error);
    }
  }

  async #look(): Promise<void> {
    const { bavail, blocks, bsize } = await fs.statfs(dirname(this.#path));
    if (bavail * bsize < Math.min(LEFT_BYTES, LEFT_SHARE * blocks * bsize))
      throw new Error('the disk is nearly full: what is left of it is for the store');
    this.#looksAt = this.#size + LOOK_EVERY;
  }

  /** All that was written, from the start. Throws SpoolFailed. */
  async *read(): AsyncGenerator<Buffer> {
    for (let position = 0; position < this.#size;) {
      // A fresh buffer each time: the reader may still hold the last one in a socket's queue.
      const buffer = Buffer.allocUnsafe(Math.min(READ_SIZE, this.#size - position));
      const bytesRead = await this.#readAt(buffer, position);
      yield buffer.subarray(0, bytesRead);
      position += bytesRead;
    }
  }

  async #readAt(buffer: Buffer, position: number): Promise<number> {
    try {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) throw new Error(`the file is shorter than the ${this.#size} bytes written`);
      return bytesRead;
    } catch (error) {
      throw new SpoolFailed('cannot read', error);
    }
  }

  /** Idempotent, never rejects: a file that cannot be removed is found by the next {@link sweepSpool}. */
  remove(): Promise<void> {
    this.#removed ??= Promise.allSettled([this.#handle.close(), unlink(this.#path)]).then(() => undefined);
    return this.#removed;
  }
}

/**
 * Removes what a killed process left in the spool directory; to be called at start, before any message comes
 * in. Other files are left alone, a missing directory is an empty one.
 *
 * @returns how many files were removed
 * @throws where the directory cannot be read or a file cannot be removed
 */
export async function sweepSpool(dir: string): Promise<number> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
  const leftovers = names.filter((name) => name.endsWith(SUFFIX));
  for (const name of leftovers) await unlink(join(dir, name));
  return leftovers.length;
}

/** What of `chunks` stands behind the first `count` bytes: a short write is no error. */
function behind(chunks: readonly Buffer[], count: number): Buffer[] {
  const rest: Buffer[] = [];
  let skip = count;
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip > 0 ? chunk.subarray(skip) : chunk);
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
