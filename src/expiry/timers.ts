import TinyQueue from 'tinyqueue';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import type { TaskRunner, TimedTask, TimedWork } from './port.js';
import { pauseAfter } from '../runtime/clock.js';

export interface TimerOptions {
  readonly clock: AlarmClock;
  /** Told how late a task was carried out, in milliseconds. */
  readonly onDone?: (task: TimedTask, lateness: Milliseconds) => void;
  /** Told of a task that failed; it is tried again, after longer and longer pauses. */
  readonly onFailed?: (task: TimedTask, error: unknown) => void;
}

const FIRST_PAUSE = SECOND;
const LONGEST_PAUSE = MINUTE;

/** Timed work in the process: one alarm for the next due task. */
export class Timers implements TimedWork {
  readonly #options: TimerOptions;
  readonly #queue = new DueQueue();
  readonly #retries = new Map<string, number>();
  #run: TaskRunner | undefined;
  #alarm: { at: Instant; cancel: () => void } | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: TimerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#queue.size;
  }

  plan(task: TimedTask): void {
    this.#queue.put(keyOf(task.kind, task.block), task, task.dueAt);
    this.#arm();
  }

  replan(tasks: Iterable<TimedTask>): void {
    this.#queue.clear();
    this.#retries.clear();
    for (const task of tasks) this.#queue.put(keyOf(task.kind, task.block), task, task.dueAt);
    this.#arm();
  }

  cancel(kind: TimedTask['kind'], block: string): void {
    const key = keyOf(kind, block);
    this.#retries.delete(key);
    this.#queue.remove(key);
  }

  start(run: TaskRunner): void {
    this.#run = run;
    this.#arm();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#alarm?.cancel();
    await this.#running;
  }

  #arm(): void {
    const next = this.#queue.next();
    if (next === undefined || this.#run === undefined || this.#closed || this.#running !== undefined) return;
    if (this.#alarm !== undefined) {
      if (this.#alarm.at <= next) return;
      this.#alarm.cancel();
    }
    const cancel = this.#options.clock.wakeAt(next, () => {
      this.#alarm = undefined;
      this.#running = this.#runDue().finally(() => {
        this.#running = undefined;
        this.#arm();
      });
    });
    this.#alarm = { at: next, cancel };
  }

  async #runDue(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closed) {
      const due = this.#queue.takeDue(clock.now());
      if (due === undefined) return;
      await this.#runOne(due);
    }
  }

  async #runOne(task: TimedTask): Promise<void> {
    const key = keyOf(task.kind, task.block);
    const { clock, onDone, onFailed } = this.#options;
    try {
      await this.#run!(task);
      this.#retries.delete(key);
      onDone?.(task, Math.max(0, clock.now() - task.dueAt));
    } catch (error) {
      onFailed?.(task, error);
      const failures = (this.#retries.get(key) ?? 0) + 1;
      this.#retries.set(key, failures);
      const pause = pauseAfter(failures, { first: FIRST_PAUSE, most: LONGEST_PAUSE });
      if (!this.#queue.has(key)) this.#queue.put(key, task, clock.now() + pause);
    }
  }
}

function keyOf(kind: TimedTask['kind'], block: string): string {
  return `${kind} ${block}`;
}

interface Waiting {
  readonly key: string;
  readonly task: TimedTask;
  readonly at: Instant;
}

/** Tasks by when they fall due. Moved and removed ones stay in the heap as husks until they surface. */
class DueQueue {
  #heap = new TinyQueue<Waiting>([], byTime);
  readonly #current = new Map<string, Waiting>();

  get size(): number {
    return this.#current.size;
  }

  has(key: string): boolean {
    return this.#current.has(key);
  }

  put(key: string, task: TimedTask, at: Instant): void {
    const waiting = { key, task, at };
    this.#current.set(key, waiting);
    this.#heap.push(waiting);
    if (this.#heap.length > 64 && this.#heap.length > 2 * this.#current.size) {
      this.#heap = new TinyQueue([...this.#current.values()], byTime);
    }
  }

  remove(key: string): void {
    this.#current.delete(key);
  }

  clear(): void {
    this.#current.clear();
  }

  /** When the next task is due. */
  next(): Instant | undefined {
    return this.#top()?.at;
  }

  takeDue(now: Instant): TimedTask | undefined {
    const top = this.#top();
    if (top === undefined || top.at > now) return undefined;
    this.#current.delete(top.key);
    this.#heap.pop();
    return top.task;
  }

  #top(): Waiting | undefined {
    for (let top = this.#heap.peek(); top !== undefined; top = this.#heap.peek()) {
      if (this.#current.get(top.key) === top) return top;
      this.#heap.pop();
    }
    return undefined;
  }
}

function byTime(a: Waiting, b: Waiting): number {
  return a.at - b.at;
}
