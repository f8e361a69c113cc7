import { PEAKS_KEPT } from '../../src/sending/day-summary.js';
import type { Day } from '../../src/sending/day-summary.js';

/** So long may a window have been in no rule, and what is known of it is still a habit: whoever edits rules errs. */
const MISSED_DAYS = 7;

/** A window whose peaks are kept. */
export interface KeptPeak {
  readonly name: string;
  /** The first day of which any are known. */
  readonly since: Day;
  /** The last day, where no rule looks at the window any more; null where one does. */
  readonly until: Day | null;
}

/** Which windows have their peaks kept, and since when: each has a number, which is its place in profiles and days. */
export class KeptPeaks {
  /** By number. */
  readonly names: string[] = [];
  readonly #kept: KeptPeak[] = [];
  readonly #numbers = new Map<string, number>();

  /** The number of a window; one beyond all where it is not kept. */
  numberOf(name: string): number {
    return this.#numbers.get(name) ?? this.#kept.length;
  }

  /** The first day of which anything is known of a window. */
  since(number: number): Day {
    return this.#kept[number]?.since ?? Infinity;
  }

  /**
   * The windows that rules look at from now on. Where there is no room, those make it that have been in no rule for longest;
   * where there is none even so, the last of them are not kept.
   *
   * @returns the numbers that stand for another window now
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

  /** A day's summary tells of these: history may, that was counted elsewhere. */
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
