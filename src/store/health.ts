import { setTimeout as pause } from 'node:timers/promises';
import type { Milliseconds } from '../kernel/time.js';
import type { BackoffOptions } from '../runtime/clock.js';
import { Backoff } from '../runtime/clock.js';
import { AccessRefused, StoreDamaged, StoreUnavailable } from './port.js';

export interface HealthOptions {
  /** Checks whether an append would succeed, and writes no event. Rejects if it would not, in bounded time. */
  readonly look: () => Promise<unknown>;
  /** The same check for a store that has failed. It may cost more. */
  readonly retry: () => Promise<unknown>;
  /** Between attempts at a store that has failed. */
  readonly backoff: BackoffOptions;
}

/** Knows whether appends succeed. After a failure it finds out by itself when they succeed again. */
export class Health {
  readonly #options: HealthOptions;
  /** Why the last attempt failed; undefined while the store is good. */
  #failure: { readonly reason: unknown } | undefined;
  #closed = false;
  /** An append has gone through since the last look. */
  #heard = false;
  #timer: NodeJS.Timeout | undefined;
  #retrying = false;
  readonly #backoff: Backoff;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.backoff);
  }

  get good(): boolean {
    return this.#failure === undefined;
  }

  /** An append went through. */
  succeed(): void {
    this.#failure = undefined;
    this.#heard = true;
    this.#backoff.reset();
  }

  /** An append failed. Callers may stop appending from here on, so the store is tried again without them. */
  fail(reason?: unknown): void {
    if (reason !== undefined) this.#failure = { reason };
    this.#failure ??= { reason: new StoreUnavailable('appends have failed') };
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => void this.#retry(), this.#backoff.next()).unref();
  }

  /** The store was seen to answer again: the next attempt is made at once. */
  hurry(): void {
    if (this.good || this.#closed) return;
    this.#backoff.reset();
    if (this.#retrying) return;
    clearTimeout(this.#timer);
    void this.#retry();
  }

  /**
   * Checks the store if no append has succeeded since the last check. Rejects with the reason if it takes nothing; with the
   * last one if it is known to.
   */
  async look(): Promise<void> {
    // A caller that has heard nothing would think that it is well.
    if (this.#failure) throw this.#failure.reason;
    if (this.#heard) {
      this.#heard = false;
      return;
    }
    try {
      await this.#options.look();
    } catch (error) {
      // An append that succeeded meanwhile is the better evidence.
      if (this.#heard || this.#closed) return;
      this.fail(error);
      throw error;
    }
  }

  async #retry(): Promise<void> {
    this.#retrying = true;
    let failure: { readonly reason: unknown } | undefined;
    try {
      if (!this.good) await this.#options.retry();
    } catch (reason) {
      failure = { reason };
    }
    this.#retrying = false;
    this.#timer = undefined;
    if (!failure) this.succeed();
    else if (!this.good) this.fail(failure.reason);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/** A store that comes back is noticed this soon. */
const LONGEST_PAUSE: Milliseconds = 2000;

interface Insistence {
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  /** Told of each failure that is waited out. */
  readonly onAway: (error: StoreUnavailable) => void;
  /** A store that refuses the user, or is damaged, is waited for as well: the process serves already by what it knows. */
  readonly patient?: boolean;
}

/**
 * Tries until it succeeds, for as long as the store is away.
 *
 * @throws AccessRefused and StoreDamaged, unless `patient`; any other error of `work` than StoreUnavailable; AbortError
 */
export async function insist<T>(work: () => Promise<T>, insistence: Insistence): Promise<T> {
  const { signal, onAway, patient = false } = insistence;
  const backoff = new Backoff({ first: 250, most: LONGEST_PAUSE });
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      const isHopeless = error instanceof AccessRefused || error instanceof StoreDamaged;
      if (!(error instanceof StoreUnavailable) || (isHopeless && !patient)) throw error;
      onAway(error);
    }
    // Not by the clock on the wall, which a machine that has just started may set back by hours.
    await pause(backoff.next(), undefined, { signal });
  }
}
