import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { isMainThread, parentPort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads';
import { v7 } from 'uuid';
import { openSqliteStore, type SqliteEventStore } from '../src/store/sqlite/index.js';

/**
 * The SQLite store against the least that a durable log can do: an append-only file, written and fdatasynced in
 * groups by a worker, fed by the same appenders in the same way. One run interleaves both, since only their ratio
 * means anything on a machine whose disk and neighbours vary.
 */

export interface BenchRow {
  readonly label: string;
  readonly value: string;
  readonly target?: string;
  readonly ok?: boolean;
}

const ROUNDS = 3;
const STREAMS = 10_000;
const LOADS = [
  { appenders: 64, appends: 30_000, ratio: 0.45 },
  { appenders: 1024, appends: 50_000, ratio: 0.35 },
] as const;
const DELAY_LIMIT = 10;
const REPLAY_TARGET = 350_000;

type Append = (stream: string, data: object) => Promise<unknown>;

/** 320 bytes as JSON, shaped like a recorded send. */
function payload(n: number): object {
  const bare = {
    account: `user${n % STREAMS}@example.com`,
    returnPath: `user${n % STREAMS}@example.com`,
    recipients: ['someone@example.org'],
    bytes: 1024 + (n % 4096),
    ip: '192.0.2.17',
    tls: true,
    note: '',
  };
  return { ...bare, note: 'x'.repeat(Math.max(0, 320 - JSON.stringify(bare).length)) };
}

/** The yardstick: lines of JSON, acknowledged once fdatasync has returned. */
function openYardstick(file: string): { append: Append; close: () => Promise<unknown> } {
  const worker = new Worker(new URL(import.meta.url), { workerData: { yardstick: file } });
  let lines: string[] = [];
  let waiting: (() => void)[] = [];
  const sent: (() => void)[][] = [];
  worker.on('message', (batches: number) => {
    for (let i = 0; i < batches; i++) for (const resolve of sent.shift()!) resolve();
  });
  const append: Append = (stream, data) =>
    new Promise<void>((resolve) => {
      lines.push(JSON.stringify({ id: v7(), stream, at: Date.now(), by: 'smtp:mx.example.com', data }));
      if (waiting.push(resolve) > 1) return;
      setImmediate(() => {
        worker.postMessage(lines);
        sent.push(waiting);
        lines = [];
        waiting = [];
      });
    });
  return { append, close: () => worker.terminate() };
}

function runYardstick(file: string): void {
  const port = parentPort!;
  const descriptor = fs.openSync(file, 'a', 0o600);
  port.on('message', (first: string[]) => {
    const all = [first];
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port))
      all.push(more.message as string[]);
    fs.writeSync(descriptor, all.map((lines) => lines.join('\n') + '\n').join(''));
    fs.fdatasyncSync(descriptor);
    port.postMessage(all.length);
  });
}

