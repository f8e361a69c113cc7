import { openSync, readSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** Milliseconds between two looks. */
const EVERY = 1;

/**
 * How long the event loop of this process was held at most: the span between two looks, without what the thread spent
 * ready to run while other processes had the processors.
 */
export class LoopWatch {
  readonly #schedule = scheduleOfMainThread();
  #seen = performance.now();
  #waited = this.#schedule();
  #most = 0;

  start(): void {
    setInterval(() => this.#look(), EVERY).unref();
  }

  /** Milliseconds, since it was asked last. */
  take(): number {
    this.#look();
    const most = this.#most;
    this.#most = 0;
    return most;
  }

  #look(): void {
    const now = performance.now();
    const waited = this.#schedule();
    const held = now - this.#seen - (waited - this.#waited) - EVERY;
    if (held > this.#most) this.#most = held;
    this.#seen = performance.now();
    this.#waited = waited;
  }
}

/** Milliseconds that the main thread has waited for a processor so far; always 0 if the system does not tell. */
function scheduleOfMainThread(): () => number {
  let file: number;
  try {
    file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  } catch {
    return () => 0; // no Linux
  }
  const bytes = Buffer.alloc(64);
  return () => Number(bytes.toString('latin1', 0, readSync(file, bytes, 0, 64, 0)).split(' ')[1]) / 1e6;
}
