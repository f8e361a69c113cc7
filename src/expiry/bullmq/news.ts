import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { MINUTE } from '../../kernel/time.js';

/** A fault that comes again after so long a time without it is news again. */
const FORGOTTEN: Milliseconds = 10 * MINUTE;
/** What breaks and mends many times a second is told this often at most. */
const BETWEEN_MENDS: Milliseconds = MINUTE;
/** Some kinds name a job: beyond so many the oldest are forgotten. */
const MOST_KINDS = 100;

/** What an operator should know, without a word too many: each kind of fault once until it is over, then that it is over. */
export class News {
  readonly #clock: Pick<AlarmClock, 'monotonic'>;
  readonly #tell: (text: string) => void;
  /** When each kind was last seen, longest ago first. */
  readonly #seen = new Map<string, Milliseconds>();
  /** What is to be told once all is well. */
  #mended: string | undefined;
  #mendedAt = -Infinity;

  constructor(clock: Pick<AlarmClock, 'monotonic'>, tell: (text: string) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** @param kind what is the same fault, in whatever words */
  fault(kind: string, text: string): void {
    const now = this.#clock.monotonic();
    const before = this.#seen.get(kind) ?? -Infinity;
    this.#seen.delete(kind);
    this.#seen.set(kind, now);
    if (this.#seen.size > MOST_KINDS) this.#seen.delete(this.#seen.keys().next().value!);
    if (now - before >= FORGOTTEN) this.#tell(text);
  }

  /** @param mended what to tell when all is well again */
  broke(mended: string): void {
    this.#mended = mended;
  }

  /** All is well. Call it again and again: where it cannot be told yet, a later call tells it. */
  well(): void {
    const now = this.#clock.monotonic();
    if (this.#mended === undefined || now - this.#mendedAt < BETWEEN_MENDS) return;
    this.#tell(this.#mended);
    this.#mended = undefined;
    this.#mendedAt = now;
    this.#seen.clear();
  }
}
