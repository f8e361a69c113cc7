import type { Instant } from '../../src/kernel/time.js';
import { DAY, HOUR } from '../../src/kernel/time.js';
import type { Day } from '../../src/sending/day-summary.js';
import { PEAKS_KEPT, PLACES_A_DAY } from '../../src/sending/day-summary.js';
import type { SenderFields } from '../../src/sending/events.js';
import { clientNetwork, normalizeEhlo } from '../../src/sending/identity.js';
import { hashOf } from '../blocks/filtered-map.js';
import type { Amounts } from '../volume/counted-windows.js';
import { HELD } from '../volume/counted-windows.js';
import type { KeyedRowsState } from '../volume/window-table.js';
import { Page, PAGE_BITS, PAGE_ROWS } from '../volume/pages.js';
import { KeyedRows } from '../volume/window-table.js';
import type { ClosedDay, ClosedDaysState } from './profile.js';
import { ClosedDays, withBlock, withoutBlock } from './profile.js';

/* A row, in cells of 32 bits: whole numbers first, then the peaks as floats. */
const DAY_CELL = 0;
const MESSAGES = 1;
const RECIPIENTS = 2;
const REFUSED = 3;
const BOUNCES = 4;
const LARGEST = 5;
const HOURS = 6;
const IP_HASH = 7;
const EHLO_HASH = 8;
const PEAKS = 9;
const CELLS = PEAKS + PEAKS_KEPT;
/** A bit beside those of the hours: its last message came from a place that is new to it. */
const NEWCOMER = 1 << 24;

const PLACE_OF = {
  messages: HELD.indexOf('messages'),
  recipients: HELD.indexOf('recipients'),
  refused: HELD.indexOf('refusedRecipients'),
  bounces: HELD.indexOf('bounces'),
};

/** The places that a sender has sent from on a day, each in the order of its first use. */
export interface DayPlaces {
  readonly networks: readonly string[];
  readonly ehlos: readonly string[];
  readonly countries: readonly string[];
  readonly asns: readonly number[];
}

const NOWHERE: DayPlaces = { networks: [], ehlos: [], countries: [], asns: [] };

/** The place of a network, if it is known. */
interface Whereabouts {
  readonly country?: string;
  readonly asn?: number;
}

export interface OpenDaysState extends KeyedRowsState {
  readonly pages: readonly Uint8Array[];
  readonly places: readonly (DayPlaces | undefined)[];
  readonly contained: readonly (readonly [row: number, blocks: readonly string[]])[];
  readonly closed: ClosedDaysState;
}

/**
 * The present day of each sender of one type, in flat memory because every send writes here; and earlier days that wait
 * for their summary. A row is freed when its day is summarised.
 */
export class OpenDays {
  readonly #peakNames: readonly string[];
  readonly #isClosed: (value: string, day: Day) => boolean;
  readonly #rows = new KeyedRows();
  readonly #pages: Page[] = [];
  #places: (DayPlaces | undefined)[] = [];
  readonly #contained = new Map<number, readonly string[]>();
  readonly #closed = new ClosedDays();

