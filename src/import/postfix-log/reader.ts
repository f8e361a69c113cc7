import type { Instant } from '../../kernel/time.js';
import { DAY, MINUTE } from '../../kernel/time.js';
import type { LogFile } from './files.js';
import { DamagedFile } from './files.js';
import type { Said } from './message.js';
import { readMessage } from './message.js';
import type { Zone } from './zone.js';

/** One line that matters. */
export interface LogRecord {
  /** When it was written. */
  readonly at: Instant;
  /** The same, but never before that of the line before it in its file: what lines are put in order by. */
  readonly order: Instant;
  /** `11-24 03:04:05`, as the clock on the wall showed it: independent of the inferred year and zone. */
  readonly wall: string;
  readonly host: string;
  /** `postfix/smtpd[4711]` */
  readonly process: string;
  /** The text after the time: it shows that two lines of the same time are the same line. */
  readonly text: string;
  /** How many lines it represents: rsyslog merges repeats. */
  readonly times: number;
  readonly said: Said;
}

/** A line that could not be understood. */
export interface BrokenLine {
  readonly file: string;
  /** From 1 on. */
  readonly line: number;
  readonly reason: string;
  readonly text: string;
}

export interface ReaderOptions {
  readonly zone: Zone;
  /** The year of each file's first line; undefined: inferred. Only for lines that name none. */
  readonly year: number | undefined;
  /** Lines are written now: one that names no year is of the last twelve months. */
  readonly live?: boolean;
  /** Lines later than this, by more than a day, are not believed. */
  readonly now: Instant;
  /** Each line is counted; then it is blank, of others or taken, or else broken. */
  readonly onLine: (kind: 'counted' | 'blank' | 'ofOthers' | 'taken') => void;
  readonly onBroken: (line: BrokenLine) => void;
  readonly onBytes: (bytes: number) => void;
}

/** What must be known of a file before it is read. */
export interface Survey {
  /** The time of its first line; undefined if none has any. */
  readonly firstAt: Instant | undefined;
  /** The year of its first line, where lines name none. */
  readonly firstYear: number | undefined;
}

/** Finds the first time of a file; if its lines name no year, reads all of it. */
export async function survey(
  file: LogFile,
  { zone, year, now }: Pick<ReaderOptions, 'zone' | 'year' | 'now'>,
): Promise<Survey> {
  if (!file.rereadable) return { firstAt: undefined, firstYear: year };
  const years = new YearCounter();
  try {
    for await (const lines of linesOf(file.chunks())) {
      for (const line of lines) {
        const stamp = line === undefined ? undefined : readStamp(line);
        if (stamp === undefined) continue;
        if (stamp.year === undefined && year === undefined) {
          years.add(stamp);
          continue;
        }
        const at = instantOf(stamp, stamp.year ?? year!, zone, undefined);
        // The form was changed on the way: this line says how old those before it may be.
        if (years.first !== undefined) return surveyed(years, Math.min(at, file.writtenAt, now), zone);
        return { firstAt: at, firstYear: year };
      }
    }
  } catch (error) {
    // Said when it is read to there.
    if (!(error instanceof DamagedFile)) throw error;
  }
  if (years.first === undefined) return { firstAt: undefined, firstYear: undefined };
  return surveyed(years, Math.min(file.writtenAt, now), zone);
}

function surveyed(years: YearCounter, writtenAt: Instant, zone: Zone): Survey {
  const firstYear = years.firstYear(writtenAt);
  return { firstAt: instantOf(years.first!, firstYear, zone, undefined), firstYear };
}

/** Reads one file from beginning to end: what matters of each batch of lines. */
export class LogReader {
  readonly #file: LogFile;
  readonly #options: ReaderOptions;
  readonly #years = new YearCounter();
  #firstYear: number | undefined;
  #line = 0;
  /** The time of the line before: lines of the same second are many. */
  #head = '';
  #stamp: Stamp | undefined;
  #at: Instant | undefined;
  #order: Instant = -Infinity;
  #wall = '';

