import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { v5 } from 'uuid';
import { idOf } from '../../../src/runtime/ids.js';

test('the id of a text is the UUID of version 5 that the library makes of it: stores hold such ids', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      assert.equal(idOf(text), v5(text, '6f1f3c4e-0d0b-4a7c-9d53-5c0f7e2b8a61'));
    }),
  );
});
