import { setTimeout as pause } from 'node:timers/promises';

/** For what nothing announces: looks again, every few milliseconds, until it holds; fails after ten seconds. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`still not so after ten seconds: ${what}`);
    await pause(3);
  }
}
