import { StoreUnavailable } from './port.js';

/** What may be awaited of a subscription, and the one end that it comes to. */
export class SubscriptionLifecycle {
  readonly caughtUp: Promise<void>;
  /** Rejects with what ended it, unless the subscriber did. */
  readonly ended: Promise<void>;
  /** Resolves at the end, for any cause. */
  readonly settled: Promise<void>;
  /** Says that it has caught up; harmless again and after the end. */
  reach!: () => void;
  #miss!: (error: unknown) => void;
  #stop!: () => void;
  #fail!: (error: unknown) => void;
  #settle!: () => void;
  #isOver = false;

  constructor() {
    this.caughtUp = new Promise((resolve, reject) => ((this.reach = resolve), (this.#miss = reject)));
    this.ended = new Promise((resolve, reject) => ((this.#stop = resolve), (this.#fail = reject)));
    this.settled = new Promise((resolve) => (this.#settle = resolve));
    // A subscriber that awaits none of these must not be ended by them. One that does still gets the error.
    this.caughtUp.catch(() => undefined);
    this.ended.catch(() => undefined);
  }

  get over(): boolean {
    return this.#isOver;
  }

  /** Ends it, with an error if one is given; only the first end counts. */
  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#miss(error ?? new StoreUnavailable('the subscription was stopped before it had caught up'));
    if (error === undefined) this.#stop();
    else this.#fail(error);
    this.#settle();
  }
}
