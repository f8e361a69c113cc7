import { open } from 'node:fs/promises';
import os from 'node:os';
import type { Logger } from 'pino';
import type { LocalContainment } from './containment.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { HOUR, MINUTE, SECOND } from '../kernel/time.js';
import { Trouble } from '../log/trouble.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { ReadModels } from './read-models.js';
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
/** Descriptors run out for as long as somebody holds connections open. */
const DESCRIPTOR_PAUSE: Milliseconds = 5 * SECOND;

/** Probes the store for as long as this runs, so that health tells that it is away before somebody needs it. */
export function keepProbed(
  store: Pick<EventStore, 'probe' | 'healthy'>,
  clock: AlarmClock,
  log: Logger,
): () => void {
  const trouble = new Trouble(clock, {
    began: (error) => log.warn({ error }, 'the store takes no events'),
    over: (count, spanMs) => log.warn({ count, spanMs }, 'the store takes events again'),
  });
  return every(
    PROBE_PAUSE,
    clock,
    async () => {
      await store.probe();
      if (!store.healthy) throw new Error('appends have failed');
    },
    trouble,
  );
}

/** Tells when no file can be opened any more: the system then closes connections before anybody here hears of them. */
export function watchDescriptors(clock: AlarmClock, log: Logger, onShort: () => void): () => void {
  const trouble = new Trouble(clock, {
    began: (error) => log.error({ error }, 'connections are not taken'),
    over: (count, spanMs) => log.warn({ count, spanMs }, 'connections are taken again'),
  });
  return every(
    DESCRIPTOR_PAUSE,
    clock,
    async () => {
      try {
        await (await open(os.devNull)).close();
      } catch (error) {
        onShort();
        throw error;
      }
    },
    trouble,
  );
}

/** Looks again and again whether something works, until it is told to stop. */
function every(
  pause: Milliseconds,
  clock: AlarmClock,
  look: () => Promise<void>,
  trouble: Trouble,
): () => void {
  let stopped = false;
  let cancel = (): void => undefined;
  const plan = (): void => {
    if (stopped) return;
    cancel = clock.after(pause, () => {
      look()
        .then(
          () => trouble.worked(),
          (error: unknown) => {
            if (!stopped) trouble.failed(messageOf(error));
          },
        )
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
