import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BrowserContext, CDPSession, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { addAdmin } from '../src/accounts/admins.js';
import { blockStream } from '../src/blocks/events.js';
import { DAY, HOUR, SECOND } from '../src/kernel/time.js';
import { newId } from '../src/runtime/ids.js';
import { openSqliteStore } from '../src/store/sqlite/index.js';
import { isMain, print } from './report.js';
import type { Report } from './report.js';

/*
 * The administrators' page in a real Chromium, on a server with 100,000 blocks in force. BENCH_CHROMIUM names the browser.
 */
const BLOCKS = Number(process.env['BENCH_BLOCKS'] ?? 100_000);
const MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url));
const CHROMIUM = process.env['BENCH_CHROMIUM'] ?? '/usr/bin/chromium';
const PASSWORD = 'correct horse battery staple';
const ROUNDS = 5;
/** Frames of one measurement: ten seconds. */
const FRAMES = 600;
const MOST_BYTES = 180 * 1024;
const MOST_DRAWN = 1000;
const MOST_FRAME = 17;

/** Blocks that last: as many as one page has to show. */
async function fill(directory: string): Promise<void> {
  const clock = { now: () => Date.now() };
  const store = await openSqliteStore({ file: path.join(directory, 'data/events.db'), clock });
  const begun = Date.now() - BLOCKS * SECOND;
  for (let first = 0; first < BLOCKS; first += 1000)
    await Promise.all(
      Array.from({ length: Math.min(1000, BLOCKS - first) }, (_, index) => {
        const n = first + index;
        const subject =
          n % 10 === 0
            ? ({ type: 'ip', value: `198.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}` } as const)
            : ({ type: 'account', value: `user${n}@customer${n % 100}.example.com` } as const);
        const terms = { subject, direction: 'outbound', refusal: 'soft', renewWhileTrying: false };
        const until = Date.now() + 30 * DAY + n * HOUR;
        const data = {
          block: newId(),
          ...terms,
          origin: 'admin',
          description: `order ${n} of the desk`,
          until,
        };
        const event = { id: newId(), type: 'BlockImposed', at: begun + n * SECOND, by: 'admin:bench', data };
        return store.append(blockStream(subject), [event], 'none');
      }),
    );
  await store.close();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Served {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

async function serve(directory: string): Promise<Served> {
  const [api, smtp] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    cwd: directory,
    stdio: 'ignore',
    env: {
      ...process.env,
      STOPGAP_API_LISTEN: `127.0.0.1:${api}`,
      STOPGAP_SMTP_SUBMISSION_LISTEN: `127.0.0.1:${smtp}`,
    },
  });
  const exit = once(child, 'exit');
  const url = `http://127.0.0.1:${api}/`;
  for (let tries = 0; ; tries++) {
    const isReady = await fetch(`${url}readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) break;
    if (tries === 600 || child.exitCode !== null) throw new Error('the server does not start');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url,
    async stop() {
      child.kill();
      await exit;
    },
  };
}

async function signIn(context: BrowserContext, url: string): Promise<void> {
  const page = await context.newPage();
  await page.goto(url);
  const body = JSON.stringify(JSON.stringify({ name: 'bench', password: PASSWORD }));
  const options = `{ method: 'POST', headers: { 'Content-Type': 'application/json' }, body: ${body} }`;
  const status = await page.evaluate(`fetch('api/v1/sign-in', ${options}).then(({ status }) => status)`);
  if (status !== 200) throw new Error(`the sign-in was answered ${String(status)}`);
  await page.close();
}

interface Loaded {
  /** Compressed bytes of the page's own files, and of what the API answered. */
  readonly files: number;
  readonly answers: number;
  /** Milliseconds from the navigation until rows are in the document. */
  readonly drawn: number;
}

/** Opens the page with nothing in the browser's cache. */
async function load(context: BrowserContext, url: string): Promise<Loaded & { page: Page; cdp: CDPSession }> {
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  await cdp.send('Network.setCacheDisabled', { cacheDisabled: true });
  const urls = new Map<string, string>();
  let [files, answers] = [0, 0];
  cdp.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url));
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (urls.get(requestId)?.includes('/api/') === true) answers += encodedDataLength;
    else files += encodedDataLength;
  });
  await page.addInitScript(DRAWN);
  await page.goto(`${url}#/blocks`);
  const result = { drawn: await page.evaluate<number>('drawn') };
  await page.waitForLoadState('networkidle').catch(() => undefined);
  return { ...result, files, answers, page, cdp };
}

/** Runs before the page: when its rows are there. */
const DRAWN = `globalThis.drawn = new Promise((resolve) => {
  (function look() {
    if (document.querySelectorAll('.rows-body .row').length > 10) resolve(performance.now());
    else requestAnimationFrame(look);
  })();
});`;

/** The times of so many frames, in milliseconds, while each scrolls on by so many pixels. It runs in the browser. */
const scrolling = (pixels: string): string => `new Promise((resolve) => {
  const times = [];
  scrollTo(0, 0);
  const step = ${pixels};
  let last;
  requestAnimationFrame(function frame(now) {
    if (last !== undefined) times.push(now - last);
    last = now;
    if (times.length === ${FRAMES}) return resolve(times);
    scrollBy(0, step);
    requestAnimationFrame(frame);
  });
})`;

/** Goes to the end again and again, until all rows are known. */
const TO_THE_END = `new Promise((resolve, reject) => {
  const started = performance.now();
  setTimeout(function on() {
    scrollTo(0, document.documentElement.scrollHeight);
    const known = Number(document.querySelector('.rows-body .row:last-child')?.getAttribute('aria-rowindex'));
    if (known >= ${BLOCKS + 1}) return resolve(performance.now() - started);
    if (performance.now() - started > 300000) return reject(new Error('only ' + known + ' rows'));
    setTimeout(on, 20);
  }, 0);
})`;

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)]!;

