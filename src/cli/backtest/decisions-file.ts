import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { once } from 'node:events';
import type { Decision } from '../../backtest/cases.js';

/** A decision a line, as JSON. */
export class DecisionsFile {
  readonly #out: WriteStream;
  #fault: Error | undefined;

  private constructor(out: WriteStream) {
    this.#out = out;
    out.on('error', (error) => (this.#fault ??= error));
  }

  /** Begins anew where there is a file. @throws what the operating system says */
  static async open(file: string): Promise<DecisionsFile> {
    const out = createWriteStream(file);
    await once(out, 'open');
    return new DecisionsFile(out);
  }

  write(decision: Decision): void {
    this.#out.write(`${JSON.stringify(decision)}\n`);
  }

  /** Undefined where more can be written at once. @throws what the operating system says */
  room(): Promise<void> | undefined {
    if (this.#fault !== undefined) throw this.#fault;
    return this.#out.writableNeedDrain ? this.#drained() : undefined;
  }

  async close(): Promise<void> {
    if (this.#fault === undefined) await new Promise<void>((resolve) => this.#out.end(() => resolve()));
    if (this.#fault !== undefined) throw this.#fault;
  }

  async #drained(): Promise<void> {
    await once(this.#out, 'drain');
  }
}