/** Closed loop: each appender goes on when its append was answered. */
async function load(
  append: Append,
  appenders: number,
  appends: number,
): Promise<{ rate: number; delay: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  let begun = 0;
  histogram.enable();
  const start = performance.now();
  await Promise.all(
    Array.from({ length: appenders }, async () => {
      while (begun < appends) {
        const n = begun++;
        await append(`send-user${(n * 7919) % STREAMS}@example.com`, payload(n));
      }
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  histogram.disable();
  return { rate: appends / seconds, delay: histogram.percentile(99) / 1e6 };
}

async function replay(store: SqliteEventStore): Promise<number> {
  let events = 0;
  const start = performance.now();
  const subscription = store.subscribe({ after: 0 }, () => void events++);
  await subscription.caughtUp;
  const rate = (events / (performance.now() - start)) * 1000;
  await subscription.stop();
  return rate;
}

async function iterate(store: SqliteEventStore): Promise<number> {
  let events = 0;
  const start = performance.now();
  for await (const _event of store.readAll()) events++;
  return (events / (performance.now() - start)) * 1000;
}

/** What parsing alone costs: the same text, already in memory. */
function parse(texts: readonly string[]): number {
  let sum = 0;
  const start = performance.now();
  for (const text of texts) sum += (JSON.parse(text) as { bytes: number }).bytes;
  const rate = (texts.length / (performance.now() - start)) * 1000;
  if (sum === 0) throw new Error('nothing was parsed');
  return rate;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

const perSecond = (rate: number): string => `${Math.round(rate).toLocaleString('en')}/s`;

export async function run(): Promise<{ name: string; rows: BenchRow[] }> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'stopgap-bench-'));
  const store = await openSqliteStore({
    file: path.join(directory, 'events.db'),
    clock: { now: Date.now },
    appendTimeout: 60_000,
  });
  const yardstick = openYardstick(path.join(directory, 'yardstick.jsonl'));
  try {
    const rows: BenchRow[] = [];
    const append: Append = (stream, data) =>
      store.append(
        stream,
        [{ id: v7(), type: 'MessageAccepted', at: Date.now(), by: 'smtp:mx.example.com', data }],
        'any',
      );
    await load(append, 64, 5000);
    await load(yardstick.append, 64, 5000);
    for (const { appenders, appends, ratio: target } of LOADS) {
      const ours: { rate: number; delay: number }[] = [];
      const theirs: { rate: number; delay: number }[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        theirs.push(await load(yardstick.append, appenders, appends));
        ours.push(await load(append, appenders, appends));
      }
      rows.push(...compare(appenders, target, ours, theirs));
    }
    rows.push(...(await replays(store)));
    return { name: 'event store', rows };
  } finally {
    await store.close();
    await yardstick.close();
    fs.rmSync(directory, { recursive: true });
  }
}

function compare(
  appenders: number,
  target: number,
  ours: readonly { rate: number; delay: number }[],
  theirs: readonly { rate: number; delay: number }[],
): BenchRow[] {
  const ratio = median(ours.map(({ rate }, i) => rate / theirs[i]!.rate));
  const delay = median(ours.map((round) => round.delay));
  return [
    {
      label: `${appenders} appenders, append-only file`,
      value: perSecond(median(theirs.map(({ rate }) => rate))),
    },
    { label: `${appenders} appenders, store`, value: perSecond(median(ours.map(({ rate }) => rate))) },
    {
      label: `${appenders} appenders, ratio`,
      value: ratio.toFixed(2),
      target: `>= ${target}`,
      ok: ratio >= target,
    },
    {
      label: `${appenders} appenders, event loop delay p99 with the file`,
      value: `${median(theirs.map((round) => round.delay)).toFixed(1)} ms`,
    },
    {
      label: `${appenders} appenders, event loop delay p99`,
      value: `${delay.toFixed(1)} ms`,
      target: `<= ${DELAY_LIMIT} ms`,
      ok: delay <= DELAY_LIMIT,
    },
  ];
}

async function replays(store: SqliteEventStore): Promise<BenchRow[]> {
  const texts = Array.from({ length: 200_000 }, (_, n) => JSON.stringify(payload(n)));
  const [replayed, iterated, parsed]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    parsed.push(parse(texts));
    replayed.push(await replay(store));
    iterated.push(await iterate(store));
  }
  const rate = median(replayed);
  const ratio = median(replayed.map((own, i) => own / parsed[i]!));
  return [
    { label: 'JSON.parse alone', value: perSecond(median(parsed)) },
    {
      label: 'replay with parsing (subscription)',
      value: perSecond(rate),
      target: `>= ${perSecond(REPLAY_TARGET)}`,
      ok: rate >= REPLAY_TARGET,
    },
    { label: 'replay with parsing (for await)', value: perSecond(median(iterated)) },
    { label: 'replay, ratio to JSON.parse alone', value: ratio.toFixed(2) },
  ];
}

const { yardstick } = (workerData ?? {}) as { yardstick?: string };
if (!isMainThread && yardstick !== undefined) {
  runYardstick(yardstick);
} else if (isMainThread && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { name, rows } = await run();
  process.stdout.write(`${name}\n`);
  for (const { label, value, target, ok } of rows) {
    const verdict = target === undefined ? '' : `  (${target}: ${ok ? 'met' : 'missed'})`;
    process.stdout.write(`  ${label.padEnd(54)} ${value.padStart(14)}${verdict}\n`);
  }
}
