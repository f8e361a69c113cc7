import { StringDecoder } from 'node:string_decoder';
import { isEntitled } from '../../accounts/senders.js';
import type { LogFile } from '../../import/postfix-log/files.js';
import { DamagedFile } from '../../import/postfix-log/files.js';
import { StopgapError } from '../../kernel/errors.js';
import type { Instant, Milliseconds } from '../../kernel/time.js';
import { DAY, formatInstant, HOUR, MINUTE, parseInstant, SECOND } from '../../kernel/time.js';
import type { MessageAccepted } from '../../sending/events.js';
import { sendStream } from '../../sending/events.js';
import { isIp } from '../../sending/identity.js';
import type { ActivityEvent, Batch, Source } from '../world.js';

/** A line may be so much older than the newest before it, as the clocks of several servers are. */
const DISORDER = 5 * MINUTE;
/** No store holds it: one name does for all. */
const STREAM = sendStream('trace');
const NO_DOMAINS: readonly string[] = [];
const BRACE = 123;
const COUNTRY = /^[A-Z]{2}$/;
/** Numbers of autonomous systems have four bytes (RFC 6793). */
const MOST_ASN = 2 ** 32 - 1;

/**
 * A trace: one accepted message a line, in the order of time, as JSON
 * `{"time","account","returnPath","ehlo","ip","country","asn","recipients","size","recipientDomains","direction","entitled"}`.
 * `time` (ISO 8601), `recipients` and one of `account`, `returnPath` and `ip` must be there; `country` (ISO 3166-1
 * alpha-2) and `asn` say where the client is; `size` is 0 unless given, `direction` `outbound`; `entitled` says whether
 * the account may speak for the return path, which it may for its own address unless given. Further fields are ignored.
 */
export class Trace implements Source {
  readonly #file: LogFile;

  constructor(file: LogFile) {
    this.#file = file;
  }

  get name(): string {
    return this.#file.name;
  }

  /** @throws StopgapError naming file, line and what would be right */
  async *batches(): AsyncGenerator<Batch> {
    const { name, bytes: total } = this.#file;
    const reader = new TraceReader(name);
    let done = 0;
    try {
      for await (const chunk of this.#file.chunks((bytes) => (done += bytes)))
        yield { activities: reader.read(chunk), done, total };
    } catch (error) {
      throw error instanceof DamagedFile ? damaged(name, reader.line, error) : error;
    }
    yield { activities: reader.end(), done, total };
    if (reader.messages === 0) throw noMessage(name);
  }
}

/** A packed trace ends too early, or is something else after this line. */
export function damaged(name: string, line: number, { message }: DamagedFile): StopgapError {
  return new StopgapError('invalid-input', `${name}: cannot be unpacked beyond line ${line}: ${message}`);
}

export function noMessage(name: string): StopgapError {
  return new StopgapError('invalid-input', `${name}: holds no message`);
}

/** Reads chunk after chunk of a trace. */
export class TraceReader {
  readonly #cutter = new LineCutter();
  readonly #lines: LineReader;
  messages = 0;

  constructor(name: string) {
    this.#lines = new LineReader(name);
  }

  /** Lines read. */
  get line(): number {
    return this.#lines.line;
  }

  /** What happened in the lines that this ends. @throws StopgapError naming file, line and what would be right */
  read(chunk: Uint8Array): readonly ActivityEvent[] {
    return this.#activities(this.#cutter.cut(chunk));
  }

  /** The last one, should its line have no end: nothing more comes. @throws as {@link read} */
  end(): readonly ActivityEvent[] {
    return this.#activities(this.#cutter.end());
  }

  #activities(lines: Lines): readonly ActivityEvent[] {
    const activities: ActivityEvent[] = [];
    for (const line of lines) {
      const activity = this.#lines.read(line);
      if (activity !== undefined) activities.push(activity);
    }
    this.messages += activities.length;
    return activities;
  }
}

