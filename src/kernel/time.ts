/** Milliseconds since the Unix epoch. The domain never reads a clock: an Instant is always handed to it. */
export type Instant = number;

/** A span of time in milliseconds. */
export type Milliseconds = number;

/** The source of the present time, so that a test can drive it. */
export interface Clock {
  now(): Instant;
}

/**
 * A clock that can also wake somebody. What people are told goes by {@link Clock.now}, which somebody may set at any
 * moment; pauses, deadlines and rates go by {@link monotonic} and {@link after}, which no setting moves.
 */
export interface AlarmClock extends Clock {
  /** Milliseconds since some beginning; they only ever grow, at the pace of time. */
  monotonic(): Milliseconds;
  /** Calls back once, when `span` has passed (never synchronously). The result takes the alarm back. */
  after(span: Milliseconds, callback: () => void): () => void;
  /**
   * Calls back once, at `at` or as soon after it as can be (at once if it has passed, never synchronously). The result
   * cancels the alarm.
   */
  wakeAt(at: Instant, callback: () => void): () => void;
}

export const SECOND: Milliseconds = 1000;
export const MINUTE: Milliseconds = 60 * SECOND;
export const HOUR: Milliseconds = 60 * MINUTE;
export const DAY: Milliseconds = 24 * HOUR;
export const WEEK: Milliseconds = 7 * DAY;

/** The longest span that people may ask for: ten years. */
export const LONGEST_SPAN: Milliseconds = 3650 * DAY;

const UNITS: ReadonlyArray<readonly [suffix: string, length: Milliseconds]> = [
  ['w', WEEK],
  ['d', DAY],
  ['h', HOUR],
  ['m', MINUTE],
  ['s', SECOND],
];

/**
 * Reads a duration such as `90s`, `10m`, `1h30m`, `35d` or `2w`.
 *
 * @returns milliseconds, or undefined if the text is no duration or is zero
 */
export function parseDuration(text: string): Milliseconds | undefined {
  const trimmed = text.trim();
  if (!/^(\d{1,9}[smhdw])+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, count, unit] of trimmed.matchAll(/(\d{1,9})([smhdw])/g)) {
    total += Number(count) * UNITS.find(([suffix]) => suffix === unit)![1];
  }
  return total > 0 ? total : undefined;
}

/** What {@link parseDuration} accepts, for error messages. */
export const DURATION_FORM = 'a duration such as 90s, 10m, 1h30m, 24h, 35d or 2w';

/** Writes a span the way people and `parseDuration` read it: `1h30m`, `24h`, `7d`. Rounded to seconds. */
export function formatDuration(span: Milliseconds): string {
  let rest = Math.round(span / SECOND) * SECOND;
  if (rest <= 0) return '0s';
  let text = '';
  for (const [suffix, length] of UNITS) {
    // Nobody says "1d" for a 24-hour window or "1w" for seven days.
    if (suffix === 'w' && rest % WEEK !== 0) continue;
    if ((suffix === 'w' || suffix === 'd') && rest < 2 * length) continue;
    const count = Math.floor(rest / length);
    if (count > 0) text += `${count}${suffix}`;
    rest -= count * length;
  }
  return text;
}

/** ISO 8601 in UTC with milliseconds, as the API and the logs write instants. */
export function formatInstant(at: Instant): string {
  return new Date(at).toISOString();
}

/** Reads an ISO 8601 instant or date (a date is its first moment in UTC); undefined if it is neither. */
export function parseInstant(text: string): Instant | undefined {
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text))
    return undefined;
  const hasZone = text.length === 10 || /(Z|[+-]\d{2}:?\d{2})$/.test(text);
  const at = Date.parse(hasZone ? text : `${text}Z`);
  // Date.parse takes 31 February for 3 March.
  const day = Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
  if (Number.isNaN(at) || Number.isNaN(day) || new Date(day).getUTCDate() !== Number(text.slice(8, 10)))
    return undefined;
  return at;
}
