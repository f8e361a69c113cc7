import { DAY } from '../../src/kernel/time.js';
import type { Learning } from '../../src/rules/model.js';
import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';

/** Weeks with sends that a profile looks back on: two monthly runs with a vacation between them. */
export const WEEKS = 8;

/** Weeks before that do not count: half a year, so that a record is the same after a rebuild from what is left. */
const REMEMBERED_WEEKS = 26;

/** This week and the three before: what they show may be a thief's, and nobody has noticed yet, unless it was at home. */
const UNSETTLED_WEEKS = 4;
/** A place used for less long may be a thief's in the same way. */
export const UNSETTLED_DAYS: Day = 7 * UNSETTLED_WEEKS;

/**
 * Older days do not count. It is shorter than summaries are kept, so that a profile is the same if it was folded over
 * time or is rebuilt from what is left.
 */
export const REMEMBERED_DAYS = 390;

/** A ring of words of 32 days: the remembered days and today. */
export const RING_WORDS = Math.ceil((REMEMBERED_DAYS + 1) / 32);

/** The cells of a week before the peaks. */
export const MESSAGES = 0;
export const RECIPIENTS = 1;
export const REFUSED = 2;
export const BOUNCES = 3;
export const LARGEST = 4;
/** A bit for each hour of the day in UTC: 24 bits are whole in a 32-bit float. */
export const HOURS = 5;
/** A bit for each day of the week that is summarised, and three more: {@link SENT}, {@link JUDGED} and {@link AWAY}. */
export const DAYS = 6;
/** It sent in this week: a week of bounces alone says nothing of the baseline. */
export const SENT = 1 << 7;
/** A person has called a verdict on this week wrong: then what it shows is the sender's own. */
export const JUDGED = 1 << 8;
/**
 * On some day it sent from a network that may be a thief's, or was contained. To a rebuild a network may be new that was
 * used only before the summaries that are left: then the week raises the record by less.
 */
export const AWAY = 1 << 9;
export const FIXED = 7;

/** The kinds of places that are remembered of a sender. */
export const PLACE_KINDS = ['networks', 'ehlos', 'countries', 'asns'] as const;
export type PlaceKind = (typeof PLACE_KINDS)[number];

/** A place that a sender has sent from, when last, and when first, as far as that is remembered. */
export interface KnownPlace {
  readonly name: string;
  readonly day: Day;
  readonly since: Day;
}

/**
 * A sender's baseline, folded from the summaries of its days. It is immutable: a fold gives a new one, so a holder of
 * an old one can go on reading it.
 */
export interface Profile {
  /** The first day on which it sent, among those remembered on the last day; -1 if there is none. */
  readonly firstDay: Day;
  /** The newest day that is summarised; -1 if none is. */
  readonly lastDay: Day;
  /** A bit for each day on which it sent, of those up to {@link REMEMBERED_DAYS} before the last. */
  readonly active: Uint32Array;
  /** By slot: the week since the epoch that it holds, ascending; -1 for none. */
  readonly weeks: Int32Array;
  /** By slot and kind. */
  readonly cells: Float32Array;
  /** The last used ones come last. */
  readonly networks: readonly KnownPlace[];
  readonly ehlos: readonly KnownPlace[];
  readonly countries: readonly KnownPlace[];
  readonly asns: readonly KnownPlace[];
  /** The days on which a place of each kind was recorded, as far as they are remembered on the last day. */
  readonly placed: Readonly<Record<PlaceKind, KnownDays>>;
  /** Days on which it was contained, as they were seen. */
  readonly withheld: readonly SenderDaySummarised[];
  /** Absent if no block can contain a summarised day any more. */
  readonly tail?: Tail;
}

