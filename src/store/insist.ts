import { setTimeout as pause } from 'node:timers/promises';
import type { Milliseconds } from '../kernel/time.js';
import { Backoff } from '../runtime/backoff.js';
import { AccessRefused, StoreUnavailable } from './port.js';

/** A store that comes back is noticed this soon. */
const LONGEST_PAUSE: Milliseconds = 2000;

export interface Insistence {
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  /** Told of each failure that is waited out. */
  readonly onAway: (error: StoreUnavailable) => void;
  /** A store that refuses the user is waited for as well: it will not be another configuration that ends it. */
  readonly patient?: boolean;
}

/**
 * Tries until it succeeds, for as long as the store is away.
 *
 * @throws AccessRefused, unless `patient`; whatever `work` throws that is no StoreUnavailable; AbortError
 */
export async function insist<T>(work: () => Promise<T>, insistence: Insistence): Promise<T> {
  const { signal, onAway, patient = false } = insistence;
  const backoff = new Backoff({ first: 250, most: LONGEST_PAUSE });
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || (error instanceof AccessRefused && !patient)) throw error;
      onAway(error);
    }
    // Not by the clock on the wall, which a machine that has just started may set back by hours.
    await pause(backoff.next(), undefined, { signal });
  }
}
