import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';
import type { Running } from './smtp/processes.js';
import { load, start, startStopgap } from './smtp/processes.js';

const ROUNDS = 9;
const MESSAGES = 3_000;
const CONNECTIONS = 50;
/** Counts, and never trips. */
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
`;

/** Messages a second with tracing off, with one transaction of a hundred traced, and with all. */
export async function run(): Promise<Report> {
  const sink = await start('sink.js');
  const collector = await openCollector();
  const tracing = (sample: number): string =>
    `tracing: { endpoint: "http://127.0.0.1:${collector.port}/v1/traces", sample: ${sample} }`;
  const servers: Record<string, Running> = {
    off: await startStopgap(sink.port, RULES),
    some: await startStopgap(sink.port, RULES, tracing(0.01)),
    all: await startStopgap(sink.port, RULES, tracing(1)),
  };
  const rates: Record<string, number[]> = {};
  try {
    for (const server of Object.values(servers)) await load(server.port, 20, 1_000); // warm
    // Interleaved, each time in another order, so that what else the machine does falls on all alike.
    const order = Object.entries(servers);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, server] of order) {
        const result = await load(server.port, CONNECTIONS, MESSAGES);
        if (result.lost + result.refused > 0) throw new Error(`${name}: ${JSON.stringify(result)}`);
        (rates[name] ??= []).push(result.rate);
      }
      order.push(order.shift()!);
    }
  } finally {
    for (const server of [...Object.values(servers), sink]) await server.stop();
    collector.stop();
  }
  const rate = (name: string): string => `${Math.round(median(rates[name]!))}/s`;
  const cost = (name: string): number =>
    1 - median(rates[name]!.map((one, round) => one / rates['off']![round]!));
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  return {
    name: `Tracing: SMTP throughput, ${CONNECTIONS} connections`,
    rows: [
      { label: 'off', value: rate('off') },
      { label: 'on, 1 % of transactions', value: rate('some') },
      { label: 'on, all of them', value: rate('all') },
      {
        label: 'cost of 1 %',
        value: percent(cost('some')),
        target: '<= 5 %',
        ok: cost('some') <= 0.05,
      },
      { label: 'cost of all', value: percent(cost('all')) },
      { label: 'batches that the collector got', value: String(collector.batches()) },
    ],
  };
}

/** Takes every batch, and looks at none. */
async function openCollector(): Promise<{ port: number; batches: () => number; stop: () => void }> {
  let batches = 0;
  const server = http.createServer((request, response) => {
    batches++;
    request.resume().on('end', () => response.end('{}'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    batches: () => batches,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

if (isMain(import.meta.url)) print(await run());
