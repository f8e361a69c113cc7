/** A line's time as it stands there: what a clock on the server's wall showed. */
export interface Stamp {
  /** Undefined in the traditional form, which has none. */
  readonly year: number | undefined;
  /** From 1 on. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
  /** Minutes east of UTC; undefined where the line does not say. */
  readonly offset: number | undefined;
  /** Where the line goes on behind it. */
  readonly end: number;
}

/** `<22>`: syslog's priority, which some daemons write to the file too. */
const PRIORITY = String.raw`(?:<\d{1,3}>)?`;
const TIME = String.raw`(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?`;

/** RFC 3164 section 4.1.2: `Nov  4 03:04:05 `, and what writes fractions behind it. */
const TRADITIONAL = new RegExp(`^${PRIORITY}([A-Z][a-z]{2}) ([ \\d]?\\d) ${TIME} +`);
/** RFC 3339, as rsyslog and syslog-ng write it, and journald's `short-iso`, whose zone has no colon. */
const ISO = new RegExp(
  `^${PRIORITY}(\\d{4})-(\\d\\d)-(\\d\\d)[T ]${TIME}(?:(Z)|([+-])(\\d\\d):?(\\d\\d))? +`,
);

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const LENGTHS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Reads the time at the beginning of a line; undefined where there is none, or one that never was. */
export function readStamp(line: string): Stamp | undefined {
  const found = TRADITIONAL.exec(line);
  if (found !== null) {
    const [all, name, day, hour, minute, second, fraction] = found;
    const month = MONTHS.indexOf(name!) + 1;
    return checked(undefined, month, day!, hour!, minute!, second!, fraction, undefined, all.length);
  }
  const iso = ISO.exec(line);
  if (iso === null) return undefined;
  const [all, year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes] = iso;
  const east = Number(hours) * 60 + Number(minutes);
  const offset = utc !== undefined ? 0 : sign === undefined ? undefined : sign === '-' ? -east : east;
  if (Number(day) === 29 && Number(month) === 2 && !isLeap(Number(year))) return undefined;
  return checked(Number(year), Number(month), day!, hour!, minute!, second!, fraction, offset, all.length);
}

export function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

function checked(
  year: number | undefined,
  month: number,
  dayText: string,
  hourText: string,
  minuteText: string,
  secondText: string,
  fraction: string | undefined,
  offset: number | undefined,
  end: number,
): Stamp | undefined {
  const [day, hour, minute, second] = [dayText, hourText, minuteText, secondText].map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const isDay = day >= 1 && day <= (LENGTHS[month - 1] ?? 0);
  // 60 is a leap second.
  if (!isDay || hour > 23 || minute > 59 || second > 60 || Math.abs(offset ?? 0) > 18 * 60) return undefined;
  const millisecond = fraction === undefined ? 0 : Number(fraction.padEnd(3, '0').slice(0, 3));
  return { year, month, day, hour, minute, second, millisecond, offset, end };
}
