import { startApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { Geoip } from '../../src/geoip/geoip.js';
import { openLogs } from '../../src/log/logs.js';
import { ListenerCertificate } from '../../src/smtp/tls.js';
import { systemClock } from '../../src/runtime/clock.js';
import { LoopWatch } from './loop.js';

/** Serves as `stopgap serve` does, tells its ports, and when asked how long its event loop was held at most since then. */
const loaded = loadConfig({ env: {}, cwd: process.cwd() });
const logs = await openLogs(loaded.config.log, (text) => process.stderr.write(text));
const app = await startApp({
  loaded,
  clock: systemClock,
  logs,
  onFatal: (error) => {
    throw error;
  },
});
const loop = new LoopWatch();
loop.start();
const port = (what: string): number =>
  Number(
    app.listening
      .find((each) => each.what === what)!
      .address.split(':')
      .at(-1),
  );

/** What is read at other times than by a signal. */
const READS: Readonly<Record<string, () => Promise<unknown>>> = {
  reload: () => app.reload(),
  certificate: () =>
    new ListenerCertificate({ files: { cert: 'tls.crt', key: 'tls.key' }, clock: systemClock }).load(),
  places: () =>
    Geoip.open({
      files: { country: 'places.mmdb', asn: undefined },
      clock: systemClock,
      log: logs.levels.of('files'),
      metrics: { fileRefused: () => undefined },
    }).then((geoip) => geoip.stop()),
};
process.on('message', (message: string) => {
  if (message === 'stop') void app.stop().then(() => process.exit(0));
  else if (message === 'held') {
    // The turn that asks is over by then.
    setTimeout(() => process.send!(loop.take()), 20);
  } else
    void READS[message]!().then(
      () => process.send!('done'),
      () => process.send!('refused'),
    );
});
// The bench was ended.
process.on('disconnect', () => process.exit(1));
process.send!({
  submission: port('submission'),
  inbound: port('inbound'),
  policy: port('policy'),
  http: port('HTTP'),
});
