import type { Fact } from '../kernel/events.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR } from '../kernel/time.js';
import type { ReadModels } from './read-models.js';
import type { Day, DaySummaryFact } from '../sending/day-summary.js';
import { dayOf, profileStream } from '../sending/day-summary.js';

/** What jobs look at. */
export type Counted = Pick<ReadModels, 'sendVolume' | 'shadow'>;

/**
 * What is done at set times whatever arrives, and written down as events: live by housekeeping, in a back-test by the
 * clock that the events drive.
 */
export interface ScheduledJob {
  /** Who signs its events: `system:<part>`. */
  readonly by: string;
  /** When it is due next, after `now`. */
  after(now: Instant): Instant;
  /** What is to be recorded, and where. */
  run(models: Counted, now: Instant): readonly (Fact & { readonly stream: string })[];
}

/** So long after midnight (UTC) a day is summarised: what ran on into the next is judged by then. */
const AFTER_MIDNIGHT: Milliseconds = HOUR;

/** The first day that is not over, a while after midnight. */
function firstDayOpen(now: Instant): Day {
  return dayOf(now - AFTER_MIDNIGHT);
}

/**
 * The summaries of the days that are over by now, a sender's oldest first. They tell also of the windows that only shadow
 * rules look at: once these are in force, what is usual must be known.
 */
export function* dueSummaries({ sendVolume, shadow }: Counted, now: Instant): Generator<DaySummaryFact> {
  for (const fact of sendVolume.profiles.due(firstDayOpen(now))) {
    const { type, data } = fact;
    const more = shadow.peaks(data.subject, data.day);
    yield more === undefined ? fact : { type, data: { ...data, peaks: { ...more, ...data.peaks } } };
  }
}

/** Days that are over are summarised, for what senders usually do. */
export const DAY_SUMMARY_JOB: ScheduledJob = {
  by: 'system:profiles',
  after: (now) => (firstDayOpen(now) + 1) * DAY + AFTER_MIDNIGHT,
  run: (models, now) =>
    [...dueSummaries(models, now)].map((fact) => ({
      ...fact,
      stream: profileStream(fact.data.subject),
    })),
};

/** All of them. */
export const SCHEDULED_JOBS: readonly ScheduledJob[] = [DAY_SUMMARY_JOB];
