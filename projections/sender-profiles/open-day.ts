import type { Day, DaySummaryFact, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { PLACES_A_DAY } from '../../src/sending/day-summary.js';
import type { PeakKeys } from './profile.js';

/** What a sender has done on a day that is not summarised yet. */
export interface OpenDay {
  readonly day: Day;
  messages: number;
  recipients: number;
  refusedRecipients: number;
  bounces: number;
  largest: number;
  /** By key of a window: the highest that it stood at. */
  peaks: Float32Array;
  networks: readonly string[];
  ehlos: readonly string[];
  countries: readonly string[];
  asns: readonly number[];
  hours: number;
  contained: readonly string[];
}

export function openDay(day: Day): OpenDay {
  return {
    ...{ day, messages: 0, recipients: 0, refusedRecipients: 0, bounces: 0, largest: 0, hours: 0 },
    peaks: new Float32Array(8),
    ...{ networks: NOTHING, ehlos: NOTHING, countries: NOTHING, asns: NO_NUMBERS, contained: NOTHING },
  };
}

const NOTHING: readonly string[] = [];
const NO_NUMBERS: readonly number[] = [];

export function copyOf(open: OpenDay): OpenDay {
  return { ...open, peaks: open.peaks.slice() };
}

export function notePeak(open: OpenDay, key: number, sum: number): void {
  if (key >= open.peaks.length) {
    const longer = new Float32Array(key + 8);
    longer.set(open.peaks);
    open.peaks = longer;
  }
  if (sum > open.peaks[key]!) open.peaks[key] = sum;
}

/** One more name, where it is new and there is room. Nearly always it is the one that came last. */
export function withName<Name extends string | number>(
  names: readonly Name[],
  name: Name | undefined,
): readonly Name[] {
  if (name === undefined || names.at(-1) === name) return names;
  if (names.length >= PLACES_A_DAY || names.includes(name)) return names;
  return [...names, name];
}

export function summaryOf(
  subject: SenderDaySummarised['subject'],
  open: OpenDay,
  keys: PeakKeys,
): DaySummaryFact {
  const { day, messages, recipients, refusedRecipients, bounces, largest, hours } = open;
  const peaks: Record<string, number> = {};
  keys.forEach((key, index) => {
    if ((open.peaks[index] ?? 0) > 0) peaks[key] = open.peaks[index]!;
  });
  return {
    type: 'SenderDaySummarised',
    data: {
      ...{ subject, day, messages, recipients, refusedRecipients, bounces, largest, peaks },
      ...{ networks: open.networks, ehlos: open.ehlos, hours, contained: open.contained },
      ...(open.countries.length === 0 ? {} : { countries: open.countries }),
      ...(open.asns.length === 0 ? {} : { asns: open.asns }),
    },
  };
}
