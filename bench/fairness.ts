import { setTimeout as pause } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { collectBody } from '../src/smtp/relay/body.js';
import { openRelay } from '../src/smtp/relay/open.js';
import type { Relay } from '../src/smtp/relay/port.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';
import { start } from './smtp/processes.js';

/** Messages that one sender hands over at once, again and again; the upstream takes so long for each. */
const HOG_AT_ONCE = 220;
const SLOW = 2_000;
/** Colleagues; each sends a message, rests, and sends the next. */
const COLLEAGUES = 20;
const MESSAGES = 40;
const REST = 50;

const TO = { address: 'someone@example.net' };
const MESSAGE = Buffer.from('Subject: fair\r\n\r\nshare\r\n');

/** Whether senders are known to the relay: without, it serves who comes first. */
type Known = (sender: string) => string | undefined;

async function send(relay: Relay, name: string, known: Known): Promise<void> {
  const sender = `${name}@example.com`;
  const transaction = relay.begin({ returnPath: sender, utf8: false }, known(sender));
  await transaction.offer(TO);
  const body = await collectBody(Readable.from([MESSAGE]), { spoolDir: '/nonexistent' });
  await transaction.transmit(body, () => true);
}

interface Measured {
  /** Milliseconds. */
  readonly latencies: readonly number[];
  readonly deferred: number;
}

async function measure(port: number, hogs: number, known: Known): Promise<Measured> {
  const relay = openRelay(`smtp://127.0.0.1:${port}`, { hostname: 'bench.test' });
  let over = false;
  const hog = async (): Promise<void> => {
    // That it is told to come again is what is wanted of it.
    while (!over) await send(relay, 'hog', known).catch(() => pause(REST));
  };
  const slow = Array.from({ length: hogs }, hog);
  await pause(hogs > 0 ? SLOW : 0);
  const latencies: number[] = [];
  let deferred = 0;
  const colleague = async (name: string): Promise<void> => {
    for (let n = 0; n < MESSAGES; n++) {
      const began = performance.now();
      try {
        await send(relay, name, known);
        latencies.push(performance.now() - began);
      } catch {
        deferred++;
      }
      await pause(REST);
    }
  };
  await Promise.all(Array.from({ length: COLLEAGUES }, (_, n) => colleague(`colleague${n}`)));
  over = true;
  await relay.close();
  await Promise.all(slow);
  return { latencies, deferred };
}

/** What colleagues notice of one account that hands over slow messages: upstream sessions in turn, and by shares. */
export async function run(): Promise<Report> {
  const sink = await start('sink.js', 'hog@', String(SLOW));
  try {
    const rows: Row[] = [];
    const all = (sender: string): string => sender;
    const cases: readonly (readonly [string, number, Known])[] = [
      ['no slow sender', 0, all],
      [`${HOG_AT_ONCE} slow messages, first come first served`, HOG_AT_ONCE, () => undefined],
      [`${HOG_AT_ONCE} slow messages, shares by account`, HOG_AT_ONCE, all],
    ];
    for (const [label, hogs, known] of cases) {
      const { latencies, deferred } = await measure(sink.port, hogs, known);
      const p50 = median(latencies);
      const p99 = [...latencies].sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? NaN;
      const isOurs = hogs > 0 && known === all;
      rows.push({
        label,
        value: `others p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${deferred} put off`,
        ...(isOurs ? { target: 'p50 <= 50 ms, none put off', ok: p50 <= 50 && deferred === 0 } : {}),
      });
    }
    return { name: 'Fairness: one account hands over slow messages, 20 colleagues send', rows };
  } finally {
    await sink.stop();
  }
}

if (isMain(import.meta.url)) print(await run());