  constructor(file: LogFile, { firstYear }: Survey, options: ReaderOptions) {
    this.#file = file;
    this.#options = options;
    this.#firstYear = firstYear;
  }

  async *batches(): AsyncGenerator<readonly LogRecord[]> {
    try {
      for await (const lines of linesOf(this.#file.chunks(this.#options.onBytes))) {
        const records: LogRecord[] = [];
        for (const line of lines) this.#read(line, records);
        if (records.length > 0) yield records;
      }
    } catch (error) {
      if (!(error instanceof DamagedFile)) throw error;
      this.#line++;
      this.#break(`the file is damaged from here on: ${error.message}`, '');
    }
  }

  #read(line: string | undefined, into: LogRecord[]): void {
    const { onLine } = this.#options;
    this.#line++;
    onLine('counted');
    if (line === undefined) return this.#break(`longer than ${LONGEST_LINE} bytes`, '');
    // journalctl puts such between boots.
    if (line === '' || line.startsWith('-- ')) return onLine('blank');
    const reason = this.#readTime(line);
    if (reason !== undefined) return this.#break(reason, line);
    const found = PROGRAM.exec(line.slice(this.#stamp!.end));
    if (found === null && OF_SYSLOG.test(line)) return onLine('ofOthers');
    if (found === null) return this.#break('no host, program and text behind the time', line);
    const [text, host, process, suite, daemon, said] = found;
    if (suite === undefined || daemon === undefined) return onLine('ofOthers');
    const says = said!.trimStart();
    const repeated = REPEATED.exec(says);
    const message = readMessage(daemon, repeated === null ? says : repeated[2]!);
    if (message === undefined) return onLine('ofOthers');
    if (message.kind === 'garbled') return this.#break(message.reason, line);
    onLine('taken');
    into.push({
      at: this.#at!,
      order: this.#order,
      wall: (this.#wall ||= wallOf(this.#stamp!)),
      host: host!.toLowerCase(),
      process: process!,
      text,
      times: repeated === null ? 1 : Number(repeated[1]),
      said: message,
    });
  }

  /** @returns why it cannot be read */
  #readTime(line: string): string | undefined {
    if (this.#head !== '' && line.startsWith(this.#head)) return undefined;
    const stamp = readStamp(line);
    if (stamp === undefined)
      return 'no time at its beginning such as Nov 24 03:04:05 or 2026-11-24T03:04:05+01:00';
    const { zone, now } = this.#options;
    const year = stamp.year ?? this.#yearOf(stamp);
    if (stamp.month === 2 && stamp.day === 29 && !isLeap(year))
      return `${year}, which is taken for its year, has no 29 February: --year gives another`;
    const at = instantOf(stamp, year, zone, this.#at);
    if (at > now + DAY) return `its time lies in the future: --year and --timezone say how it is meant`;
    this.#head = line.slice(0, stamp.end);
    this.#stamp = stamp;
    this.#at = at;
    this.#order = Math.max(this.#order, at);
    this.#wall = '';
    return undefined;
  }

  #yearOf(stamp: Stamp): number {
    const { live, now } = this.#options;
    if (live === true) {
      // By itself: what one line says, of a wrong time or of years ago, must not move all that follow.
      const years = new YearCounter();
      years.add(stamp);
      return years.firstYear(now);
    }
    const turns = this.#years.add(stamp);
    // If it can be read only once, the first line is taken for one of the last twelve months.
    this.#firstYear ??= this.#years.firstYear(this.#file.writtenAt);
    return this.#firstYear + turns;
  }

  #break(reason: string, text: string): void {
    this.#options.onBroken({ file: this.#file.name, line: this.#line, reason, text });
  }
}

/** Host, program with its process, and what it says. Postfix's daemons are named `<syslog_name>/<daemon>`. */
const PROGRAM = /^(\S+) ((?:([^\s[\]:]*)\/)?([^\s[\]:/]+)(?:\[\d+\])?):( .*)$/;
const OF_SYSLOG = / (?:last message repeated \d+ times|-- MARK --)$/;
/** What rsyslog makes of lines that are the same (`$RepeatedMsgReduction`). */
const REPEATED = /^message repeated (\d{1,9}) times: \[ ?(.*)\]$/;

function instantOf(stamp: Stamp, year: number, zone: Zone, before: Instant | undefined): Instant {
  const { month, day, hour, minute, second, millisecond, offset } = stamp;
  const local = Date.UTC(year, month - 1, day, hour, minute, second, millisecond);
  return offset === undefined ? zone.instantOf(local, before) : local - offset * MINUTE;
}

function wallOf({ month, day, hour, minute, second }: Stamp): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}`;
}

/** A line longer than this is none of a mail log's; it is given as undefined, and its rest is passed over. */
export const LONGEST_LINE = 64 * 1024;

const NEWLINE = 10;
const RETURN = 13;

/**
 * Cuts what is read into lines, many at a time, without their ends. The last one needs no end.
 *
 * Each line is decoded for itself: a part of a string keeps the whole of it in memory, and a part of a line may be
 * kept for days of log.
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<readonly (string | undefined)[]> {
  let begun: Buffer[] = [];
  let length = 0;
  let overlong = false;
  for await (const chunk of chunks) {
    const lines: (string | undefined)[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      if (overlong || length + end - start > LONGEST_LINE) lines.push(undefined);
      else if (length > 0) lines.push(textOf(Buffer.concat([...begun, chunk.subarray(start, end)])));
      else lines.push(textOf(chunk, start, end));
      if (length > 0) begun = [];
      length = 0;
      overlong = false;
      start = end + 1;
    }
    if (start < chunk.length && !overlong) {
      begun.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > LONGEST_LINE) {
        overlong = true;
        begun = [];
        length = 0;
      }
    }
    if (lines.length > 0) yield lines;
  }
  if (overlong) yield [undefined];
  else if (length > 0) yield [textOf(Buffer.concat(begun))];
}

/**
 * Postfix logs them as a client gives them in a name, and a pattern would end its line there: the line must be read all the same. What
 * is put there is as long in bytes: the length of a line tells whether it was cut.
 */
const OTHER_LINE_ENDS = /[\r\u2028\u2029]/g;

function textOf(bytes: Buffer, start = 0, end = bytes.length): string {
  return bytes
    .toString('utf8', start, end > start && bytes[end - 1] === RETURN ? end - 1 : end)
    .replace(OTHER_LINE_ENDS, (end) => (end === '\r' ? '?' : '\ufffd'));
}

/*
 * Traditional time stamps name no year. Lines are in the order of time, except for a few late ones: so a step back by
 * more than a week is the turn of a year, and a step from the first days of January to the last of December is a late
 * line of the year before. The last line cannot be younger than the file: that fixes the year.
 */

/** Days by which lines may come late: a week, and one more if a 29 February that did not exist lies between. */
const LATE = 8;
/** Days of a leap year, which any is taken for until it is known. */
const ROUND = 366;
/** How far the clock of the file's writer may be ahead of its lines' (or their zones apart). */
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

/** A line's time as written: what a clock on the server's wall showed. */
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
  /** Minutes east of UTC; undefined if the line does not say. */
  readonly offset: number | undefined;
  /** Where the line continues after it. */
  readonly end: number;
}

/** `<22>`: syslog's priority, which some daemons write to the file too. */
const PRIORITY = String.raw`(?:<\d{1,3}>)?`;
const TIME = String.raw`(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?`;

/** RFC 3164 section 4.1.2: `Nov  4 03:04:05 `, optionally with fractions. */
const TRADITIONAL = new RegExp(`^${PRIORITY}([A-Z][a-z]{2}) ([ \\d]?\\d) ${TIME} +`);
/** RFC 3339, as rsyslog and syslog-ng write it, and journald's `short-iso`, whose zone has no colon. */
const ISO = new RegExp(
  `^${PRIORITY}(\\d{4})-(\\d\\d)-(\\d\\d)[T ]${TIME}(?:(Z)|([+-])(\\d\\d):?(\\d\\d))? +`,
);

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const LENGTHS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Reads the time at the beginning of a line; undefined if there is none, or one that never was. */
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

function isLeap(year: number): boolean {
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
