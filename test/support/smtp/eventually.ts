import { setTimeout as pause } from 'node:timers/promises';

/**
 * For what nothing announces: looks again, every few milliseconds (`every`), until it holds; fails after ten seconds, or `within`,
 * also where one look never ends.
 */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  within = 10_000,
  every = 3,
): Promise<void> {
  const over = new AbortController();
  const late = pause(within, 'late', { signal: over.signal }).catch(() => 'over');
  try {
    for (;;) {
      // The first of the two that has settled wins: what is late is late, though it goes on to say no.
      const seen = await Promise.race([late, holds()]);
      if (seen === true) return;
      if (seen === 'late') throw new Error(`still not so after ${within} ms: ${what}`);
      await pause(every);
    }
  } finally {
    over.abort();
  }
}
