import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Stopgap } from '../../support/smtp/stopgap.js';

/** Restarts without a setting, or with it again. */
async function restartWith(
  stopgap: Stopgap,
  change: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const file = path.join(stopgap.dir, 'stopgap.yaml');
  const before = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...before, ...change }));
  stopgap.logs.length = 0;
  await stopgap.restart();
}

const limit = ({ app, clock }: Stopgap): number | null =>
  app.models.overrides.limit('burst', 'account', 'a@example.com', 100, clock.now());

describe('a setting that names a file and is taken out', () => {
  test('ends the overrides that its file had set at the next start, and says how many', async (t) => {
    const entry = (name: string): string =>
      `  - { subject: { type: account, value: ${name}@example.com }, factor: 2 }\n`;
    const stopgap = await Stopgap.start(t, {
      settings: { overrides: './overrides.yaml' },
      files: { 'overrides.yaml': `version: 1\noverrides:\n${entry('a')}${entry('b')}` },
    });
    assert.equal(limit(stopgap), 200);
    await restartWith(stopgap, { overrides: undefined });
    assert.equal(limit(stopgap), 100);
    assert.equal(stopgap.app.models.overrides.size, 0);
    const said = stopgap.logs.filter((line) => line.includes('no overrides file is configured'));
    assert.match(said.join(), /"level":40,.*"removed":2/);
    await restartWith(stopgap, {});
    assert.doesNotMatch(stopgap.logs.join(), /no overrides file is configured/, 'it is said once');
    await restartWith(stopgap, { overrides: './overrides.yaml' });
    assert.equal(limit(stopgap), 200);
  });

  test('leaves the rules of its file in force, and says so at each start until others are', async (t) => {
    const stopgap = await Stopgap.start(t);
    const { version } = stopgap.app.rules;
    const isTold = (): boolean => stopgap.logs.some((line) => line.includes('no rules file is configured'));
    assert.equal(isTold(), false);
    await restartWith(stopgap, { rules: undefined });
    assert.deepEqual(stopgap.app.rules, { ...stopgap.app.rules, version, origin: 'file' });
    assert.equal(isTold(), true);
    await restartWith(stopgap, {});
    assert.equal(isTold(), true);
    await restartWith(stopgap, { rules: './rules.yaml' });
    assert.equal(isTold(), false);
  });
});
