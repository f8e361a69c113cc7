import { setTimeout } from 'node:timers/promises';
import { StopgapError, errorOf } from '../kernel/errors.js';
import type { NewEvent } from '../kernel/events.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable, WrongExpectedRevision } from '../store/port.js';

/** Appends under way: a store writes many in one go. */
const AT_ONCE = 512;
/** A store that is away comes back, or does not: half a minute tells. */
const ATTEMPTS = 8;
const FIRST_PAUSE: Milliseconds = SECOND / 4;

export interface AppenderOptions {
  /** Whether an id is known to stand in the store: for stores that forget what was appended long ago. */
  readonly isKnown?: (id: string) => boolean;
  /** How to wait for a store that is away. */
  readonly pause?: (span: Milliseconds) => Promise<unknown>;
}

/** Appends many events that may stand in the store already, in the order in which they come. */
export class Appender {
  readonly #store: Pick<EventStore, 'append'>;
  readonly #isKnown: (id: string) => boolean;
  readonly #pause: (span: Milliseconds) => Promise<unknown>;
  #underWay = 0;
  #fault: Error | undefined;
  #waiting: (() => void)[] = [];
  /** Events that were not in the store before. */
  added = 0;
  /** Events that were. */
  known = 0;

  constructor(store: Pick<EventStore, 'append'>, options: AppenderOptions = {}) {
    this.#store = store;
    this.#isKnown = options.isKnown ?? (() => false);
    this.#pause = options.pause ?? setTimeout;
  }

  put(stream: string, event: NewEvent): void {
    if (this.#fault !== undefined) return;
    if (this.#isKnown(event.id)) {
      this.known++;
      return;
    }
    this.#underWay++;
    void this.#append(stream, event)
      .then(
        (isNew) => void (isNew ? this.added++ : this.known++),
        (error: unknown) => void (this.#fault ??= errorOf(error)),
      )
      .then(() => {
        this.#underWay--;
        for (const wake of this.#waiting.splice(0)) wake();
      });
  }

  /** Resolves when it can take more; undefined where it can at once. Rejects with what went wrong. */
  room(): Promise<void> | undefined {
    return this.#underWay < AT_ONCE && this.#fault === undefined ? undefined : this.#until(AT_ONCE / 2);
  }

  /** Resolves when all is in the store. */
  finish(): Promise<void> {
    return this.#until(0);
  }

  async #until(most: number): Promise<void> {
    while (this.#underWay > most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** @returns whether it was new */
  async #append(stream: string, event: NewEvent): Promise<boolean> {
    for (let attempt = 1, wait = FIRST_PAUSE; ; attempt++, wait *= 2) {
      try {
        return !(await this.#store.append(stream, [event], 'any')).duplicate;
      } catch (error) {
        // It stands in another stream: the account had another name when it was imported.
        if (isConflict(error)) return false;
        if (!(error instanceof StoreUnavailable) || attempt === ATTEMPTS) throw error;
        await this.#pause(wait);
      }
    }
  }
}

function isConflict(error: unknown): boolean {
  return (
    error instanceof StopgapError && error.code === 'conflict' && !(error instanceof WrongExpectedRevision)
  );
}
