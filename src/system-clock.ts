import type { AlarmClock, Instant } from './kernel/time.js';
import { MINUTE } from './kernel/time.js';

/**
 * The machine's clock. An alarm looks at the clock again at least once a minute: `setTimeout` fires at once
 * for more than 24.8 days, knows nothing of a clock that was set, and stands still while the machine sleeps.
 */
export const systemClock: AlarmClock = {
  now: () => Date.now(),
  wakeAt(at: Instant, callback: () => void): () => void {
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      const left = at - Date.now();
      timer = setTimeout(left <= MINUTE ? fire : wait, Math.max(0, Math.min(left, MINUTE)));
      timer.unref();
    };
    const fire = (): void => (Date.now() >= at ? callback() : wait());
    wait();
    return () => clearTimeout(timer);
  },
};
