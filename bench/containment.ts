import { isMain, print } from './report.js';
import type { Report } from './report.js';
import { load, start, startStopgap } from './smtp/processes.js';

const RUNS = 10;
const MOST = 150;

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }
`;

/** One account on 50 connections at full speed, against a rule of 100 recipients in ten minutes. */
export async function run(): Promise<Report> {
  const sink = await start('sink.js');
  const through: number[] = [];
  try {
    for (let each = 0; each < RUNS; each++) {
      const stopgap = await startStopgap(sink.port, RULES);
      try {
        through.push((await load(stopgap.port, 50, 2_000)).accepted);
      } finally {
        await stopgap.stop();
      }
    }
  } finally {
    await sink.stop();
  }
  const worst = Math.max(...through);
  return {
    name: 'Containment: 50 connections at full speed, limit 100',
    rows: [
      { label: 'got through, each run', value: through.join(' ') },
      { label: 'at the worst', value: String(worst), target: `<= ${MOST}`, ok: worst <= MOST },
      { label: 'at the worst / the limit', value: (worst / 100).toFixed(2) },
    ],
  };
}

if (isMain(import.meta.url)) print(await run());
