import { setImmediate as turn } from 'node:timers/promises';
import type { Clock, Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import type { TimedTask } from './port.js';

/** A job that waits in a queue: `runsAt` says when its turn comes, undefined if it has come. */
export interface FoundJob {
  readonly id: string;
  readonly runsAt: Instant | undefined;
}

/** What reconciliation needs of a queue; everything in slices. */
export interface QueueView {
  idOf(task: TimedTask): string;
  /** Every job that waits, is delayed or is under way; one may come twice, one that moves meanwhile not at all. */
  scan(): AsyncIterable<readonly FoundJob[]>;
  /**
   * Of these ids: when each was finished, `waits` for one that is in some state, `remains` for one that is in none and
   * never has its turn; those that are gone are left out.
   */
  lookUp(ids: readonly string[]): Promise<ReadonlyMap<string, Instant | 'waits' | 'remains'>>;
  add(tasks: readonly TimedTask[]): Promise<void>;
  /** Removes jobs in any state except under way. */
  remove(ids: readonly string[]): Promise<void>;
}

export interface Healed {
  /** Tasks that had no job. */
  readonly added: number;
  /** Tasks whose job was to run too late. */
  readonly moved: number;
  /** Jobs without a task. */
  readonly removed: number;
  /** Tasks that the pass looked at. */
  readonly tasks: number;
}

/** A job that failed waits for its next try at most this long: what waits longer was put there by mistake. */
export const LONGEST_RETRY: Milliseconds = MINUTE;
/**
 * A job that is overdue by more, and of which it is not seen that its turn comes, was put aside by somebody else. Ours has
 * had all its tries by then (a minute), and its worker may have been lost twice (twenty seconds each).
 */
export const LONGEST_OVERDUE: Milliseconds = 2 * MINUTE;
/** The ledger hears of what a job did a moment after the job is done: until then a finished one is no loss. */
const SETTLE: Milliseconds = 10 * SECOND;
const SLICE = 500;

/**
 * Holds what must be planned against what was found. Pure; fed task by task, so that the caller can take a
 * breath in between.
 */
export class JobComparison {
  readonly #found: Map<string, Instant | undefined>;
  readonly #now: Instant;

  /** @param found is used up */
  constructor(found: Map<string, Instant | undefined>, now: Instant) {
    this.#found = found;
    this.#now = now;
  }

  /** Compares a task with its job. A job that runs too early does no harm: it waits when its turn comes. */
  judge(id: string, dueAt: Instant): 'right' | 'missing' | 'late' {
    if (!this.#found.has(id)) return 'missing';
    const runsAt = this.#found.get(id);
    this.#found.delete(id);
    return runsAt !== undefined && runsAt > Math.max(dueAt, this.#now) + LONGEST_RETRY ? 'late' : 'right';
  }

  /** Once every task was judged: the jobs that belong to none. */
  strays(): ReadonlySet<string> {
    return new Set(this.#found.keys());
  }
}

export interface ReconcileOptions {
  readonly queue: QueueView;
  /** What must be planned. May change while it is read. */
  readonly planned: () => Iterable<TimedTask>;
  /** False while the ledger is known to lag. It cannot tell then which job is a stray. */
  readonly caughtUp: () => boolean;
  readonly clock: Clock;
}

/**
 * Makes the queue hold what must be planned. A stray is removed only when the pass before saw it too: another
 * process may know of a block that we have not heard of yet. A task that is added or a stray that stays for
 * nothing does no harm, since its command then finds nothing to do.
 */
export class Reconciler {
  readonly #options: ReconcileOptions;
  #suspects: ReadonlySet<string> = new Set();

  constructor(options: ReconcileOptions) {
    this.#options = options;
  }

  /** One pass; do not call it while another is under way. @throws what the queue throws */
  async pass(): Promise<Healed> {
    const { queue, planned, caughtUp, clock } = this.#options;
    const found = new Map<string, Instant | undefined>();
    for await (const slice of queue.scan()) {
      for (const { id, runsAt } of slice) found.set(id, runsAt);
    }
    const comparison = new JobComparison(found, clock.now());
    const healed = { added: 0, moved: 0, removed: 0, tasks: 0 };
    let missing: TimedTask[] = [];
    let late: TimedTask[] = [];
    const heal = async (): Promise<void> => {
      healed.added += await this.#replace(missing);
      healed.moved += late.length;
      await queue.remove(late.map((task) => queue.idOf(task)));
      await queue.add(late);
      missing = [];
      late = [];
    };
    for (const task of planned()) {
      const state = comparison.judge(queue.idOf(task), task.dueAt);
      if (state === 'missing') missing.push(task);
      if (state === 'late') late.push(task);
      if (missing.length + late.length >= SLICE) await heal();
      if (++healed.tasks % SLICE === 0) await turn();
    }
    await heal();
    healed.removed = await this.#sweep(comparison.strays(), caughtUp());
    return healed;
  }

  /** Adds what is missing, even if a job that will never run still has its id. */
  async #replace(tasks: readonly TimedTask[]): Promise<number> {
    if (tasks.length === 0) return 0;
    const { queue, clock } = this.#options;
    const kept = await queue.lookUp(tasks.map((task) => queue.idOf(task)));
    const now = clock.now();
    const settled = now - SETTLE;
    const due = tasks.filter((task) => {
      const finished = kept.get(queue.idOf(task));
      // Planned since the scan: its job must not be gone for a moment.
      if (finished === 'waits') return now - task.dueAt > LONGEST_OVERDUE;
      return finished === undefined || finished === 'remains' || finished <= settled;
    });
    await queue.remove(due.map((task) => queue.idOf(task)).filter((id) => kept.has(id)));
    await queue.add(due);
    return due.length;
  }

  async #sweep(strays: ReadonlySet<string>, certain: boolean): Promise<number> {
    const before = this.#suspects;
    this.#suspects = certain ? strays : new Set();
    const confirmed = certain ? [...strays].filter((id) => before.has(id)) : [];
    for (let from = 0; from < confirmed.length; from += SLICE)
      await this.#options.queue.remove(confirmed.slice(from, from + SLICE));
    return confirmed.length;
  }
}
