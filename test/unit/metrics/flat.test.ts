import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Counter, Histogram, Registry } from 'prom-client';
import { FlatCounter, FlatHistogram } from '../../../src/metrics/flat.js';
import { ScrapedRegistry } from '../../../src/metrics/registry.js';
import { samplesOf } from '../../support/metrics.js';

const BUCKETS = [0.001, 0.025, 0.5, 10];
const stage = fc.constantFrom('mail', 'rcpt', 'data');

/** Samples of two expositions in an order of their own. */
const sorted = (text: string): readonly string[] =>
  samplesOf(text)
    .map(({ name, labels, value }) => JSON.stringify([name, Object.entries(labels).sort(), value]))
    .sort();

describe('flat metrics', () => {
  test('show a histogram just as prom-client does', async () => {
    const seconds = fc.oneof(fc.constantFrom(...BUCKETS, 0), fc.double({ min: 0, max: 20, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ stage, seconds }), { minLength: 1 }), async (observations) => {
        const description = { name: 'h', help: 'h', labelNames: ['stage'] as const, buckets: BUCKETS };
        const theirs = new Registry();
        const histogram = new Histogram({ ...description, registers: [theirs] });
        const ours = new ScrapedRegistry();
        const flat = ours.add(new FlatHistogram(description));
        for (const one of observations) {
          histogram.observe({ stage: one.stage }, one.seconds);
          flat.cell({ stage: one.stage }).observe(one.seconds);
        }
        assert.deepEqual(sorted(await ours.metrics()), sorted(await theirs.metrics()));
      }),
      { numRuns: 50 },
    );
  });

  test('show a counter just as prom-client does', async () => {
    const by = fc.nat(1000);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ stage, by }), { minLength: 1 }), async (increases) => {
        const description = { name: 'c_total', help: 'c', labelNames: ['stage'] as const };
        const theirs = new Registry();
        const counter = new Counter({ ...description, registers: [theirs] });
        const ours = new ScrapedRegistry();
        const flat = ours.add(new FlatCounter(description));
        for (const one of increases) {
          counter.inc({ stage: one.stage }, one.by);
          flat.cell({ stage: one.stage }).inc(one.by);
        }
        assert.deepEqual(sorted(await ours.metrics()), sorted(await theirs.metrics()));
      }),
      { numRuns: 50 },
    );
  });

  test('give the same place for the same labels, whatever their order', () => {
    const counter = new FlatCounter({ name: 'c_total', help: 'c', labelNames: ['a', 'b'] as const });
    assert.equal(counter.cell({ a: '1', b: '2' }), counter.cell({ b: '2', a: '1' }));
    assert.notEqual(counter.cell({ a: '1', b: '2' }), counter.cell({ a: '2', b: '1' }));
  });

  test('are empty after a reset, and go on counting in the same places', async () => {
    const registry = new ScrapedRegistry();
    const counter = registry.add(new FlatCounter({ name: 'c_total', help: 'c' }));
    const histogram = registry.add(new FlatHistogram({ name: 'h', help: 'h', buckets: [1] }));
    counter.cell({}).inc(3);
    histogram.cell({}).observe(2);
    registry.resetMetrics();
    assert.deepEqual(
      samplesOf(await registry.metrics()).map(({ value }) => value),
      [0, 0, 0, 0, 0],
    );
    counter.cell({}).inc();
    assert.match(await registry.metrics(), /^c_total 1$/m);
  });
});
