import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Counter, Gauge, Histogram } from 'prom-client';
import { counterFrom0, ScrapedRegistry, wantsOpenMetrics } from '../../../src/metrics/registry.js';

function populated(): ScrapedRegistry {
  const registry = new ScrapedRegistry();
  registry.add(new Counter({ name: 'theirs_total', help: 'c', registers: [] })).inc(2);
  counterFrom0(registry.add(new Counter({ name: 'ours_total', help: 'c', registers: [] })), {}).inc(3);
  registry.add(new Gauge({ name: 'things_total', help: 'g', registers: [] })).set(4);
  registry
    .add(new Histogram({ name: 'h', help: 'h', buckets: [1], enableExemplars: true, registers: [] }))
    .observe({ value: 0.5, exemplarLabels: { correlation: 'event:7' } });
  return registry;
}

describe('an exposition', () => {
  test('in OpenMetrics names a counter without _total, its sample with it, and ends with EOF', async () => {
    const text = await populated().openMetrics();
    assert.match(text, /^# TYPE theirs counter\ntheirs_total 2$/m);
    assert.match(text, /^# TYPE ours counter\nours_total 3$/m);
    assert.match(text, /^# TYPE things_total gauge\nthings_total 4$/m);
    assert.match(text, /\n# EOF\n$/);
    assert.doesNotMatch(text, /\n\n/);
  });

  test('in OpenMetrics has exemplars, in the text format none', async () => {
    const registry = populated();
    assert.match(
      await registry.openMetrics(),
      /^h_bucket\{le="1"\} 1 # \{correlation="event:7"\} 0\.5 \d+(\.\d+)?$/m,
    );
    assert.match(await registry.metrics(), /^h_bucket\{le="1"\} 1$/m);
  });

  test('is the same before and after one in the other format', async () => {
    const registry = populated();
    const before = await registry.metrics();
    const open = await registry.openMetrics();
    assert.equal(await registry.metrics(), before);
    assert.match(before, /^# TYPE theirs_total counter$/m);
    const [plain, again] = await Promise.all([registry.metrics(), registry.openMetrics()]);
    assert.deepEqual([plain, again], [before, open]);
  });

  test('looks things up first, in either format', async () => {
    const registry = populated();
    let looked = 0;
    registry.beforeScrape = () => Promise.resolve(void looked++);
    await registry.metrics();
    await registry.openMetrics();
    assert.equal(looked, 2);
  });
});

test('OpenMetrics is given where Accept prefers it', () => {
  const cases: readonly (readonly [accept: string | undefined, open: boolean])[] = [
    [undefined, false],
    ['', false],
    ['*/*', false],
    ['text/plain', false],
    ['text/html, application/json', false],
    ['application/openmetrics-text', true],
    ['application/openmetrics-text; version=1.0.0; charset=utf-8', true],
    ['APPLICATION/OPENMETRICS-TEXT;VERSION=1.0.0', true],
    ['application/openmetrics-text; version=9.9.9', false],
    ['application/openmetrics-text;q=0', false],
    ['application/openmetrics-text;q=0.2, text/plain;q=0.5', false],
    ['application/openmetrics-text;q=nonsense', false],
    // Prometheus 2.42, and 3.
    [
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      true,
    ],
    [
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
      true,
    ],
  ];
  for (const [accept, open] of cases) assert.equal(wantsOpenMetrics(accept), open, accept);
});