/** The fields that {@link LineReader} reads; they may hold anything. */
interface Written {
  readonly time?: unknown;
  readonly account?: unknown;
  readonly returnPath?: unknown;
  readonly ehlo?: unknown;
  readonly ip?: unknown;
  readonly country?: unknown;
  readonly asn?: unknown;
  readonly recipients?: unknown;
  readonly size?: unknown;
  readonly recipientDomains?: unknown;
  readonly direction?: unknown;
  readonly entitled?: unknown;
}

/** Reads line after line of a trace, and counts them. */
export class LineReader {
  readonly #name: string;
  readonly #times = new Times();
  line = 0;
  /** The latest time so far. */
  newest: Instant = -Infinity;

  constructor(name: string) {
    this.#name = name;
  }

  /**
   * @param text undefined for a line that is too long to be read
   * @returns undefined for an empty line
   * @throws StopgapError naming file, line and what would be right
   */
  read(text: string | undefined): ActivityEvent | undefined {
    this.line++;
    if (text === undefined) throw this.#fault('is longer than 64 KiB');
    if (text.charCodeAt(0) !== BRACE && text.trim() === '') return undefined;
    const written = this.#parse(text);
    const at = this.#time(written.time);
    if (at < this.newest - DISORDER) {
      throw this.#fault(
        `time: ${formatInstant(at)} is more than 5 minutes before ${formatInstant(this.newest)}, which came earlier: sort the trace by time`,
      );
    }
    if (at > this.newest) this.newest = at;
    return accepted(at, this.newest, this.#message(written));
  }

  #parse(text: string): Written {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw this.#fault('is no JSON: one object {"time","account",…} a line');
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#fault('is no JSON object: one {"time","account",…} a line');
    }
    return value;
  }

  #message(written: Written): MessageAccepted {
    const { recipientDomains = NO_DOMAINS, direction = 'outbound' } = written;
    const account = this.#text(written.account, 'account');
    const returnPath = this.#text(written.returnPath, 'returnPath');
    const ip = this.#text(written.ip, 'ip');
    if (ip !== undefined && !isIp(ip)) {
      throw this.#fault(`ip: must be an address such as 192.0.2.7 or 2001:db8::7, not ${shown(ip)}`);
    }
    if (account === undefined && (returnPath === undefined || returnPath === '') && ip === undefined) {
      throw this.#fault('says not who sent: account, returnPath or ip must be there');
    }
    if (direction !== 'outbound' && direction !== 'inbound') {
      throw this.#fault(`direction: must be outbound or inbound, not ${shown(direction)}`);
    }
    const { entitled = isOwn(account, returnPath) } = written;
    if (typeof entitled !== 'boolean')
      throw this.#fault(`entitled: must be true or false, not ${shown(entitled)}`);
    if (recipientDomains !== NO_DOMAINS && !isTexts(recipientDomains)) {
      throw this.#fault(`recipientDomains: must be a list of domains, not ${shown(recipientDomains)}`);
    }
    return {
      account,
      returnPath,
      ehlo: this.#text(written.ehlo, 'ehlo'),
      ip,
      country: written.country === undefined ? undefined : this.#country(written.country),
      asn: written.asn === undefined ? undefined : this.#asn(written.asn),
      direction,
      transaction: '',
      recipients: this.#whole(written.recipients, 'recipients', 1),
      size: written.size === undefined ? 0 : this.#whole(written.size, 'size', 0),
      recipientDomains: recipientDomains as readonly string[],
      entitled,
    };
  }

  #time(text: unknown): Instant {
    const at = typeof text === 'string' ? this.#times.read(text) : undefined;
    if (at !== undefined) return at;
    throw this.#fault(`time: must be an ISO 8601 time such as 2016-01-04T09:39:38.771Z, not ${shown(text)}`);
  }

  #text(value: unknown, field: 'account' | 'returnPath' | 'ehlo' | 'ip'): string | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') throw this.#fault(`${field}: must be a text, not ${shown(value)}`);
    return value === '' && field !== 'returnPath' ? undefined : value;
  }

  #country(value: unknown): string | undefined {
    if (value === null) return undefined;
    if (typeof value === 'string' && COUNTRY.test(value)) return value;
    throw this.#fault(`country: must be two capital letters of ISO 3166-1 such as FR, not ${shown(value)}`);
  }

  #asn(value: unknown): number | undefined {
    if (value === null) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST_ASN) return value;
    throw this.#fault(`asn: must be a number from 1 to ${MOST_ASN}, not ${shown(value)}`);
  }

  #whole(value: unknown, field: 'recipients' | 'size', least: number): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    throw this.#fault(`${field}: must be a whole number of at least ${least}, not ${shown(value)}`);
  }

  #fault(what: string): StopgapError {
    const { line } = this;
    return new StopgapError('invalid-input', `${this.#name}:${line}: ${what}`, { line });
  }
}

