import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';

/** A day's summary but for whose it is. */
export type ClosedDay = Omit<SenderDaySummarised, 'subject'>;

export type ClosedDaysState = readonly (readonly [value: string, days: readonly ClosedDay[]])[];

/** Days of one sender that may wait for their summary; were there more, the oldest would never be written. */
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

  /** A block came about: the days from `since` on are contained. */
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

  /** A day was summarised: history that is imported may fill days around one that waits still. */
  summarised(value: string, day: Day): void {
    this.#set(
      value,
      this.of(value).filter((each) => each.day !== day),
    );
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
