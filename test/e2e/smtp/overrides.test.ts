import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stopgap } from '../../support/smtp/stopgap.js';

const FILE = 'version: 1\noverrides: [{ subject: { type: domain, value: example.com }, factor: 3 }]\n';

test('a process with an overrides file holds it in force once it is up, also after a restart', async (context) => {
  const settings = { overrides: './overrides.yaml' };
  const stopgap = await Stopgap.start(context, { settings, files: { 'overrides.yaml': FILE } });
  const limit = () => stopgap.app.models.overrides.limit('any', 'account', 'a@example.com', 10, Date.now());
  assert.equal(limit(), 30);
  await stopgap.restart();
  assert.equal(limit(), 30);
  assert.equal((await stopgap.all('OverrideSet')).length, 1, 'it is set once');
});
