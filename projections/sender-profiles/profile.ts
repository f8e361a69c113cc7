import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';

/** Weeks that a profile looks back on: two runs of what comes monthly, and a vacation between. */
export const WEEKS = 8;

/** Active days that are remembered one by one. */
const ACTIVE_DAYS = 16;

/**
 * What is older is no habit any more. Shorter than summaries are kept, so that a profile is the same whether it was
 * folded as time went by or is rebuilt from what is left.
 */
export const REMEMBERED_DAYS = 390;

/** Networks and EHLO names that a profile remembers; those not used for longest make room. */
const PLACES = 48;
/** Days withheld that may still be learnt, should their block be taken back as a false positive. */
const WITHHELD = 4;

/** What a week's cells hold before the peaks. */
const MESSAGES = 0;
const RECIPIENTS = 1;
const REFUSED = 2;
const BOUNCES = 3;
const LARGEST = 4;
/** A bit for each hour of the day in UTC: 24 bits are whole in a 32-bit float. */
const HOURS = 5;
const FIXED = 6;

/** Somewhere that a sender has sent from, and when last. */
export interface Place {
  readonly name: string;
  readonly day: Day;
}

/**
 * What a sender usually does, folded from the summaries of its days. Never changed: folding gives a new one, so that
 * whoever holds an old one can go on reading it.
 */
export interface Profile {
  readonly firstDay: Day;
  readonly lastDay: Day;
  /** The newest days on which it sent, {@link ACTIVE_DAYS} at most, ascending. */
  readonly activeDays: readonly Day[];
  /** By slot: which week since the epoch it holds; -1 where none. */
  readonly weeks: Int32Array;
  /** By slot and kind. */
  readonly cells: Float32Array;
  readonly networks: readonly Place[];
  readonly ehlos: readonly Place[];
  readonly countries: readonly Place[];
  readonly asns: readonly Place[];
  /** Days on which it was contained. */
  readonly withheld: readonly SenderDaySummarised[];
}

/** What is usual for one window: the median of the weekly peaks, and the highest of them. */
export interface Usual {
  readonly typical: number;
  readonly record: number;
  /** Weeks with any sends that it rests upon. */
  readonly weeks: number;
}

export const NO_PROFILE: Profile = {
  firstDay: -1,
  lastDay: -1,
  activeDays: [],
  weeks: new Int32Array(WEEKS).fill(-1),
  cells: new Float32Array(WEEKS * FIXED),
  networks: [],
  ehlos: [],
  countries: [],
  asns: [],
  withheld: [],
};

/** Names of windows whose peaks are kept, in the order in which they came up; only ever added to. */
export type PeakKeys = readonly string[];

const weekOf = (day: Day): number => Math.floor(day / 7);

/**
 * Folds the summary of a day. One that comes a second time changes nothing; one of an older day, as an import brings it,
 * is learnt as if it had come in its time.
 */
export function withDay(profile: Profile, summary: SenderDaySummarised, keys: PeakKeys): Profile {
  const { day } = summary;
  if (profile.activeDays.includes(day)) return profile;
  const before = asOf(profile, day);
  const seen: Profile = {
    ...before,
    firstDay: before.firstDay < 0 ? day : Math.min(before.firstDay, day),
    lastDay: Math.max(before.lastDay, day),
    activeDays: [...before.activeDays, day].sort((a, b) => a - b).slice(-ACTIVE_DAYS),
  };
  if (summary.contained.length === 0) return learnt(seen, summary, keys);
  const withheld = [...seen.withheld, summary].slice(-WITHHELD);
  return { ...learnt(seen, clipped(seen, summary, keys), keys), withheld };
}

/** The profile as it is on a day: whoever was silent for too long is a stranger again. */
export function asOf(profile: Profile, day: Day): Profile {
  return profile.lastDay < day - REMEMBERED_DAYS ? NO_PROFILE : profile;
}

/**
 * What a contained day teaches: that what was known still goes on, and nothing above it (winsorised; Dixon 1960). Were
 * it to teach nothing at all, a monthly run that was once cut off would be forgotten, and cut off for ever.
 */
function clipped(profile: Profile, summary: SenderDaySummarised, keys: PeakKeys): SenderDaySummarised {
  const { day } = summary;
  const peaks = Object.entries(summary.peaks).map(
    ([name, peak]) => [name, Math.min(peak, usualOf(profile, indexIn(keys, name), day).record)] as const,
  );
  return {
    ...summary,
    ...{ messages: 0, recipients: 0, refusedRecipients: 0, bounces: 0, hours: 0, networks: [], ehlos: [] },
    ...{ countries: [], asns: [], peaks: Object.fromEntries(peaks) },
    largest: Math.min(summary.largest, usualLargest(profile, day).record),
  };
}

