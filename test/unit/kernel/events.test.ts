import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidInput, StopgapError, messageOf } from '../../../src/kernel/errors.js';
import { categoryOf, keyOf, streamName } from '../../../src/kernel/events.js';

describe('stream names', () => {
  test('keep a key with dashes whole', () => {
    const name = streamName('block', 'address:bulk-*@a-b.example');
    assert.equal(categoryOf(name), 'block');
    assert.equal(keyOf(name), 'address:bulk-*@a-b.example');
    assert.equal(categoryOf('rules'), 'rules');
    assert.equal(keyOf('rules'), 'rules');
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
    assert.deepEqual(
      [messageOf(new Error('x')), messageOf('y'), messageOf(undefined)],
      ['x', 'y', 'undefined'],
    );
  });
});
