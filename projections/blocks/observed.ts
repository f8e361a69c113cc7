import type { BlockEvent, Evidence } from '../../src/blocks/events.js';
import type { Instant } from '../../src/kernel/time.js';
import type { Action } from '../../src/rules/model.js';
import type { Subject } from '../../src/sending/subjects.js';

/** A rule tripped that did nothing: it only observes, or all rules do. */
export interface Observation {
  readonly position: number;
  readonly at: Instant;
  readonly subject: Subject;
  /** What the rule asks for: `observe`, or what `mode: observe` kept it from. */
  readonly action: Action;
  readonly evidence: Evidence;
}

/** So many are kept, the newest: the store has all. */
export const OBSERVATIONS_KEPT = 1000;

/** What rules have only observed. */
export class Observed {
  /** Oldest first. */
  readonly #kept: Observation[] = [];

  apply({ at, position, ...event }: BlockEvent): void {
    if (event.type !== 'RuleObserved') return;
    this.#kept.push({ position, at, ...event.data });
    if (this.#kept.length > OBSERVATIONS_KEPT) this.#kept.shift();
  }

  /** Newest first. */
  newest(): readonly Observation[] {
    return this.#kept.toReversed();
  }

  /** The opposite of {@link restore}. */
  dump(): readonly Observation[] {
    return this.#kept.slice();
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore(kept: readonly Observation[]): void {
    this.#kept.push(...kept);
  }
}
