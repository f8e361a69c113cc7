import { ActiveBlocks } from '../projections/blocks/active-blocks.js';
import type { BlockEvent } from '../src/blocks/events.js';
import { Metrics } from '../src/metrics/metrics.js';
import type { ListenerMeter } from '../src/metrics/smtp.js';
import type { SenderIdentity } from '../src/sending/subjects.js';
import { senderIdentity } from '../src/sending/subjects.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';
import { load, start, startMeasured } from './smtp/processes.js';

const ROUNDS = 9;
const MESSAGES = Number(process.env['BENCH_MESSAGES'] ?? 4_000);
const CONNECTIONS = 50;
const VERDICTS = 500_000;
const BLOCKS = 10_000;
const NOW = Date.UTC(2026, 0, 1);

/** Counts, and never trips. */
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
`;

/** What measuring costs: SMTP throughput and the time of a verdict, with and without. */
export async function run(): Promise<Report> {
  return {
    name: `Instrumentation: SMTP at ${CONNECTIONS} connections, verdicts at RCPT TO`,
    rows: [...(await throughput()), ...verdicts()],
  };
}

async function throughput(): Promise<Row[]> {
  const sink = await start('sink.js');
  const on = await startMeasured(sink.port, RULES, true);
  const off = await startMeasured(sink.port, RULES, false);
  const rates = { on: [] as number[], off: [] as number[] };
  try {
    for (const { port } of [on, off]) await load(port, 20, 1_000); // warm
    // Interleaved, each first in turn, so that what else the machine does falls on both alike.
    for (let round = 0; round < ROUNDS; round++) {
      const turns = [['on', on] as const, ['off', off] as const];
      for (const [name, { port }] of round % 2 === 0 ? turns : turns.reverse()) {
        const result = await load(port, CONNECTIONS, MESSAGES);
        if (result.lost + result.refused > 0) throw new Error(`${name}: ${JSON.stringify(result)}`);
        rates[name].push(result.rate);
      }
    }
  } finally {
    for (const server of [on, off, sink]) await server.stop();
  }
  const ratio = median(rates.on.map((rate, round) => rate / rates.off[round]!));
  return [
    { label: 'measured', value: `${Math.round(median(rates.on))}/s` },
    { label: 'not measured', value: `${Math.round(median(rates.off))}/s` },
    {
      label: `measured / not measured, median of ${ROUNDS} rounds`,
      value: ratio.toFixed(3),
      target: '>= 0.95',
      ok: ratio >= 0.95,
    },
  ];
}

/** As at RCPT TO: the command is measured from its beginning until its answer is decided. */
function verdicts(): Row[] {
  const blocks = new ActiveBlocks();
  for (let n = 0; n < BLOCKS; n++) blocks.apply(imposed(n));
  const senders = Array.from({ length: 1000 }, (_, n) => sender(n));
  const doors = [true, false].map((measuresMessages) =>
    new Metrics({ measuresMessages }).smtp.door('outbound'),
  );
  const times: number[][] = [[], []];
  for (let round = -2; round < ROUNDS; round++) {
    for (const [index, door] of doors.entries()) {
      const time = perVerdict(blocks, senders, door);
      if (round >= 0) times[index]!.push(time); // the first two warm up
    }
  }
  const [on, off] = [median(times[0]!), median(times[1]!)];
  const cost = median(times[0]!.map((time, round) => time - times[1]![round]!));
  return [
    { label: 'a verdict, its command measured', value: `${on.toFixed(0)} ns` },
    { label: 'a verdict alone', value: `${off.toFixed(0)} ns` },
    { label: 'measuring one', value: `${cost.toFixed(0)} ns`, target: '<= 200 ns', ok: cost <= 200 },
  ];
}

/** Nanoseconds. */
function perVerdict(blocks: ActiveBlocks, senders: readonly SenderIdentity[], door: ListenerMeter): number {
  let refused = 0;
  const answer = (error?: Error | null): void => void (error !== null && refused++);
  const began = performance.now();
  for (let n = 0; n < VERDICTS; n++) {
    const done = door.measured('rcpt', answer);
    done(blocks.find(senders[n % senders.length]!, NOW) === undefined ? null : undefined);
  }
  const took = performance.now() - began;
  if (refused !== VERDICTS / 10) throw new Error(`${refused} of ${VERDICTS} refused: one in ten should be`);
  return (took * 1e6) / VERDICTS;
}

function sender(n: number): SenderIdentity {
  const account = n % 10 === 0 ? `blocked${n}@example.com` : `user${n}@example.com`;
  const names = { account, returnPath: account, ehlo: `pc${n}.example.net`, ip: `198.51.100.${n % 250}` };
  return senderIdentity({ ...names, direction: 'outbound' });
}

function imposed(n: number): BlockEvent {
  const subject = { type: 'account', value: `blocked${n}@example.com` } as const;
  const terms = { direction: 'all', description: '', refusal: 'soft', until: null, origin: 'rule' } as const;
  const data = { ...terms, block: `b${n}`, subject, renewWhileTrying: false };
  return {
    id: `e${n}`,
    type: 'BlockImposed',
    at: NOW,
    by: 'rule:burst@1',
    position: n + 1,
    revision: 0,
    data,
  };
}

if (isMain(import.meta.url)) print(await run());
