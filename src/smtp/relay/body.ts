import { isAscii } from 'node:buffer';
import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import fs, { open, readdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { giveMade, makePrivateDirectory } from '../../accounts/private-file.js';
import { messageOf } from '../../kernel/errors.js';
import type { MessageBody } from './port.js';
import { CanonicalLines, canonicalLines } from './wire.js';

export type { MessageBody } from './port.js';

/** Bytes of content held in memory; a longer message goes to a spool file. */
const MEMORY_LIMIT = 256 * 1024;
const HEADER_HEAD_LIMIT = 64 * 1024;
/** Bytes of content that are written to a spool file at once. */
const SPOOL_AT_ONCE = 64 * 1024;
/** Smaller pieces are joined: a client may send a message byte by byte, and each piece would be a buffer of its own. */
const SMALL = 1024;
const SMALL_AT_ONCE = 64;
const NOTHING = Buffer.alloc(0);

export interface CollectOptions {
  /** Directory for spool files; created (mode 0700) if it does not exist. */
  readonly spoolDir: string;
  /** Header lines of our own (Received) that go before the content. */
  readonly prefix?: Buffer;
  /** Bytes that the content may have at most; no limit by default. */
  readonly maxSize?: number;
  /** Bytes of content that are held in memory: {@link MEMORY_LIMIT}. */
  readonly memoryLimit?: number;
}

/** The content went beyond `maxSize`. */
export class MessageTooLarge extends Error {
  constructor(readonly maxSize: number) {
    super(`the message is larger than ${maxSize} bytes`);
    this.name = 'MessageTooLarge';
  }
}

/** The stream closed before it ended: the client is gone. */
export class ClientGone extends Error {
  constructor(cause?: unknown) {
    super('the client went away before the end of the message', { cause });
    this.name = 'ClientGone';
  }
}

/**
 * Takes in a whole message, dot-unstuffed as smtp-server hands it over, and gives it canonical line ends: a bare LF
 * becomes CRLF, a bare CR a space, and the last line ends with CRLF. (DKIM signatures that such a message carries
 * break; a message that keeps to RFC 5321 passes byte for byte.)
 *
 * When it rejects, it reads and discards the rest of the stream, so that the SMTP dialogue can go on.
 *
 * @throws SpoolFailed (disk full), MessageTooLarge, ClientGone
 */
export function collectBody(stream: Readable, options: CollectOptions): Promise<MessageBody> {
  return new Promise((resolve, reject) => {
    const collector = new Collector(options);
    let settled = false;
    const fail = (error: Error): void => {
      if (settled) return;
      settled = true;
      stream.resume();
      void collector.abandon().then(() => reject(error));
    };
    // No data comes while a write is under way; the end may.
    const store = (): void => {
      stream.pause();
      collector.flush().then(() => {
        if (!settled) stream.resume();
      }, fail);
    };
    stream.on('data', (chunk: Buffer) => {
      if (settled) return;
      try {
        collector.add(chunk);
      } catch (error) {
        fail(error as Error);
        return;
      }
      if (collector.mustFlush) store();
    });
    stream.on('end', () => {
      if (settled) return;
      collector.finish().then((body) => {
        if (settled) return;
        settled = true;
        resolve(body);
      }, fail);
    });
    stream.on('error', (error) => fail(new ClientGone(error)));
    stream.on('close', () => {
      if (!stream.readableEnded) fail(new ClientGone());
    });
  });
}

/** The state of one {@link collectBody}. */
class Collector {
  readonly #options: CollectOptions;
  readonly #memoryLimit: number;
  readonly #maxSize: number;
  readonly #lines = new CanonicalLines();
  /** All content so far, or what is not yet in the spool file. */
  #chunks: Buffer[] = [];
  /** How many of them, at the end, are small. */
  #small = 0;
  #held = 0;
  #received = 0;
  #size = 0;
  #ascii = true;
  /** The first bytes of what is in the spool file. */
  #head: Buffer = NOTHING;
  #spool: SpoolFile | undefined;
  #flushing: Promise<void> | undefined;

  constructor(options: CollectOptions) {
    this.#options = options;
    this.#memoryLimit = options.memoryLimit ?? MEMORY_LIMIT;
    this.#maxSize = options.maxSize ?? Infinity;
  }

  get mustFlush(): boolean {
    return this.#held > (this.#spool === undefined ? this.#memoryLimit : SPOOL_AT_ONCE);
  }

  add(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received > this.#maxSize) throw new MessageTooLarge(this.#maxSize);
    this.#keep(this.#lines.push(chunk));
  }

  #keep(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#ascii &&= isAscii(chunk);
    this.#chunks.push(chunk);
    this.#small = chunk.length < SMALL ? this.#small + 1 : 0;
    if (this.#small === SMALL_AT_ONCE) this.#gather();
    this.#held += chunk.length;
    this.#size += chunk.length;
  }

  /** Joins the small pieces at the end into one, which is itself a small piece if it is short. */
  #gather(): void {
    const gathered = Buffer.concat(this.#chunks.splice(-SMALL_AT_ONCE));
    this.#chunks.push(gathered);
    this.#small = gathered.length < SMALL ? 1 : 0;
  }

  /** Writes what is held to the spool file; one call at a time. */
  flush(): Promise<void> {
    this.#flushing = this.#write();
    return this.#flushing;
  }

  async #write(): Promise<void> {
    const chunks = this.#chunks;
    if (this.#head.length < HEADER_HEAD_LIMIT) this.#head = headOf(this.#head, chunks);
    this.#chunks = [];
    this.#small = 0;
    this.#held = 0;
    this.#spool ??= await SpoolFile.create(this.#options.spoolDir);
    await this.#spool.write(chunks);
  }

  async finish(): Promise<MessageBody> {
    await this.#flushing;
    this.#keep(this.#lines.finish());
    if (this.mustFlush || (this.#spool !== undefined && this.#held > 0)) await this.flush();
    const prefix = canonicalLines(this.#options.prefix ?? NOTHING);
    const facts: BodyFacts = {
      size: prefix.length + this.#size,
      received: this.#received,
      headerHead: this.#spool === undefined ? headOf(NOTHING, this.#chunks) : this.#head,
      ascii: this.#ascii && isAscii(prefix),
    };
    return this.#spool === undefined
      ? new HeldBody(facts, prefix, this.#chunks)
      : new SpooledBody(facts, prefix, this.#spool);
  }

  async abandon(): Promise<void> {
    // Its failure is already known here, or comes later.
    await Promise.allSettled([this.#flushing]);
    this.#chunks = [];
    await this.#spool?.remove();
  }
}

type BodyFacts = Pick<MessageBody, 'size' | 'received' | 'headerHead' | 'ascii'>;

class HeldBody implements MessageBody {
  readonly size: number;
  readonly received: number;
  readonly headerHead: Buffer;
  readonly ascii: boolean;
  readonly spooled = false;
  #content: readonly Buffer[];
  #buffers: readonly Buffer[];

  constructor(facts: BodyFacts, prefix: Buffer, content: readonly Buffer[]) {
    this.size = facts.size;
    this.received = facts.received;
    this.headerHead = facts.headerHead;
    this.ascii = facts.ascii;
    this.#content = content;
    this.#buffers = prefix.length === 0 ? content : [prefix, ...content];
  }

  get buffers(): readonly Buffer[] {
    return this.#buffers;
  }

  async *open(): AsyncGenerator<Buffer> {
    yield* this.#buffers;
  }

  async digest(): Promise<string> {
    const hash = createHash('sha256');
    for (const chunk of this.#content) hash.update(chunk);
    return hash.digest('hex');
  }

  async dispose(): Promise<void> {
    this.#content = [];
    this.#buffers = [];
  }
}

class SpooledBody implements MessageBody {
  readonly size: number;
  readonly received: number;
  readonly headerHead: Buffer;
  readonly ascii: boolean;
  readonly spooled = true;
  readonly buffers = undefined;
  readonly #prefix: Buffer;
  readonly #spool: SpoolFile;

  constructor(facts: BodyFacts, prefix: Buffer, spool: SpoolFile) {
    this.size = facts.size;
    this.received = facts.received;
    this.headerHead = facts.headerHead;
    this.ascii = facts.ascii;
    this.#prefix = prefix;
    this.#spool = spool;
  }

  async *open(): AsyncGenerator<Buffer> {
    if (this.#prefix.length > 0) yield this.#prefix;
    yield* this.#spool.read();
  }

  async digest(): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of this.#spool.read()) hash.update(chunk);
    return hash.digest('hex');
  }

  dispose(): Promise<void> {
    return this.#spool.remove();
  }
}

/** The first bytes of what follows each other, as one buffer: a copy only if it is made of several. */
function headOf(head: Buffer, chunks: readonly Buffer[]): Buffer {
  const parts = head.length === 0 ? [] : [head];
  let length = head.length;
  for (const chunk of chunks) {
    if (length >= HEADER_HEAD_LIMIT) break;
    const part = chunk.subarray(0, HEADER_HEAD_LIMIT - length);
    parts.push(part);
    length += part.length;
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts, length);
}

const SUFFIX = '.spool';
const READ_SIZE = 64 * 1024;
/**
 * Disk space that long messages leave to the store and to everything else: strangers who send many of them slowly could
 * keep the disk full for hours. On a small disk it is a share.
 */
const LEFT_BYTES = 1024 * 1024 * 1024;
const LEFT_SHARE = 0.05;
/** How many bytes are written between two checks of the disk. */
const LOOK_EVERY = 1024 * 1024;

/**
 * A message could not be written to or read from the spool (disk full, no permission): the client is to try again
 * later.
 */
export class SpoolFailed extends Error {
  constructor(what: string, cause: unknown) {
    super(`spool: ${what}: ${messageOf(cause)}`, { cause });
    this.name = 'SpoolFailed';
  }
}

/**
 * The content of one long message on disk, mode 0600. It is never synced, because 250 is sent only when the upstream
 * has the message.
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

  /** Throws SpoolFailed. The directory is created if it is missing. */
  static async create(dir: string): Promise<SpoolFile> {
    const path = join(dir, `${process.pid}-${randomUUID()}${SUFFIX}`);
    try {
      makePrivateDirectory(dir);
      const handle = await open(path, 'wx+', 0o600);
      giveMade(handle.fd, dir);
      return new SpoolFile(path, handle);
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
      // A fresh buffer each time: a socket's queue may still hold the last one.
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

  /** Idempotent, never rejects: the next {@link sweepSpool} finds a file that cannot be removed. */
  remove(): Promise<void> {
    this.#removed ??= Promise.allSettled([this.#handle.close(), unlink(this.#path)]).then(() => undefined);
    return this.#removed;
  }
}

/**
 * Removes what a killed process left in the spool directory; call it at start, before any message arrives. It leaves
 * other files alone and treats a missing directory as empty.
 *
 * @returns how many files were removed
 * @throws if the directory cannot be read or a file cannot be removed
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

/** The part of `chunks` after the first `count` bytes: a short write is no error. */
function behind(chunks: readonly Buffer[], count: number): Buffer[] {
  const rest: Buffer[] = [];
  let skip = count;
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip > 0 ? chunk.subarray(skip) : chunk);
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
