import { SeenIds } from '../../../projections/blocks/seen-ids.js';
import type { Instant } from '../../kernel/time.js';
import type { PastEvent } from '../past-event.js';
import type { Sink } from '../sink.js';
import type { AssemblerOptions } from './assembler.js';
import { Assembler } from './assembler.js';
import type { LogFile } from './files.js';
import { readMerged } from './merge.js';
import type { BrokenLine, ReaderOptions } from './reader.js';

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

/** What was read, and what came of it. */
export interface LogSummary {
  files: number;
  /** Bytes read from disk, packed or not. */
  bytes: number;
  lines: number;
  /** Of a log, whosever: neither broken nor blank. */
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
/** What stands in overlapping files comes twice within a short time. */
const REMEMBERED = 20_000;
/** Broken lines that are shown for each reason. */
const SHOWN = 3;

/**
 * Reads Postfix's mail logs as one, in whatever order and pieces they are given, and hands what happened to a sink, in the
 * order of time, each event once. Memory does not grow with the logs.
 */
export async function readPostfixLogs(
  files: readonly LogFile[],
  options: PostfixLogOptions,
  sink: Sink,
): Promise<LogSummary> {
  const summary: LogSummary = {
    ...{
      files: files.length,
      bytes: 0,
      lines: 0,
      understood: 0,
      ignored: 0,
      broken: 0,
      brokenLines: [],
      events: {},
    },
    ...{ messages: 0, recipients: 0, accounts: new Set<string>(), firstAt: undefined, lastAt: undefined },
    ...{ outside: { messages: 0, refusedRecipients: 0 }, reinjected: 0, headless: 0 },
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
  if (event.type === 'MessageAccepted') outside.messages++;
  else outside.refusedRecipients++;
}

function count(summary: LogSummary, { at, event }: PastEvent): void {
  summary.events[event.type] = (summary.events[event.type] ?? 0) + 1;
  summary.firstAt ??= at;
  summary.lastAt = Math.max(summary.lastAt ?? at, at);
  if (event.type !== 'MessageAccepted') return;
  summary.messages++;
  summary.recipients += event.data.recipients;
  if (event.data.account !== undefined) summary.accounts.add(event.data.account);
}
