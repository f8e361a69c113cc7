import type { Instant } from '../../kernel/time.js';
import { DAY, MINUTE } from '../../kernel/time.js';
import { DamagedFile, type LogFile } from './files.js';
import { LONGEST_LINE, linesOf } from './lines.js';
import type { Said } from './message.js';
import { readMessage } from './message.js';
import type { Stamp } from './stamp.js';
import { isLeap, readStamp } from './stamp.js';
import { YearCounter } from './years.js';
import type { Zone } from './zone.js';

/** One line that matters. */
export interface LogRecord {
  /** When it was written. */
  readonly at: Instant;
  /** The same, but never before that of the line before it in its file: what lines are put in order by. */
  readonly order: Instant;
  /** `11-24 03:04:05`, as the clock on the wall showed it: the same whatever is inferred of year and zone. */
  readonly wall: string;
  readonly host: string;
  /** `postfix/smtpd[4711]` */
  readonly process: string;
  /** All behind the time: what tells that two lines of the same time are the same line. */
  readonly text: string;
  /** For how many it stands: rsyslog makes one line of many. */
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
  /** Lines later than this, by more than a day, are not believed. */
  readonly now: Instant;
  /** Each line is counted; then it is blank, of others or taken, or else broken. */
  readonly onLine: (kind: 'counted' | 'blank' | 'ofOthers' | 'taken') => void;
  readonly onBroken: (line: BrokenLine) => void;
  readonly onBytes: (bytes: number) => void;
}

/** What must be known of a file before it is read. */
export interface Survey {
  /** The time of its first line; undefined where none has any. */
  readonly firstAt: Instant | undefined;
  /** The year of its first line, where lines name none. */
  readonly firstYear: number | undefined;
}

/** Looks into a file for where it begins; where its lines name no year, through all of it. */
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
    const turns = this.#years.add(stamp);
    // Where it can be read only once, the first line is taken for one of the last twelve months.
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
