import { setImmediate as loopTurn } from 'node:timers/promises';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';

/** The machine's clock. */
export const systemClock: AlarmClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  wakeAt: (at, callback) => wakeWhen(() => at - Date.now(), callback),
  after(span, callback) {
    const due = performance.now() + span;
    return wakeWhen(() => due - performance.now(), callback);
  },
};

/**
 * Looks at least once a minute how much is left: `setTimeout` fires at once for more than 24.8 days, ignores changes of
 * the clock, and stops while the machine sleeps.
 */
function wakeWhen(left: () => Milliseconds, callback: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    timer = setTimeout(look, Math.max(0, Math.min(left(), MINUTE)));
    timer.unref();
  };
  const look = (): void => (left() <= 0 ? callback() : wait());
  wait();
  return () => clearTimeout(timer);
}

/** Resolves after a span, or as soon as the signal is aborted. It leaves nothing behind on a signal that lives longer. */
export function pauseUnless(
  signal: AbortSignal,
  clock: Pick<AlarmClock, 'after'>,
  span: Milliseconds,
): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const over = (): void => {
      cancel();
      signal.removeEventListener('abort', over);
      resolve();
    };
    const cancel = clock.after(span, over);
    signal.addEventListener('abort', over);
  });
}

export interface BackoffOptions {
  /** Pause after the first failure. */
  readonly first: Milliseconds;
  /** No pause is longer. */
  readonly most: Milliseconds;
}

/**
 * How long to wait after so many failures in a row: each time twice as long, or as a list says, and shortened by up to half
 * at random, so that many who wait for the same do not come at once.
 */
export function pauseAfter(failures: number, pauses: BackoffOptions | readonly Milliseconds[]): Milliseconds {
  const full =
    'first' in pauses
      ? Math.min(pauses.most, pauses.first * 2 ** Math.min(failures - 1, 30))
      : pauses[Math.min(failures, pauses.length) - 1]!;
  return full * (0.5 + Math.random() / 2);
}

/** Pauses between attempts: see {@link pauseAfter}. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Counts one more failure. */
  next(): Milliseconds {
    return pauseAfter(++this.#failures, this.#options);
  }

  reset(): void {
    this.#failures = 0;
  }
}

/**
 * Waits for a promise, but not for longer than a span. A later result or error is dropped. An answer that came while
 * something else held the event loop is taken first.
 *
 * @param late gives the result, or throws, when the time is over
 */
export async function within<T, Late>(
  clock: Pick<AlarmClock, 'after'>,
  span: Milliseconds,
  promise: Promise<T>,
  late: () => Late,
): Promise<T | Late> {
  let cancel = (): void => undefined;
  const over = new Promise<void>((resolve) => {
    cancel = clock.after(span, () => setImmediate(resolve));
  });
  try {
    return await Promise.race([promise, over.then(late)]);
  } finally {
    cancel();
  }
}

/** Milliseconds for which work may hold the event loop before others get their turn. */
const SHARE = 4;

/** Looking at the clock costs as much as handling a small event: once every so many is enough. */
const STRIDE = 16;

/** Tells long-running work on the main thread when to let the event loop turn. */
export class TimeSlice {
  #since = performance.now();
  #steps = 0;

  /** Counts one step; true if the loop's turn is due. */
  spent(): boolean {
    if (++this.#steps % STRIDE !== 0) return false;
    return performance.now() - this.#since > SHARE;
  }

  /** Restarts the share: the event loop has turned. */
  renew(): void {
    this.#since = performance.now();
  }

  /** Lets the loop turn once. */
  async turn(): Promise<void> {
    await loopTurn();
    this.renew();
  }
}
