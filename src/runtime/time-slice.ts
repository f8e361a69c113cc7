import { setImmediate } from 'node:timers/promises';

/** Milliseconds for which work may hold the event loop before others get their turn. */
const SHARE = 4;

/** Looking at the clock costs as much as handling a small event: once every so many is enough. */
const STRIDE = 16;

/** Tells long-running work on the main thread when to let the event loop turn. */
export class TimeSlice {
  private since = performance.now();
  private steps = 0;

  /** Counts one step; true where the loop's turn is due. */
  spent(): boolean {
    if (++this.steps % STRIDE !== 0) return false;
    return performance.now() - this.since > SHARE;
  }

  /** Starts the share anew: the loop has turned. */
  renew(): void {
    this.since = performance.now();
  }

  /** Lets the loop turn once. */
  async turn(): Promise<void> {
    await setImmediate();
    this.renew();
  }
}
