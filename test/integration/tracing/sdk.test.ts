import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import type { TracingSettings } from '../../../src/config/schema.js';
import type { OpenTracing } from '../../../src/tracing/open.js';
import { openTracing } from '../../../src/tracing/open.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Collector } from '../../support/tracing/collector.js';

/** Spans that go out at once. */
const BATCH = 512;
/** Spans that wait at most. */
const WAITING = 2048;

interface Line {
  readonly msg: string;
  readonly reason?: unknown;
  readonly spansLost?: number;
}

async function open(t: TestContext, endpoint: string): Promise<OpenTracing & { readonly lines: Line[] }> {
  const lines: Line[] = [];
  const log = pino({ level: 'trace' }, { write: (line) => void lines.push(JSON.parse(line) as Line) });
  const settings = { endpoint, sample: 1, service: 'mail', headers: {} } satisfies TracingSettings;
  const opened = await openTracing(settings, { version: '1.2.3', roles: ['smtp'] }, log);
  t.after(() => opened.close());
  return { ...opened, lines };
}

function spans({ tracing }: OpenTracing, count: number): void {
  for (let n = 0; n < count; n++) tracing.start('one').end();
}

/** What was said of the collector. */
const told = (lines: readonly Line[]): string[] =>
  lines.flatMap(({ msg }) => (msg.startsWith('the collector') ? [msg.split(':')[0]!] : []));

describe('the exporter', () => {
  test('sends what waits at the end, and says who it is', async (t) => {
    const collector = await Collector.start(t);
    const opened = await open(t, collector.endpoint);
    spans(opened, 3);
    await opened.close();
    assert.equal(collector.named('one').length, 3);
    const { resource } = collector.spans[0]!;
    assert.equal(resource['service.name'], 'mail');
    assert.equal(resource['service.version'], '1.2.3');
    assert.deepEqual(resource['stopgap.roles'], ['smtp']);
    assert.deepEqual(told(opened.lines), []);
  });

  test('that is refused says so once, and once that it is not any more', async (t) => {
    const collector = await Collector.start(t);
    const opened = await open(t, collector.endpoint);
    collector.status = 400;
    for (let round = 1; round <= 3; round++) {
      spans(opened, BATCH);
      await eventually('a batch is refused', () => collector.headers.length === round);
    }
    await eventually('it is said', () => told(opened.lines).length > 0);
    assert.deepEqual(told(opened.lines), ['the collector takes no traces']);
    collector.status = 200;
    spans(opened, BATCH);
    await eventually('it is taken', () => collector.spans.length === BATCH);
    await eventually('it is said', () => told(opened.lines).length === 2);
    const last = opened.lines.at(-1)!;
    assert.equal(last.msg, 'the collector takes traces again');
    assert.equal(last.spansLost, 3 * BATCH);
  });

  test('whose collector hangs keeps no more than it may, and does not hold up the end', async (t) => {
    const collector = await Collector.start(t);
    const opened = await open(t, collector.endpoint);
    collector.status = 0;
    spans(opened, BATCH);
    await eventually('a batch is on its way', () => collector.headers.length === 1);
    spans(opened, 10 * WAITING);
    // What is kept is what goes out in the end: in full batches, all at once.
    await opened.close();
    await eventually('the rest went out', () => collector.headers.length === 1 + WAITING / BATCH);
    assert.deepEqual(told(opened.lines), [], 'nobody waited until it failed');
  });
});
