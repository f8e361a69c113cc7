import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { RefusalsBehind } from '../../../src/recording/refused-behind.js';

const ALICE = 'alice@example.com';
const T0 = Date.UTC(2026, 2, 1);

test('what the mail server behind refused is known for a day, with how often it said so', () => {
  const refusals = new RefusalsBehind();
  const known = (at: number) => refusals.of(ALICE, at).map(({ code, count }) => `${code} ${count}`);
  refusals.note(ALICE, 554, T0);
  refusals.note(ALICE, 552, T0 + MINUTE);
  refusals.note(ALICE, 554, T0 + HOUR);
  assert.deepEqual(known(T0 + HOUR), ['552 1', '554 2']);
  assert.deepEqual(known(T0 + MINUTE), ['552 1'], 'what was later is not known of then');
  assert.deepEqual(known(T0 + DAY + HOUR), ['554 2']);
  assert.deepEqual(known(T0 + DAY + HOUR + 1), []);
  refusals.note(ALICE, 554, T0 + DAY + HOUR);
  assert.deepEqual(known(T0 + DAY + HOUR), ['554 1'], 'a day after the first it is counted anew');
  assert.deepEqual(refusals.of('bob@example.com', T0), []);
  refusals.clear();
  assert.deepEqual(known(T0 + DAY + HOUR), []);
});

test('of an account the newest codes are known, however many a mail server says', () => {
  const refusals = new RefusalsBehind();
  for (let code = 550; code < 650; code++) refusals.note(ALICE, code, T0);
  assert.deepEqual(
    refusals.of(ALICE, T0).map(({ code }) => code),
    [642, 643, 644, 645, 646, 647, 648, 649],
  );
});
