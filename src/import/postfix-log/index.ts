import { SeenIds } from '../../../projections/blocks/effective-blocks.js';
import type { Instant } from '../../kernel/time.js';
import { messagesOf } from '../../sending/events.js';
import type { PastEvent, Sink } from '../sink.js';
import type { AssemblerOptions } from './assembler.js';
import { Assembler } from './assembler.js';
import type { LogFile } from './files.js';
import type { Said } from './message.js';
import type { BrokenLine, LogRecord, ReaderOptions, Survey } from './reader.js';
import { LogReader, survey } from './reader.js';

export type { LogFile } from './files.js';
export { onceReadable, openLogFile } from './files.js';
export type { BrokenLine } from './reader.js';
export { ownZone, Zone } from './zone.js';

export interface PostfixLogOptions
  extends Pick<ReaderOptions, 'zone' | 'year' | 'now'>, Omit<AssemblerOptions, 'onEvent'> {
  /** Only what happened from here on, and before there. */
  readonly from: Instant | undefined;
  readonly to: Instant | undefined;
  /** Whether mail that arrived from outside counts too, and recipients that were refused to it. */
  readonly inbound: boolean;
  /** Told as it goes on, many times a second. */
  readonly onProgress?: (so: LogSummary) => void;
}

/** The input and the result. */
export interface LogSummary {
  files: number;
  /** Bytes read from disk, packed or not. */
  bytes: number;
  lines: number;
  /** Lines of any program's log: neither broken nor blank. */
  understood: number;
  /** Of other programs, and of Postfix's what says nothing here. */
  ignored: number;
  broken: number;
  /** The first few of them for each reason. */
  readonly brokenLines: BrokenLine[];
  /** Events by type. */
  readonly events: Record<string, number>;
  /** Accepted messages, and their recipients. */
  messages: number;
  recipients: number;
  readonly accounts: Set<string>;
  /** Time of the first and the last event. */
  firstAt: Instant | undefined;
  lastAt: Instant | undefined;
  /** What came from outside, and was not asked for. */
  readonly outside: { messages: number; refusedRecipients: number };
  /** See {@link Assembler}. */
  reinjected: number;
  headless: number;
}

/** Messages that are handed on without a look at whether there is room for them. */
const AT_ONCE = 256;
/** Lines in overlapping files come twice within a short time. */
const REMEMBERED = 20_000;
/** Broken lines that are shown for each reason. */
const SHOWN = 3;

/**
 * Reads Postfix's mail logs as one, in any order and pieces, and hands the activities to a sink, in the order of time,
 * each event once. Memory does not grow with the logs.
 */
export async function readPostfixLogs(
  files: readonly LogFile[],
  options: PostfixLogOptions,
  sink: Sink,
): Promise<LogSummary> {
  const summary: LogSummary = {
    files: files.length,
    bytes: 0,
    lines: 0,
    understood: 0,
    ignored: 0,
    broken: 0,
    brokenLines: [],
    events: {},
    messages: 0,
    recipients: 0,
    accounts: new Set<string>(),
    firstAt: undefined,
    lastAt: undefined,
    outside: { messages: 0, refusedRecipients: 0 },
    reinjected: 0,
    headless: 0,
  };
  const seen = new SeenIds(REMEMBERED);
  const { from = -Infinity, to = Infinity } = options;
  const assembler = new Assembler({
    ...options,
    onEvent(past) {
      if (past.at < from || past.at >= to || !seen.isNew(`${past.event.type} ${past.id}`)) return;
      if (!options.inbound && isInbound(past)) return leaveOut(summary, past);
      count(summary, past);
      sink.write(past);
    },
  });
  const reading: ReaderOptions = {
    ...options,
    onLine(kind) {
      if (kind === 'counted') summary.lines++;
      if (kind === 'blank' || kind === 'ofOthers') summary.ignored++;
      if (kind === 'taken' || kind === 'ofOthers') summary.understood++;
    },
    onBroken(line) {
      summary.broken++;
      const { brokenLines } = summary;
      if (brokenLines.filter(({ reason }) => reason === line.reason).length < SHOWN) brokenLines.push(line);
    },
    onBytes(bytes) {
      summary.bytes += bytes;
      options.onProgress?.(summary);
    },
  };
  await readMerged(files, reading, (records) => {
    assembler.take(records);
    return sink.room();
  });
  while (assembler.finish(AT_ONCE)) await sink.room();
  await sink.finish();
  summary.reinjected = assembler.reinjected;
  summary.headless = assembler.headless;
  return summary;
}