  /**
   * @param peakNames of the windows whose peaks are kept, such as `messages/1h`
   * @param isClosed whether a sender's day has been summarised
   */
  constructor(peakNames: readonly string[], isClosed: (value: string, day: Day) => boolean) {
    this.#peakNames = peakNames;
    this.#isClosed = isClosed;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Whether any of a sender's days is not summarised. */
  has(value: string): boolean {
    return this.#rows.find(value) !== undefined || this.#closed.has(value);
  }

  /**
   * The row of a sender that holds this day; -1 if it already holds a later one, or if the day has been summarised: an
   * event that late is part of no summary.
   *
   * @param guess the row that the sender may have
   */
  row(value: string, day: Day, guess: number): number {
    const row = this.#rows.holds(guess, value) ? guess : this.#find(value, day);
    if (row < 0) return row;
    const held = this.#pages[row >> PAGE_BITS]!.u32[cellOf(row) + DAY_CELL]!;
    if (held === day) return row;
    if (held > day) return -1;
    this.#closed.add(value, this.#read(row));
    this.#clear(row);
    this.#writable(row).u32[cellOf(row) + DAY_CELL] = day;
    return row;
  }

  /** Adds one event. */
  add(row: number, amounts: Amounts, at: Instant): void {
    const { u32 } = this.#writable(row);
    const first = cellOf(row);
    const { values } = amounts;
    const recipients = values[PLACE_OF.recipients]!;
    u32[first + MESSAGES]! += values[PLACE_OF.messages]!;
    u32[first + RECIPIENTS]! += recipients;
    u32[first + REFUSED]! += values[PLACE_OF.refused]!;
    u32[first + BOUNCES]! += values[PLACE_OF.bounces]!;
    if (recipients > u32[first + LARGEST]!) u32[first + LARGEST] = recipients;
    if (recipients > 0) u32[first + HOURS]! |= 1 << Math.floor((at % DAY) / HOUR);
  }

  /** Notes the count of a window. */
  peak(row: number, key: number, sum: number): void {
    const { f32 } = this.#writable(row);
    const cell = cellOf(row) + PEAKS + key;
    if (sum > f32[cell]!) f32[cell] = sum;
  }

  /** The most that a window held on the day. */
  peakAt(row: number, key: number): number {
    return this.#pages[row >> PAGE_BITS]!.f32[cellOf(row) + PEAKS + key]!;
  }

  /**
   * Notes the place of a message; the names are compared only if they differ from those of the last message.
   *
   * @returns whether they differ
   */
  place(row: number, { ip = '', ehlo = '', country, asn }: SenderFields & Whereabouts): boolean {
    const { u32 } = this.#writable(row);
    const first = cellOf(row);
    const ipHash = hashOf(ip) >>> 0;
    const ehloHash = hashOf(ehlo) >>> 0;
    if (u32[first + IP_HASH] === ipHash && u32[first + EHLO_HASH] === ehloHash) return false;
    u32[first + IP_HASH] = ipHash;
    u32[first + EHLO_HASH] = ehloHash;
    const known = this.#places[row] ?? NOWHERE;
    this.#places[row] = {
      networks: withName(known.networks, ip === '' ? undefined : clientNetwork(ip)),
      ehlos: withName(known.ehlos, ehlo === '' ? undefined : normalizeEhlo(ehlo)),
      countries: withName(known.countries, country),
      asns: withName(known.asns, asn),
    };
    return true;
  }

