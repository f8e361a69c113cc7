import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { BigIntStats, WriteStream } from 'node:fs';
import { constants, createWriteStream, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { access, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { giveTo } from '../accounts/private-file.js';
import { errorOf, StopgapError } from '../kernel/errors.js';
import type { CliIo } from './io.js';
import { openNamed } from './io.js';

/** What a result is written to, and what must not be lost by that. */
export interface OutputNames {
  /** As the user named it. */
  readonly name: string;
  /** The option that names it. */
  readonly option: string;
  /** Files that are read, as the user named them; `-` is none. */
  readonly inputs: readonly string[];
  /** What it holds, as in "a trace". */
  readonly kind: string;
  /** Whether this is the first line of such a file, which may be replaced. */
  readonly isKind: (line: string) => boolean;
}

/** What ends a command that a person no longer waits for. */
const ENDINGS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Written {
  readonly handle: FileHandle;
  /** Where it is written to, and what it is renamed to. */
  readonly aside: string;
  readonly target: string;
}

/** Names of what the shell has opened: who did so reads it by its descriptor. */
const OPENED = /^\/(?:dev\/(?:stdout|stderr|fd\/)|proc\/)/;
/** Bytes of a file that is there in which its first line must end. */
const LONGEST_LINE = 65_536;

/**
 * A file that a command writes line by line. It is written beside and renamed at the end: until then, and where the command fails,
 * what was there stays. What is no file on a disk, such as /dev/null, or is open already, such as /dev/stdout, is written to as it is.
 */
export class OutputFile {
  readonly stream: WriteStream;
  readonly #written: Written | undefined;
  #fault: Error | undefined;
  /** What is half written is of no use to anybody. */
  readonly #ended = (signal: NodeJS.Signals): void => {
    this.#watch(false);
    if (this.#written !== undefined) rmSync(this.#written.aside, { force: true });
    process.kill(process.pid, signal);
  };

  private constructor(stream: WriteStream, written?: Written) {
    this.stream = stream;
    this.#written = written;
    this.#watch(true);
    stream.on('error', (error: unknown) => (this.#fault ??= errorOf(error)));
  }

  /** @throws StopgapError if it cannot be written, is one of the inputs, or holds something else than such a result */
  static open(io: CliIo, names: OutputNames): Promise<OutputFile> {
    const right = 'name a file in a folder that is there and can be written to';
    return openNamed(names.name, right, OutputFile.#open(io, names));
  }

  static async #open({ cwd }: CliIo, names: OutputNames): Promise<OutputFile> {
    const named = path.resolve(cwd, names.name);
    const before = await statOf(named);
    if (before?.isFile() === false || OPENED.test(named)) {
      // The shell may have opened it at its end (>>).
      const stream = createWriteStream(named, { flags: 'a' });
      await once(stream, 'open');
      return new OutputFile(stream);
    }
    // A symbolic link stays: what it points to is replaced.
    const target = before === undefined ? named : await realpath(named);
    if (before !== undefined) await mayBeReplaced(cwd, target, before, names);
    const aside = `${target}.${randomBytes(6).toString('hex')}.tmp`;
    const handle = await open(aside, 'wx', 0o600);
    try {
      if (before !== undefined) {
        const owner = { uid: Number(before.uid), gid: Number(before.gid) };
        await giveTo(handle, owner, names.name);
        await handle.chmod(Number(before.mode) & 0o777);
      }
    } catch (error) {
      await handle.close();
      await unlink(aside);
      throw error;
    }
    // By its number: the stream of a handle would keep it from being closed.
    const stream = createWriteStream(aside, { fd: handle.fd, autoClose: false });
    return new OutputFile(stream, { handle, aside, target });
  }

  /** What has kept it from being written, so far. */
  get fault(): Error | undefined {
    return this.#fault;
  }

  /**
   * Ends it.
   *
   * @param isWhole false: what was there before stays
   * @throws what the operating system says
   */
  async close(isWhole: boolean): Promise<void> {
    if (this.#fault === undefined) await this.#flushed();
    this.#watch(false);
    if (this.#written !== undefined) await this.#end(this.#written, isWhole && this.#fault === undefined);
    if (isWhole && this.#fault !== undefined) throw this.#fault;
  }

  #watch(isOn: boolean): void {
    for (const signal of ENDINGS) process[isOn ? 'on' : 'off'](signal, this.#ended);
  }

  #flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.stream.end((error?: Error | null) => {
        this.#fault ??= error ?? undefined;
        resolve();
      });
    });
  }

  async #end({ handle, aside, target }: Written, isWhole: boolean): Promise<void> {
    let isKept = false;
    try {
      try {
        if (isWhole) await handle.sync();
      } finally {
        await handle.close();
      }
      if (isWhole) await rename(aside, target);
      isKept = isWhole;
    } finally {
      if (!isKept) await unlink(aside);
    }
  }
}

async function statOf(file: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(file, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** @throws StopgapError if the file is read as well, or holds something else */
async function mayBeReplaced(
  cwd: string,
  file: string,
  { dev, ino, size }: BigIntStats,
  { name, option, inputs, kind, isKind }: OutputNames,
): Promise<void> {
  for (const input of inputs) {
    const read = input === '-' ? undefined : await statOf(path.resolve(cwd, input));
    if (read?.dev === dev && read.ino === ino)
      throw new StopgapError('invalid-input', `${name} is read too: name another file with ${option}`);
  }
  await access(file, constants.W_OK);
  if (size === 0n || isKind(await firstLine(file))) return;
  throw new StopgapError(
    'invalid-input',
    `${name} is there and holds no ${kind}: name another file with ${option}, or remove it`,
  );
}

async function firstLine(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(LONGEST_LINE), 0, LONGEST_LINE, 0);
    return buffer.toString('utf8', 0, bytesRead).split('\n', 1)[0]!;
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file that is not there yet. Where that fails nothing stays: half of it would be in the way of the next try.
 *
 * @throws what the operating system says
 */
export async function writeNewFile(file: string, content: string | Buffer, mode = 0o666): Promise<void> {
  const handle = await open(file, 'wx', mode);
  try {
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    await unlink(file);
    throw error;
  }
}

/** The fields of a line that is a JSON object; of any other none. */
export function jsonFields(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
