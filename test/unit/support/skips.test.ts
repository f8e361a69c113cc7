import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closingLine } from '../../support/skips.js';

test('the closing line counts skips by reason, the most frequent first, and names the command that helps', () => {
  const reasons = [
    'there is no Redis: install it',
    'root reads everything',
    'there is no Redis: or set REDIS_URL',
  ];
  assert.equal(
    closingLine(reasons, 'stand-in'),
    '3 skipped (2: there is no Redis, 1: root reads everything); KurrentDB: stand-in; npm run test:install installs what is missing',
  );
});

test('the closing line of a run without skips names the server alone', () => {
  assert.equal(closingLine([], 'real, one node'), 'nothing skipped; KurrentDB: real, one node');
});