  /** Whether the place of the last message was {@link markNewcomer | marked} as new to the sender. */
  isNewcomer(row: number): boolean {
    return (this.#pages[row >> PAGE_BITS]!.u32[cellOf(row) + HOURS]! & NEWCOMER) !== 0;
  }

  markNewcomer(row: number, isNew: boolean): void {
    const { u32 } = this.#writable(row);
    const hours = cellOf(row) + HOURS;
    u32[hours] = isNew ? u32[hours]! | NEWCOMER : u32[hours]! & ~NEWCOMER;
  }

  /** A block was imposed: every open day from `since` on is contained. */
  contain(value: string, block: string, since: Day): void {
    this.#closed.contain(value, block, since);
    const row = this.#rows.find(value);
    if (row === undefined || this.#day(row) < since) return;
    this.#contained.set(row, withBlock(this.#contained.get(row) ?? [], block));
  }

  /** A block was taken back as a false positive. */
  pardon(value: string, block: string): void {
    this.#closed.pardon(value, block);
    const row = this.#rows.find(value);
    const blocks = row === undefined ? undefined : this.#contained.get(row);
    if (blocks !== undefined) this.#contained.set(row!, withoutBlock(blocks, block));
  }

  /** A day was summarised. */
  summarised(value: string, day: Day): void {
    this.#closed.summarised(value, day);
    const row = this.#rows.find(value);
    if (row === undefined || this.#day(row) !== day) return;
    this.#rows.giveBack(row, value);
    this.#clear(row);
  }

  /** Drops what is after a day: the clock that dated it was ahead, or is behind now. */
  dropAfter(day: Day): void {
    this.#closed.dropAfter(day);
    for (const [value, row] of [...this.#rows.entries()]) {
      if (this.#day(row) <= day) continue;
      this.#rows.giveBack(row, value);
      this.#clear(row);
    }
  }

  /** Empties a peak whose number now belongs to another window. */
  emptyPeak(key: number): void {
    for (const [, row] of this.#rows.entries()) this.#writable(row).f32[cellOf(row) + PEAKS + key] = 0;
  }

  /** Days before this one that are not summarised, a sender's oldest first. */
  *before(day: Day): IterableIterator<readonly [value: string, closed: ClosedDay]> {
    yield* this.#closed.before(day);
    for (const [value, row] of this.#rows.entries()) if (this.#day(row) < day) yield [value, this.#read(row)];
  }

  /** The days of one sender that are not summarised, ascending. */
  of(value: string): readonly ClosedDay[] {
    const row = this.#rows.find(value);
    return [...this.#closed.of(value), ...(row === undefined ? [] : [this.#read(row)])];
  }

  /** A page is copied at its next write. The opposite of {@link restore}. */
  dump(): OpenDaysState {
    return {
      ...this.#rows.dump(),
      places: this.#places.slice(),
      pages: this.#pages.map((page) => page.share()),
      contained: [...this.#contained],
      closed: this.#closed.dump(),
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is added. */
  restore({ keys, free, pages, places, contained, closed }: OpenDaysState): void {
    this.#rows.restore({ keys, free });
    this.#places = places.slice();
    for (const bytes of pages) this.#pages.push(Page.like(bytes));
    for (const [row, blocks] of contained) this.#contained.set(row, blocks);
    this.#closed.restore(closed);
  }

  #find(value: string, day: Day): number {
    const found = this.#rows.find(value);
    if (found !== undefined) return found;
    if (this.#isClosed(value, day)) return -1;
    const row = this.#rows.take(value);
    if (row >> PAGE_BITS === this.#pages.length) this.#pages.push(Page.of(PAGE_ROWS * CELLS * 4));
    this.#places[row] = undefined;
    this.#writable(row).u32[cellOf(row) + DAY_CELL] = day;
    return row;
  }

  #clear(row: number): void {
    const first = cellOf(row);
    this.#writable(row).u32.fill(0, first, first + CELLS);
    this.#places[row] = undefined;
    this.#contained.delete(row);
  }

  #day(row: number): Day {
    return this.#pages[row >> PAGE_BITS]!.u32[cellOf(row) + DAY_CELL]!;
  }

  #read(row: number): ClosedDay {
    const { u32, f32 } = this.#pages[row >> PAGE_BITS]!;
    const first = cellOf(row);
    const peaks: Record<string, number> = {};
    this.#peakNames.forEach((name, index) => {
      const peak = f32[first + PEAKS + index]!;
      if (peak > 0) peaks[name] = peak;
    });
    const { networks, ehlos, countries, asns } = this.#places[row] ?? NOWHERE;
    return {
      day: u32[first + DAY_CELL]!,
      messages: u32[first + MESSAGES]!,
      recipients: u32[first + RECIPIENTS]!,
      refusedRecipients: u32[first + REFUSED]!,
      bounces: u32[first + BOUNCES]!,
      largest: u32[first + LARGEST]!,
      peaks,
      networks,
      ehlos,
      ...(countries.length === 0 ? {} : { countries }),
      ...(asns.length === 0 ? {} : { asns }),
      hours: u32[first + HOURS]! & (NEWCOMER - 1),
      contained: this.#contained.get(row) ?? [],
    };
  }

  #writable(row: number): Page {
    const page = this.#pages[row >> PAGE_BITS]!;
    return page.shared ? (this.#pages[row >> PAGE_BITS] = Page.like(page.bytes)) : page;
  }
}

function cellOf(row: number): number {
  return (row & (PAGE_ROWS - 1)) * CELLS;
}

/** Adds a name if it is new and there is room. */
function withName<Name extends string | number>(
  names: readonly Name[],
  name: Name | undefined,
): readonly Name[] {
  if (name === undefined || names.length >= PLACES_A_DAY || names.includes(name)) return names;
  // An array that is made by a spread has room for sixteen more, and every sender has two of these.
  return names.concat(name);
}

/** How long a window may be in no rule and keep its baseline: people who edit rules make mistakes. */
const MISSED_DAYS = 7;

/** A window whose peaks are kept. */
export interface KeptPeak {
  readonly name: string;
  /** The first day with known peaks. */
  readonly since: Day;
  /** The last day, if no rule uses the window any more; null if one does. */
  readonly until: Day | null;
}

/** The windows whose peaks are kept, and since when. Each has a number, which is its place in profiles and days. */
export class KeptPeaks {
  /** By number. */
  readonly names: string[] = [];
  readonly #kept: KeptPeak[] = [];
  readonly #numbers = new Map<string, number>();

  /** The number of a window; one beyond all if it is not kept. */
  numberOf(name: string): number {
    return this.#numbers.get(name) ?? this.#kept.length;
  }

  /** The first day with known peaks of a window. */
  since(number: number): Day {
    return this.#kept[number]?.since ?? Infinity;
  }

  /**
   * Sets the windows that rules use from now on. If there is no room, they replace those that have been in no rule for
   * longest; if there is still none, the last of them are not kept.
   *
   * @returns the numbers that now stand for another window
   */
  watch(names: readonly string[], today: Day): readonly number[] {
    const wanted = new Set(names);
    this.#kept.forEach((each, number) => {
      if (each.until === null && !wanted.has(each.name)) this.#kept[number] = { ...each, until: today };
    });
    const taken: number[] = [];
    for (const name of wanted) {
      const known = this.#kept[this.numberOf(name)];
      const goesOn = known !== undefined && (known.until === null || today - known.until <= MISSED_DAYS);
      const number = known === undefined ? this.#room() : this.numberOf(name);
      if (number === undefined) continue;
      if (known === undefined && number < this.#kept.length) taken.push(number);
      this.#set(number, { name, since: goesOn ? known.since : today, until: null });
    }
    return taken;
  }

  /** A day's summary has these windows: it may be imported history, counted elsewhere. */
  seen(names: readonly string[], day: Day): void {
    for (const name of names) {
      const number = this.numberOf(name);
      const known = this.#kept[number];
      if (known === undefined) {
        if (number < PEAKS_KEPT) this.#set(number, { name, since: day, until: day });
      } else if (day < known.since || (known.until !== null && day > known.until)) {
        const until = known.until === null ? null : Math.max(known.until, day);
        this.#kept[number] = { name, since: Math.min(known.since, day), until };
      }
    }
  }

  /** The opposite of {@link restore}. */
  dump(): readonly KeptPeak[] {
    return this.#kept.slice();
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore(kept: readonly KeptPeak[]): void {
    this.#kept.length = this.names.length = 0;
    this.#numbers.clear();
    kept.forEach((each, number) => this.#set(number, each));
  }

  #set(number: number, peak: KeptPeak): void {
    const before = this.#kept[number];
    if (before !== undefined) this.#numbers.delete(before.name);
    this.#kept[number] = peak;
    this.names[number] = peak.name;
    this.#numbers.set(peak.name, number);
  }

  #room(): number | undefined {
    if (this.#kept.length < PEAKS_KEPT) return this.#kept.length;
    let oldest: number | undefined;
    this.#kept.forEach(({ until }, number) => {
      if (until === null) return;
      if (oldest === undefined || until < this.#kept[oldest]!.until!) oldest = number;
    });
    return oldest;
  }
}
