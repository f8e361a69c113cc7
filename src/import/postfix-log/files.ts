import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { StopgapError, messageOf } from '../../kernel/errors.js';
import type { Instant } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';

/** One log, or trace, to be read. */
export interface LogFile {
  /** As the user named it. */
  readonly name: string;
  /** When it was last written to: what the year is inferred from. */
  readonly writtenAt: Instant;
  /** Bytes on disk; undefined if nobody knows. */
  readonly bytes: number | undefined;
  /** Whether it can be opened more than once. */
  readonly rereadable: boolean;
  /**
   * The content, unpacked.
   *
   * @param onBytes told how many bytes of the disk were read
   */
  chunks(onBytes?: (bytes: number) => void): AsyncIterable<Buffer>;
}

/** Bytes that are read at once: a turn of the event loop each. */
const AT_ONCE = 256 * 1024;
/** What begins each kind of packed file, in hexadecimal, and what unpacks those that this cannot. */
const GZIP = '1f8b';
const FOREIGN: readonly (readonly [magic: string, kind: string, unpack: string])[] = [
  ['425a68', 'bzip2', 'bzcat'],
  ['fd377a585a00', 'xz', 'xzcat'],
  ['28b52ffd', 'zstd', 'zstdcat'],
  ['04224d18', 'lz4', 'lz4cat'],
];

/**
 * A file on disk, plain or gzipped: what it holds tells, not its name.
 *
 * @param path where it lies
 * @throws StopgapError if it is packed in another way; what the operating system says if it cannot be read
 */
export async function openLogFile(name: string, path: string): Promise<LogFile> {
  const handle = await open(path, 'r');
  try {
    const head = Buffer.alloc(8);
    await handle.read(head, 0, head.length, 0);
    const { size, mtimeMs } = await handle.stat();
    const magic = head.toString('hex');
    for (const [begin, kind, unpack] of FOREIGN) {
      if (!magic.startsWith(begin)) continue;
      throw new StopgapError(
        'invalid-input',
        `${name} is packed by ${kind}, which this does not read: unpack it into standard input, as in ${unpack} ${name} | stopgap … -`,
      );
    }
    const isPacked = magic.startsWith(GZIP);
    // gzip notes when what it packed was written; 0 if it was not told (RFC 1952 section 2.3.1).
    const packedOf = isPacked ? head.readUInt32LE(4) * SECOND : 0;
    return {
      name,
      writtenAt: packedOf > 0 ? packedOf : Math.floor(mtimeMs),
      bytes: size,
      rereadable: true,
      chunks(onBytes) {
        const bytes = counting(createReadStream(path, { highWaterMark: AT_ONCE }), onBytes);
        return isPacked ? unpacked(bytes) : bytes;
      },
    };
  } finally {
    await handle.close();
  }
}

/** A stream that can be read once, such as standard input; gzipped or not. */
export function onceReadable(name: string, stream: Readable, now: Instant): LogFile {
  return {
    name,
    writtenAt: now,
    bytes: undefined,
    rereadable: false,
    async *chunks(onBytes) {
      let begun = false;
      const counted = counting(stream, onBytes);
      for await (const chunk of counted) {
        if (!begun && chunk.toString('hex', 0, 2) === GZIP) {
          yield* unpacked(rest(chunk, counted));
          return;
        }
        begun = true;
        yield chunk;
      }
    },
  };
}

async function* counting(stream: Readable, onBytes?: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of stream as AsyncIterable<Buffer | string>) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    onBytes?.(bytes.length);
    yield bytes;
  }
}

async function* rest(first: Buffer, others: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* others;
}

/** @throws DamagedFile if it ends too early or holds something else; what could be unpacked came before */
async function* unpacked(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const source = Readable.from(packed, { objectMode: false });
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  try {
    for await (const chunk of source.pipe(gunzip)) yield chunk as Buffer;
  } catch (error) {
    throw isDamage(error) ? new DamagedFile(messageOf(error)) : error;
  } finally {
    source.destroy();
  }
}

/** A packed file cannot be unpacked to its end. */
export class DamagedFile extends StopgapError {
  constructor(reason: string) {
    super('invalid-input', reason);
    this.name = 'DamagedFile';
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof Error && /^Z_/.test(String((error as NodeJS.ErrnoException).code));
}
