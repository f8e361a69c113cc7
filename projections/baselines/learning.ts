import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { holdsAtLeast, PLACES_A_DAY } from '../../src/sending/day-summary.js';
import { neighbourhood } from '../../src/sending/identity.js';
import type { KnownPlace, PlaceKind, Profile } from './profile.js';
import {
  aged,
  asOf,
  AWAY,
  baselineOf,
  baselineOfLargest,
  BOUNCES,
  DAYS,
  firstSeen,
  FIXED,
  HOURS,
  isSettled,
  JUDGED,
  LARGEST,
  MESSAGES,
  PLACE_KINDS,
  RECIPIENTS,
  REFUSED,
  REMEMBERED_DAYS,
  RING_WORDS,
  SENT,
  UNSETTLED_DAYS,
  weekOf,
  WEEKS,
  withKnown,
} from './profile.js';

/** Networks and EHLO names that a profile remembers; those not used for longest make room. */
const PLACES = 48;
const NOWHERE: readonly string[] = [];
/** Withheld days that may still be learnt, if their block is taken back as a false positive. */
export const WITHHELD = 4;

/** Names of windows whose peaks are kept, in the order of their cells. */
export type PeakKeys = readonly string[];

/** What a tripped window would have reached without the block. */
export interface LeastPeak {
  readonly day: Day;
  /** The window. */
  readonly peak: string;
  readonly value: number;
}

/**
 * Folds the summary of a day. A repeated summary changes nothing. One of an older day, from an import, is learnt as if
 * it had come in time.
 */
export function withDay(profile: Profile, summary: SenderDaySummarised, keys: PeakKeys): Profile {
  const { day } = summary;
  const before = asOf(profile, day);
  if (isBeyond(before, day) || isSummarised(before, day)) return profile;
  const dates = dated(before, day, summary.messages > 0);
  const sent = summary.messages > 0 ? SENT : 0;
  const marks = (1 << (day % 7)) | sent | (wasAway(before, summary) ? AWAY : 0);
  if (summary.contained.length === 0) return learnt(before, summary, { keys, marks, dates });
  const withheld = [...before.withheld, summary].slice(-WITHHELD);
  return { ...learnt(before, clipped(before, summary, keys), { keys, marks, dates }), withheld };
}

/**
 * Whether a day's mail may be a thief's: some of it came from a network that it has not used for four weeks, or nobody
 * knows from where. A contained day hands on what the days before it showed, so it says nothing of its own place.
 */
function wasAway(profile: Profile, { day, messages, networks, contained }: SenderDaySummarised): boolean {
  if (contained.length > 0) return true;
  if (messages === 0) return false;
  const areAll = networks.length > 0 && networks.length < PLACES_A_DAY;
  return !areAll || networks.some((network) => !isSettled(profile.networks, network, neighbourhood, day));
}

/**
 * Whether a day is past learning: it is summarised, or older than all that is known. Days between known ones are not: a
 * clock may have been ahead for a while, and have left days of the future.
 */
export function isClosed(profile: Profile, day: Day): boolean {
  if (day > profile.lastDay) return false;
  const [oldest] = profile.weeks;
  const isFull = !profile.weeks.includes(-1);
  if (isBeyond(profile, day)) return !isOfAnotherTime(profile, day);
  if (isFull && weekOf(day) < oldest!) return true;
  return isSummarised(profile, day);
}

/** Whether a day is too old to be remembered on the last day of a profile. */
function isBeyond({ lastDay }: Profile, day: Day): boolean {
  return day < lastDay - REMEMBERED_DAYS;
}

/**
 * Whether all that a profile knows lies in a single week, more than a year after a day that was seen here: a clock was
 * ahead in that week, and the sender must not stay unknown until it comes.
 */
export function isOfAnotherTime(profile: Profile, day: Day): boolean {
  return isBeyond(profile, day) && profile.weeks.filter((week) => week >= 0).length <= 1;
}

/** A day older than the weeks of the profile changes only what may be repeated without harm. */
function isSummarised({ weeks, cells, withheld }: Profile, day: Day): boolean {
  const slot = weeks.indexOf(weekOf(day));
  if (slot < 0) return withheld.some((each) => each.day === day);
  return ((cells[(slot * cells.length) / WEEKS + DAYS]! >> (day % 7)) & 1) === 1;
}

/** The days on which it sent, and those whose places are known. */
type Dates = Pick<Profile, 'firstDay' | 'lastDay' | 'active' | 'placed'>;

