import { setTimeout as pause } from 'node:timers/promises';

/** For what nothing announces: looks again, every few milliseconds, until it holds; fails after ten seconds, or `within`. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  within = 10_000,
): Promise<void> {
  const deadline = performance.now() + within;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${within} ms: ${what}`);
    await pause(3);
  }
}
