import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { COMPILED } from '../../support/program.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';
import { Collector } from '../../support/tracing/collector.js';

const NEVER_TRIPS = `version: 1
rules:
  - { id: never, per: account, count: messages, window: 1h, limit: 1000000, then: observe }
`;

/** Writes down which modules a process has loaded when it ends. */
const PROBE = `
  import { createRequire } from 'node:module';
  import { writeFileSync } from 'node:fs';
  import { isMainThread } from 'node:worker_threads';
  const { cache } = createRequire(process.cwd() + '/probe.js');
  if (isMainThread)
    process.on('exit', () => writeFileSync(process.env.PROBE_FILE, JSON.stringify(Object.keys(cache))));
`;

/** Runs a server for one message; gives what it loaded of OpenTelemetry. */
async function loadedBy(t: TestContext, env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const dir = await workDir(t);
  const file = path.join(dir, 'modules.json');
  const probed = {
    ...env,
    PROBE_FILE: file,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PROBE)}`,
  };
  const served = await Served.start(t, dir, probed, { main: COMPILED });
  const session = await Dialogue.hello(served.port('submission'));
  assert.match(await session.login('demo@example.com', served.told('password')), /^235 /);
  assert.match(await session.send('demo@example.com', ['a@elsewhere.test']), /^250 /);
  await session.quit();
  await served.terminate();
  const modules = JSON.parse(await readFile(file, 'utf8')) as string[];
  const found = modules.map((name) => /@opentelemetry[\\/]([^\\/]+)/.exec(name)?.[1]);
  return [...new Set(found.filter((name) => name !== undefined))].sort();
}

test('off, as it comes, nothing that could send a trace is loaded', async (t) => {
  assert.deepEqual(await loadedBy(t, {}), ['api']);
});

test('on, it is; the very same way of looking finds it', async (t) => {
  const collector = await Collector.start(t);
  const env = { STOPGAP_TRACING_ENDPOINT: collector.endpoint, STOPGAP_TRACING_SAMPLE: '1' };
  const loaded = await loadedBy(t, env);
  for (const name of ['sdk-trace', 'exporter-trace-otlp-http'])
    assert.ok(loaded.includes(name), loaded.join());
  assert.equal(collector.named('smtp transaction').length, 1, 'sent before the process was gone');
});

test('the standard variables switch it on and off as well', async (t) => {
  const collector = await Collector.start(t);
  const on = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: collector.endpoint, OTEL_TRACES_SAMPLER: 'always_on' };
  await loadedBy(t, {
    ...on,
    OTEL_SERVICE_NAME: 'mail',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=of-a-test',
  });
  const [span] = collector.named('smtp transaction');
  assert.equal(span!.resource['service.name'], 'mail');
  assert.equal(span!.resource['deployment.environment.name'], 'test');
  assert.equal(collector.headers[0]!['x-key'], 'of-a-test');
  assert.deepEqual(await loadedBy(t, { ...on, OTEL_SDK_DISABLED: 'true' }), ['api']);
  assert.equal(collector.named('smtp transaction').length, 1);
});

test('with no collector at all mail goes its way, and one line says why there are no traces', async (t) => {
  // Nothing listens on tcpmux: a port that was free a moment ago may be another test's by now.
  const tracing = { endpoint: 'http://127.0.0.1:1', sample: 1 };
  const stopgap = await Stopgap.start(t, { rules: NEVER_TRIPS, settings: { tracing } });
  const session = await stopgap.loggedIn();
  const lines = (): readonly string[] => stopgap.logs.filter((line) => line.includes('the collector'));
  let sent = 0;
  await eventually('the exporter has given up once', async () => {
    if (sent < 50) assert.match(await session.send(ALICE, [`r${++sent}@elsewhere.test`]), /^250 /);
    return lines().length > 0;
  });
  assert.equal(lines().length, 1);
  assert.match(lines()[0]!, /"reason":"ECONNREFUSED".*mail is not affected/);
  assert.match(await session.send(ALICE, ['last@elsewhere.test']), /^250 /);
  await session.quit();
  assert.equal((await stopgap.all('MessageAccepted')).length, sent + 1);
});
