import type { Fact } from '../kernel/events.js';
import { streamName } from '../kernel/events.js';
import type { Milliseconds } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { Subject } from './subjects.js';

/** Streams `profile-<account>` and `profile-<domain>`. */
export const PROFILE_CATEGORY = 'profile';

/** How long summaries are kept: more than a year, so that what comes once a year is known. */
export const SUMMARIES_KEPT: Milliseconds = 400 * DAY;

/** Whose days are summarised. */
export type ProfiledType = 'account' | 'domain';

/** A day in UTC, counted from 1970-01-01. */
export type Day = number;

/**
 * What one sender did on one day: written once the day is over, since sends are kept for weeks only and habits are
 * older. All that a profile knows of past days is folded from these.
 */
export interface SenderDaySummarised {
  readonly subject: Subject & { readonly type: ProfiledType };
  readonly day: Day;
  readonly messages: number;
  readonly recipients: number;
  readonly refusedRecipients: number;
  readonly bounces: number;
  /** Recipients of the message that had most. */
  readonly largest: number;
  /** The highest that each window stood at on that day, by count and window: `messages/1h`. */
  readonly peaks: Readonly<Record<string, number>>;
  /** Client networks that it sent from, the first {@link PLACES_A_DAY}. */
  readonly networks: readonly string[];
  /** EHLO names, as many. */
  readonly ehlos: readonly string[];
  /** ISO 3166-1 codes, and numbers of autonomous systems, where known. */
  readonly countries?: readonly string[];
  readonly asns?: readonly number[];
  /** The hours of the day in UTC in which it sent: bit 0 is the first. */
  readonly hours: number;
  /**
   * Blocks by rule, or proposals that were approved, which fell on the day and were not taken back as false positives.
   * What was seen on such a day is nobody's habit; should one still be taken back, it is learnt then.
   */
  readonly contained: readonly string[];
}

export type DaySummaryFact = Fact<'SenderDaySummarised', SenderDaySummarised>;

/** How many networks and EHLO names a day's summary names. */
export const PLACES_A_DAY = 16;

export function profileStream(subject: SenderDaySummarised['subject']): string {
  return streamName(PROFILE_CATEGORY, subject.value);
}

export function dayOf(at: number): Day {
  return Math.floor(at / DAY);
}
