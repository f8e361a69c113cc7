import type { Fact } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import type { ReadModels } from '../read-models.js';

/**
 * What is done at set times whatever arrives, and written down as events: live by housekeeping, in a back-test by the
 * clock that the events drive.
 */
export interface Chore {
  /** Who signs its events: `system:<part>`. */
  readonly by: string;
  /** When it is due next, after `now`. */
  after(now: Instant): Instant;
  /** What is to be recorded, and where. */
  run(models: ReadModels, now: Instant): readonly (Fact & { readonly stream: string })[];
}

/** Those of every back-test. */
export const CHORES: readonly Chore[] = [];
