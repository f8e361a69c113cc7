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
 * Looks at least once a minute how much is left: `setTimeout` fires at once for more than 24.8 days, knows nothing of
 * a clock that was set, and stands still while the machine sleeps.
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
