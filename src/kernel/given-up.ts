/** What the hook did in one call, as far as the caller may know it. */
interface Run {
  readonly action: string;
  readonly outcome: string;
  readonly acted?: number | undefined;
}

interface Item<Hook extends Run> {
  readonly hook?: Hook | undefined;
}

/** Runs of the hook on held mail, in their order. */
export function runsOnHeld<Hook extends Run>(history: readonly Item<Hook>[]): readonly Hook[] {
  return history.flatMap(({ hook }) => (hook === undefined || hook.action === 'hold-queue' ? [] : [hook]));
}

/** Those after the last one that was done: given up, or replaced by another decision. What they released or deleted is listed as held still. */
export function givenUpOf<Hook extends Run>(history: readonly Item<Hook>[]): readonly Hook[] {
  const runs = runsOnHeld(history);
  return runs.slice(runs.findLastIndex(({ outcome }) => outcome === 'done') + 1);
}

/**
 * What has left the queue of mail that is listed as held, in words.
 *
 * @param count messages that are listed
 * @returns empty where nothing has
 */
export function givenUpText(history: readonly Item<Run>[], count: number): string {
  const givenUp = givenUpOf(history);
  let left = count;
  const parts = (['delete', 'release'] as const).flatMap((action) => {
    const own = givenUp.filter((run) => run.action === action);
    const acted = own.reduce((sum, run) => sum + (run.acted ?? 0), 0);
    const gone = Math.min(acted, left);
    left -= gone;
    if (gone > 0) return [`${gone} of these ${gone === 1 ? 'was' : 'were'} ${action}d`];
    // An administrator of a domain is not told how many.
    const isUntold = left > 0 && own.some((run) => run.acted === undefined);
    return isUntold ? [`some of these may have been ${action}d`] : [];
  });
  return parts.length === 0 ? '' : `${parts.join(', ')} already`;
}
