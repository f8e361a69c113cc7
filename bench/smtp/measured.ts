import { startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { openLogs } from '../../src/log/logs.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { systemClock } from '../../src/runtime/clock.js';

/** Serves as `stopgap serve` does; with `false` as its argument it measures nothing on the way of a message. */
const measuresMessages = process.argv[2] !== 'false';
const loaded = loadConfig({ env: {}, cwd: process.cwd() });
const app = await startApp({
  loaded,
  clock: systemClock,
  logs: await openLogs(loaded.config.log, (text) => process.stderr.write(text)),
  metrics: new Metrics({ measuresMessages }),
  onFatal: (error) => {
    throw error;
  },
});
process.once('SIGTERM', () => void app.stop());
for (const { what, address } of app.listening) process.stdout.write(`${what} ${address}\n`);
