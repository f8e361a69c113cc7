import type { Instant } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';

/** Something to be done to a block when a time has come. */
export interface TimedTask {
  readonly kind: 'expire' | 'lapse';
  readonly block: string;
  readonly subject: Subject;
  readonly dueAt: Instant;
}

/** Carries a task out. Must be harmless when it comes late, twice, or for what has gone meanwhile. */
export type TaskRunner = (task: TimedTask) => Promise<void>;

/** Work that falls due. Losing it must cost nothing but time: the store says what is due. */
export interface TimedWork {
  /** Plans a task; one for the same block and kind is moved. */
  plan(task: TimedTask): void;
  /** Plans these instead of all that was planned. What is no longer planned may still run for a minute. */
  replan(tasks: Iterable<TimedTask>): void;
  /** Takes a task back; one that is not there is no error. */
  cancel(kind: TimedTask['kind'], block: string): void;
  /** Begins to run what is due, first what is overdue. */
  start(run: TaskRunner): void;
  /** Tasks that wait. */
  readonly size: number;
  /** Runs nothing any more; resolves when what is under way is done. */
  close(): Promise<void>;
}
