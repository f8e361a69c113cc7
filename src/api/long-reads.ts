import { setImmediate } from 'node:timers/promises';
import { StopgapError } from '../kernel/errors.js';
import { Turns } from '../kernel/turns.js';
import { titleOf } from './dependencies.js';
import type { ApiRequest } from './http/route.js';

/** Each holds the event loop for some milliseconds at a time, and mail waits for it. */
const AT_ONCE = 2;
const MOST_WAITING = 50;

/**
 * Answers for which many thousand events, or senders, are looked at: few are made at a time, the callers take turns, and none is made for a
 * client that is gone or was answered otherwise. What was begun would else go on in vain, however many there are.
 */
export class LongReads {
  readonly #turns = new Turns({
    atOnce: AT_ONCE,
    queue: MOST_WAITING,
    refusal: 'too many answers that take long wait to be made',
  });

  /**
   * @param work is to call its argument at each event, which throws when nobody waits any more
   * @throws StopgapError `unavailable` if too many wait already
   */
  run<T>(
    { caller, response }: ApiRequest<unknown, unknown>,
    work: (look: () => void) => Promise<T>,
  ): Promise<T> {
    const look = lookOf(response);
    return this.#turns.run(titleOf(caller), async () => {
      // What is read at once would else follow the one before without a turn of the event loop.
      await setImmediate();
      look();
      return work(look);
    });
  }

  /** The same of what is in memory: the event loop turns before each step. */
  runSteps<T>(request: ApiRequest<unknown, unknown>, steps: () => Generator<unknown, T>): Promise<T> {
    return this.run(request, async (look) => {
      const all = steps();
      try {
        for (;;) {
          await setImmediate();
          look();
          const step = all.next();
          if (step.done === true) return step.value;
        }
      } finally {
        all.return(undefined as T);
      }
    });
  }
}

/** Throws when nobody waits for the answer any more. */
export function lookOf(response: ApiRequest<unknown, unknown>['response']): () => void {
  return () => {
    if (response.destroyed || response.writableEnded)
      throw new StopgapError('unavailable', 'nobody waits for this answer any more');
  };
}
