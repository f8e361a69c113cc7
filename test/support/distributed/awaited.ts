import { setTimeout as pause } from 'node:timers/promises';

/** Asks again until it holds; fails at the deadline with the error that the last asking ended in, if any. */
export async function awaited(
  what: string,
  holds: () => boolean | Promise<boolean>,
  seconds = 15,
): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    let failure: unknown;
    try {
      if (await holds()) return;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline)
      throw new Error(`still not so after ${seconds} s: ${what}`, { cause: failure });
    await pause(20);
  }
}