/** Adds a day, on which it sent or did not. */
function dated(profile: Dates, day: Day, sent: boolean): Dates {
  const lastDay = Math.max(profile.lastDay, day);
  const active = profile.active.slice();
  // The cells of the days in between hold days so old that they are forgotten.
  for (let each = profile.lastDay + 1; profile.lastDay >= 0 && each <= lastDay; each++) {
    active[wordOf(each)]! &= ~(1 << (each & 31));
  }
  if (sent) active[wordOf(day)]! |= 1 << (day & 31);
  const first = profile.firstDay < 0 ? Infinity : profile.firstDay;
  const dates = { lastDay, active, firstDay: sent ? Math.min(first, day) : profile.firstDay };
  const passed = profile.lastDay < 0 ? 0 : lastDay - profile.lastDay;
  const placed = passed === 0 ? profile.placed : byKind((kind) => aged(profile.placed[kind], passed));
  return { lastDay, active, placed, firstDay: firstSeen(dates, lastDay) };
}

function byKind<Value>(of: (kind: PlaceKind) => Value): Record<PlaceKind, Value> {
  return { networks: of('networks'), ehlos: of('ehlos'), countries: of('countries'), asns: of('asns') };
}

function wordOf(day: Day): number {
  return (day >>> 5) % RING_WORDS;
}

/**
 * What a contained day teaches: that the known baseline still holds, and nothing above it (winsorised; Dixon 1960). If
 * it taught nothing at all, a monthly run that was once cut off would be forgotten, and cut off for ever. A record that
 * contained days alone hand on for longer than the summaries are kept is forgotten by a rebuild: nobody took those
 * blocks back in a year.
 */
function clipped(profile: Profile, summary: SenderDaySummarised, keys: PeakKeys): SenderDaySummarised {
  const { day } = summary;
  const peaks = Object.entries(summary.peaks).map(
    ([name, peak]) =>
      [name, Math.min(peak, baselineOf(profile, indexIn(keys, name), day, -Infinity).record)] as const,
  );
  return {
    subject: summary.subject,
    contained: summary.contained,
    ...nothingOn(day),
    peaks: Object.fromEntries(peaks),
    largest: Math.min(summary.largest, baselineOfLargest(profile, day).record),
  };
}

/** The place of a window among those that are kept; one beyond all if it is not. */
export function indexIn(keys: PeakKeys, name: string): number {
  const index = keys.indexOf(name);
  return index < 0 ? keys.length : index;
}

/** A block was taken back as a false positive: its withheld days are learnt after all. */
export function withFalsePositive(
  profile: Profile,
  block: string,
  least: LeastPeak | undefined,
  keys: PeakKeys,
): Profile {
  let changed = profile;
  const withheld: SenderDaySummarised[] = [];
  for (const each of profile.withheld) {
    const contained = each.contained.filter((other) => other !== block);
    if (contained.length > 0)
      withheld.push(contained.length === each.contained.length ? each : { ...each, contained });
    else changed = learnt(changed, each, { keys, marks: JUDGED });
  }
  if (least !== undefined) {
    // What one window would have reached, every window that holds at least as much would have reached too.
    const names = keys.filter((name) => holdsAtLeast(name, least.peak));
    const peaks = Object.fromEntries(names.map((name) => [name, least.value]));
    changed = learnt(changed, { ...nothingOn(least.day), peaks }, { keys, marks: SENT | JUDGED });
  }
  return { ...changed, withheld };
}

type Lesson = Omit<SenderDaySummarised, 'subject' | 'contained'>;

function nothingOn(day: Day): Lesson {
  return {
    day,
    messages: 0,
    recipients: 0,
    refusedRecipients: 0,
    bounces: 0,
    largest: 0,
    hours: 0,
    peaks: {},
    networks: [],
    ehlos: [],
  };
}

interface Learning {
  readonly keys: PeakKeys;
  /** What is now known of the week: the bit of a day, {@link SENT}, {@link JUDGED} and {@link AWAY}. */
  readonly marks: number;
  /** Those of the profile unless given. */
  readonly dates?: Dates;
}

