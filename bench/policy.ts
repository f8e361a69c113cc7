import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startPolicydRateLimit, startPostfwd } from './policy/others.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';

const ROUNDS = 3;
const REQUESTS = 20_000;
const MANY_SENDERS = 100_000;
/** At each number of connections, of a server that is far slower. */
const FEWER_REQUESTS = { postfwd: 5_000, 'policyd-rate-limit': 300 };

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
export interface Running {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

interface Load {
  readonly rate: number;
  /** Milliseconds. */
  readonly p99: number;
  /** Microseconds of a processor that the server took for each request, in all its threads. */
  readonly cpu: number;
}

/**
 * Requests a second at END-OF-MESSAGE, each send recorded and counted by rules, beside bare Node and what Debian has for the
 * same purpose. The time of the processor is the fairer figure where others use the machine too.
 */
export async function run(): Promise<Report> {
  const started: Running[] = [];
  const kept = <T extends Running | undefined>(running: T): T => {
    if (running !== undefined) started.push(running);
    return running;
  };
  const rows: Row[] = [];
  try {
    const stopgap = kept(await startStopgap());
    const bare = kept(await start([here('policy/bare.js')], /^(\d+)$/));
    const postfwd = kept(await startPostfwd());
    const rateLimit = kept(await startPolicydRateLimit());
    for (const running of [stopgap, bare]) await load(running, 10, 5_000); // warm
    for (const connections of [1, 10, 50])
      rows.push(...(await compare({ stopgap, bare, postfwd, rateLimit }, connections)));
    rows.push(...(await memory(stopgap, bare, postfwd)));
    const { recorded, lost } = await sends();
    rows.push({
      label: 'sends that were not recorded',
      value: `${lost} of ${recorded + lost}`,
      ok: lost === 0,
    });
  } finally {
    for (const running of started) await running.stop();
  }
  return { name: 'Policy service: verdict, durable event, detector', rows };
}

interface Compared {
  readonly stopgap: Running;
  readonly bare: Running;
  /** Undefined where it is not installed. */
  readonly postfwd: Running | undefined;
  readonly rateLimit: Running | undefined;
}

async function compare(servers: Compared, connections: number): Promise<Row[]> {
  const { stopgap, bare, postfwd, rateLimit } = servers;
  const ours: Load[] = [];
  const theirs: Load[] = [];
  const postfwds: Load[] = [];
  // Interleaved, so that what else the machine does falls on all alike.
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await load(stopgap, connections, REQUESTS));
    theirs.push(await load(bare, connections, REQUESTS));
    if (postfwd !== undefined) postfwds.push(await load(postfwd, connections, FEWER_REQUESTS.postfwd));
  }
  const at = `${connections} connection${connections === 1 ? '' : 's'}`;
  const row = (name: string, loads: readonly Load[]): Row => {
    const of = (figure: keyof Load): number => median(loads.map((each) => each[figure]));
    const value = `${Math.round(of('rate'))}/s, p99 ${of('p99').toFixed(1)} ms, ${of('cpu').toFixed(0)} us CPU`;
    return { label: `${at}: ${name}`, value };
  };
  const compareTo = (name: string, others: readonly Load[], least: number): Row => {
    const ratio = median(ours.map(({ rate }, round) => rate / others[round]!.rate));
    const cpu = median(others.map((each) => each.cpu)) / median(ours.map((each) => each.cpu));
    return {
      label: `${at}: Stopgap / ${name}`,
      value: `${ratio.toFixed(2)}, by CPU ${cpu.toFixed(2)}`,
      target: `>= ${least.toFixed(2)}`,
      ok: ratio >= least,
    };
  };
  const rows = [
    row('Stopgap, durable, six rules', ours),
    row('bare Node with a Map', theirs),
    compareTo('bare Node', theirs, 0.7),
  ];
  if (postfwd !== undefined) {
    const [p99, others] = [ours, postfwds].map((loads) => median(loads.map((each) => each.p99)));
    rows.push(row('postfwd, one count in memory', postfwds), compareTo('postfwd', postfwds, 5));
    rows.push({
      label: `${at}: p99 of Stopgap / postfwd`,
      value: (p99! / others!).toFixed(2),
      target: '< 1.00',
      ok: p99! < others!,
    });
  }
  if (rateLimit !== undefined) {
    const slow = await load(rateLimit, connections, FEWER_REQUESTS['policyd-rate-limit'], 1_000, 'RCPT');
    rows.push(row('policyd-rate-limit, SQLite, at RCPT', [slow]));
  }
  return rows;
}

async function memory(stopgap: Running, bare: Running, postfwd: Running | undefined): Promise<Row[]> {
  const megabytes = async (running: Running): Promise<number> => {
    await load(running, 50, MANY_SENDERS, MANY_SENDERS);
    const status = readFileSync(`/proc/${running.pid}/status`, 'utf8');
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
    ...(postfwd === undefined
      ? []
      : [
          {
            label: 'memory of postfwd after the same',
            value: `${(await megabytes(postfwd)).toFixed(0)} MB`,
          },
        ]),
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
    if (port !== undefined && (args.length === 1 || /Ctrl-C/.test(line)))
      return { pid: child.pid!, port, stop };
  }
  throw new Error(`${args.join(' ')} ended without saying where it listens`);
}

async function load(
  { pid, port }: Running,
  connections: number,
  requests: number,
  senders = 1_000,
  state = 'END-OF-MESSAGE',
): Promise<Load> {
  const before = cpuOf(pid);
  const args = [...[port, connections, requests, senders].map(String), state];
  const child = spawn(process.execPath, [here('policy/load.js'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  const { rate, p99 } = JSON.parse(text) as Omit<Load, 'cpu'>;
  return { rate, p99, cpu: (cpuOf(pid) - before) / requests };
}

/** Microseconds that a process has run. Linux counts them in hundredths of a second. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) * 10_000;
}

if (isMain(import.meta.url)) print(await run());
