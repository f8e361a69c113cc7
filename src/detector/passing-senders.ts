import type { Unstopped } from '../../projections/blocks/unstopped.js';
import { undetected, unstopped } from '../../projections/blocks/unstopped.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Responder } from './responder.js';

/**
 * The senders that a rule has tripped on or that are blocked, and that nothing stops. Anybody may ask /healthz, and strangers decide
 * how many verdicts and observations there are: so each answer is worked out once a second at most.
 */
export class PassingSenders {
  readonly #all: OnceASecond<readonly Unstopped[]>;
  readonly #undetected: OnceASecond<number>;

  constructor(
    models: Parameters<typeof unstopped>[0],
    responder: Pick<Responder, 'unanswered'>,
    clock: AlarmClock,
  ) {
    this.#all = new OnceASecond(clock, () => unstopped(models, responder.unanswered(), clock.now()));
    this.#undetected = new OnceASecond(
      clock,
      () => undetected(models, responder.unanswered(), clock.now()).length,
    );
  }

  get all(): readonly Unstopped[] {
    return this.#all.get();
  }

  /** How many of them no detector has acted on. */
  get undetected(): number {
    return this.#undetected.get();
  }

  /** A person has decided, or somebody was forgotten: what was worked out holds no more. */
  changed(): void {
    this.#all.forget();
    this.#undetected.forget();
  }
}

class OnceASecond<Found> {
  readonly #clock: AlarmClock;
  readonly #workOut: () => Found;
  #last: { readonly at: Milliseconds; readonly found: Found } | undefined;

  constructor(clock: AlarmClock, workOut: () => Found) {
    this.#clock = clock;
    this.#workOut = workOut;
  }

  get(): Found {
    const at = this.#clock.monotonic();
    if (this.#last === undefined || at - this.#last.at >= SECOND) this.#last = { at, found: this.#workOut() };
    return this.#last.found;
  }

  forget(): void {
    this.#last = undefined;
  }
}