function isInbound({ event }: PastEvent): boolean {
  return 'direction' in event.data && event.data.direction === 'inbound';
}

function leaveOut({ outside }: LogSummary, { event }: PastEvent): void {
  if (event.type === 'MessageAccepted') outside.messages += messagesOf(event.data);
  else outside.refusedRecipients++;
}

function count(summary: LogSummary, { at, event }: PastEvent): void {
  summary.events[event.type] = (summary.events[event.type] ?? 0) + 1;
  summary.firstAt ??= at;
  summary.lastAt = Math.max(summary.lastAt ?? at, at);
  if (event.type !== 'MessageAccepted') return;
  summary.messages += messagesOf(event.data);
  summary.recipients += event.data.recipients;
  if (event.data.account !== undefined) summary.accounts.add(event.data.account);
}

/**
 * Reads files of any number and order as one log: hands over what was written at one time, then what came next. A line
 * that is in several files (they overlap, or one was given twice) counts once.
 *
 * A file is opened only when its time has come: of a year of rotated ones hardly more than two are open at once.
 *
 * @param onGroup if it returns a promise, the next group waits for it
 */
export async function readMerged(
  files: readonly LogFile[],
  options: ReaderOptions,
  onGroup: (records: readonly LogRecord[]) => void | Promise<void>,
): Promise<void> {
  const waiting: { file: LogFile; found: Survey }[] = [];
  for (const file of files) waiting.push({ file, found: await survey(file, options) });
  const firstOf = ({ found }: { found: Survey }): Instant => found.firstAt ?? -Infinity;
  waiting.sort((a, b) => firstOf(a) - firstOf(b));
  let open: Source[] = [];
  for (;;) {
    let next = Math.min(...open.map(({ order }) => order));
    while (waiting.length > 0 && firstOf(waiting[0]!) <= next) {
      const { file, found } = waiting.shift()!;
      const source = new Source(new LogReader(file, found, options).batches());
      if (await source.advance()) open.push(source);
      next = Math.min(next, source.order);
    }
    if (open.length === 0) return;
    const groups: LogRecord[][] = [];
    let ended = false;
    for (const source of open) {
      if (source.order !== next) continue;
      const group: LogRecord[] = [];
      groups.push(group);
      do group.push(source.take());
      while ((source.ready || (await source.advance())) && source.order === next);
      ended ||= !source.ready;
    }
    if (ended) open = open.filter(({ ready }) => ready);
    const wait = onGroup(groups.length === 1 ? groups[0]! : united(groups));
    if (wait !== undefined) await wait;
  }
}

/** One file that is being read. */
class Source {
  readonly #batches: AsyncIterator<readonly LogRecord[]>;
  #batch: readonly LogRecord[] = [];
  #index = 0;

  constructor(batches: AsyncIterator<readonly LogRecord[]>) {
    this.#batches = batches;
  }

  /** Whether the next record is at hand. */
  get ready(): boolean {
    return this.#index < this.#batch.length;
  }

  /** That of the next record; infinite if none is at hand. */
  get order(): Instant {
    return this.#batch[this.#index]?.order ?? Infinity;
  }

  take(): LogRecord {
    return this.#batch[this.#index++]!;
  }

  /** Gets more if none is at hand; false at the end. */
  async advance(): Promise<boolean> {
    while (!this.ready) {
      const next = await this.#batches.next();
      if (next.done === true) return false;
      this.#batch = next.value;
      this.#index = 0;
    }
    return true;
  }
}

/** In the order in which Postfix does things: lines of one second from several files have no other. */
const PHASES: Readonly<Record<Said['kind'], number>> = {
  passed: 0,
  taken: 1,
  picked: 1,
  identified: 2,
  proxied: 3,
  queued: 4,
  loginFailed: 5,
  refused: 5,
  tried: 6,
  bounced: 7,
  removed: 8,
};

/** The lines of all groups, each as often as in the group that has it most often. */
function united(groups: readonly (readonly LogRecord[])[]): readonly LogRecord[] {
  const taken = new Map<string, number>();
  const all: LogRecord[] = [];
  for (const group of groups) {
    const own = new Map<string, number>();
    for (const record of group) {
      const times = (own.get(record.text) ?? 0) + 1;
      own.set(record.text, times);
      if (times <= (taken.get(record.text) ?? 0)) continue;
      taken.set(record.text, times);
      all.push(record);
    }
  }
  return all.sort((a, b) => PHASES[a.said.kind] - PHASES[b.said.kind] || compare(a.text, b.text));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a === b ? 0 : 1;
}
