import type { Milliseconds } from '../../kernel/time.js';
import { RelayUnreachable } from './port.js';

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Those who wait for something, first come first served; only so many, and none for longer than it should. */
export class WaitingRoom<T> {
  readonly #waiters = new Set<Waiter<T>>();
  readonly #max: number;
  readonly #timeout: Milliseconds;
  /** Called when one has waited in vain, before it is told. */
  readonly #onTimeout: () => void;

  constructor(max: number, timeout: Milliseconds, onTimeout: () => void) {
    this.#max = max;
    this.#timeout = timeout;
    this.#onTimeout = onTimeout;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** Throws RelayUnreachable where it is full; rejects with it where the wait was in vain. */
  enter(): Promise<T> {
    if (this.#waiters.size >= this.#max) {
      throw inVain(`${this.#max} commands wait for the upstream already`);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#onTimeout();
        this.#leave(waiter);
        reject(inVain(`no session with the upstream was free within ${this.#timeout} ms`));
      }, this.#timeout);
      const waiter: Waiter<T> = { resolve, reject, timer };
      this.#waiters.add(waiter);
    });
  }

  /** Gives it to the first; says whether there was one. */
  serve(value: T): boolean {
    const [first] = this.#waiters;
    if (first === undefined) return false;
    this.#leave(first);
    first.resolve(value);
    return true;
  }

  dismissAll(why: string): void {
    for (const waiter of [...this.#waiters]) {
      this.#leave(waiter);
      waiter.reject(new RelayUnreachable(why));
    }
  }

  #leave(waiter: Waiter<T>): void {
    this.#waiters.delete(waiter);
    clearTimeout(waiter.timer);
  }
}

function inVain(message: string): RelayUnreachable {
  return new RelayUnreachable(message, { fault: message });
}
