import { print } from './report.js';
import type { Report } from './report.js';

/*
 * Runs the benchmarks: all, or those named.
 *
 *   npm run bench
 *   npm run bench -- verdict store
 */
const BENCHES: Readonly<Record<string, () => Promise<{ run: () => Promise<Report> }>>> = {
  verdict: () => import('./verdict.js'),
  detector: () => import('./detector.js'),
  overrides: () => import('./overrides.js'),
  blocks: () => import('./blocks.js'),
  shadow: () => import('./shadow.js'),
  store: () => import('./store.js'),
  kurrentdb: () => import('./kurrentdb.js'),
  smtp: () => import('./smtp.js'),
  policy: () => import('./policy.js'),
  'front-door': () => import('./front-door.js'),
  fairness: () => import('./fairness.js'),
  tracing: () => import('./tracing.js'),
  instrumentation: () => import('./instrumentation.js'),
  scrape: () => import('./scrape.js'),
  containment: () => import('./containment.js'),
  distributed: () => import('./distributed.js'),
  startup: () => import('./startup.js'),
  outbox: () => import('./outbox.js'),
  expiry: () => import('./expiry.js'),
  backtest: () => import('./backtest.js'),
  detection: () => import('./detection.js'),
  informed: () => import('./informed.js'),
  hostile: () => import('./hostile.js'),
  users: () => import('./users.js'),
  page: () => import('./page.js'),
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(BENCHES, name));
if (unknown.length > 0) {
  process.stderr.write(`no benchmark ${unknown.join(', ')}: there are ${Object.keys(BENCHES).join(', ')}\n`);
  process.exit(2);
}
let missed = 0;
for (const [name, load] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const report = await (await load()).run();
  print(report);
  missed += report.rows.filter(({ ok }) => ok === false).length;
}
process.exitCode = missed > 0 ? 1 : 0;
