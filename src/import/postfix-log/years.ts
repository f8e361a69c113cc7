import type { Instant } from '../../kernel/time.js';
import { DAY } from '../../kernel/time.js';
import type { Stamp } from './stamp.js';
import { isLeap } from './stamp.js';

/*
 * Traditional time stamps name no year. Lines stand in the order of time, but for a few that come late: so a step back
 * by more than a week is the turn of a year, and a step from the first days of January to the last of December is a late
 * line of the year before. The last line cannot be younger than the file: that fixes the year.
 */

/** Days by which lines may come late: a week, and one more where a 29 February that was not lies between. */
const LATE = 8;
/** Days of a leap year, which any is taken for until it is known. */
const ROUND = 366;
/** How far the clock of whoever wrote the file may be ahead of its lines' (or their zones apart). */
const TOLERANCE = DAY;

const dayOf = ({ month, day }: Stamp): number => Date.UTC(2000, month - 1, day) / DAY;

/** Follows the years of the lines of one file. */
export class YearCounter {
  /** Turns of the year since the first line; may be -1 for late lines at its beginning. */
  turns = 0;
  first: Stamp | undefined;
  last: Stamp | undefined;
  /** At how many turns a 29 February stood. */
  #leap: number | undefined;

  /** @returns the turns at this line */
  add(stamp: Stamp): number {
    if (this.last !== undefined) {
      const step = dayOf(stamp) - dayOf(this.last);
      if (step < -LATE) this.turns++;
      else if (step >= ROUND - LATE) this.turns--;
    }
    this.first ??= stamp;
    this.last = stamp;
    if (stamp.month === 2 && stamp.day === 29) this.#leap ??= this.turns;
    return this.turns;
  }

  /**
   * The year of the first line, once all have been added: the latest that makes none younger than the file and every
   * 29 February a day.
   *
   * @param writtenAt when the file was last written to
   */
  firstYear(writtenAt: Instant): number {
    const { month, day, hour, minute } = this.last!;
    let year = new Date(writtenAt + TOLERANCE).getUTCFullYear();
    if (Date.UTC(year, month - 1, day, hour, minute) > writtenAt + TOLERANCE) year--;
    const first = year - this.turns;
    if (this.#leap === undefined) return first;
    for (let back = 0; back < 8; back++) if (isLeap(first - back + this.#leap)) return first - back;
    return first;
  }
}
