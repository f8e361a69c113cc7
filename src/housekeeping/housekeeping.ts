import type { Logger } from 'pino';
import type { LocalContainment } from '../response/containment.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { HOUR, MINUTE, SECOND } from '../kernel/time.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { ReadModels } from '../read-models.js';
import type { EventStore } from '../store/port.js';

/** Once the outbox is delivered and what came of it is folded, the detectors' word holds again. */
export function letGoWhenBack(
  containment: LocalContainment,
  outbox: OutboxedStore,
  models: ReadModels,
  store: EventStore,
  clock: AlarmClock,
): () => void {
  let cancel = (): void => undefined;
  let back = false;
  const look = (): void => {
    const isBack = !outbox.away && store.healthy && models.feedPosition > 0;
    // Between two looks the detectors have had their time to act on what was delivered.
    if (isBack && back) containment.letGo();
    back = isBack;
    cancel = clock.after(10 * SECOND, look);
  };
  look();
  return () => cancel();
}

/** A store that nobody appends to is known to be away after two rounds, and the time that an append may take. */
const PROBE_PAUSE: Milliseconds = 3 * SECOND;

/** Probes the store for as long as this runs, so that health tells that it is away before somebody needs it. */
export function keepProbed(store: Pick<EventStore, 'probe'>, clock: AlarmClock, log: Logger): () => void {
  let stopped = false;
  let cancel = (): void => undefined;
  const plan = (): void => {
    if (stopped) return;
    cancel = clock.after(PROBE_PAUSE, () => {
      store
        .probe()
        .catch((error: unknown) => {
          if (!stopped) log.warn({ error: messageOf(error) }, 'the store takes no events');
        })
        .then(plan, plan);
    });
  };
  plan();
  return () => {
    stopped = true;
    cancel();
  };
}

/** Deletes what has outlived its retention: soon after the start, then every hour. */
export function keepSwept(
  sweep: (now: number) => Promise<number>,
  clock: AlarmClock,
  log: Logger,
): () => void {
  let cancel = (): void => undefined;
  const plan = (after: number): void => {
    cancel = clock.after(after, () => {
      sweep(clock.now()).then(
        (gone) => gone > 0 && log.info({ events: gone }, 'events beyond their retention were deleted'),
        (error: unknown) =>
          log.error({ error: messageOf(error) }, 'the sweep failed; it is tried again in an hour'),
      );
      plan(HOUR);
    });
  };
  plan(MINUTE);
  return () => cancel();
}
