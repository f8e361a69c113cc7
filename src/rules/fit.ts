/*
 * Limits of the form `k × record + plus`, chosen from what senders did on days that nobody objected to.
 *
 * Method: the empirical tail. On each clean day of a known sender, the peak of the day is set beside the record of the
 * weeks before. A day is above the limit if `peak > k × record + plus`.
 *
 * - `k` is the slope of the tail, whatever rate is asked for: of the quarters from 2 to 5 the one with the lowest
 *   limits (their geometric mean over all days) among those that as many days exceed, some {@link SLOPE_DAYS}.
 * - `plus` is then the smallest one that few enough days exceed. How few: so few that with 90 % confidence the true
 *   rate is not above the one that was asked for. This is the exact upper limit of a Poisson count (F. Garwood,
 *   Fiducial Limits for the Poisson Distribution, 1936), which for rare events is that of a binomial one too (C. J.
 *   Clopper and E. S. Pearson, 1934). Without one day above, it is 2.3 days (the "rule of three" at 95 %).
 *
 * So a smaller rate never gives a lower limit. The days of one sender are alike: a rate rests upon senders more than
 * upon days.
 */

/** How sure it is that the true rate is not higher. */
export const CONFIDENCE = 0.9;
/**
 * The days that the slope is taken from: few enough to be the tail, enough not to follow one odd day. Where few days are
 * above the record at all, it is a quarter of these.
 */
const SLOPE_DAYS = 20;
const SLOPE_SHARE = 1 / 4;
/**
 * A rate counts days, and a day of a busy sender costs more mail than others: with slopes from 1.25 on, limits for the
 * same rate stopped three times as much clean mail. So twice the record is always allowed.
 */
const SLOPES: readonly number[] = Array.from({ length: 13 }, (_, index) => 2 + index / 4);

/** Clean days of known senders: how high the window got, and the record of the weeks before. */
export class CleanDays {
  /** How many there are. */
  count = 0;
  /** Those above the record. No limit is lower, so the others are above none. */
  readonly #records: number[] = [];
  readonly #peaks: number[] = [];
  /** How many days have a record, to three digits. */
  readonly #spread = new Map<number, number>();

  add(record: number, peak: number): void {
    this.count++;
    const rough = Number(record.toPrecision(3));
    this.#spread.set(rough, (this.#spread.get(rough) ?? 0) + 1);
    if (peak <= record) return;
    this.#records.push(record);
    this.#peaks.push(peak);
  }

  /** How many days are above the record. */
  get tail(): number {
    return this.#peaks.length;
  }

  /** How many days are above a limit. */
  above(k: number, plus: number): number {
    return this.#peaks.filter((peak, index) => peak > k * this.#records[index]! + plus).length;
  }

  /** What must be added to `k` times the record so that so many days are above it; at least 1. */
  plus(k: number, above: number): number {
    const excess = Float64Array.from(this.#peaks, (peak, index) => peak - k * this.#records[index]!).sort();
    return Math.max(1, Math.ceil(excess[excess.length - 1 - above] ?? 0));
  }

  /** The logarithm of the limit, on average. */
  height(k: number, plus: number): number {
    let sum = 0;
    for (const [record, days] of this.#spread) sum += days * Math.log(k * record + plus);
    return sum / Math.max(1, this.count);
  }
}

/** A limit, and how often it would have been wrong. */
export interface FittedLimit {
  readonly k: number;
  readonly plus: number;
  /** Clean days above it. */
  readonly above: number;
}

/**
 * @param rate the wrong verdicts on a sender-day that are taken into account, such as 0.0002
 * @returns undefined if there are fewer days than {@link daysNeeded}
 */
export function fitLimit(days: CleanDays, rate: number): FittedLimit | undefined {
  const most = mostAbove(rate * days.count);
  if (most === undefined) return undefined;
  const k = slopeOf(days);
  const plus = days.plus(k, most);
  return { k, plus, above: days.above(k, plus) };
}

/** The fewest days from which a rate can be told: no day above the limit must be too unlikely for a higher rate. */
export function daysNeeded(rate: number): number {
  return Math.ceil(-Math.log(1 - CONFIDENCE) / rate);
}

/** The lowest rate that can be told from so many days: for it {@link daysNeeded} are no more. Infinity without a day. */
export function rateFor(days: number): number {
  return -Math.log(1 - CONFIDENCE) / days;
}

/** With the {@link CONFIDENCE}, no more than this was to be expected where so many happened. */
export function atMost(happened: number): number {
  let [low, high] = [0, 10 + 2 * happened];
  while (high - low > 1e-9 * high) {
    const middle = (low + high) / 2;
    if (poisson(happened, middle) > 1 - CONFIDENCE) low = middle;
    else high = middle;
  }
  return high;
}

function slopeOf(days: CleanDays): number {
  let best = { k: SLOPES[0]!, height: Infinity };
  const above = Math.min(SLOPE_DAYS, Math.floor(SLOPE_SHARE * days.tail));
  for (const k of SLOPES) {
    const height = days.height(k, days.plus(k, above));
    if (height < best.height) best = { k, height };
  }
  return best.k;
}

/** The most that may happen, so that {@link atMost} is not above what is expected; undefined if even none is. */
function mostAbove(expected: number): number | undefined {
  let most: number | undefined;
  let sum = 0;
  let logarithm = -expected;
  for (let count = 0; count < expected; count++) {
    sum += Math.exp(logarithm);
    if (sum > 1 - CONFIDENCE) break;
    most = count;
    logarithm += Math.log(expected / (count + 1));
  }
  return most;
}

/** The probability that so many or fewer happen where so many are expected. */
function poisson(most: number, expected: number): number {
  let sum = 0;
  let logarithm = -expected;
  for (let count = 0; count <= most; count++) {
    sum += Math.exp(logarithm);
    logarithm += Math.log(expected / (count + 1));
  }
  return sum;
}
