import type { TimedTask, TimedWork } from '../expiry/port.js';
import type { AlarmClock } from '../kernel/time.js';

/** Timed work that is carried out within the alarm that announces it. */
export class DueTasks implements Pick<TimedWork, 'plan' | 'cancel'> {
  readonly #clock: AlarmClock;
  readonly #run: (task: TimedTask) => void;
  /** What takes back the alarm of each. */
  readonly #alarms = new Map<string, () => void>();

  constructor(clock: AlarmClock, run: (task: TimedTask) => void) {
    this.#clock = clock;
    this.#run = run;
  }

  plan(task: TimedTask): void {
    this.cancel(task.kind, task.block);
    const key = keyOf(task.kind, task.block);
    const cancel = this.#clock.wakeAt(task.dueAt, () => {
      this.#alarms.delete(key);
      this.#run(task);
    });
    this.#alarms.set(key, cancel);
  }

  cancel(kind: TimedTask['kind'], block: string): void {
    const key = keyOf(kind, block);
    this.#alarms.get(key)?.();
    this.#alarms.delete(key);
  }
}

function keyOf(kind: TimedTask['kind'], block: string): string {
  return `${kind} ${block}`;
}
