import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sourced } from '../../support/reporter.js';

test('a stack of a failed test names the lines of the sources, and leaves what has none', () => {
  const stack = sourced(new Error('it failed').stack!);
  const here = fileURLToPath(import.meta.url)
    .replace('/dist/', '/')
    .replace(/\.js$/, '.ts');
  const line =
    1 +
    readFileSync(here, 'utf8')
      .split('\n')
      .findIndex((text) => text.includes("Error('it"));
  assert.ok(stack.includes(`${here}:${line}:`), stack);
  assert.equal(sourced('at f (file:///nowhere/x.js:1:2)'), 'at f (file:///nowhere/x.js:1:2)');
});
