import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FOLDING } from '../../../src/snapshots/snapshots.js';
import { sources } from './imports.js';

/** What is imported for its types alone. */
const TYPES_ONLY = ['src/store/port.ts'];

test('all that folds is in the fingerprint of a snapshot', () => {
  const imports = new Map(sources('src', 'projections').map((source) => [source.file, source.imports]));
  const reached = new Set(['src/detector/read-models.ts']);
  for (const file of reached) {
    for (const name of imports.get(file)!) {
      if (imports.has(name) && !TYPES_ONLY.includes(name)) reached.add(name);
    }
  }
  assert.ok(reached.size > 20, 'the imports were followed');
  const named = (file: string): boolean =>
    FOLDING.some((entry) => file.replace(/\.ts$/, '.js') === entry || file.startsWith(`${entry}/`));
  assert.deepEqual(
    [...reached].filter((file) => !named(file)),
    [],
  );
});
