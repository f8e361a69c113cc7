import { StoreUnavailable } from '../../store/port.js';
import type { AlarmClock, Milliseconds } from '../../kernel/time.js';

/**
 * Waits no longer than `span`.
 *
 * @throws StoreUnavailable with `message` when the time is over; what `promise` rejects with
 */
export async function within<T>(
  clock: AlarmClock,
  promise: Promise<T>,
  span: Milliseconds,
  message: string,
): Promise<T> {
  let cancel = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(span, () => reject(new StoreUnavailable(message)));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}
