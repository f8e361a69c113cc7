import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { shellIn } from '../../support/watch/shell.js';

const PAGES = [
  'README.md',
  'HACKING.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** Reads each argument, and runs none: one shell for all of a page, since this process takes long to start one. */
const EACH =
  'for block; do printf "%s" "$block" | sh -n || { printf "%s\\n" "$block" >&2; bad=1; }; done; exit $bad';

describe('the shell blocks of the documents', () => {
  for (const page of PAGES) {
    const blocks = shellIn(readFileSync(page, 'utf8'));
    if (blocks.length > 0)
      test(`a shell understands each block of ${page}`, () => {
        const { status, stderr } = spawnSync('sh', ['-c', EACH, 'sh', ...blocks], { encoding: 'utf8' });
        assert.equal(status, 0, stderr);
      });
  }
});
