import { StopgapError } from './errors.js';

export interface TurnsOptions {
  /** How many run at a time. */
  readonly atOnce: number;
  /** How many may wait. */
  readonly queue: number;
  /** What one is told that may not. */
  readonly refusal?: string;
}

interface Waiting {
  readonly go: () => void;
  readonly giveUp: () => void;
}

/**
 * Lets a bounded number of works run at a time, and a bounded number wait. Where works wait, the client networks take turns:
 * a flood from one of them does not keep the others waiting.
 */
export class Turns {
  readonly #atOnce: number;
  readonly #queueLimit: number;
  readonly #refusal: string;
  /** By network; the next in turn comes first. */
  readonly #waiting = new Map<string, Waiting[]>();
  #waits = 0;
  #running = 0;

  constructor({ atOnce, queue, refusal = 'too many logins are waiting to be checked' }: TurnsOptions) {
    this.#refusal = refusal;
    this.#atOnce = atOnce;
    this.#queueLimit = queue;
  }

  /** Works that run or wait. */
  get pending(): number {
    return this.#running + this.#waits;
  }

  /** @throws StopgapError `unavailable` if too many wait already */
  async run<T>(network: string, work: () => Promise<T>): Promise<T> {
    await this.#enter(network);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  /** If all places to wait are taken, the network that has most of them gives one up. */
  async #enter(network: string): Promise<void> {
    if (this.#running < this.#atOnce) {
      this.#running += 1;
      return;
    }
    if (this.#waits >= this.#queueLimit) {
      const own = this.#waiting.get(network)?.length ?? 0;
      const longest = this.#longest();
      if (longest.length <= own + 1) throw this.#tooMany();
      this.#waits -= 1;
      longest.pop()!.giveUp();
    }
    const queue = this.#waiting.get(network) ?? [];
    this.#waiting.set(network, queue);
    this.#waits += 1;
    await new Promise<void>((resolve, reject) =>
      queue.push({ go: resolve, giveUp: () => reject(this.#tooMany()) }),
    );
  }

  #tooMany(): StopgapError {
    return new StopgapError('unavailable', this.#refusal);
  }

  #longest(): Waiting[] {
    let longest: Waiting[] = [];
    for (const queue of this.#waiting.values()) if (queue.length > longest.length) longest = queue;
    return longest;
  }

  #leave(): void {
    for (const [network, queue] of this.#waiting) {
      const next = queue.shift();
      this.#waiting.delete(network);
      // Its turn comes again after all others.
      if (queue.length > 0) this.#waiting.set(network, queue);
      if (next === undefined) continue;
      this.#waits -= 1;
      // The slot is handed over: nobody who comes in between may take it.
      next.go();
      return;
    }
    this.#running -= 1;
  }
}
