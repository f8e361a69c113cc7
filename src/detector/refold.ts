import type { EventStore } from '../store/port.js';
import type { Verdict } from '../rules/respond.js';
import { ReadModels } from './read-models.js';
import { UnansweredVerdicts } from './responder.js';

/**
 * Folds the whole log anew beside read models that go on serving, and puts the result in their place between two
 * events. For a log of which something was taken out: what was folded of it is gone then. Takes the memory of the read
 * models once more meanwhile.
 *
 * @param adopting called in the same turn, right after that, with the verdicts that no event has answered
 * @returns a position: what had been written up to there was written before it began
 * @throws StoreUnavailable; LogReplaced; AbortError
 */
export async function refold(
  models: ReadModels,
  store: Pick<EventStore, 'subscribe' | 'head'>,
  categories: readonly string[],
  signal: AbortSignal,
  adopting: (unanswered: readonly Verdict[]) => void,
): Promise<number> {
  const unanswered = new UnansweredVerdicts();
  const fresh = new ReadModels({
    onVerdict: (verdict) => unanswered.add(verdict),
    onBlockEvent({ stream, data }) {
      if ('evidence' in data && data.evidence !== undefined) unanswered.answered(stream, data.evidence);
    },
    onRulesChanged: () => undefined,
    // They were told of when they were folded first.
    onSkipped: () => undefined,
  });
  const stop = (): void => void fresh.stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const soundUpTo = await store.head();
    // The listener finds nothing to stop before the feed begins.
    signal.throwIfAborted();
    const { ended } = await fresh.follow(store, categories);
    const broken = ended.then(() => signal.throwIfAborted());
    broken.catch(() => undefined);
    while (fresh.position !== models.position) {
      signal.throwIfAborted();
      const [slower, faster] = fresh.position < models.position ? [fresh, models] : [models, fresh];
      await Promise.race([slower.reached(faster.position), broken]);
    }
    signal.throwIfAborted();
    models.adopt(fresh);
    adopting(unanswered.all());
    return soundUpTo;
  } finally {
    signal.removeEventListener('abort', stop);
    await fresh.stop();
  }
}
