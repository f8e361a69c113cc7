import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { v7 } from 'uuid';
import type { NewEvent } from '../src/kernel/events.js';
import { DAY } from '../src/kernel/time.js';
import { FOLDED_CATEGORIES } from '../src/detector/projector.js';
import { ReadModels } from '../src/detector/read-models.js';
import { DEFAULT_RULES } from '../src/rules/defaults.js';
import { RULES_STREAM } from '../src/rules/model.js';
import { parseRules } from '../src/rules/parse.js';
import { sendStream } from '../src/sending/events.js';
import { Snapshots } from '../src/snapshots/snapshots.js';
import { openSqliteStore } from '../src/store/sqlite/index.js';
import { inOwnProcess } from './child.js';
import { isMain, print } from './report.js';
import type { Report } from './report.js';

/*
 * How long it takes from the start of a process until its read models are ready, with and without a snapshot. The
 * target is for 10 million events: BENCH_EVENTS=10000000.
 */
const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 1_000_000);
const SENDERS = Math.min(100_000, EVENTS / 10);
/** As many as may come before a process ends without a word: the next snapshot was due. */
const BEHIND = 250_000;
const TARGET = 10;
const STALL = 50;
const BATCH = 10;
const START = Date.UTC(2026, 0, 1);
/** Between two sends of the whole system, in milliseconds: a day of a million. */
const PACE = 86;

/** Appends sends until there are so many, a few of one sender at a time. */
async function fill(directory: string, from: number, to: number): Promise<null> {
  let now = START + from * PACE;
  const store = await openSqliteStore({
    file: path.join(directory, 'events.db'),
    clock: { now: () => now },
    appendTimeout: 600_000,
  });
  const rules = { version: 1, rules: parseRules(DEFAULT_RULES), source: DEFAULT_RULES, origin: 'defaults' };
  const change = { id: v7(), type: 'RulesChanged', data: rules, at: now, by: 'system:bench' };
  if (from === 0) await store.append(RULES_STREAM, [change], 'none');
  let batch = Math.ceil(from / BATCH);
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      while (batch * BATCH < to) {
        const sender = (batch++ * 7919) % SENDERS;
        now = START + batch * BATCH * PACE;
        await store.append(sendStream(address(sender)), sends(sender, now), 'any');
      }
    }),
  );
  await store.close();
  return null;
}

function address(sender: number): string {
  return `user${sender}@customer${Math.floor(sender / 100)}.example.com`;
}

function sends(sender: number, at: number): NewEvent[] {
  const account = address(sender);
  return Array.from({ length: BATCH }, (_, n) => {
    const data = {
      account,
      returnPath: account,
      ehlo: `pc${sender}.example.net`,
      direction: 'outbound',
      ip: `198.51.${(sender >> 8) & 255}.${sender & 255}`,
      transaction: v7(),
      recipients: 1,
      size: 20_000,
      recipientDomains: ['example.org'],
      entitled: true,
    };
    return { id: v7(), type: 'MessageAccepted', data, at: at + n, by: 'smtp:bench' };
  });
}

interface Started {
  /** From the start of the process. */
  readonly seconds: number;
  /** Events folded after the snapshot. */
  readonly folded: number;
  /** Longest hold-up of the event loop while a snapshot was made and written, in milliseconds. */
  readonly stall: number;
  /** What that snapshot took in all. */
  readonly written: number;
}

/** @param mode `keep` ends as a kill would; `write` leaves a snapshot */
async function start(directory: string, mode: string): Promise<Started> {
  const clock = { now: () => START, monotonic: () => 0 };
  const store = await openSqliteStore({ file: path.join(directory, 'events.db'), clock });
  let folded = 0;
  const models = new ReadModels({
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ position }, reason) => {
      throw new Error(`${position}: ${reason}`);
    },
  });
  const snapshots = await Snapshots.open({
    folder: path.join(directory, 'snapshots'),
    categories: FOLDED_CATEGORIES,
    models,
    clock,
    log: pino({ level: 'warn' }, process.stderr),
    unanswered: () => [],
    every: Infinity,
    kept: 35 * DAY,
  });
  await snapshots.restore(store);
  const count = (): void => {
    folded++;
    snapshots.folded();
  };
  const { ended } = await models.follow(store, FOLDED_CATEGORIES, count);
  const seconds = performance.now() / 1000;
  let written = 0;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await models.stop();
  await ended;
  if (mode === 'write') {
    delay.enable();
    const before = performance.now();
    await snapshots.close();
    written = (performance.now() - before) / 1000;
    delay.disable();
  }
  await store.close();
  return { seconds, folded, stall: delay.max / 1e6, written };
}

export async function run(): Promise<Report> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  const script = fileURLToPath(import.meta.url);
  const child = <Result>(...args: readonly string[]): Promise<Result> =>
    inOwnProcess<Result>(script, [args[0]!, directory, ...args.slice(1)]);
  try {
    const behind = Math.min(BEHIND, EVENTS / 4);
    await child('fill', '0', String(EVENTS - behind));
    const without = await child<Started>('start', 'write');
    await child('fill', String(EVENTS - behind), String(EVENTS));
    const killed = await child<Started>('start', 'write');
    const ended = await child<Started>('start', 'keep');
    const perEvent = (without.seconds - ended.seconds) / without.folded;
    const full = ended.seconds + perEvent * EVENTS;
    const text = (seconds: number): string => `${seconds.toFixed(2)} s`;
    const at = (events: number): string => events.toLocaleString('en');
    const target = `<= ${TARGET} s`;
    return {
      name: `Start with ${at(EVENTS)} events of ${at(SENDERS)} senders in the store (SQLite)`,
      rows: [
        { label: `without a snapshot, ${at(without.folded)} events`, value: text(without.seconds) },
        { label: 'a second folded without a snapshot', value: `${at(Math.round(1 / perEvent))} events` },
        { label: 'with a snapshot', value: text(ended.seconds), target, ok: ended.seconds <= TARGET },
        {
          label: `with a snapshot ${at(killed.folded)} events old`,
          value: text(killed.seconds),
          target,
          ok: killed.seconds <= TARGET,
        },
        { label: 'with a snapshot / without, all events', value: (ended.seconds / full).toFixed(3) },
        { label: 'making and writing a snapshot', value: text(killed.written) },
        {
          label: 'event loop held up by it, at most',
          value: `${killed.stall.toFixed(0)} ms`,
          target: `<= ${STALL} ms`,
          ok: killed.stall <= STALL,
        },
      ],
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

if (isMain(import.meta.url)) {
  const [mode, directory, ...rest] = process.argv.slice(2);
  if (mode === 'fill') {
    process.stdout.write(JSON.stringify(await fill(directory!, Number(rest[0]), Number(rest[1]))));
  } else if (mode === 'start') process.stdout.write(JSON.stringify(await start(directory!, rest[0]!)));
  else print(await run());
}
