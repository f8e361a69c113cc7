import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { REMEMBERED_DAYS } from './known-days.js';
import type { KnownDays } from './known-days.js';

/** Weeks that a profile looks back on: two runs of what comes monthly, and a vacation between. */
export const WEEKS = 8;

/** Words of 32 days, round and round: as many days as are remembered, and today. */
export const RING_WORDS = Math.ceil((REMEMBERED_DAYS + 1) / 32);

/** What a week's cells hold before the peaks. */
export const MESSAGES = 0;
export const RECIPIENTS = 1;
export const REFUSED = 2;
export const BOUNCES = 3;
export const LARGEST = 4;
/** A bit for each hour of the day in UTC: 24 bits are whole in a 32-bit float. */
export const HOURS = 5;
/** A bit for each day of the week that is summarised, and one more: {@link SENT}. */
export const DAYS = 6;
/** It sent in this week: one that has seen nothing but bounces says nothing of what is usual. */
export const SENT = 1 << 7;
export const FIXED = 7;

/** What is remembered of where a sender has sent from. */
export const PLACE_KINDS = ['networks', 'ehlos', 'countries', 'asns'] as const;
export type PlaceKind = (typeof PLACE_KINDS)[number];

/** Somewhere that a sender has sent from, and when last. */
export interface KnownPlace {
  readonly name: string;
  readonly day: Day;
}

/**
 * What a sender usually does, folded from the summaries of its days. Never changed: folding gives a new one, so that
 * whoever holds an old one can go on reading it.
 */
export interface Profile {
  /** The first day on which it sent, of those that were remembered on the last; -1 where it sent on none. */
  readonly firstDay: Day;
  /** The newest day that is summarised; -1 where none is. */
  readonly lastDay: Day;
  /** A bit for each day on which it sent, of those up to {@link REMEMBERED_DAYS} before the last. */
  readonly active: Uint32Array;
  /** By slot: which week since the epoch it holds; -1 where none. */
  readonly weeks: Int32Array;
  /** By slot and kind. */
  readonly cells: Float32Array;
  /** Those used last come last. */
  readonly networks: readonly KnownPlace[];
  readonly ehlos: readonly KnownPlace[];
  readonly countries: readonly KnownPlace[];
  readonly asns: readonly KnownPlace[];
  /** On which days any place of a kind was recorded, as far as these are remembered on the last day. */
  readonly placed: Readonly<Record<PlaceKind, KnownDays>>;
  /** Days on which it was contained, as they were seen. */
  readonly withheld: readonly SenderDaySummarised[];
}

export const NO_PROFILE: Profile = {
  firstDay: -1,
  lastDay: -1,
  active: new Uint32Array(RING_WORDS),
  weeks: new Int32Array(WEEKS).fill(-1),
  cells: new Float32Array(WEEKS * FIXED),
  networks: [],
  ehlos: [],
  countries: [],
  asns: [],
  placed: { networks: 0n, ehlos: 0n, countries: 0n, asns: 0n },
  withheld: [],
};

/** What is usual for one window: the median of the weekly peaks, and the highest of them. */
export interface Baseline {
  readonly typical: number;
  readonly record: number;
  /** Weeks with any sends that it rests upon. */
  readonly weeks: number;
}

export const weekOf = (day: Day): number => Math.floor(day / 7);

/** The profile as it is on a day: whoever was silent for too long is a stranger again. */
export function asOf(profile: Profile, day: Day): Profile {
  return profile.lastDay >= 0 && profile.lastDay < day - REMEMBERED_DAYS ? NO_PROFILE : profile;
}

/** Whether nothing is left of it on a day: neither days nor weeks. */
export function isForgotten({ lastDay, weeks }: Profile, day: Day): boolean {
  return Math.max(lastDay, 7 * Math.max(...weeks) + 6) < day - REMEMBERED_DAYS;
}

/** Whether it sent on one of the days that are remembered. */
export function sentOn({ active }: Pick<Profile, 'active'>, day: Day): boolean {
  return ((active[(day >>> 5) % RING_WORDS]! >>> (day & 31)) & 1) === 1;
}

