import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { PasswordChecker } from '../../../src/accounts/passwords.js';
import { readTokens } from '../../../src/accounts/tokens.js';
import { addUser, readUsers, removeUser } from '../../../src/accounts/users.js';
import type { Evaluation } from '../../../src/config/evaluation.js';
import { loadConfig } from '../../../src/config.js';
import { DEMO_ACCOUNT, setUpEvaluation } from '../../../src/config/evaluation.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const NOW = Date.parse('2026-01-02T03:04:05Z');

async function start(cwd: string): Promise<Evaluation> {
  return setUpEvaluation(loadConfig({ env: {}, cwd }).config, NOW);
}

test('the first start makes an account and a token that work, the second makes nothing', async (context) => {
  const cwd = temporaryDirectory(context);
  const first = await start(cwd);
  const users = path.join(cwd, 'data/users.yaml');
  const tokens = path.join(cwd, 'data/tokens.yaml');
  const stored = (await readUsers(users)).get(DEMO_ACCOUNT)!.password;
  assert.equal(await new PasswordChecker().verify(stored, first.password!), true);
  assert.equal((await readTokens(tokens)).find(first.token!, Date.now())?.role, 'admin');

  const before = [users, tokens, first.credentialsFile].map((file) => readFileSync(file, 'utf8'));
  const second = await start(cwd);
  assert.equal(second.password, undefined);
  assert.equal(second.token, undefined);
  assert.equal(second.credentialsKept, true);
  assert.deepEqual(
    [users, tokens, first.credentialsFile].map((file) => readFileSync(file, 'utf8')),
    before,
  );
});

test('secrets are random, and kept in one file that only its owner can read', async (context) => {
  const [one, other] = [await start(temporaryDirectory(context)), await start(temporaryDirectory(context))];
  assert.notEqual(one.password, other.password);
  assert.notEqual(one.token, other.token);
  const text = readFileSync(one.credentialsFile, 'utf8');
  assert.ok(text.includes(one.password!) && text.includes(one.token!) && text.includes(DEMO_ACCOUNT));
  assert.equal(statSync(one.credentialsFile).mode & 0o777, 0o600);
  assert.equal(statSync(path.dirname(one.credentialsFile)).mode & 0o777, 0o700);
});

test('a start that was cut short goes on with the same secrets', async (context) => {
  const cwd = temporaryDirectory(context);
  const first = await start(cwd);
  // As if the process had ended after the credentials and the tokens were written.
  rmSync(path.join(cwd, 'data/users.yaml'));
  const second = await start(cwd);
  assert.equal(second.password, first.password);
  assert.equal(second.token, undefined);
  assert.ok(readFileSync(first.credentialsFile, 'utf8').includes(first.token!));
});

test('what an administrator removed or made stays that way', async (context) => {
  const cwd = temporaryDirectory(context);
  const users = path.join(cwd, 'data/users.yaml');
  await addUser({ file: users, name: 'anna@example.com', password: 'sesame', now: NOW });
  const own = await start(cwd);
  assert.equal(own.password, undefined, 'own users: no demo account');
  assert.match(own.token!, /^sgp_/);
  await removeUser({ file: users, name: 'anna@example.com' });
  assert.equal((await start(cwd)).password, undefined);
  rmSync(own.credentialsFile);
  const later = await start(cwd);
  assert.equal(later.credentialsKept, false);
  assert.equal(existsSync(own.credentialsFile), false);
});

test('a broken users file stops the start', async (context) => {
  const cwd = temporaryDirectory(context);
  await start(cwd);
  writeFileSync(path.join(cwd, 'data/users.yaml'), 'users: 5\n');
  await assert.rejects(start(cwd), /users\.yaml:1:8: users: must be a list/);
});

test('of two first starts at once one makes the account and the token, and the other leaves them', async (context) => {
  const cwd = temporaryDirectory(context);
  const both = await Promise.all([start(cwd), start(cwd)]);
  const [made, ...others] = both.filter(({ password }) => password !== undefined);
  assert.deepEqual(others, []);
  const stored = (await readUsers(path.join(cwd, 'data/users.yaml'))).get(DEMO_ACCOUNT)!.password;
  assert.equal(await new PasswordChecker().verify(stored, made!.password!), true);
  assert.equal((await readTokens(path.join(cwd, 'data/tokens.yaml'))).find(made!.token!, NOW)?.role, 'admin');
  assert.ok(readFileSync(made!.credentialsFile, 'utf8').includes(made!.password!));
});
