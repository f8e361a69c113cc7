import type { Fact } from '../kernel/events.js';
import { streamName } from '../kernel/events.js';
import type { Milliseconds } from '../kernel/time.js';
import { DAY, formatDuration, parseDuration } from '../kernel/time.js';
import type { Subject } from './subjects.js';

/** Streams `profile-<account>` and `profile-<domain>`. */
export const PROFILE_CATEGORY = 'profile';

/** Who signs the summaries of days that were seen here. */
export const PROFILER = 'system:profiles';

/** How long summaries are kept: more than a year, so that what comes once a year is known. */
export const SUMMARIES_KEPT: Milliseconds = 400 * DAY;

/** Whose days are summarised. */
export type ProfiledType = 'account' | 'domain';

/** A day in UTC, counted from 1970-01-01. */
export type Day = number;

/**
 * What one sender did on one day: written once the day is over, since sends are kept for weeks only and baselines are
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
  /** The most that each window held on that day, by count and window: `messages/1h`. */
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

/** Windows whose peaks are kept, at most: each is a number more for every sender and day. */
export const PEAKS_KEPT = 24;

/** What a window is called in summaries: `recipients/1h`; without its two largest messages `recipients-2/1h`. */
export function peakName(count: string, leaveOut: number, window: Milliseconds): string {
  return `${count}${leaveOut === 0 ? '' : `-${leaveOut}`}/${formatDuration(window)}`;
}

/**
 * Whether a window always holds at least as much as another one: it adds up the same over no less time, and leaves out no
 * more of the largest messages.
 *
 * @param name of the one, as {@link peakName} gives it
 * @param other name of the other
 */
export function holdsAtLeast(name: string, other: string): boolean {
  if (name === other) return true;
  const [one, two] = [PEAK.exec(name)?.groups, PEAK.exec(other)?.groups];
  if (one === undefined || two === undefined || one['count'] !== two['count']) return false;
  const [longer, shorter] = [parseDuration(one['window']!) ?? 0, parseDuration(two['window']!) ?? Infinity];
  return longer >= shorter && Number(one['leaveOut'] ?? 0) <= Number(two['leaveOut'] ?? 0);
}

const PEAK = /^(?<count>\w+)(?:-(?<leaveOut>\d))?\/(?<window>\w+)$/;

export function profileStream(subject: SenderDaySummarised['subject']): string {
  return streamName(PROFILE_CATEGORY, subject.value);
}

export function dayOf(at: number): Day {
  return Math.floor(at / DAY);
}

/** Whether data are those of a day's summary. Anybody may write to a shared store. */
export function isDaySummary(data: unknown): data is SenderDaySummarised {
  if (typeof data !== 'object' || data === null) return false;
  const { subject, day, peaks, networks, ehlos, contained, ...rest } = data as Partial<SenderDaySummarised>;
  const { messages, recipients, refusedRecipients, bounces, largest, hours } = rest;
  return (
    (subject?.type === 'account' || subject?.type === 'domain') &&
    typeof subject.value === 'string' &&
    [day, messages, recipients, refusedRecipients, bounces, largest, hours].every(isAmount) &&
    Number.isSafeInteger(day) &&
    typeof peaks === 'object' &&
    peaks !== null &&
    [networks, ehlos, contained].every((list) => Array.isArray(list))
  );
}

function isAmount(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < Infinity;
}
