import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { isLeftSo, readFault } from './private-file.js';

/**
 * Reads the content, as text or as it is; what it throws is the reason for refusing it. Only `invalid-input` is taken to
 * be about the content: after anything else the same content is read again.
 */
type Reading<T> =
  | { readonly parse: (text: string) => T; readonly parseBytes?: undefined }
  | { readonly parseBytes: (bytes: Buffer) => T | Promise<T> };

export type WatchedFileOptions<T> = Reading<T> & {
  readonly path: string;
  /** What holds while the file has never been there. Without it a missing file is an error at {@link WatchedFile.load}. */
  readonly whenAbsent?: T;
  /** Called after each change that was taken over, not for the first load. */
  readonly onChange?: (value: T) => void;
  /**
   * How many entries a value has, where half of a file may be valid too. A content that has lost most of them is refused,
   * see {@link lostMost}, and so is what is made of that while it has fewer than are in force, unless the command line left it so.
   * One that may be half written must look the same twice: one whose last line has no end, and a shorter one in the same file.
   */
  readonly entries?: (value: T) => number;
  /**
   * Called once for each content that was refused: the old value stays in force.
   *
   * @param isDoubtful it can be used, but has lost most of its entries
   */
  readonly onRefused?: (reason: string, isDoubtful: boolean) => void;
  /** Called when a refused file again has the content in force. */
  readonly onRestored?: () => void;
  /** 2 s by default. */
  readonly interval?: Milliseconds;
  readonly now?: () => number;
};

/** A script that removes one after the other gets less far from one look to the next. */
const MANY = 10;

/** What is cut by accident looks like this: nothing is left of several entries, or many are gone and less than half is left. */
export function lostMost(before: number, after: number): boolean {
  return after === 0 ? before > 1 : before - after >= MANY && after * 2 < before;
}

/** Why a content was refused that {@link lostMost}, and what to do if it is right. */
export function tooFew(file: string, before: number, after: number): string {
  return `${file} has ${after} ${after === 1 ? 'entry' : 'entries'}, and ${before} are in force: if that is meant, send the process SIGHUP or restart it`;
}

/** Within this span after a change a second one may leave time and size as they are. */
const RACY: Milliseconds = 1500;

/**
 * A file whose content is always at hand, and picked up again when it changes. It looks at time, size and inode
 * every few seconds: notifications of the system lose track of files that editors and tools replace by renaming.
 */
