import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { endsProcess, libraryFault } from '../../../src/store/sqlite/library.js';

test('a library of SQLite that would end the process is told from one that would not', () => {
  const installed = createRequire(import.meta.url).resolve(
    'better-sqlite3/build/Release/better_sqlite3.node',
  );
  assert.equal(endsProcess(readFileSync(installed)), false, 'npm_config_nodedir: see docs/run/install.md');
  const names = (name: string) => Buffer.from(`\0_ZN4node${name}EPN2v87IsolateEPFvPvES3_\0`);
  assert.equal(endsProcess(names('25AddEnvironmentCleanupHook')), false);
  assert.equal(endsProcess(names('28RemoveEnvironmentCleanupHook')), true);
  assert.equal(libraryFault(), undefined);
});
