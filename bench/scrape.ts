import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { startApp } from '../src/app.js';
import type { RunningApp } from '../src/app.js';
import type { BlockFact } from '../src/blocks/events.js';
import { blockStream } from '../src/blocks/events.js';
import { loadConfig } from '../src/config.js';
import { envelope, newId } from '../src/runtime/ids.js';
import { DAY, HOUR } from '../src/kernel/time.js';
import { logsOf } from '../src/log/logs.js';
import type { Subject } from '../src/sending/subjects.js';
import { SUBJECT_TYPES } from '../src/sending/subjects.js';
import { openSqliteStore } from '../src/store/sqlite/index.js';
import { systemClock } from '../src/runtime/clock.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';

const BLOCKS = 10_000;
const PROPOSALS = 1_000;
const RULES = 20;
const ROUTES = 50;
const SCRAPES = 50;
const STATUSES = ['200', '400', '401', '403', '404', '409', '500', 'gone'];

const rules = `version: 1
rules:
${Array.from({ length: RULES }, (_, n) => `  - { id: a-rule-with-a-name-${n}, per: account, count: messages, window: 1h, limit: ${n + 1}000, then: block, for: 1h }`).join('\n')}
`;

/** How long a scrape takes, and how much it is, where there is much to tell; beside prom-client's default metrics alone. */
export async function run(): Promise<Report> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  try {
    await configure(directory);
    await fill(path.join(directory, 'data', 'events.db'));
    const app = await startApp({
      loaded: loadConfig({ env: {}, cwd: directory }),
      clock: systemClock,
      logs: logsOf(pino({ level: 'silent' })),
      onFatal: (error) => {
        throw error;
      },
    });
    try {
      return await measure(app);
    } finally {
      await app.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function configure(directory: string): Promise<void> {
  const config = {
    data: './data',
    api: { listen: '127.0.0.1:0' },
    rules: './rules.yaml',
    smtp: {
      hostname: 'bench.example.com',
      submission: { listen: '127.0.0.1:0' },
      inbound: { listen: '127.0.0.1:0', domains: ['example.com'] },
      auth: { users: './users.yaml' },
      relay: { url: 'maildir:./mail' },
    },
  };
  await writeFile(path.join(directory, 'stopgap.yaml'), JSON.stringify(config)); // JSON is YAML
  await writeFile(path.join(directory, 'users.yaml'), 'users: []\n');
  await writeFile(path.join(directory, 'rules.yaml'), rules);
}

/** Blocks and proposals as they stand in the store: each on a subject of its own. */
async function fill(file: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const store = await openSqliteStore({ file, clock: systemClock });
  const now = systemClock.now();
  await Promise.all(
    Array.from({ length: BLOCKS + PROPOSALS }, async (_, n) => {
      const fact = n < BLOCKS ? imposed(n) : proposed(n, now);
      const events = envelope([fact], { by: 'rule:a-rule-with-a-name-0@1' }, now - (n % 300) * 60_000);
      await store.append(blockStream(subject(n)), events, 'none');
    }),
  );
  await store.close();
}

function subject(n: number): Subject {
  const type = SUBJECT_TYPES[n % SUBJECT_TYPES.length]!;
  const names = { account: `u${n}@example.com`, address: `u${n}@example.net`, domain: `d${n}.example.org` };
  return { type, value: { ...names, ehlo: `h${n}.example.net`, ip: `198.18.${n >> 8}.${n & 255}` }[type] };
}

const terms = { direction: 'all', description: '', refusal: 'soft', renewWhileTrying: false } as const;

function imposed(n: number): BlockFact {
  const about = { ...terms, block: newId(), subject: subject(n), until: null };
  return { type: 'BlockImposed', data: { ...about, origin: n % 2 === 0 ? 'rule' : 'admin' } };
}

function proposed(n: number, now: number): BlockFact {
  const numbers = { count: 'messages', window: HOUR, limit: 1000, observed: 1001, sentence: '' };
  const positions = { firstPosition: n, lastPosition: n, lastAt: now };
  const rule = `a-rule-with-a-name-${n % RULES}`;
  const evidence = { rule, version: 1, ...numbers, ...positions };
  const about = { ...terms, block: newId(), subject: subject(n), duration: HOUR, lapsesAt: now + DAY };
  return { type: 'BlockProposed', data: { ...about, rule, evidence } };
}

async function measure(app: RunningApp): Promise<Report> {
  // Every route has answered in every way, and been asked for what it does not offer: as much as it can come to.
  const routes = Array.from({ length: ROUTES }, (_, n) => `/api/v1/of/such/a/length/{id}/${n}`);
  for (const route of routes) {
    for (const status of STATUSES) app.metrics.api.answered('GET', route, status, 12);
    for (const status of ['401', '405']) app.metrics.api.answered('other', route, status, 1);
  }
  const { address } = app.listening.find(({ what }) => what === 'HTTP')!;
  const scrape = async (accept: string): Promise<string> =>
    (await fetch(`http://${address}/metrics`, { headers: { accept } })).text();
  const alone = new Registry();
  collectDefaultMetrics({ register: alone });

  const plain: number[] = [];
  const open: number[] = [];
  const baseline: number[] = [];
  let bytes = 0;
  let cpu = 0;
  for (let each = 0; each < SCRAPES; each++) {
    const before = process.cpuUsage();
    plain.push(await timed(async () => (bytes = Math.max(bytes, (await scrape('text/plain')).length))));
    open.push(
      await timed(
        async () => (bytes = Math.max(bytes, (await scrape('application/openmetrics-text')).length)),
      ),
    );
    const { user, system } = process.cpuUsage(before);
    cpu += (user + system) / 1000;
    baseline.push(await timed(() => alone.metrics()));
  }
  const both = [...plain, ...open].sort((a, b) => a - b);
  const most = both[Math.floor(both.length * 0.95)]!;
  const sum = (await app.metrics.registry.metrics()).match(
    /^stopgap_(active_blocks\{.*|pending_proposals) \d+$/gm,
  );
  if (sum?.map((line) => Number(line.split(' ').at(-1))).reduce((a, b) => a + b, 0) !== BLOCKS + PROPOSALS)
    throw new Error(`not everything was there: ${String(sum)}`);
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  return {
    name: `Scrape: ${BLOCKS} blocks, ${PROPOSALS} proposals, ${RULES} rules, ${ROUTES} routes, over HTTP`,
    rows: [
      { label: 'text format', value: ms(median(plain)) },
      { label: 'OpenMetrics', value: ms(median(open)) },
      { label: "prom-client's default metrics alone, without HTTP", value: ms(median(baseline)) },
      { label: 'a scrape / the default metrics', value: (median(both) / median(baseline)).toFixed(1) },
      { label: 'processor time of one, with that of its client', value: ms(cpu / 2 / SCRAPES) },
      { label: '19 of 20 within', value: ms(most), target: '<= 50 ms', ok: most <= 50 },
      { label: 'size', value: `${(bytes / 1000).toFixed(0)} KB`, target: '<= 300 KB', ok: bytes <= 300_000 },
    ],
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

if (isMain(import.meta.url)) print(await run());
