import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { passes, textFilter } from '../../../projections/blocks/text-filter.js';
import { letter } from '../../support/letters.js';

test('a text filter never denies what a text contains', () => {
  const text = fc.string({ maxLength: 20, unit: letter });
  fc.assert(
    fc.property(text, text, text, (before, wanted, after) => {
      assert.equal(passes(textFilter(['other', before + wanted + after]), wanted), true);
    }),
  );
});

test('a text filter of a thousand names denies most names that it has not', () => {
  const names = Array.from({ length: 1024 }, (_, n) => `user${700_000 + n}@customer${n % 100}.example.com`);
  const filter = textFilter(names);
  const denied = Array.from({ length: 1000 }, (_, n) => !passes(filter, `user${123_000 + n}@`));
  assert.ok(denied.filter(Boolean).length > 900);
});