export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  #value: { readonly current: T } | undefined;
  #signature: string | undefined;
  /** The content read last, whether it was taken over (`good`) or not. */
  #content: string | Buffer | undefined;
  #good = true;
  /** Of the content in force. */
  #length = 0;
  /** Of the file that held it. */
  #inode: bigint | undefined;
  /** A content that may be half written, seen once. */
  #halfWritten: string | Buffer | undefined;
  /** Whether the content before this one had lost most of its entries: until they are back, what is added to it counts as little. */
  #isDoubted = false;
  /** What was complained about last: once is enough. */
  #refused: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<boolean> | undefined;

  constructor(options: WatchedFileOptions<T>) {
    this.#options = options;
  }

  /** What holds now. Only after {@link load}. */
  get current(): T {
    if (this.#value === undefined) throw new Error(`${this.#options.path} was not loaded`);
    return this.#value.current;
  }

  /**
   * Reads the file for the first time.
   *
   * @throws what `parse` throws, or the system's error for a file that cannot be read
   */
  async load(): Promise<this> {
    const found = await this.#read();
    if (found === undefined) {
      if (!('whenAbsent' in this.#options)) throw new Error(`${this.#options.path} does not exist`);
      this.#value = { current: this.#options.whenAbsent as T };
    } else {
      this.#value = { current: await this.#parse(found.content) };
      this.#content = found.content;
      this.#length = found.content.length;
      this.#inode = found.inode;
      this.#signature = found.signature;
    }
    return this;
  }

  /** As {@link load}, but a file that cannot be used is refused like a changed one, and until it can `value` holds. */
  async loadOr(value: T): Promise<this> {
    try {
      return await this.load();
    } catch (thrown) {
      this.#value = { current: value };
      this.#refuse(messageOf(thrown));
      return this;
    }
  }

  /**
   * Looks whether the file has changed; resolves to true if a new content was taken over. It rejects only if `onChange`
   * throws.
   */
  check(): Promise<boolean> {
    this.#checking ??= this.#check().finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  /** As {@link check}, but takes over what has lost most of its entries, or may still be written. */
  async reload(): Promise<boolean> {
    await this.#checking;
    this.#checking ??= this.#check(true).finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  /** Checks at intervals, without keeping the process alive. */
  start(): void {
    this.#timer ??= setInterval(() => void this.check(), this.#options.interval ?? 2 * SECOND).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #check(isMeant = false): Promise<boolean> {
    let found: Found | undefined;
    try {
      found = await this.#read(isMeant ? undefined : this.#signature);
    } catch (thrown) {
      this.#refuse(messageOf(thrown), { isMeant });
      return false;
    }
    if (found === undefined) {
      if (this.#content !== undefined) this.#refuse(`${this.#options.path} is gone`, { isMeant });
      return false;
    }
    this.#signature = found.signature;
    if (isSame(found.content, this.#content) && (this.#good || !isMeant)) {
      if (!this.#good) return false;
      if (this.#refused !== undefined) this.#options.onRestored?.();
      this.#refused = this.#halfWritten = undefined;
      this.#isDoubted = false;
      return false;
    }
    const { entries, path, onChange } = this.#options;
    const isRewritten = found.inode === this.#inode && found.content.length < this.#length;
    const mayBeHalf = isRewritten || !endsInLine(found.content);
    if (!isMeant && entries !== undefined && mayBeHalf && !isSame(found.content, this.#halfWritten)) {
      this.#halfWritten = found.content;
      this.#signature = undefined;
      return false;
    }
    let value: T;
    try {
      value = await this.#parse(found.content);
    } catch (thrown) {
      if (isAboutContent(thrown)) this.#know(found.content);
      // There may have been no thread or no descriptor for it: the next look reads it again.
      else this.#signature = undefined;
      this.#refuse(messageOf(thrown), { isMeant });
      return false;
    }
    this.#know(found.content);
    const [before, after] = [this.current, value].map((one) => entries?.(one) ?? 1) as [number, number];
    const isTooFew = lostMost(before, after) || (this.#isDoubted && after < before);
    if (!isMeant && !isLeftSo(found.content, after) && isTooFew) {
      this.#isDoubted = true;
      this.#refuse(tooFew(path, before, after), { isDoubtful: true });
      return false;
    }
    this.#value = { current: value };
    this.#length = found.content.length;
    this.#inode = found.inode;
    this.#good = true;
    this.#isDoubted = false;
    this.#refused = undefined;
    onChange?.(value);
    return true;
  }

  /** It was read, and holds only once that is said: the same content is not read again. */
  #know(content: string | Buffer): void {
    this.#halfWritten = undefined;
    this.#content = content;
    this.#good = false;
  }

  /** Says so once, and again to somebody who asks for it. */
  #refuse(reason: string, { isDoubtful = false, isMeant = false } = {}): void {
    if (reason === this.#refused && !isMeant) return;
    this.#refused = reason;
    this.#options.onRefused?.(reason, isDoubtful);
  }

  #parse(content: string | Buffer): T | Promise<T> {
    const options = this.#options;
    return options.parseBytes === undefined
      ? options.parse(content as string)
      : options.parseBytes(content as Buffer);
  }

  /** Content and signature; undefined if there is no file; the known content if the signature is the known one. */
  async #read(known?: string): Promise<Found | undefined> {
    let handle;
    try {
      // A FIFO would be waited for without end, and the next look with it.
      handle = await open(this.#options.path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw readFault(this.#options.path, thrown);
    }
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) throw new Error(`${this.#options.path} is no file`);
      const { mtimeNs, ctimeNs, mtimeMs, size, ino } = stats;
      const signature = `${mtimeNs}/${ctimeNs}/${size}/${ino}`;
      if (signature === known) return { content: this.#content!, signature, inode: ino };
      const bytes = await handle.readFile();
      const content = this.#options.parseBytes === undefined ? bytes.toString('utf8') : bytes;
      const settled = (this.#options.now ?? Date.now)() - Number(mtimeMs) > RACY;
      return { content, signature: settled ? signature : undefined, inode: ino };
    } finally {
      await handle.close();
    }
  }
}

interface Found {
  readonly content: string | Buffer;
  /** Undefined if the file may change once more without showing it. */
  readonly signature: string | undefined;
  readonly inode: bigint;
}

function isSame(found: string | Buffer, known: string | Buffer | undefined): boolean {
  return typeof found === 'string' || known === undefined || typeof known === 'string'
    ? found === known
    : found.equals(known);
}

function endsInLine(content: string | Buffer): boolean {
  return content.slice(-1).toString() === '\n';
}

function isAboutContent(thrown: unknown): boolean {
  return thrown instanceof StopgapError && thrown.code === 'invalid-input';
}