/** The first day on which it sent, of those that are remembered on a day; -1 where there is none. */
export function firstSeen(profile: Pick<Profile, 'firstDay' | 'lastDay' | 'active'>, day: Day): Day {
  const { firstDay, lastDay } = profile;
  const oldest = day - REMEMBERED_DAYS;
  if (firstDay < 0 || firstDay >= oldest) return firstDay;
  for (let each = oldest; each <= lastDay; each++) if (sentOn(profile, each)) return each;
  return -1;
}

/** The newest day on which it sent; -1 where there is none. */
export function lastSeen(profile: Profile): Day {
  const { firstDay, lastDay } = profile;
  if (firstDay < 0) return -1;
  let day = lastDay;
  while (day > firstDay && !sentOn(profile, day)) day--;
  return day;
}

/** On how many days it sent from `since` on, of those that are remembered on `today`; counted up to `most`. */
export function activeDays(profile: Profile, since: Day, today: Day, most: number): number {
  const first = firstSeen(profile, today);
  if (first < 0) return 0;
  let count = 0;
  for (let day = profile.lastDay; day >= Math.max(since, first) && count < most;) {
    // A month without any.
    if (profile.active[(day >>> 5) % RING_WORDS] === 0) day = (day & ~31) - 1;
    else if (sentOn(profile, day--)) count++;
  }
  return count;
}

/**
 * What was usual for a window in the weeks before this day and its own. Weeks without sends say nothing.
 *
 * @param since the first day of which anything is known of the window: nor do weeks before
 */
export function baselineOf(profile: Profile, key: number, day: Day, since: Day): Baseline {
  return usualCells(profile, FIXED + key, day, weekOf(since));
}

/** Recipients of the largest messages: typical of a week, and of all weeks. */
export function baselineOfLargest(profile: Profile, day: Day): Baseline {
  return usualCells(profile, LARGEST, day, -Infinity);
}

function usualCells(profile: Profile, kind: number, day: Day, firstWeek: number): Baseline {
  const width = profile.cells.length / WEEKS;
  const now = weekOf(day);
  let count = 0;
  for (let slot = 0; slot < WEEKS; slot++) {
    if (!saysSomething(profile, slot, now) || profile.weeks[slot]! < firstWeek) continue;
    SORTED[count++] = kind < width ? profile.cells[slot * width + kind]! : 0;
  }
  for (let index = 1; index < count; index++) {
    const value = SORTED[index]!;
    let place = index;
    for (; place > 0 && SORTED[place - 1]! > value; place--) SORTED[place] = SORTED[place - 1]!;
    SORTED[place] = value;
  }
  if (count === 0) return { typical: 0, record: 0, weeks: 0 };
  return { typical: SORTED[count >> 1]!, record: SORTED[count - 1]!, weeks: count };
}

function saysSomething({ weeks, cells }: Profile, slot: number, now: number): boolean {
  if (weeks[slot]! < 0 || weeks[slot]! < now - WEEKS) return false;
  return (cells[(slot * cells.length) / WEEKS + DAYS]! & SENT) !== 0;
}

/** Scratch of one call at a time. */
const SORTED = new Float32Array(WEEKS);

/** In how many of the weeks it sent within this hour of the day in UTC, and of how many. */
export function hourOf(profile: Profile, hour: number, day: Day): { used: number; weeks: number } {
  const width = profile.cells.length / WEEKS;
  let used = 0;
  let weeks = 0;
  for (let slot = 0; slot < WEEKS; slot++) {
    if (!saysSomething(profile, slot, weekOf(day))) continue;
    weeks++;
    used += (profile.cells[slot * width + HOURS]! >> hour) & 1;
  }
  return { used, weeks };
}

/** Totals over the weeks looked back on, those on which it was contained left out. */
export function totalsOf(
  profile: Profile,
  day: Day,
): { messages: number; recipients: number; refusedRecipients: number; bounces: number } {
  const width = profile.cells.length / WEEKS;
  const sums = new Float64Array(4);
  for (let slot = 0; slot < WEEKS; slot++) {
    if (profile.weeks[slot]! < 0 || profile.weeks[slot]! < weekOf(day) - WEEKS) continue;
    for (let kind = 0; kind < 4; kind++) sums[kind]! += profile.cells[slot * width + kind]!;
  }
  return {
    messages: sums[MESSAGES]!,
    recipients: sums[RECIPIENTS]!,
    refusedRecipients: sums[REFUSED]!,
    bounces: sums[BOUNCES]!,
  };
}