async function heap(cdp: CDPSession): Promise<number> {
  await cdp.send('HeapProfiler.collectGarbage');
  const { usedSize } = await cdp.send('Runtime.getHeapUsage');
  return usedSize / 2 ** 20;
}

export async function run(): Promise<Report> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  let served: Served | undefined;
  try {
    await mkdir(path.join(directory, 'data'), { mode: 0o700 });
    await fill(directory);
    const file = path.join(directory, 'data/admins.yaml');
    await addAdmin({ file, name: 'bench', role: 'admin', domains: [], password: PASSWORD, now: Date.now() });
    served = await serve(directory);
    const { url } = served;
    const loads: Loaded[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
      await signIn(context, url);
      loads.push(await load(context, url));
      await context.close();
    }
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    await signIn(context, url);
    const { page, cdp } = await load(context, url);
    const before = await heap(cdp);
    const took = await page.evaluate<number>(TO_THE_END);
    const full = await heap(cdp);
    const steady = await page.evaluate<number[]>(scrolling('100'));
    const flying = await page.evaluate<number[]>(
      scrolling(`document.documentElement.scrollHeight / ${FRAMES}`),
    );
    const after = await heap(cdp);
    const bytes = Math.max(...loads.map(({ files }) => files));
    const drawn = quantile(
      loads.map(({ drawn: one }) => one),
      0.5,
    );
    const frames = (label: string, times: readonly number[]) => ({
      label,
      value: `p50 ${quantile(times, 0.5).toFixed(1)} ms, p95 ${quantile(times, 0.95).toFixed(1)} ms, at most ${Math.max(...times).toFixed(0)} ms a frame`,
      target: `p95 at most ${MOST_FRAME} ms`,
      ok: quantile(times, 0.95) <= MOST_FRAME,
    });
    return {
      name: `The administrators' page with ${BLOCKS.toLocaleString('en')} blocks, in Chromium`,
      rows: [
        {
          label: 'first load, compressed',
          value: `${(bytes / 1024).toFixed(0)} KB, and ${(loads[0]!.answers / 1024).toFixed(0)} KB of answers`,
          target: `at most ${MOST_BYTES / 1024} KB`,
          ok: bytes <= MOST_BYTES,
        },
        {
          label: 'until the grid is drawn',
          value: `${drawn.toFixed(0)} ms (median of ${ROUNDS})`,
          target: `at most ${MOST_DRAWN.toLocaleString('en')} ms`,
          ok: drawn <= MOST_DRAWN,
        },
        { label: `until all rows were scrolled to`, value: `${(took / 1000).toFixed(1)} s` },
        frames('scrolling on, 100 pixels a frame', steady),
        frames('from the first row to the last', flying),
        {
          label: 'memory of the page',
          value: `${before.toFixed(0)} MB at first, ${full.toFixed(0)} MB at the last row, ${after.toFixed(0)} MB after scrolling`,
        },
      ],
    };
  } finally {
    await browser.close();
    await served?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

if (isMain(import.meta.url)) print(await run());
