import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const LOAD_CHILD = fileURLToPath(new URL('./load-child.js', import.meta.url));

/** A child that reports by lines on standard output. */
export class LoadChild {
  readonly lines: string[] = [];
  readonly ended: Promise<void>;
  private readonly process: ChildProcess;
  private waiting: { count: number; wake: () => void }[] = [];
  private errors = '';

  constructor(file: string, mode: 'sequential' | 'parallel', count: number) {
    this.process = spawn(process.execPath, [LOAD_CHILD, file, mode, String(count)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stderr!.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.lines.push(line);
      for (const { count: wanted, wake } of this.waiting) if (this.lines.length >= wanted) wake();
    });
    this.ended = once(this.process, 'close').then(() => undefined);
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Waits until it has written so many lines; rejects where it ends before. */
  async wrote(count: number): Promise<void> {
    if (this.lines.length >= count) return;
    const reached = new Promise<void>((wake) => this.waiting.push({ count, wake }));
    const tooSoon = this.ended.then(() => {
      if (this.lines.length < count)
        throw new Error(`the child ended after ${this.lines.length} lines: ${this.errors}`);
    });
    await Promise.race([reached, tooSoon]);
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}
