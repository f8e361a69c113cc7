import type { Fact } from './kernel/events.js';
import type { Instant, Milliseconds } from './kernel/time.js';
import { DAY, HOUR } from './kernel/time.js';
import type { ReadModels } from './read-models.js';
import type { Day } from './sending/day-summary.js';
import { dayOf, profileStream } from './sending/day-summary.js';

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

/** So long after midnight (UTC) a day is summarised: what ran on into the next is judged by then. */
const AFTER_MIDNIGHT: Milliseconds = HOUR;

/** The first day that is not over, a while after midnight. */
export function firstDayOpen(now: Instant): Day {
  return dayOf(now - AFTER_MIDNIGHT);
}

/** Days that are over are summarised, for what senders usually do. */
export const DAY_SUMMARIES: Chore = {
  by: 'system:profiles',
  after: (now) => (firstDayOpen(now) + 1) * DAY + AFTER_MIDNIGHT,
  run: ({ sendVolume }, now) =>
    [...sendVolume.profiles.due(firstDayOpen(now))].map((fact) => ({
      ...fact,
      stream: profileStream(fact.data.subject),
    })),
};

/** All of them. */
export const CHORES: readonly Chore[] = [DAY_SUMMARIES];
