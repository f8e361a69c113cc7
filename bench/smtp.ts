import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';
import { HARAKA, startHaraka } from './smtp/haraka.js';
import type { Running } from './smtp/processes.js';
import { load, start, startStopgap } from './smtp/processes.js';

const ROUNDS = 9;
const MESSAGES = 6_000;

/** Everything counts, nothing trips: six rules over four subject types, far above what is sent here. */
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
  - { id: day, per: account, count: messages, window: 24h, limit: 1000000, then: propose, for: 24h }
  - { id: path, per: address, count: messages, window: 1h, limit: 1000000, then: block, for: 1h }
  - { id: domain, per: domain, count: recipients, window: 1h, limit: 1000000, then: propose, for: 4h }
  - { id: domain-day, per: domain, count: bytes, window: 24h, limit: 100GB, then: propose, for: 4h }
  - { id: network, per: ip, count: messages, window: 1h, limit: 1000000, then: block, for: 1h }
`;

/** Messages a second with everything on, beside smtp-server with the same relay and nothing else. */
export async function run(): Promise<Report> {
  const sink = await start('sink.js');
  const upstream = `smtp://127.0.0.1:${sink.port}`;
  const servers: Record<string, Running> = {
    stopgap: await startStopgap(sink.port, RULES),
    relay: await start('baseline.js', 'relay', upstream),
    discard: await start('baseline.js', 'discard'),
    ...(HARAKA === undefined ? {} : { haraka: await startHaraka(HARAKA) }),
  };
  const rows: Row[] = [];
  try {
    for (const server of Object.values(servers)) await load(server.port, 20, 1_000); // warm
    for (const connections of [50, 200]) rows.push(...(await measure(servers, connections)));
  } finally {
    for (const server of [...Object.values(servers), sink]) await server.stop();
  }
  return { name: 'SMTP: AUTH, verdict, relay, durable event, detector', rows };
}

async function measure(servers: Record<string, Running>, connections: number): Promise<Row[]> {
  const rates: Record<string, number[]> = {};
  // Interleaved, so that what else the machine does falls on all alike.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, server] of Object.entries(servers)) {
      const result = await load(server.port, connections, MESSAGES);
      if (result.lost + result.refused > 0) throw new Error(`${name}: ${JSON.stringify(result)}`);
      (rates[name] ??= []).push(result.rate);
    }
  }
  const ratio = median(rates['stopgap']!.map((rate, round) => rate / rates['relay']![round]!));
  const rate = (name: string): string => `${Math.round(median(rates[name]!))}/s`;
  const at = `${connections} connections`;
  return [
    { label: `${at}: Stopgap, everything on`, value: rate('stopgap') },
    { label: `${at}: smtp-server with the same relay`, value: rate('relay') },
    { label: `${at}: smtp-server that discards`, value: rate('discard') },
    {
      label: `${at}: Haraka with its limit plugin on Redis, discarding`,
      value:
        HARAKA === undefined
          ? 'not measured: set HARAKA to a folder in which it is installed'
          : rate('haraka'),
    },
    {
      label: `${at}: Stopgap / the same relay`,
      value: ratio.toFixed(2),
      target: '>= 0.70',
      ok: ratio >= 0.7,
    },
  ];
}

if (isMain(import.meta.url)) print(await run());