/** A line of a trace, as what happened then. */
export function accepted(at: Instant, recordedAt: Instant, data: MessageAccepted): ActivityEvent {
  return { type: 'MessageAccepted', at, recordedAt, by: 'system:trace', stream: STREAM, data };
}

/** What the policy `own` says, which is in force unless another is configured. */
function isOwn(account: string | undefined, returnPath: string | undefined): boolean {
  if (account === undefined || returnPath === undefined || returnPath === account) return true;
  return isEntitled({ kind: 'own' }, account, returnPath);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** A value as a message shows it: in JSON, and not all of it. */
function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** Characters: a longer line is none of a trace's; it is given as undefined, and its rest is passed over. */
const LONGEST_LINE = 64 * 1024;

/** What is read of a trace, as lines: undefined is one that is too long. */
type Lines = readonly (string | undefined)[];

/**
 * Cuts what is read into lines, many at a time, without their ends. A line is a part of what was read with it, and
 * keeps all of that in memory: parse it at once and drop it.
 */
export class LineCutter {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #overlong = false;

  /** The lines that this ends. */
  cut(chunk: Uint8Array): Lines {
    const text =
      this.#rest + this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    const lines: (string | undefined)[] = [];
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      lines.push(this.#overlong || end - start > LONGEST_LINE ? undefined : text.slice(start, end));
      this.#overlong = false;
      start = end + 1;
    }
    this.#rest = text.slice(start);
    if (this.#overlong || this.#rest.length > LONGEST_LINE) {
      this.#overlong = true;
      this.#rest = '';
    }
    return lines;
  }

  /** The last line, which needs no end: nothing more comes. */
  end(): Lines {
    const rest = this.#rest + this.#decoder.end();
    if (this.#overlong) return [undefined];
    return rest === '' ? [] : [rest];
  }
}

const [ZERO, COLON, POINT, T, Z] = [48, 58, 46, 84, 90];
/** What is no number makes every sum that it is part of negative. */
const NONE = -DAY * 1000;

/** Reads times that come in order: most are of the day of the one before, which is then not read again. */
export class Times {
  /** `2016-01-04`, and when it began. */
  #day = '?';
  #begin: Instant = 0;

  /** See {@link parseInstant}. */
  read(text: string): Instant | undefined {
    const time = timeOfDay(text);
    if (time >= 0 && text.startsWith(this.#day)) return this.#begin + time;
    const at = parseInstant(text);
    if (at !== undefined && time >= 0) {
      this.#day = text.slice(0, 10);
      this.#begin = at - time;
    }
    return at;
  }
}

/** The time within the day of `2016-01-04T09:39:38.771Z`; negative for any other form. */
function timeOfDay(text: string): Milliseconds {
  if (text.length !== 24 || text.charCodeAt(10) !== T || text.charCodeAt(23) !== Z) return NONE;
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON || text.charCodeAt(19) !== POINT)
    return NONE;
  const [hours, minutes, seconds] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)];
  if (hours > 23 || minutes > 59 || seconds > 59) return NONE;
  const milliseconds = twoDigits(text, 20) * 10 + digit(text, 22);
  return hours * HOUR + minutes * MINUTE + seconds * SECOND + milliseconds;
}

function twoDigits(text: string, index: number): number {
  return digit(text, index) * 10 + digit(text, index + 1);
}

function digit(text: string, index: number): number {
  const value = text.charCodeAt(index) - ZERO;
  return value >= 0 && value <= 9 ? value : NONE;
}
