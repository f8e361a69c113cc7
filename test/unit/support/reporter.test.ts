import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sourced } from '../../support/reporter.js';

test('a stack of a failed test names the lines of the sources, and leaves what has none', () => {
  const here = fileURLToPath(import.meta.url)
    .replace('/dist/', '/')
    .replace(/\.js$/, '.ts');
  const stack = sourced(new Error('it failed').stack!);
  assert.ok(stack.includes(`${here}:8:25`), stack);
  assert.equal(sourced('at f (file:///nowhere/x.js:1:2)'), 'at f (file:///nowhere/x.js:1:2)');
});
