import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidInput, StopgapError, messageOf } from '../../../src/kernel/errors.js';
import { categoryOf, streamName } from '../../../src/kernel/events.js';

describe('stream names', () => {
  test('tell the category, even if the key has dashes', () => {
    const name = streamName('block', 'address:bulk-*@a-b.example');
    assert.equal(name, 'block-address:bulk-*@a-b.example');
    assert.equal(categoryOf(name), 'block');
    assert.equal(categoryOf('rules'), 'rules');
  });
});

describe('errors', () => {
  test('carry a code, and what is at fault', () => {
    const error = new InvalidInput('until', 'must lie in the future');
    assert.ok(error instanceof StopgapError);
    assert.deepEqual(
      [error.code, error.field, error.details],
      ['invalid-input', 'until', { field: 'until' }],
    );
  });
  test('of any kind have a text', () => {
    assert.deepEqual([new Error('x'), new RangeError(''), 'y', '', undefined].map(messageOf), [
      'x',
      'RangeError',
      'y',
      'an error without a reason',
      'undefined',
    ]);
  });
});
