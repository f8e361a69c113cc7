import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { openBullWork } from '../src/expiry/bullmq/work.js';
import type { TaskRunner, TimedTask, TimedWork } from '../src/expiry/port.js';
import { Timers } from '../src/expiry/timers.js';
import type { Instant, Milliseconds } from '../src/kernel/time.js';
import { HOUR, SECOND } from '../src/kernel/time.js';
import { systemClock } from '../src/runtime/clock.js';
import type { Report, Row } from './report.js';
import { isMain, print } from './report.js';

/**
 * 100,000 timed blocks: planned, all moved to another time, and run when that comes; on BullMQ and, in the same
 * run, with the timers of the process, since only their ratio means anything on a machine that has neighbours.
 * Runner, worker and Redis share this machine.
 */

const BLOCKS = 100_000;
/** The due times are spread over so long: more than 3,000 blocks end in each second. */
const SPREAD: Milliseconds = 30 * SECOND;
/** The timers need no such time; they get the same rate times three. */
const TIMERS_SPREAD: Milliseconds = 10 * SECOND;
/** From the last move to the first due time. */
const LEAD: Milliseconds = SECOND;
const LATENESS_TARGET: Milliseconds = SECOND;

interface Measured {
  readonly planned: Milliseconds;
  readonly moved: Milliseconds;
  /** From the first due time until everything was done. */
  readonly ran: Milliseconds;
  /** Beyond the due time, in milliseconds. */
  readonly lateness: readonly number[];
  /** Tasks that ran twice, or not at their time. */
  readonly wrong: number;
}

/**
 * @param settled resolves when everything planned so far has been taken in
 * @param between what is to be looked at once everything is planned
 */
async function measure(
  work: TimedWork,
  spread: Milliseconds,
  lateness: number[],
  settled: () => Promise<void>,
  between: () => Promise<void>,
): Promise<Measured> {
  const dueAt = new Map<string, Instant>();
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  let wrong = 0;
  const run: TaskRunner = async ({ block, dueAt: due }) => {
    if (dueAt.get(block) !== due) wrong++;
    dueAt.delete(block);
  };
  work.start(run);
  const far = Date.now() + HOUR;
  let from = performance.now();
  for (let n = 0; n < BLOCKS; n++) work.plan(task(n, far + n));
  await settled();
  const planned = performance.now() - from;
  await between();

  // Long enough for the slowest machine to have moved all before the first is due; what is left is waited for.
  const first = Date.now() + Math.ceil(planned * 3) + LEAD;
  from = performance.now();
  for (let n = 0; n < BLOCKS; n++) {
    const moved = task(n, first + Math.floor((n * spread) / BLOCKS));
    dueAt.set(moved.block, moved.dueAt);
    work.plan(moved);
  }
  await settled();
  const moved = performance.now() - from;
  onEveryRun = () => {
    if (lateness.length === BLOCKS) finish();
  };
  await finished;
  const ran = Date.now() - first;
  await work.close();
  return { planned, moved, ran, lateness, wrong };
}

let onEveryRun = (): void => undefined;

function task(n: number, dueAt: Instant): TimedTask {
  // As long as a real one: ids of blocks are UUIDs.
  const block = `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
  return { kind: 'expire', block, subject: { type: 'account', value: `user${n}@example.com` }, dueAt };
}

async function timers(): Promise<Measured> {
  const lateness: number[] = [];
  const onDone = (_task: TimedTask, late: number): void => {
    lateness.push(late);
    onEveryRun();
  };
  const nothing = (): Promise<void> => Promise.resolve();
  return measure(new Timers({ clock: systemClock, onDone }), TIMERS_SPREAD, lateness, nothing, nothing);
}

async function bullmq(url: string): Promise<Measured & { readonly bytes: number }> {
  const lateness: number[] = [];
  const work = await openBullWork({
    redis: url,
    clock: systemClock,
    onDone: (_task, late) => {
      lateness.push(late);
      onEveryRun();
    },
  });
  const client = new Redis(url);
  const memory = async (): Promise<number> =>
    Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))![1]);
  try {
    const before = await memory();
    let after = before;
    const measured = await measure(
      work,
      SPREAD,
      lateness,
      () => work.settled(),
      async () => {
        after = await memory();
      },
    );
    return { ...measured, bytes: (after - before) / BLOCKS };
  } finally {
    client.disconnect();
  }
}

/** Undefined if there is no `redis-server`. */
async function startRedis(): Promise<{ url: string; stop: () => Promise<void> } | undefined> {
  const exists = await promisify(execFile)('redis-server', ['--version']).then(
    () => true,
    () => false,
  );
  if (!exists) return undefined;
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''];
  // As it is to be run: append-only, written to disk once a second.
  const child = spawn('redis-server', [...args, '--appendonly', 'yes'], { stdio: 'ignore' });
  const gone = once(child, 'exit');
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      child.kill();
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

const seconds = (span: Milliseconds): string => `${(span / SECOND).toFixed(span < SECOND ? 3 : 1)} s`;
const rate = (span: Milliseconds): string => `${Math.round((BLOCKS / span) * SECOND).toLocaleString('en')}/s`;

export async function run(): Promise<Report> {
  const name = `timed blocks: ${BLOCKS.toLocaleString('en')} planned, moved and expired`;
  const redis = await startRedis();
  if (redis === undefined) {
    return {
      name,
      rows: [{ label: 'BullMQ on Redis', value: 'not measured: there is no redis-server here' }],
    };
  }
  try {
    const queue = await bullmq(redis.url);
    const local = await timers();
    return { name, rows: rows(queue, local) };
  } finally {
    await redis.stop();
  }
}

function rows(queue: Measured & { readonly bytes: number }, local: Measured): readonly Row[] {
  const p99 = percentile(queue.lateness, 0.99);
  const times = (a: number, b: number): string => `${(a / Math.max(b, 0.001)).toFixed(1)} times`;
  return [
    { label: 'BullMQ: planned', value: `${seconds(queue.planned)}, ${rate(queue.planned)}` },
    { label: 'BullMQ: moved', value: `${seconds(queue.moved)}, ${rate(queue.moved)}` },
    {
      label: `BullMQ: expired, due over ${SPREAD / SECOND} s`,
      value: `${seconds(queue.ran)}, ${rate(queue.ran)}`,
    },
    { label: 'BullMQ: lateness p50', value: `${percentile(queue.lateness, 0.5)} ms` },
    {
      label: 'BullMQ: lateness p99',
      value: `${p99} ms`,
      target: `<= ${LATENESS_TARGET} ms`,
      ok: p99 <= LATENESS_TARGET,
    },
    {
      label: 'BullMQ: run twice or at a wrong time',
      value: `${queue.wrong}`,
      target: '0',
      ok: queue.wrong === 0,
    },
    { label: 'Redis memory a block', value: `${Math.round(queue.bytes)} bytes` },
    { label: 'timers: planned', value: `${seconds(local.planned)}, ${rate(local.planned)}` },
    { label: 'timers: moved', value: `${seconds(local.moved)}, ${rate(local.moved)}` },
    { label: 'timers: lateness p99', value: `${percentile(local.lateness, 0.99)} ms` },
    {
      label: 'timers: run twice or at a wrong time',
      value: `${local.wrong}`,
      target: '0',
      ok: local.wrong === 0,
    },
    {
      label: 'BullMQ against timers',
      value: `planning takes ${times(queue.planned, local.planned)} as long, moving ${times(queue.moved, local.moved)}`,
    },
  ];
}

if (isMain(import.meta.url)) print(await run());
