import { DAY } from '../../src/kernel/time.js';
import type { Learning } from '../../src/rules/model.js';
import type { Day } from '../../src/sending/day-summary.js';

/**
 * What is older is no habit any more. Shorter than summaries are kept, so that a profile is the same whether it was
 * folded as time went by or is rebuilt from what is left.
 */
export const REMEMBERED_DAYS = 390;

/** Days of which something is known, a bit each: the lowest is the newest day of the profile, the next the day before. */
export type KnownDays = bigint;

const REMEMBERED = (1n << BigInt(REMEMBERED_DAYS + 1)) - 1n;
const WORD = 32;

/** The same days once the profile's newest day is so many days later. */
export function aged(known: KnownDays, days: number): KnownDays {
  return known === 0n ? known : (known << BigInt(days)) & REMEMBERED;
}

/** And one more, so many days before the newest; without it where that is too long ago to be remembered. */
export function withKnown(known: KnownDays, ago: number): KnownDays {
  return (known | (1n << BigInt(ago))) & REMEMBERED;
}

/**
 * Whether enough is known to be a habit: as much as makes a sender known, of so many days, the first of them so long ago.
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