/** The last summarised days, as long as a block that comes later may still contain them. */
export interface Tail {
  /** What was known before the first of them. */
  readonly before: Profile;
  /** In the order in which they were learnt. */
  readonly summaries: readonly SenderDaySummarised[];
  /** The proposals that nobody has decided upon. */
  readonly proposals: readonly string[];
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

/** The baseline of one window: the median of the weekly peaks, and the highest of them. */
export interface Baseline {
  readonly typical: number;
  readonly record: number;
  /** The weeks with sends that it rests upon. */
  readonly weeks: number;
  /** The highest peak as it was, if the last four weeks raised it by more than counts; and the record before them. */
  readonly lately?: number;
  readonly before?: number;
}

export const weekOf = (day: Day): number => Math.floor(day / 7);

/** The profile on a given day: a sender that was silent for too long is new again. */
export function asOf(profile: Profile, day: Day): Profile {
  return profile.lastDay >= 0 && profile.lastDay < day - REMEMBERED_DAYS ? NO_PROFILE : profile;
}

/**
 * Whether a sender has used a place, or one near it, for four weeks: else it may be a thief's, who sent little.
 *
 * @param near what related places have in common
 */
export function isSettled(
  places: readonly KnownPlace[],
  name: string,
  near: (name: string) => string,
  day: Day,
): boolean {
  const here = near(name);
  return places.some((place) => place.since <= day - UNSETTLED_DAYS && near(place.name) === here);
}

/** Whether nothing is left of it on a day: neither days nor weeks, and no proposal that waits. */
export function isForgotten({ lastDay, weeks, tail }: Profile, day: Day): boolean {
  if (tail !== undefined && tail.proposals.length > 0) return false;
  return Math.max(lastDay, 7 * Math.max(...weeks) + 6) < day - REMEMBERED_DAYS;
}

/** Whether it says nothing: no day is known, nothing was learnt, and nothing waits. */
export function isBlank({ lastDay, weeks, tail }: Profile): boolean {
  return lastDay < 0 && tail === undefined && weeks.every((week) => week < 0);
}

/** Whether it sent on one of the days that are remembered. */
export function sentOn({ active }: Pick<Profile, 'active'>, day: Day): boolean {
  return ((active[(day >>> 5) % RING_WORDS]! >>> (day & 31)) & 1) === 1;
}

/** The first day on which it sent, of those that are remembered on a day; -1 if there is none. */
export function firstSeen(profile: Pick<Profile, 'firstDay' | 'lastDay' | 'active'>, day: Day): Day {
  const { firstDay, lastDay } = profile;
  const oldest = day - REMEMBERED_DAYS;
  if (firstDay < 0 || firstDay >= oldest) return firstDay;
  for (let each = oldest; each <= lastDay; each++) if (sentOn(profile, each)) return each;
  return -1;
}

/** The newest day on which it sent; -1 if there is none. */
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
    // A word without a day: 32 days.
    if (profile.active[(day >>> 5) % RING_WORDS] === 0) day = (day & ~31) - 1;
    else if (sentOn(profile, day--)) count++;
  }
  return count;
}

/**
 * The baseline of a window from the weeks before this day and its own. Weeks without sends do not count.
 *
 * @param since the first day with data for the window: earlier weeks do not count either
 * @param rise this week and the three before raise the record by no more than this, unless the window is as new as they;
 *   a week that is over counts in full if all its mail came from networks that it had used for four weeks
 */
export function baselineOf(
  profile: Profile,
  key: number,
  day: Day,
  since: Day,
  rise: number = Infinity,
): Baseline {
  return usualCells(profile, FIXED + key, day, weekOf(since), rise);
}

/** Recipients of the largest messages: typical of a week, and of all weeks. */
export function baselineOfLargest(profile: Profile, day: Day): Baseline {
  return usualCells(profile, LARGEST, day, -Infinity, Infinity);
}

function usualCells(profile: Profile, kind: number, day: Day, firstWeek: number, rise: number): Baseline {
  const { weeks, cells } = profile;
  const width = cells.length / WEEKS;
  // When everything is new, nothing else is known.
  const settled = Math.max(weekOf(day) - UNSETTLED_WEEKS, firstWeek + UNSETTLED_WEEKS - 1);
  let count = 0;
  let before = 0;
  for (let slot = 0; slot < WEEKS; slot++) {
    if (!saysSomething(profile, slot, day) || weeks[slot]! < firstWeek) continue;
    const peak = kind < width ? cells[slot * width + kind]! : 0;
    const marks = cells[slot * width + DAYS]!;
    const wasAtHome = (marks & AWAY) === 0 && weeks[slot]! < weekOf(day);
    const isOwn = weeks[slot]! <= settled || (marks & JUDGED) !== 0 || wasAtHome;
    if (isOwn && peak > before) before = peak;
    SORTED[count++] = peak;
  }
  for (let index = 1; index < count; index++) {
    const value = SORTED[index]!;
    let place = index;
    for (; place > 0 && SORTED[place - 1]! > value; place--) SORTED[place] = SORTED[place - 1]!;
    SORTED[place] = value;
  }
  if (count === 0) return { typical: 0, record: 0, weeks: 0 };
  const [typical, highest] = [SORTED[count >> 1]!, SORTED[count - 1]!];
  const record = Math.min(highest, before + rise);
  const raised = record < highest ? { lately: highest, before } : {};
  return { typical: Math.min(typical, record), record, weeks: count, ...raised };
}

/** Whether a week is remembered on a day. */
function isRemembered({ weeks }: Profile, slot: number, day: Day): boolean {
  return weeks[slot]! >= 0 && weeks[slot]! >= weekOf(day) - REMEMBERED_WEEKS;
}

function saysSomething(profile: Profile, slot: number, day: Day): boolean {
  if (!isRemembered(profile, slot, day)) return false;
  const { cells } = profile;
  return (cells[(slot * cells.length) / WEEKS + DAYS]! & SENT) !== 0;
}

/** Scratch of one call at a time. */
const SORTED = new Float32Array(WEEKS);

/** In how many weeks it sent within this hour of the day (UTC), and of how many. */
export function hourOf(profile: Profile, hour: number, day: Day): { used: number; weeks: number } {
  const width = profile.cells.length / WEEKS;
  let used = 0;
  let weeks = 0;
  for (let slot = 0; slot < WEEKS; slot++) {
    if (!saysSomething(profile, slot, day)) continue;
    weeks++;
    used += (profile.cells[slot * width + HOURS]! >> hour) & 1;
  }
  return { used, weeks };
}

