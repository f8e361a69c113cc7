import type { Logger } from 'pino';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { LogReplaced } from '../store/port.js';

export interface RefoldingOptions {
  readonly clock: Pick<AlarmClock, 'after'>;
  readonly log: Logger;
  /** Folds everything anew. @returns the position up to which nobody is left who had been forgotten by then */
  readonly refold: (signal: AbortSignal) => Promise<number>;
}

const PAUSE: Milliseconds = 10 * SECOND;

/** Has everything folded anew once somebody was forgotten whose traces may be in memory, and again after a failure. */
export class Refolding {
  readonly #options: RefoldingOptions;
  /** Position of the last event that says that somebody was forgotten. */
  #forgottenAt = 0;
  /** What is known up to here is without the people who had been forgotten by then. */
  #soundUpTo = 0;
  #running: Promise<void> | undefined;
  /** Set while it rests after a failure: nothing but the alarm ends that. */
  #cancelAlarm: (() => void) | undefined;
  /** Of the log that is followed. */
  #stopping = new AbortController();

  constructor(options: RefoldingOptions) {
    this.#options = options;
  }

  /** Whether the log, as far as it is folded, says of anybody that they were forgotten. */
  get hasForgotten(): boolean {
    return this.#forgottenAt > 0;
  }

  get #isDue(): boolean {
    return this.#forgottenAt > this.#soundUpTo && !this.#stopping.signal.aborted;
  }

  /** A log is about to be followed. @param soundUpTo traces may be there of who is forgotten later than this */
  begin(soundUpTo: number): void {
    this.#soundUpTo = soundUpTo;
    this.#forgottenAt = 0;
    this.#stopping = new AbortController();
  }

  forgot(position: number): void {
    this.#forgottenAt = position;
  }

  /** Begins if that is due, and it neither runs nor rests. */
  ifDue(): void {
    if (!this.#isDue || this.#cancelAlarm !== undefined) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // Somebody may have been forgotten meanwhile.
      this.ifDue();
    });
  }

  /** Does nothing more with this log, which was replaced, or the process ends. Resolves when nothing runs. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log, refold } = this.#options;
    try {
      this.#soundUpTo = await refold(this.#stopping.signal);
    } catch (error) {
      if (!this.#isDue) return;
      if (!(error instanceof LogReplaced)) {
        log.error(
          { error: messageOf(error) },
          'what is known of somebody who was forgotten could not be taken out of memory; it is tried again',
        );
      }
      this.#cancelAlarm = clock.after(PAUSE, () => {
        this.#cancelAlarm = undefined;
        this.ifDue();
      });
    }
  }
}
