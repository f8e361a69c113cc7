import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { watchRules, watchUsers } from '../../../src/watched-files.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const RULES = 'version: 1\nrules: []\n';

test('the log says when a refused file is well again, whether or not it is as before', async (context) => {
  const folder = temporaryDirectory(context);
  const lines: string[] = [];
  const log = pino({ base: undefined }, { write: (line: string) => void lines.push(line) });
  const metrics = { fileRefused: () => undefined };
  const loader = { reload: () => Promise.resolve(false as never) };
  const said = (): string[] =>
    lines.splice(0).map((line) => {
      const { what, msg } = JSON.parse(line) as { readonly what: string; readonly msg: string };
      return `${what}: ${msg}`;
    });
  const rules = path.join(folder, 'rules.yaml');
  writeFileSync(rules, RULES);
  const watched = await watchRules(rules, loader, log, metrics);
  writeFileSync(rules, 'version: 1\nrules: of another kind\n');
  await watched.check();
  writeFileSync(rules, RULES);
  await watched.check();
  assert.deepEqual(said(), [
    'rules: a file was refused; what was in force stays',
    'rules: a file was read again',
  ]);
  const users = path.join(folder, 'users.yaml');
  writeFileSync(users, 'users: []\n');
  const accounts = await watchUsers(users, log, metrics);
  rmSync(users);
  await accounts.check();
  writeFileSync(users, 'users: []\n');
  await accounts.check();
  assert.deepEqual(said(), [
    'users: a file was refused; what was in force stays',
    'users: a file that was refused can be used again, and is what is in force',
  ]);
});
