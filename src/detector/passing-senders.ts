import type { Unstopped } from '../../projections/blocks/unstopped.js';
import { undetected, unstopped } from '../../projections/blocks/unstopped.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Responder } from './responder.js';

const WORKED_OUT_EVERY: Milliseconds = SECOND;

/**
 * The senders that a rule has tripped on or that are blocked, and that nothing stops. Anybody may ask /healthz, and strangers decide how many verdicts
 * and observations there are: so each answer is worked out once a second at most.
 */
export class PassingSenders {
  readonly #clock: AlarmClock;
  readonly #models: Parameters<typeof unstopped>[0];
  readonly #work: {
    readonly all: () => readonly Unstopped[];
    readonly undetected: () => number;
  };
  #known: {
    readonly all?: Known<readonly Unstopped[]>;
    readonly undetected?: Known<number>;
  } = {};

  constructor(
    models: Parameters<typeof unstopped>[0],
    responder: Pick<Responder, 'unanswered'>,
    clock: AlarmClock,
  ) {
    this.#clock = clock;
    this.#models = models;
    this.#work = {
      all: () => unstopped(models, responder.unanswered(), clock.now()),
      undetected: () => undetected(models, responder.unanswered(), clock.now()).length,
    };
  }

  all(): readonly Unstopped[] {
    const all = this.#newest(this.#known.all, this.#work.all);
    this.#known = { ...this.#known, all };
    return all.found;
  }

  /** How many of them no detector has acted on. */
  undetected(): number {
    const undetected = this.#newest(this.#known.undetected, this.#work.undetected);
    this.#known = { ...this.#known, undetected };
    return undetected.found;
  }

  /** How many of them are blocked. Few blocks are looked at: those that mail has gone past. */
  pastBlocks(): number {
    const { pastBlocks, activeBlocks } = this.#models;
    return pastBlocks.lately(this.#clock.now(), activeBlocks).length;
  }

  /** A person has decided, or somebody was forgotten: what was worked out holds no more. */
  changed(): void {
    this.#known = {};
  }

  #newest<Found>(known: Known<Found> | undefined, work: () => Found): Known<Found> {
    const at = this.#clock.monotonic();
    return known !== undefined && at - known.at < WORKED_OUT_EVERY ? known : { at, found: work() };
  }
}

interface Known<Found> {
  /** On the clock that nobody sets. */
  readonly at: Milliseconds;
  readonly found: Found;
}
