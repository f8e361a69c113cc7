import { printable } from '../kernel/printable.js';
import type { Milliseconds } from '../kernel/time.js';
import type { CliIo } from './io.js';

/** Between two texts: faster than this nobody reads. */
const PACE: Milliseconds = 200;

/** One line on standard error that is written over, where somebody sits at a terminal; else nothing. */
export class StatusLine {
  readonly #io: CliIo;
  readonly #isShown: boolean;
  #shownAt = -Infinity;
  #length = 0;

  constructor(io: CliIo) {
    this.#io = io;
    this.#isShown = (io.stderr as Partial<NodeJS.WriteStream>).isTTY === true;
  }

  /** @param text only asked for where it is shown */
  show(text: () => string): void {
    if (!this.#isShown) return;
    const now = this.#io.clock.now();
    if (now < this.#shownAt + PACE) return;
    this.#shownAt = now;
    this.#write(text());
  }

  /** Leaves the line empty, for what comes after it. */
  clear(): void {
    if (this.#length > 0) this.#write('');
    this.#length = 0;
  }

  #write(raw: string): void {
    const text = printable(raw);
    this.#io.stderr.write(`\r${text.padEnd(this.#length)}${text === '' ? '\r' : ''}`);
    this.#length = text.length;
  }
}
