import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CleanDays, atMost, daysNeeded, fitLimit } from '../../../src/rules/fit.js';

/** The same numbers for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Senders with records from 1 to some hundred, whose days have a tail that falls off as a power. */
function* synthetic(seed: number, count: number): Generator<readonly [record: number, peak: number]> {
  const random = randomOf(seed);
  for (let day = 0; day < count; day++) {
    const record = Math.ceil(Math.exp(5 * random() ** 2));
    yield [record, Math.floor(0.4 * (record + 4) * (1 - random()) ** (-1 / 3))];
  }
}

function daysOf(observed: Iterable<readonly [record: number, peak: number]>): CleanDays {
  const days = new CleanDays();
  for (const [record, peak] of observed) days.add(record, peak);
  return days;
}

const observed = fc.array(fc.tuple(fc.nat(60), fc.nat(400)), { minLength: 30, maxLength: 300 });

describe('a fitted limit', () => {
  test('is never lower for a smaller rate', () => {
    fc.assert(
      fc.property(
        observed,
        fc.double({ min: 0.005, max: 0.4, noNaN: true }),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        (all, rate, part) => {
          const days = daysOf(all);
          const [strict, loose] = [fitLimit(days, rate * part), fitLimit(days, rate)];
          if (strict === undefined) return;
          assert.ok(loose !== undefined);
          for (const record of [0, 1, 10, 100, 10_000]) {
            assert.ok(strict.k * record + strict.plus >= loose.k * record + loose.plus);
          }
        },
      ),
    );
  });

  test('is exceeded by as many days as it says, of which so few are not above the rate with the confidence', () => {
    fc.assert(
      fc.property(observed, fc.double({ min: 0.01, max: 0.4, noNaN: true }), (all, rate) => {
        const fitted = fitLimit(daysOf(all), rate);
        if (fitted === undefined) return;
        const { k, plus, above } = fitted;
        assert.equal(above, all.filter(([record, peak]) => peak > Math.floor(k * record + plus)).length);
        assert.ok(atMost(above) <= rate * all.length * (1 + 1e-6));
      }),
    );
  });

  test('is exceeded by one day too many if it is any lower', () => {
    const days = daysOf(synthetic(5, 40_000));
    const { k, plus } = fitLimit(days, 0.0005)!;
    assert.ok(atMost(days.above(k, plus - 1)) > 0.0005 * 40_000);
  });

  test('keeps to the stated rate on days that it has not seen, and does not stay far below it', () => {
    const rate = 0.0005;
    const rates = Array.from({ length: 12 }, (_, seed) => {
      const { k, plus } = fitLimit(daysOf(synthetic(seed + 1, 40_000)), rate)!;
      let above = 0;
      for (const [record, peak] of synthetic(1000 + seed, 100_000)) if (peak > k * record + plus) above++;
      return above / 100_000;
    });
    const kept = rates.filter((each) => each <= rate).length;
    assert.ok(kept >= 10, `${kept} of 12 keep to the rate: ${rates.join(' ')}`);
    const mean = rates.reduce((sum, each) => sum + each, 0) / rates.length;
    assert.ok(mean > rate / 3, `on average ${mean}`);
  });

  test('follows the slope of the tail, and not one odd day', () => {
    const clean = [...synthetic(7, 40_000)];
    const { k } = fitLimit(daysOf(clean), 0.0005)!;
    const odd = fitLimit(daysOf([...clean, [1, 1e6]]), 0.0005)!;
    assert.ok(Math.abs(odd.k - k) <= 0.25, `${odd.k} and ${k}`);
    // Days that are above the record by some amount at most, however high the record is, ask for a small k.
    const flat = daysOf(clean.map(([record, peak]) => [record, record + (peak % 40)]));
    assert.ok(k > 4);
    assert.equal(fitLimit(flat, 0.0005)!.k, 2, 'the least');
  });

  test('is not guessed from too few days', () => {
    assert.equal(daysNeeded(0.0002), 11_513);
    assert.equal(fitLimit(daysOf(synthetic(1, 11_512)), 0.0002), undefined);
    assert.notEqual(fitLimit(daysOf(synthetic(1, 11_513)), 0.0002), undefined);
    assert.equal(fitLimit(new CleanDays(), 0.5), undefined);
  });

  test('rests upon the upper limits of Poisson counts that tables have', () => {
    for (const [happened, limit] of [
      [0, 2.303],
      [1, 3.89],
      [2, 5.322],
      [5, 9.275],
      [10, 15.407],
    ] as const)
      assert.ok(Math.abs(atMost(happened) - limit) < 0.001, `${happened}: ${atMost(happened)}`);
  });

  test('can be had from millions of days', () => {
    const days = daysOf(Array.from({ length: 3_000 }, (_, n) => [1, n] as const));
    days.count = 50_000_000;
    assert.ok(fitLimit(days, 0.00002)!.above > 900, 'expected are a thousand');
  });
});
