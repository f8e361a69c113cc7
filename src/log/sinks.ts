import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { createPrivate, makePrivateDirectory } from '../accounts/private-file.js';
import { isDiskFull, messageOf } from '../kernel/errors.js';

/** The last lines, in memory: for the API and the support bundle. Bounded by number and by characters. */
export class RecentLines {
  readonly #lines: string[] = [];
  #characters = 0;

  constructor(
    readonly maxLines = 2000,
    readonly maxCharacters = 1_000_000,
  ) {}

  push(line: string): void {
    this.#lines.push(line);
    this.#characters += line.length;
    while (this.#lines.length > this.maxLines || this.#characters > this.maxCharacters) {
      this.#characters -= this.#lines.shift()!.length;
    }
  }

  /** Oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }
}

/** Told when lines begin to be lost, and when the next one has come through. */
export interface LossListener {
  lost(reason: string): void;
  back(lines: number): void;
}

/** Counts the lines that a sink could not take. No sink waits, or fails, for the sake of a line. */
export class Losses {
  /** Lines lost since the start. */
  total = 0;
  readonly #listener: LossListener;
  #sinceLost = 0;

  constructor(listener: LossListener) {
    this.#listener = listener;
  }

  lose(reason: string): void {
    this.total++;
    // Counted before it is told: what is told is a line too.
    if (this.#sinceLost++ === 0) this.#listener.lost(reason);
  }

  cameThrough(): void {
    const lines = this.#sinceLost;
    this.#sinceLost = 0;
    if (lines > 0) this.#listener.back(lines);
  }
}

/** Takes a line, without waiting for anything. */
export type Sink = (line: string, losses: Losses) => void;

/** How much a reader of standard error may leave unread beyond the system's buffer: characters. */
const MOST_UNREAD = 1_000_000;

/**
 * Standard error of any kind. A file is written to at once. If nobody reads a pipe, a socket or a terminal, a bounded
 * number of lines waits; later lines are lost.
 */
export function standardError(stream: Writable & { readonly fd: number }): Sink {
  // Each line is told of its own failure.
  stream.on('error', () => undefined);
  if (fstatSync(stream.fd).isFile()) {
    const file = new WholeLines();
    return (line, losses) => {
      try {
        file.write(stream.fd, line);
        losses.cameThrough();
      } catch (error) {
        losses.lose(messageOf(error));
      }
    };
  }
  // Node.js waits for a terminal to take what is written, and one can be stopped.
  (stream as { _handle?: { setBlocking?: (on: boolean) => void } })._handle?.setBlocking?.(false);
  return (line, losses) => {
    if (stream.writableLength > MOST_UNREAD) {
      losses.lose('nobody reads it');
      return;
    }
    stream.write(line, (error) => {
      if (error) losses.lose(messageOf(error));
      // A slow reader that gets one line in a thousand is no end of the loss.
      else if (stream.writableLength === 0) losses.cameThrough();
    });
  };
}

/** Writes lines to a file; one that a full disk has cut off is ended before the next. */
class WholeLines {
  #torn = false;

  /** @returns bytes written @throws the system's error */
  write(descriptor: number, line: string): number {
    const bytes = Buffer.from(this.#torn ? `\n${line}` : line);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(descriptor, bytes, written);
      this.#torn = false;
    } catch (error) {
      this.#torn ||= written > 0;
      throw error;
    }
    return written;
  }
}

/**
 * A file of lines with a bound: when it would grow beyond it becomes `<file>.1`, in place of the one before; where that
 * cannot be, it grows. A disk that takes nothing costs lines, not the service.
 */
export class LogFile {
  readonly #file: string;
  readonly #maxSize: number;
  readonly #losses: Losses;
  readonly #onStuck: (reason: string) => void;
  readonly #lines = new WholeLines();
  #descriptor: number | undefined;
  #size = 0;
  #stuck = false;

  /**
   * @param maxSize bytes
   * @param onStuck told once when the file cannot be turned over; it may write a line
   * @throws the system's error if the file cannot be opened for another reason than a full disk
   */
  constructor(file: string, maxSize: number, losses: Losses, onStuck: (reason: string) => void) {
    this.#file = file;
    this.#maxSize = maxSize;
    this.#losses = losses;
    this.#onStuck = onStuck;
    try {
      makePrivateDirectory(path.dirname(file));
    } catch (error) {
      if (isDiskFull(error)) return;
      throw error;
    }
    try {
      this.#open();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  write(line: string): void {
    try {
      let descriptor = this.#descriptor ?? this.#open();
      if (this.#size > 0 && this.#size + Buffer.byteLength(line) > this.#maxSize)
        descriptor = this.#turnOver(descriptor);
      this.#size += this.#lines.write(descriptor, line);
      this.#losses.cameThrough();
    } catch (error) {
      try {
        this.close();
      } catch {
        // The line that was not written is told of below.
      }
      this.#losses.lose(messageOf(error));
    }
  }

  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) closeSync(descriptor);
  }

  #open(): number {
    const descriptor = openToAppend(this.#file);
    this.#descriptor = descriptor;
    this.#size = fstatSync(descriptor).size;
    return descriptor;
  }

  /** @returns where the next line goes */
  #turnOver(descriptor: number): number {
    try {
      renameSync(this.#file, `${this.#file}.1`);
    } catch (error) {
      // What nobody finds under the file's name any more takes no line.
      if (isStill(this.#file, descriptor)) {
        this.#tellStuck(messageOf(error));
        return this.#descriptor ?? this.#open();
      }
    }
    this.close();
    this.#stuck = false;
    return this.#open();
  }

  #tellStuck(reason: string): void {
    if (this.#stuck) return;
    // Before it is told: what is told is a line too.
    this.#stuck = true;
    this.#onStuck(reason);
  }
}

function isStill(file: string, descriptor: number): boolean {
  try {
    const [there, opened] = [statSync(file), fstatSync(descriptor)];
    return there.dev === opened.dev && there.ino === opened.ino;
  } catch {
    return false;
  }
}

/** Opens a file for more lines, and makes it if there is none. */
function openToAppend(file: string): number {
  try {
    return createPrivate(file, 'ax');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    return openSync(file, 'a', 0o600);
  }
}
