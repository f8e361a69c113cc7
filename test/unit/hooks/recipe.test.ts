import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

/** The unit of systemd that the recipe writes. */
const UNIT = /stopgap-hook@\.service <<'EOF'\n(.*?)\nEOF\n/s;

test('the service that runs the hook ends nothing that the hook leaves behind, such as a delivery by Exim', () => {
  const [, unit = ''] = UNIT.exec(readFileSync('docs/run/mail-servers.md', 'utf8')) ?? [];
  assert.match(unit, /^ExecStart=/m);
  assert.match(unit, /^KillMode=process$/m);
  assert.match(readFileSync('deploy/hooks/exim.mjs', 'utf8'), /detached: true/, 'it leaves one behind');
});
