import type { Milliseconds } from '../../kernel/time.js';

/** A head that is not told within this time is asked for anew, at another node where there is one. */
const PATIENCE: Milliseconds = 2000;

/** Pause after a question without an answer. */
const AGAIN: Milliseconds = 500;

export interface PulseTools {
  /** How often the leader is asked. */
  readonly interval: Milliseconds;
  /** How far the log goes, from the leader; rejects where it is not told in time. */
  readonly head: (timeout: Milliseconds) => Promise<number>;
  /** The leader answers again. */
  readonly back: () => void;
  readonly report: (problem: string, error: unknown) => void;
}

/** One who wants to know. */
export interface Listener {
  /** The log went as far as `head` at the time `asked`, which is by `performance.now`. */
  reached(head: number, asked: number): void;
  /** The leader has not answered. */
  lost(): void;
  /** It answers again. */
  back(): void;
}

/** Asks the leader again and again how far the log goes, as long as somebody listens. */
export class Pulse {
  readonly #tools: PulseTools;
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;
  #isLost = false;

  constructor(tools: PulseTools) {
    this.#tools = tools;
  }

  join(listener: Listener): void {
    this.#listeners.add(listener);
    if (this.#timer === undefined && !this.#asking) this.#askIn(this.#tools.interval);
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isLost = false;
  }

  #askIn(pause: Milliseconds): void {
    if (this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => void this.#ask(), pause).unref();
  }

  async #ask(): Promise<void> {
    const { interval, head, back, report } = this.#tools;
    this.#timer = undefined;
    this.#asking = true;
    const asked = performance.now();
    try {
      const position = await head(PATIENCE);
      if (this.#isLost) {
        this.#isLost = false;
        back();
        for (const listener of this.#listeners) listener.back();
      }
      for (const listener of this.#listeners) listener.reached(position, asked);
    } catch (error) {
      if (!this.#isLost && this.#listeners.size > 0) {
        this.#isLost = true;
        report('the head could not be asked for', error);
        for (const listener of this.#listeners) listener.lost();
      }
    }
    this.#asking = false;
    this.#askIn(this.#isLost ? Math.min(AGAIN, interval) : interval);
  }
}
