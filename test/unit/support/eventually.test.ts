import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../support/smtp/eventually.js';

describe('what a test waits for', () => {
  const late = /still not so after 20 ms: it holds/;

  test('ends when it holds', () => {
    let looks = 0;
    return eventually('it holds', () => ++looks === 3);
  });

  test('fails in time where each look says no, at once or later', async () => {
    await assert.rejects(
      eventually('it holds', () => false, 20),
      late,
    );
    await assert.rejects(
      eventually('it holds', () => Promise.resolve(false), 20),
      late,
    );
  });

  test('fails in time where a look never ends', () =>
    assert.rejects(
      eventually('it holds', () => new Promise(() => undefined), 20),
      late,
    ));
});
