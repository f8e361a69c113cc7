import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstMonth } from '../../../src/cli/simulate/verb.js';
import { DAY } from '../../../src/kernel/time.js';

const NOW = Date.parse('2027-03-01T00:00:00Z');
const LEARNING = { days: 5, age: '7d', installation: '31d' };

for (const [days, said] of [
  [0, 'this installation is 0 days old: in its first 31d'],
  [12, 'this installation is 12 days old: in its first 31d'],
  [31, undefined],
  [70, undefined],
] as const) {
  test(`${days} days after its beginning an installation is ${said === undefined ? 'no longer' : 'still'} young`, () => {
    const installedAt = new Date(NOW - days * DAY).toISOString();
    const text = firstMonth({ installedAt, learning: LEARNING }, NOW).join(' ');
    if (said === undefined) assert.equal(text, '');
    else assert.ok(text.includes(said), text);
  });
}

test('of an installation that cannot be asked both is possible', () => {
  assert.match(firstMonth(undefined, NOW).join(' '), /Should this installation be younger than a month/);
});
