import type { AlarmClock, Milliseconds } from '../kernel/time.js';

/**
 * Waits for a promise, but not for longer than a span. What comes of it later is dropped, be it a result or an error. An
 * answer that came while something else held the event loop is taken first.
 *
 * @param late gives or throws what comes of it when the time is over
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
