import { Worker } from 'node:worker_threads';
import { StopgapError } from '../kernel/errors.js';
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

  /** @throws StopgapError `invalid-input` if this needs too much memory; Error if the thread cannot begin, or ends before it has answered */
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
    const ended = (): Error => new Error(`the thread for ${work} has ended`);
    const thread = new Worker(script, { resourceLimits: { maxOldGenerationSizeMb: heap } });
    thread.on('message', (answer: Answer) => this.#take(thread, answer));
    thread.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ERR_WORKER_OUT_OF_MEMORY') return this.#end(thread, error);
      const hungry = new StopgapError('invalid-input', `${work} takes more than ${heap} MiB of memory`);
      this.#end(thread, ended(), hungry);
    });
    thread.on('exit', () => this.#end(thread, ended()));
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

  /**
   * What waits for it learns of it; the next work gets another thread.
   *
   * @param ofFirst for what it was busy with, which waits longest, if that is at fault
   */
  #end(thread: Worker, error: Error, ofFirst = error): void {
    if (this.#thread !== thread) return;
    clearTimeout(this.#idle);
    this.#thread = undefined;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    waiting.forEach(({ reject }, place) => reject(place === 0 ? ofFirst : error));
  }
}
