import { monitorEventLoopDelay } from 'node:perf_hooks';
import { startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { openLogs } from '../../src/log/logs.js';
import { systemClock } from '../../src/system-clock.js';

/** Serves as `stopgap serve` does, tells its ports, and when asked how long its event loop was held at most since then. */
const loaded = loadConfig({ env: {}, cwd: process.cwd() });
const app = await startApp({
  loaded,
  clock: systemClock,
  logs: await openLogs(loaded.config.log, (text) => process.stderr.write(text)),
  onFatal: (error) => {
    throw error;
  },
});
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const port = (what: string): number =>
  Number(
    app.listening
      .find((each) => each.what === what)!
      .address.split(':')
      .at(-1),
  );
process.on('message', (message) => {
  if (message === 'held') {
    // The turn that asks is over by then.
    setTimeout(() => {
      process.send!(delay.max / 1e6);
      delay.reset();
    }, 20);
  } else void app.stop().then(() => process.exit(0));
});
process.send!({ submission: port('submission'), inbound: port('inbound'), http: port('HTTP') });
