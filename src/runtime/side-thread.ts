import { Worker } from 'node:worker_threads';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';

/** A thread that has nothing to do is ended: it holds memory. */
const IDLE: Milliseconds = 10 * SECOND;

export interface SideThreadOptions {
  readonly script: URL;
  /** Mebibytes of its heap: what needs more fails, and the process lives on. */
  readonly heap: number;
  /** What the thread does, for messages: `reading it`. */
  readonly work: string;
}

interface Pending<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** A thread for work that would hold the event loop, while there is some. One piece of work is done after the other. */
export class SideThread<Told extends { readonly id: number }, Answer extends { readonly id: number }> {
  readonly #options: SideThreadOptions;
  readonly #pending = new Map<number, Pending<Answer>>();
  #thread: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: SideThreadOptions) {
    this.#options = options;
  }

  /** @throws Error if the thread ends before it has answered */
  ask(told: Told): Promise<Answer> {
    clearTimeout(this.#idle);
    const thread = (this.#thread ??= this.#start());
    thread.ref();
    return new Promise((resolve, reject) => {
      this.#pending.set(told.id, { resolve, reject });
      thread.postMessage(told);
    });
  }

  #start(): Worker {
    const { script, heap, work } = this.#options;
    const thread = new Worker(script, { resourceLimits: { maxOldGenerationSizeMb: heap } });
    thread.on('message', (answer: Answer) => this.#take(thread, answer));
    thread.on('error', (error: NodeJS.ErrnoException) => {
      const isHungry = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      this.#end(thread, isHungry ? new Error(`${work} takes more than ${heap} MiB of memory`) : error);
    });
    thread.on('exit', () => this.#end(thread, new Error(`the thread for ${work} has ended`)));
    return thread;
  }

  #take(thread: Worker, answer: Answer): void {
    this.#pending.get(answer.id)!.resolve(answer);
    this.#pending.delete(answer.id);
    if (this.#pending.size > 0) return;
    thread.unref();
    this.#idle = setTimeout(() => {
      this.#thread = undefined;
      void thread.terminate();
    }, IDLE).unref();
  }

  /** What waits for it learns of it; the next work gets another thread. */
  #end(thread: Worker, error: Error): void {
    if (this.#thread !== thread) return;
    clearTimeout(this.#idle);
    this.#thread = undefined;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of waiting) reject(error);
  }
}
