import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { giveMade, makePrivateDirectory } from '../accounts/private-file.js';
import type { Instant } from '../kernel/time.js';
import { HOUR } from '../kernel/time.js';

/** What a snapshot must have been made from and by, to be of use. */
export interface Provenance {
  /** See `foldingFingerprint`. */
  readonly fingerprint: string;
  /** Of the categories folded: other roles fold others. */
  readonly categories: readonly string[];
}

/** A snapshot's first frame. */
interface Label extends Provenance {
  readonly position: number;
}

/*
 * <magic> <SHA-256 of the rest: 32 bytes> <length of the rest: 8 bytes> then, of each frame, its length (4 bytes) and
 * itself. The first frame is the label, the others are the state.
 */
const MAGIC = Buffer.from('stopgap snapshot 1\n');
const HEAD = MAGIC.length + 32 + 8;
const FRAME_MAX = 2 ** 30;
const KEPT = 2;

/** Why a file is not used. */
export class SnapshotRefused extends Error {
  override readonly name = 'SnapshotRefused';
}

/** The snapshots of one set of categories, in one folder: the newest two. */
export class SnapshotFolder {
  readonly #folder: string;
  readonly #provenance: Provenance;
  readonly #prefix: string;

  constructor(folder: string, { fingerprint, categories }: Provenance) {
    this.#folder = folder;
    this.#provenance = { fingerprint, categories: categories.toSorted() };
    const set = createHash('sha256').update(this.#provenance.categories.join(' ')).digest('hex').slice(0, 8);
    this.#prefix = `models-${set}-`;
  }

  /**
   * Paths of the snapshots, the newest first; none if there is no folder yet.
   *
   * @throws Error of the file system
   */
  async list(): Promise<readonly string[]> {
    const names: readonly string[] = await readdir(this.#folder).catch(noneThere);
    const ours = names.filter((name) => name.startsWith(this.#prefix) && name.endsWith('.snapshot'));
    return ours
      .sort()
      .reverse()
      .map((name) => path.join(this.#folder, name));
  }

  /** When it was written, by the clock of the file system. @throws Error of the file system */
  async madeAt(file: string): Promise<Instant> {
    return Math.floor((await stat(file)).mtimeMs);
  }

  /**
   * Writes a snapshot frame by frame, under another name until it is whole and on disk; then drops all but the newest two.
   *
   * @param state plain data that nobody changes meanwhile
   * @param signal gives it up
   * @returns bytes written
   * @throws Error of the file system, or the signal's reason; then no file is left
   */
  async write(position: number, state: unknown, signal: AbortSignal): Promise<number> {
    makePrivateDirectory(this.#folder);
    const target = path.join(this.#folder, `${this.#prefix}${await this.#nextNumber()}.snapshot`);
    const draft = `${target}.${process.pid}.tmp`;
    let bytes: number;
    try {
      await rm(draft, { force: true });
      const file = await open(draft, 'wx', 0o600);
      try {
        giveMade(file.fd, this.#folder);
        bytes = await this.#fill(file, { ...this.#provenance, position }, state, signal);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, target);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
    await syncFolder(this.#folder);
    await this.#tidy(target);
    return bytes;
  }

  async #fill(file: FileHandle, label: Label, state: unknown, signal: AbortSignal): Promise<number> {
    const hash = createHash('sha256');
    let at = HEAD;
    const put = async (bytes: Buffer): Promise<void> => {
      signal.throwIfAborted();
      const framed = Buffer.allocUnsafe(4 + bytes.length);
      framed.writeUInt32BE(bytes.length);
      bytes.copy(framed, 4);
      hash.update(framed);
      await writeAll(file, framed, at);
      at += framed.length;
    };
    await put(encode({ path: [], kind: 'value', value: label }));
    for (const frame of framesOf(state)) await put(encode(frame));
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(at - HEAD));
    await writeAll(file, Buffer.concat([MAGIC, hash.digest(), length]), 0);
    return at;
  }

  /**
   * Reads a snapshot, once to see that it is whole and once for what it holds.
   *
   * @param head position of the store's last event: no snapshot may be ahead of it
   * @throws SnapshotRefused; Error of the file system
   */
  async read(name: string, head: number): Promise<unknown> {
    // A FIFO would be waited for without end.
    const file = await open(name, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const length = await this.#check(file);
      let at = HEAD;
      const next = async (): Promise<Buffer> => {
        const size = (await readAll(file, at, 4)).readUInt32BE();
        if (size > FRAME_MAX) throw new SnapshotRefused('it holds an absurdly large frame');
        const bytes = await readAll(file, at + 4, size);
        at += 4 + size;
        return bytes;
      };
      this.#judge(decode(await next()).value as Label, head);
      const assembly = new Assembly();
      while (at < HEAD + length) assembly.add(decode(await next()));
      return assembly.result();
    } finally {
      await file.close();
    }
  }

  /** @returns length of what follows the head, which the head names */
  async #check(file: FileHandle): Promise<number> {
    const stats = await file.stat();
    if (!stats.isFile()) throw new SnapshotRefused('it is no file');
    const { size } = stats;
    if (size < HEAD) throw new SnapshotRefused('it is truncated');
    const head = await readAll(file, 0, HEAD);
    if (!head.subarray(0, MAGIC.length).equals(MAGIC)) throw new SnapshotRefused('it is of another format');
    const length = Number(head.readBigUInt64BE(HEAD - 8));
    if (size !== HEAD + length) throw new SnapshotRefused('it is truncated');
    const hash = createHash('sha256');
    for await (const chunk of file.createReadStream({
      start: HEAD,
      autoClose: false,
      highWaterMark: 2 ** 20,
    })) {
      hash.update(chunk as Buffer);
    }
    if (!hash.digest().equals(head.subarray(MAGIC.length, MAGIC.length + 32))) {
      throw new SnapshotRefused('it is damaged: its checksum is another');
    }
    return length;
  }

  #judge({ fingerprint, categories, position }: Label, head: number): void {
    if (fingerprint !== this.#provenance.fingerprint) throw new SnapshotRefused('another version made it');
    if (categories.join(' ') !== this.#provenance.categories.join(' ')) {
      throw new SnapshotRefused('it was made from other categories');
    }
    if (position > head) throw new SnapshotRefused(`it is ahead of the store: ${position}, not ${head}`);
  }

  /** Rises with each: a snapshot of an older store that was put back is the newer one all the same. */
  async #nextNumber(): Promise<string> {
    const [newest = ''] = await this.list();
    const number = Number(/(?<!\d)(\d+)\.snapshot$/.exec(newest)?.[1] ?? 0) + 1;
    return String(number).padStart(8, '0');
  }

  /** Deletes all but the newest two, and drafts that a killed process has left. */
  async #tidy(target: string): Promise<void> {
    for (const old of (await this.list()).slice(KEPT)) await rm(old, { force: true });
    const { mtimeMs: now } = await stat(target);
    for (const name of await readdir(this.#folder)) {
      if (!name.startsWith(this.#prefix) || !name.endsWith('.tmp')) continue;
      const draft = path.join(this.#folder, name);
      // A younger one may be in the making, by another process with the same data directory.
      const age = now - ((await statOf(draft))?.mtimeMs ?? now);
      if (age > HOUR) await rm(draft, { force: true });
    }
  }
}

/**
 * The newest snapshot in a folder, of any origin; undefined without one.
 *
 * @throws Error of the file system
 */
export async function newestIn(folder: string): Promise<{ file: string; madeAt: Instant } | undefined> {
  const found = [];
  for (const name of await readdir(folder).catch(noneThere)) {
    const file = path.join(folder, name);
    if (name.endsWith('.snapshot')) found.push({ file, madeAt: Math.floor((await stat(file)).mtimeMs) });
  }
  return found.sort((a, b) => b.madeAt - a.madeAt)[0];
}

function noneThere(error: unknown): readonly string[] {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
  throw error;
}

/** Undefined if the file has gone meanwhile. */
async function statOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function readAll(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new SnapshotRefused('it is truncated');
    done += bytesRead;
  }
  return bytes;
}

/** Makes a rename last. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/*
 * A state is cut into frames, so that no single step of writing or reading it holds the event loop for long: plain
 * objects are taken apart, arrays are cut into parts, and everything else is written unchanged.
 */

/** One piece of a state, and where in it it belongs. */
interface Frame {
  readonly path: readonly string[];
  readonly kind: 'object' | 'part' | 'value';
  /** Nothing for an object, some of the elements for an array. */
  readonly value?: unknown;
}

/** Bytes that a frame should hold, about: a millisecond's work. */
const FRAME_BYTES = 256 * 1024;

/** Cuts plain data into frames. The data must not change meanwhile. */
export function* framesOf(value: unknown, path: readonly string[] = []): Generator<Frame> {
  if (Array.isArray(value)) {
    let first = 0;
    do {
      const end = endOfPart(value, first);
      yield { path, kind: 'part', value: value.slice(first, end) };
      first = end;
    } while (first < value.length);
  } else if (isPlain(value)) {
    yield { path, kind: 'object' };
    for (const [key, each] of Object.entries(value)) yield* framesOf(each, [...path, key]);
  } else {
    yield { path, kind: 'value', value };
  }
}

export function encode(frame: Frame): Buffer {
  return serialize(frame);
}

export function decode(bytes: Buffer): Frame {
  return deserialize(bytes) as Frame;
}

/** Puts together what {@link framesOf} has cut. */
export class Assembly {
  readonly #root = new Branch();

  /** @throws Error if a frame belongs nowhere */
  add({ path, kind, value }: Frame): void {
    // The whole is the one child, without a name, of a root that is always there.
    const full = ['', ...path];
    const name = full.pop()!;
    let parent: Piece | undefined = this.#root;
    for (const each of full) parent = parent instanceof Branch ? parent.children.get(each) : undefined;
    if (!(parent instanceof Branch)) throw new Error(`there is nothing that could hold ${path.join('.')}`);
    const before = parent.children.get(name);
    if (kind === 'part' && before instanceof Parts) before.push(value as unknown[]);
    else parent.children.set(name, pieceOf(kind, value));
  }

  result(): unknown {
    const whole = this.#root.children.get('');
    return whole === undefined ? undefined : build(whole);
  }
}

class Branch {
  readonly children = new Map<string, Piece>();
}

class Parts {
  readonly all: unknown[] = [];

  push(part: readonly unknown[]): void {
    for (const each of part) this.all.push(each);
  }
}

type Piece = Branch | Parts | { readonly value: unknown };

function pieceOf(kind: Frame['kind'], value: unknown): Piece {
  if (kind === 'object') return new Branch();
  if (kind === 'value') return { value };
  const parts = new Parts();
  parts.push(value as unknown[]);
  return parts;
}

function build(piece: Piece): unknown {
  if (piece instanceof Parts) return piece.all;
  if (!(piece instanceof Branch)) return piece.value;
  return Object.fromEntries([...piece.children].map(([name, each]) => [name, build(each)]));
}

function isPlain(value: unknown): value is object {
  return value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
}

function endOfPart(array: readonly unknown[], first: number): number {
  let bytes = 0;
  let end = first;
  while (end < array.length && bytes < FRAME_BYTES) bytes += weight(array[end++]);
  return end;
}

/** What an element will weigh, roughly. */
function weight(value: unknown): number {
  if (typeof value === 'string') return 8 + value.length;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return typeof value === 'object' ? 1024 : 8;
}
