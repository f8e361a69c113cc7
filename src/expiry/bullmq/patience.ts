import type { AlarmClock, Milliseconds } from '../../kernel/time.js';

/**
 * Waits for a promise, but not longer than so many milliseconds.
 *
 * @throws what the promise rejects with in that time
 */
export async function waitAtMost(
  clock: AlarmClock,
  patience: Milliseconds,
  promise: Promise<unknown>,
): Promise<void> {
  let wake = (): void => undefined;
  const enough = new Promise<void>((resolve) => {
    wake = clock.after(patience, resolve);
  });
  try {
    await Promise.race([promise, enough]);
  } finally {
    wake();
  }
}
