import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '../kernel/errors.js';

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

/**
 * A file of lines with a bound: when it would grow beyond it becomes `<file>.1`, in place of the one before. A disk
 * that takes nothing costs lines, not the service.
 */
export class LogFile {
  readonly #file: string;
  readonly #maxSize: number;
  readonly #onTrouble: (reason: string) => void;
  #descriptor: number | undefined;
  #size = 0;
  #troubled = false;

  /**
   * @param maxSize bytes
   * @param onTrouble told once when lines begin to be lost
   * @throws the system's error where the file cannot be opened
   */
  constructor(file: string, maxSize: number, onTrouble: (reason: string) => void) {
    this.#file = file;
    this.#maxSize = maxSize;
    this.#onTrouble = onTrouble;
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    this.#open();
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    try {
      let descriptor = this.#descriptor ?? this.#open();
      if (this.#size > 0 && this.#size + bytes.length > this.#maxSize) descriptor = this.#turnOver();
      this.#size += writeSync(descriptor, bytes);
      this.#troubled = false;
    } catch (error) {
      this.close();
      // Set before it is told: what is told is a line too.
      const isNew = !this.#troubled;
      this.#troubled = true;
      if (isNew) this.#onTrouble(messageOf(error));
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #open(): number {
    const descriptor = openSync(this.#file, 'a', 0o600);
    this.#descriptor = descriptor;
    this.#size = fstatSync(descriptor).size;
    return descriptor;
  }

  #turnOver(): number {
    this.close();
    renameSync(this.#file, `${this.#file}.1`);
    return this.#open();
  }
}
