import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

test('the names that other applications must leave alone are those of all streams', () => {
  const read = (file: string): string => readFileSync(file, 'utf8');
  const named = /Its streams begin with ([^;]*);/.exec(read('docs/run/deploy.md'))![1]!;
  const written = [...read('docs/reference/events.md').matchAll(/^\| `([a-z]+-?)[^`]*`/gm)].map(
    ([, name]) => name!,
  );
  assert.ok(written.length > 8, written.join());
  for (const name of [...written, 'erased-streams']) assert.ok(named.includes(`\`${name}\``), name);
});
