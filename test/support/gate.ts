import { setImmediate } from 'node:timers/promises';

/** A promise that a test settles when it likes. */
export class Gate {
  open!: () => void;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}

/** Counts, and wakes those that wait for a count. */
export class Tally {
  private waiting: { count: number; wake: () => void }[] = [];
  count = 0;

  add(): void {
    this.count++;
    for (const { count, wake } of this.waiting) if (this.count >= count) wake();
    this.waiting = this.waiting.filter(({ count }) => count > this.count);
  }

  reached(count: number): Promise<void> {
    if (this.count >= count) return Promise.resolve();
    return new Promise((wake) => this.waiting.push({ count, wake }));
  }
}

/** Lets the event loop turn a few times: everything that can happen without a further cause has then happened. */
export async function settle(turns = 10): Promise<void> {
  for (let i = 0; i < turns; i++) await setImmediate();
}

/** Whether a promise has settled by now, after the loop has turned. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = () => void (settled = true);
  promise.then(note, note);
  await settle();
  return settled;
}
