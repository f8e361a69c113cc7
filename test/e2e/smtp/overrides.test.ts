import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockImposed } from '../../../src/blocks/events.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

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

test('a customer who bought more may send more, and the evidence says what was bought', async (context) => {
  const rules = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }
`;
  const bought = `version: 1
overrides: [{ subject: { type: account, value: ${ALICE} }, limits: { burst: 8 }, plan: pro }]
`;
  const settings = { overrides: './overrides.yaml' };
  const stopgap = await Stopgap.start(context, { rules, settings, files: { 'overrides.yaml': bought } });
  const to = (count: number) => Array.from({ length: count }, (_, index) => `r${index}@example.org`);
  const [alice, bob] = [await stopgap.loggedIn(ALICE), await stopgap.loggedIn(BOB)];
  assert.match(await alice.send(ALICE, to(8)), /^250 /);
  assert.match(await bob.send(BOB, to(6)), /^250 /);
  assert.match(await bob.say(`MAIL FROM:<${BOB}>`), /^250 /);
  assert.match(await bob.say('RCPT TO:<r@example.org>'), /^451 /, 'bob is blocked');
  assert.match(await alice.send(ALICE, to(1)), /^250 /, 'alice was not, and is now');
  const imposed = await stopgap.all<BlockImposed>('BlockImposed');
  const byAccount = new Map(imposed.map(({ data }) => [data.subject.value, data.evidence!]));
  assert.equal(byAccount.get(BOB)?.limit, 5);
  assert.equal(byAccount.get(ALICE)?.limit, 8);
  assert.match(
    byAccount.get(ALICE)!.sentence,
    /8 instead of 5, by the override of account alice@example\.com \(plan "pro"\)/,
  );
});