/** Totals for the weeks of the profile, without those on which it was contained. */
export function totalsOf(
  profile: Profile,
  day: Day,
): { messages: number; recipients: number; refusedRecipients: number; bounces: number } {
  const width = profile.cells.length / WEEKS;
  const sums = new Float64Array(4);
  for (let slot = 0; slot < WEEKS; slot++) {
    if (!isRemembered(profile, slot, day)) continue;
    for (let kind = 0; kind < 4; kind++) sums[kind]! += profile.cells[slot * width + kind]!;
  }
  return {
    messages: sums[MESSAGES]!,
    recipients: sums[RECIPIENTS]!,
    refusedRecipients: sums[REFUSED]!,
    bounces: sums[BOUNCES]!,
  };
}

/** Days with data, a bit each: the lowest is the newest day of the profile, the next the day before. */
type KnownDays = bigint;

const REMEMBERED = (1n << BigInt(REMEMBERED_DAYS + 1)) - 1n;
const WORD = 32;

/** The same days when the profile's newest day is so many days later. */
export function aged(known: KnownDays, days: number): KnownDays {
  return known === 0n ? known : (known << BigInt(days)) & REMEMBERED;
}

/** Adds a day, so many days before the newest, unless it is too long ago to be remembered. */
export function withKnown(known: KnownDays, ago: number): KnownDays {
  return (known | (1n << BigInt(ago))) & REMEMBERED;
}

/**
 * Whether enough days have data for a baseline: as many as make a sender known, the first of them as long ago.
 *
 * @param newest day of the profile
 */
export function isHabit(known: KnownDays, newest: Day, today: Day, { days, age }: Learning): boolean {
  const oldest = today - REMEMBERED_DAYS;
  let count = 0;
  let day = newest;
  for (let rest = known; rest !== 0n; rest >>= BigInt(WORD)) {
    let word = Number(BigInt.asUintN(WORD, rest));
    for (let each = day; word !== 0 && each >= oldest; each--, word >>>= 1) {
      if ((word & 1) === 0) continue;
      count++;
      if (count >= days && (today - each) * DAY >= age) return true;
    }
    day -= WORD;
  }
  return false;
}

/** A day's summary without its sender. */
export type ClosedDay = Omit<SenderDaySummarised, 'subject'>;

export type ClosedDaysState = readonly (readonly [value: string, days: readonly ClosedDay[]])[];

/** How many days of one sender may wait for their summary. If there are more, the oldest is never written. */
const MOST_CLOSED = 40;

/** The days that are over and wait for their summary, by sender, each sender's oldest first. */
export class ClosedDays {
  readonly #days = new Map<string, readonly ClosedDay[]>();

  has(value: string): boolean {
    return this.#days.has(value);
  }

  of(value: string): readonly ClosedDay[] {
    return this.#days.get(value) ?? [];
  }

  add(value: string, day: ClosedDay): void {
    this.#set(value, [...this.of(value), day].slice(-MOST_CLOSED));
  }

  /** A block was imposed: the days from `since` on are contained. */
  contain(value: string, block: string, since: Day): void {
    this.#set(
      value,
      this.of(value).map((each) =>
        each.day < since ? each : { ...each, contained: withBlock(each.contained, block) },
      ),
    );
  }

  /** A block was taken back as a false positive. */
  pardon(value: string, block: string): void {
    this.#set(
      value,
      this.of(value).map((each) => ({ ...each, contained: withoutBlock(each.contained, block) })),
    );
  }

  /** A day was summarised: an import may fill days around one that still waits. */
  summarised(value: string, day: Day): void {
    this.#set(
      value,
      this.of(value).filter((each) => each.day !== day),
    );
  }

  /** Forgets days after one: a clock was ahead. */
  dropAfter(day: Day): void {
    for (const [value, days] of this.#days) {
      if (days.some((each) => each.day > day))
        this.#set(
          value,
          days.filter((each) => each.day <= day),
        );
    }
  }

  /** Days before this one. */
  *before(day: Day): IterableIterator<readonly [value: string, closed: ClosedDay]> {
    for (const [value, closed] of this.#days) {
      for (const each of closed) if (each.day < day) yield [value, each];
    }
  }

  /** The opposite of {@link restore}. */
  dump(): ClosedDaysState {
    return [...this.#days];
  }

  /** Takes over what {@link dump} gave. Must come before anything is added. */
  restore(state: ClosedDaysState): void {
    for (const [value, days] of state) this.#days.set(value, days);
  }

  #set(value: string, days: readonly ClosedDay[]): void {
    if (days.length > 0) this.#days.set(value, days);
    else this.#days.delete(value);
  }
}

export function withBlock(blocks: readonly string[], block: string): readonly string[] {
  return blocks.includes(block) ? blocks : [...blocks, block];
}

export function withoutBlock(blocks: readonly string[], block: string): readonly string[] {
  return blocks.filter((other) => other !== block);
}
