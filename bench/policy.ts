import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';

const ROUNDS = 5;
const REQUESTS = 20_000;
const MANY_SENDERS = 100_000;

/** Everything counts, nothing trips: six rules over four subject types, far above what is sent here. */
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
  - { id: day, per: account, count: messages, window: 24h, limit: 1000000, then: propose, for: 24h }
  - { id: path, per: address, count: messages, window: 1h, limit: 1000000, then: block, for: 1h }
  - { id: domain, per: domain, count: recipients, window: 1h, limit: 10000000, then: propose, for: 4h }
  - { id: domain-day, per: domain, count: bytes, window: 24h, limit: 100GB, then: propose, for: 4h }
  - { id: network, per: ip, count: messages, window: 1h, limit: 10000000, then: block, for: 1h }
`;

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** A policy service in a process of its own. */
interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  stop(): Promise<void>;
}

interface Load {
  readonly rate: number;
  /** Milliseconds. */
  readonly p99: number;
}

/** Requests a second at END-OF-MESSAGE, each send recorded and counted by rules, beside bare Node in the same run. */
export async function run(): Promise<Report> {
  const stopgap = await startStopgap();
  const bare = await start([here('policy/bare.js')], /^(\d+)$/);
  const rows: Row[] = [];
  try {
    for (const { port } of [stopgap, bare]) await load(port, 10, 5_000, 1_000); // warm
    for (const connections of [1, 10, 50]) rows.push(...(await compare(stopgap, bare, connections)));
    rows.push(...(await memory(stopgap, bare)));
    const { recorded, lost } = await sends();
    rows.push({
      label: 'sends that were not recorded',
      value: `${lost} of ${recorded + lost}`,
      ok: lost === 0,
    });
  } finally {
    await stopgap.stop();
    await bare.stop();
  }
  return { name: 'Policy service: verdict, durable event, detector', rows };
}

async function compare(stopgap: Running, bare: Running, connections: number): Promise<Row[]> {
  const loads: [ours: Load, theirs: Load][] = [];
  // Interleaved, so that what else the machine does falls on both alike.
  for (let round = 0; round < ROUNDS; round++)
    loads.push([
      await load(stopgap.port, connections, REQUESTS, 1_000),
      await load(bare.port, connections, REQUESTS, 1_000),
    ]);
  const shown = (which: 0 | 1): string =>
    `${Math.round(median(loads.map((pair) => pair[which].rate)))}/s, p99 ${median(loads.map((pair) => pair[which].p99)).toFixed(1)} ms`;
  const ratio = median(loads.map(([ours, theirs]) => ours.rate / theirs.rate));
  const at = `${connections} connection${connections === 1 ? '' : 's'}`;
  return [
    { label: `${at}: Stopgap, durable, six rules`, value: shown(0) },
    { label: `${at}: bare Node with a Map`, value: shown(1) },
    { label: `${at}: Stopgap / bare Node`, value: ratio.toFixed(2), target: '>= 0.70', ok: ratio >= 0.7 },
  ];
}

async function memory(stopgap: Running, bare: Running): Promise<Row[]> {
  const megabytes = async ({ port, child }: Running): Promise<number> => {
    await load(port, 50, MANY_SENDERS, MANY_SENDERS);
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024;
  };
  const [ours, theirs] = [await megabytes(stopgap), await megabytes(bare)];
  return [
    {
      label: 'memory after 100,000 senders',
      value: `${ours.toFixed(0)} MB`,
      target: '<= 320 MB',
      ok: ours <= 320,
    },
    { label: 'memory of bare Node after the same', value: `${theirs.toFixed(0)} MB` },
  ];
}

async function startStopgap(): Promise<Running> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  const config = [
    `data: ${directory}/data`,
    'roles: [policy, detector, api, worker]',
    'policy: { listen: "127.0.0.1:0" }',
    'smtp: { hostname: bench.example.com }',
    'api: { listen: "127.0.0.1:0" }',
    `rules: ${directory}/rules.yaml`,
    'log: { level: error }',
  ].join('\n');
  await writeFile(path.join(directory, 'stopgap.yaml'), config);
  await writeFile(path.join(directory, 'rules.yaml'), RULES);
  const main = here('../src/main.js');
  const running = await start([main, 'serve'], /^\s*policy\s+127\.0\.0\.1:(\d+)/, directory);
  return {
    ...running,
    async stop() {
      await running.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

let http = 0;

/** What was recorded, once nothing waits any more. */
async function sends(): Promise<{ recorded: number; lost: number }> {
  const figures = async (): Promise<{ recorded: number; lost: number }> => {
    const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
    const sum = (name: string): number =>
      [...text.matchAll(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'gm'))].reduce(
        (all, [, n]) => all + Number(n),
        0,
      );
    return { recorded: sum('stopgap_sends_total'), lost: sum('stopgap_policy_sends_lost_total') };
  };
  for (let before = await figures(); ;) {
    await pause(500);
    const now = await figures();
    if (now.recorded === before.recorded) return now;
    before = now;
  }
}

async function start(args: readonly string[], said: RegExp, cwd = '.'): Promise<Running> {
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
  };
  let port: number | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    http = Number(/^\s*HTTP\s+127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? http);
    port ??= Number(said.exec(line)?.[1] ?? NaN) || undefined;
    if (port !== undefined && (args.length === 1 || /Ctrl-C/.test(line))) return { child, port, stop };
  }
  throw new Error(`${args.join(' ')} ended without saying where it listens`);
}

async function load(port: number, connections: number, requests: number, senders: number): Promise<Load> {
  const args = [port, connections, requests, senders].map(String);
  const child = spawn(process.execPath, [here('policy/load.js'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return JSON.parse(text) as Load;
}

if (isMain(import.meta.url)) print(await run());
