import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds between two looks, at first and at most: what takes long would spend the processor on being looked at. */
const [SOON, AT_MOST] = [3, 50];

/**
 * For what nothing announces: looks again and again until it holds; fails after ten seconds, or `within`,
 * also where one look never ends.
 */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  within = 10_000,
): Promise<void> {
  const over = new AbortController();
  const late = pause(within, 'late', { signal: over.signal }).catch(() => 'over');
  try {
    for (let wait = SOON; ; wait = Math.min(wait * 1.3, AT_MOST)) {
      // The first of the two that has settled wins: what is late is late, though it goes on to say no.
      const seen = await Promise.race([late, holds()]);
      if (seen === true) return;
      if (seen === 'late') throw new Error(`still not so after ${within} ms: ${what}`);
      await pause(wait);
    }
  } finally {
    over.abort();
  }
}
