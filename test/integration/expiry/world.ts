import type { BullWork, BullWorkOptions } from '../../../src/expiry/bullmq/work.js';
import { openBullWork } from '../../../src/expiry/bullmq/work.js';
import type { TimedTask } from '../../../src/expiry/port.js';
import type { Healed } from '../../../src/expiry/reconcile.js';
import type { StopgapError } from '../../../src/kernel/errors.js';
import type { Instant } from '../../../src/kernel/time.js';
import { systemClock } from '../../../src/runtime/clock.js';

/** Keeps what happened, and lets a test wait until something has. */
export class Log<T> {
  readonly all: T[] = [];
  readonly #waiting = new Set<{
    readonly isIt: (all: readonly T[]) => boolean;
    readonly resolve: () => void;
  }>();

  readonly push = (item: T): void => {
    this.all.push(item);
    for (const waiting of [...this.#waiting]) {
      if (!waiting.isIt(this.all)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  };

  until(isIt: (all: readonly T[]) => boolean): Promise<void> {
    if (isIt(this.all)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.add({ isIt, resolve });
    });
  }

  /** Resolves when there are so many. */
  count(count: number): Promise<void> {
    return this.until((all) => all.length >= count);
  }
}

export interface World {
  readonly work: BullWork;
  readonly done: Log<TimedTask>;
  readonly notices: Log<string>;
  readonly healed: Log<Healed>;
  readonly refused: Log<StopgapError>;
}

export async function openWorld(
  options: Partial<BullWorkOptions> & Pick<BullWorkOptions, 'redis'>,
): Promise<World> {
  const [done, notices, healed, refused] = [
    new Log<TimedTask>(),
    new Log<string>(),
    new Log<Healed>(),
    new Log<StopgapError>(),
  ];
  const work = await openBullWork({
    clock: systemClock,
    onDone: done.push,
    onNotice: notices.push,
    onHealed: healed.push,
    onRefused: refused.push,
    ...options,
  });
  return { work, done, notices, healed, refused };
}

export function taskFor(block: string, dueAt: Instant, kind: TimedTask['kind'] = 'expire'): TimedTask {
  return { kind, block, subject: { type: 'account', value: `${block}@example.com` }, dueAt };
}

export const doNothing = async (): Promise<void> => undefined;
