import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { RecordedHistory } from '../src/backtest/history.js';
import { runBacktest } from '../src/backtest/run.js';
import type { Source } from '../src/backtest/world.js';
import { TraceThread } from '../src/backtest/trace/thread.js';
import { envelope } from '../src/runtime/ids.js';
import type { LogFile } from '../src/import/postfix-log/index.js';
import { openLogFile } from '../src/import/postfix-log/index.js';
import { formatInstant } from '../src/kernel/time.js';
import { DEFAULT_RULES } from '../src/rules/defaults.js';
import { parseRules } from '../src/rules/parse.js';
import { openSqliteStore } from '../src/store/sqlite/index.js';
import { openSqliteForReading } from '../src/store/sqlite/reader.js';
import { inOwnProcess, memory } from './child.js';
import { happeningOf, traceLine, workload } from './detection/workload.js';
import { isMain, print } from './report.js';
import type { Report } from './report.js';

/** What it must reach over a trace. */
const TARGET = 200_000;
/** How much longer the long trace is. */
const LONGER = 10;
/** Sends that the store of the history holds. */
const RECORDED = 50_000;
/** Appends at once: they share the time at which they are recorded, so they must be few. */
const AT_ONCE = 16;
const SEED = 1;

interface Speed {
  /** Sends a second: from a cold start, and once the code is compiled. */
  readonly cold: number;
  readonly warm: number;
}

async function speed(source: () => Source | Promise<Source>): Promise<Speed> {
  const once = async (): Promise<number> => {
    const begun = performance.now();
    return (await backtest(await source())) / ((performance.now() - begun) / 1000);
  };
  return { cold: await once(), warm: Math.max(await once(), await once()) };
}

async function backtest(source: Source): Promise<number> {
  const candidates = [{ name: 'defaults', rules: parseRules(DEFAULT_RULES) }];
  return (await runBacktest({ source, candidates })).sends.messages;
}

/** The yardstick: the same file read, cut into lines and parsed, and nothing more. */
async function parseOnly(file: string): Promise<Speed> {
  const once = async (): Promise<number> => {
    const begun = performance.now();
    let lines = 0;
    let rest = '';
    for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 256 * 1024 })) {
      const parts = (rest + String(chunk)).split('\n');
      rest = parts.pop()!;
      for (const part of parts) lines += typeof JSON.parse(part) === 'object' ? 1 : 0;
    }
    return lines / ((performance.now() - begun) / 1000);
  };
  return { cold: await once(), warm: Math.max(await once(), await once()) };
}

/** The file so many times, each time later: a trace of any length without a disk of that size. */
function repeated(file: string, times: number): LogFile {
  const span = 200 * 24 * 3600 * 1000;
  return {
    name: file,
    writtenAt: 0,
    bytes: undefined,
    rereadable: true,
    async *chunks() {
      for (let time = 0; time < times; time++) {
        let rest = '';
        for await (const chunk of createReadStream(file, { encoding: 'utf8' })) {
          const parts = (rest + String(chunk)).split('\n');
          rest = parts.pop()!;
          const shifted = parts.map((part) => {
            const at = Date.parse(part.slice(9, 33)) + time * span;
            return `${part.slice(0, 9)}${formatInstant(at)}${part.slice(33)}\n`;
          });
          yield Buffer.from(shifted.join(''));
        }
      }
    },
  };
}

interface Footprint {
  /** Bytes that are left when all is collected, once nearly all has been gone through. */
  readonly used: number;
}

/** What the process holds near the end of a trace that is so many times as long. */
async function footprint(file: string, times: number): Promise<Footprint> {
  const length = (await backtest(new TraceThread(repeated(file, 1)))) * times;
  const before = memory();
  let used = 0;
  const candidates = [{ name: 'defaults', rules: parseRules(DEFAULT_RULES) }];
  await runBacktest({
    source: new TraceThread(repeated(file, times)),
    candidates,
    most: 100,
    onProgress({ messages }) {
      if (used === 0 && messages > 0.95 * length) used = memory().used - before.used;
    },
  });
  return { used };
}

async function writeTrace(file: string): Promise<number> {
  const { messages } = workload(SEED);
  const lines = function* (): Generator<string> {
    for (const message of messages) yield `${traceLine(message)}\n`;
  };
  await pipeline(Readable.from(lines()), createWriteStream(file));
  return messages.length;
}

/** Records as a server would have, at the times of the trace. */
async function writeStore(file: string): Promise<null> {
  let now = 0;
  const store = await openSqliteStore({ file, clock: { now: () => now }, appendTimeout: 600_000 });
  const waiting: Promise<unknown>[] = [];
  for (const message of workload(SEED).messages.slice(0, RECORDED)) {
    const { type, data, stream, at } = happeningOf(message);
    now = at;
    waiting.push(store.append(stream, envelope([{ type, data }], { by: 'smtp:bench' }, now), 'any'));
    if (waiting.length === AT_ONCE) await Promise.all(waiting.splice(0));
  }
  await Promise.all(waiting);
  await store.close();
  return null;
}

export async function run(): Promise<Report> {
  const script = fileURLToPath(import.meta.url);
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  try {
    const trace = path.join(directory, 'trace.ndjson');
    const store = path.join(directory, 'events.db');
    const lines = await writeTrace(trace);
    await inOwnProcess<null>(script, ['record', store]);
    const bare = await inOwnProcess<Speed>(script, ['parse', trace]);
    const over = await inOwnProcess<Speed>(script, ['trace', trace]);
    const recorded = await inOwnProcess<Speed>(script, ['history', store]);
    const short = await inOwnProcess<Footprint>(script, ['memory', trace, '1']);
    const long = await inOwnProcess<Footprint>(script, ['memory', trace, String(LONGER)]);
    const rate = (value: number): string => `${Math.round(value).toLocaleString('en-US')} sends/s`;
    const size = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
    return {
      name: `Back-test: the built-in rules over ${lines.toLocaleString('en-US')} sends`,
      rows: [
        {
          label: 'a trace',
          value: rate(over.warm),
          target: `at least ${rate(TARGET)}`,
          ok: over.warm >= TARGET,
        },
        { label: '  from a cold start', value: rate(over.cold) },
        {
          label: '  the same file read and parsed as JSON, and nothing more (yardstick)',
          value: `${rate(bare.warm)}: a back-test takes ${(bare.warm / over.warm).toFixed(1)} times as long`,
        },
        {
          label: `history, ${RECORDED.toLocaleString('en-US')} sends from SQLite`,
          value: rate(recorded.warm),
        },
        { label: 'memory near the end of the trace', value: size(short.used) },
        {
          label: `memory near the end of one ${LONGER} times as long`,
          value: `${size(long.used)}: ${(long.used / short.used).toFixed(2)} times as much`,
          target: 'at most 1.5 times',
          ok: long.used <= 1.5 * short.used,
        },
      ],
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function child([mode = '', file, times]: readonly string[]): Promise<unknown> {
  switch (mode) {
    case 'parse':
      return parseOnly(file!);
    case 'trace':
      return speed(async () => new TraceThread(await openLogFile(file!, file!)));
    case 'record':
      return writeStore(file!);
    case 'memory':
      return footprint(file!, Number(times));
    case 'history': {
      const store = openSqliteForReading(file!);
      return speed(() => new RecordedHistory(store));
    }
    default:
      throw new Error(`no such part: ${mode}`);
  }
}

if (isMain(import.meta.url)) {
  const args = process.argv.slice(2);
  if (args.length === 0) print(await run());
  else process.stdout.write(JSON.stringify(await child(args)));
}