function indexIn(keys: PeakKeys, name: string): number {
  const index = keys.indexOf(name);
  return index < 0 ? keys.length : index;
}

/**
 * A block was taken back as a false positive: what was withheld on its account is learnt after all.
 *
 * @param least what the window that tripped would have reached, had it not been cut short; undefined where that is not known
 */
export function withFalsePositive(
  profile: Profile,
  block: string,
  least: { readonly day: Day; readonly peak: string; readonly value: number } | undefined,
  keys: PeakKeys,
): Profile {
  let changed = profile;
  const withheld: SenderDaySummarised[] = [];
  for (const each of profile.withheld) {
    const contained = each.contained.filter((other) => other !== block);
    if (contained.length > 0)
      withheld.push(contained.length === each.contained.length ? each : { ...each, contained });
    else changed = learnt(changed, each, keys);
  }
  if (least === undefined) return { ...changed, withheld };
  return {
    ...learnt(changed, { ...nothingOn(least.day), peaks: { [least.peak]: least.value } }, keys),
    withheld,
  };
}

function nothingOn(day: Day): Omit<SenderDaySummarised, 'subject'> {
  return {
    ...{ day, messages: 0, recipients: 0, refusedRecipients: 0, bounces: 0, largest: 0, hours: 0 },
    ...{ peaks: {}, networks: [], ehlos: [], contained: [] },
  };
}

function learnt(profile: Profile, summary: Omit<SenderDaySummarised, 'subject'>, keys: PeakKeys): Profile {
  const week = weekOf(summary.day);
  const slot = week % WEEKS;
  const width = FIXED + keys.length;
  const weeks = profile.weeks.slice();
  const cells = widened(profile.cells, width);
  const first = slot * width;
  // What is eight weeks newer has taken its place.
  if (week > weeks[slot]!) {
    weeks[slot] = week;
    cells.fill(0, first, first + width);
  }
  if (week === weeks[slot]) {
    cells[first + MESSAGES]! += summary.messages;
    cells[first + RECIPIENTS]! += summary.recipients;
    cells[first + REFUSED]! += summary.refusedRecipients;
    cells[first + BOUNCES]! += summary.bounces;
    cells[first + LARGEST] = Math.max(cells[first + LARGEST]!, summary.largest);
    cells[first + HOURS] = cells[first + HOURS]! | summary.hours;
    keys.forEach((key, index) => {
      const peak = summary.peaks[key] ?? 0;
      if (peak > cells[first + FIXED + index]!) cells[first + FIXED + index] = peak;
    });
  }
  const { day } = summary;
  return {
    ...profile,
    weeks,
    cells,
    networks: withPlaces(profile.networks, summary.networks, day),
    ehlos: withPlaces(profile.ehlos, summary.ehlos, day),
    countries: withPlaces(profile.countries, summary.countries ?? [], day),
    asns: withPlaces(profile.asns, (summary.asns ?? []).map(String), day),
  };
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

function withPlaces(known: readonly Place[], names: readonly string[], day: Day): readonly Place[] {
  if (names.length === 0) return known;
  const fresh = names.map((name) => ({ name, day }));
  const others = known.filter((place) => !names.includes(place.name));
  return [...others, ...fresh].slice(-PLACES);
}

/** What was usual for a window in the weeks before this day and its own. Weeks without sends say nothing. */
export function usualOf(profile: Profile, key: number, day: Day): Usual {
  return usualCells(profile, FIXED + key, day);
}

/** Recipients of the largest messages: typical of a week, and of all weeks. */
export function usualLargest(profile: Profile, day: Day): Usual {
  return usualCells(profile, LARGEST, day);
}

function usualCells(profile: Profile, kind: number, day: Day): Usual {
  const width = profile.cells.length / WEEKS;
  const now = weekOf(day);
  let count = 0;
  for (let slot = 0; slot < WEEKS; slot++) {
    if (profile.weeks[slot]! < 0 || profile.weeks[slot]! < now - WEEKS) continue;
    // A window that was not kept then held nothing that is known.
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

/** Scratch of one call at a time. */
const SORTED = new Float32Array(WEEKS);

/** In how many of the weeks it sent within this hour of the day in UTC, and of how many. */
export function hourOf(profile: Profile, hour: number, day: Day): { used: number; weeks: number } {
  const width = profile.cells.length / WEEKS;
  let used = 0;
  let weeks = 0;
  for (let slot = 0; slot < WEEKS; slot++) {
    if (profile.weeks[slot]! < 0 || profile.weeks[slot]! < weekOf(day) - WEEKS) continue;
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
