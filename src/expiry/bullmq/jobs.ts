import type { Instant, Milliseconds } from '../../kernel/time.js';
import { SUBJECT_TYPES } from '../../sending/subjects.js';
import type { TimedTask } from '../port.js';

/** What a job carries; the kind is the job's name. */
export type JobData = Omit<TimedTask, 'kind'>;

/**
 * A job's id. It holds the due time, since BullMQ silently ignores an id that it keeps as finished: a block that
 * was extended gets another job, whatever became of the first. Every process makes the same id of the same task.
 * No `:`, which separates the parts of a key.
 */
export function jobId({ kind, block, dueAt }: TimedTask): string {
  return `${kind}.${encodeURIComponent(block)}.${dueAt}`;
}

export interface NewJob {
  readonly name: TimedTask['kind'];
  readonly data: JobData;
  readonly opts: { readonly jobId: string; readonly delay: Milliseconds; readonly timestamp: Instant };
}

/**
 * The job for a task. BullMQ runs a job at `timestamp + delay`, so this names the due time itself, whatever the
 * producer's clock says. What is overdue gets the least delay that is none at all: then it stands among the
 * delayed, in order of its due time, and not behind them.
 */
export function newJob(task: TimedTask, now: Instant): NewJob {
  const { kind, block, subject, dueAt } = task;
  const delay = Math.max(1, dueAt - now);
  return {
    name: kind,
    data: { block, subject, dueAt },
    opts: { jobId: jobId(task), delay, timestamp: dueAt - delay },
  };
}

/** The task of a job; undefined for one that is not ours or was damaged. */
export function taskOfJob(name: string, data: unknown): TimedTask | undefined {
  if (name !== 'expire' && name !== 'lapse') return undefined;
  if (typeof data !== 'object' || data === null) return undefined;
  const { block, subject, dueAt } = data as Partial<JobData>;
  if (typeof block !== 'string' || typeof dueAt !== 'number') return undefined;
  if (typeof subject?.value !== 'string' || !SUBJECT_TYPES.includes(subject.type)) return undefined;
  return { kind: name, block, subject, dueAt };
}
