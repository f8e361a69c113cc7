import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VerdictComparison } from '../../../projections/blocks/shadow.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { T0, evidence } from '../../support/given.js';

/** One of the two asks for a block of an hour, unless said otherwise. */
function asks(
  comparison: VerdictComparison,
  side: 'live' | 'shadow',
  user: number,
  more: { rule?: string; lasts?: number } = {},
): void {
  const { rule = 'burst', lasts = HOUR } = more;
  const asked = { action: 'block', evidence: evidence({ rule }), at: T0 } as const;
  const subject = { type: 'account', value: `user${user}@example.com` } as const;
  comparison.note(side, subject, asked, lasts, () => ({}));
}

function begun(): VerdictComparison {
  const comparison = new VerdictComparison();
  comparison.advance(T0);
  return comparison;
}

describe('a case', () => {
  for (const [lasts, settled] of [
    [MINUTE, HOUR],
    [5 * HOUR, 5 * HOUR],
    [30 * DAY, DAY],
  ] as const) {
    test(`of ${lasts} ms lasts an hour at least and a day at most`, () => {
      const comparison = begun();
      asks(comparison, 'live', 1, { lasts });
      comparison.advance(T0 + settled - 1);
      assert.equal(comparison.open, 1);
      comparison.advance(T0 + settled);
      assert.equal(comparison.open, 0);
    });
  }

  test('lasts as long as the longer of what the two ask for', () => {
    const comparison = begun();
    asks(comparison, 'live', 1, { lasts: 5 * HOUR });
    comparison.advance(T0 + HOUR);
    asks(comparison, 'shadow', 1, { lasts: HOUR });
    comparison.advance(T0 + 3 * HOUR);
    assert.equal(comparison.open, 1);
    comparison.advance(T0 + 5 * HOUR);
    assert.deepEqual(comparison.tallies().get('burst')?.both, 1);
  });

  test('has a number that no other has, also after a restore', () => {
    const comparison = begun();
    asks(comparison, 'live', 1);
    asks(comparison, 'shadow', 2);
    const restored = new VerdictComparison();
    restored.restore(comparison.dump());
    asks(restored, 'live', 3);
    assert.deepEqual(
      restored.differences().map(({ number }) => number),
      [3, 2, 1],
    );
    assert.equal(comparison.differences().length, 2);
  });
});

describe('what a comparison keeps', () => {
  test('is bounded: of open cases the oldest are settled, of differences the newest kept, and all counted', () => {
    const comparison = begun();
    for (let user = 1; user <= 10_050; user++) asks(comparison, 'shadow', user);
    assert.equal(comparison.open, 10_000);
    assert.equal(comparison.tallies().get('burst')?.shadowOnly, 50);
    comparison.advance(T0 + HOUR);
    assert.equal(comparison.tallies().get('burst')?.shadowOnly, 10_050);
    const kept = comparison.differences();
    assert.equal(kept.length, 1000);
    assert.deepEqual([kept[0]?.number, kept.at(-1)?.number], [10_050, 9051]);
  });

  test('counts what concerns more rules than two sets can have under one name', () => {
    const comparison = begun();
    for (let user = 0; user < 600; user++) asks(comparison, 'live', user, { rule: `r${user}` });
    comparison.advance(T0 + HOUR);
    const tallies = comparison.tallies();
    assert.equal(tallies.size, 501);
    assert.equal(tallies.get('r499')?.liveOnly, 1);
    assert.equal(tallies.get('(other)')?.liveOnly, 100);
  });
});