function learnt(
  profile: Profile,
  summary: Lesson,
  { keys, marks, dates: { firstDay, lastDay, active, placed } = profile }: Learning,
): Profile {
  const { day } = summary;
  const width = FIXED + keys.length;
  // A place that a person has judged to be the sender's own is so at once.
  const since = (marks & JUDGED) === 0 ? day : day - UNSETTLED_DAYS;
  const weeks = profile.weeks.slice();
  const cells = widened(profile.cells, width);
  const slot = slotOf({ weeks, cells }, weekOf(day));
  if (slot >= 0) {
    const first = slot * width;
    cells[first + MESSAGES]! += summary.messages;
    cells[first + RECIPIENTS]! += summary.recipients;
    cells[first + REFUSED]! += summary.refusedRecipients;
    cells[first + BOUNCES]! += summary.bounces;
    cells[first + LARGEST] = Math.max(cells[first + LARGEST]!, summary.largest);
    cells[first + HOURS] = cells[first + HOURS]! | summary.hours;
    cells[first + DAYS] = cells[first + DAYS]! | marks;
    for (const name in summary.peaks) {
      const index = keys.indexOf(name);
      const peak = summary.peaks[name]!;
      if (index >= 0 && peak > cells[first + FIXED + index]!) cells[first + FIXED + index] = peak;
    }
  }
  return {
    firstDay,
    lastDay,
    active,
    weeks,
    cells,
    networks: withPlaces(profile.networks, summary.networks, day, since),
    ehlos: withPlaces(profile.ehlos, summary.ehlos, day, since),
    countries: withPlaces(profile.countries, summary.countries ?? NOWHERE, day, since),
    asns: withPlaces(profile.asns, summary.asns?.map(String) ?? NOWHERE, day, since),
    placed: placedOn(placed, summary, lastDay - day),
    withheld: profile.withheld,
  };
}

/** Its places are known for the day so many days before the last. */
function placedOn(placed: Profile['placed'], summary: Lesson, ago: number): Profile['placed'] {
  const has = (kind: PlaceKind): boolean => (summary[kind]?.length ?? 0) > 0;
  if (!PLACE_KINDS.some(has)) return placed;
  return byKind((kind) => (has(kind) ? withKnown(placed[kind], ago) : placed[kind]));
}

/** The slot of a week, made if fewer weeks are known or one of them is older; -1 if none is. */
function slotOf({ weeks, cells }: Pick<Profile, 'weeks' | 'cells'>, week: number): number {
  const found = weeks.indexOf(week);
  if (found >= 0) return found;
  const free = weeks.indexOf(-1);
  if (free < 0 && weeks[0]! > week) return -1;
  const width = cells.length / WEEKS;
  let slot = free < 0 ? 0 : free;
  const take = (from: number): void => {
    weeks[slot] = weeks[from]!;
    cells.copyWithin(slot * width, from * width, (from + 1) * width);
    slot = from;
  };
  // They stay in the order of the weeks, whatever the order in which they came.
  while (slot > 0 && weeks[slot - 1]! > week) take(slot - 1);
  while (slot + 1 < WEEKS && weeks[slot + 1]! >= 0 && weeks[slot + 1]! < week) take(slot + 1);
  weeks[slot] = week;
  cells.fill(0, slot * width, (slot + 1) * width);
  return slot;
}

function widened(cells: Float32Array, width: number): Float32Array {
  const before = cells.length / WEEKS;
  if (before === width) return cells.slice();
  const wider = new Float32Array(WEEKS * width);
  for (let slot = 0; slot < WEEKS; slot++) {
    wider.set(cells.subarray(slot * before, (slot + 1) * before), slot * width);
  }
  return wider;
}

/** The last used ones, in the order of their days: an older day changes only since when they are known. */
function withPlaces(
  known: readonly KnownPlace[],
  names: readonly string[],
  day: Day,
  since: Day,
): readonly KnownPlace[] {
  if (names.length === 0) return known;
  const before = known.map((place) =>
    place.since > since && names.includes(place.name) ? { ...place, since } : place,
  );
  const others = before.filter((place) => place.day > day || !names.includes(place.name));
  const fresh = names
    .filter((name) => !others.some((place) => place.name === name))
    .map((name) => ({ name, day, since: before.find((place) => place.name === name)?.since ?? since }));
  const after = others.findIndex((place) => place.day > day);
  const at = after < 0 ? others.length : after;
  const all = [...others.slice(0, at), ...fresh, ...others.slice(at)];
  const oldest = all.at(-1)!.day - REMEMBERED_DAYS;
  return all.filter((place) => place.day >= oldest).slice(-PLACES);
}

/** The same profile without one window. */
export function withoutPeak(profile: Profile, key: number): Profile {
  const cells = profile.cells.slice();
  const width = cells.length / WEEKS;
  if (FIXED + key >= width) return profile;
  for (let slot = 0; slot < WEEKS; slot++) cells[slot * width + FIXED + key] = 0;
  const { tail } = profile;
  if (tail === undefined) return { ...profile, cells };
  return { ...profile, cells, tail: { ...tail, before: withoutPeak(tail.before, key) } };
}
