import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashPassword } from '../../../src/accounts/passwords.js';
import type { BlockImposed, BlockProposed } from '../../../src/blocks/events.js';
import { ManualClock } from '../../support/manual-clock.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
maxAutomaticBlocks: 20 in 10m
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 10, then: block, for: 1h }
`;
const SACRIFICED = Array.from({ length: 20 }, (_, n) => `user${n}@example.com`);
const PASSWORD = PASSWORDS[ALICE]!;

const recipients = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `r${index}@elsewhere.test`);

test('twenty accounts given up do not free the next one: at five times its limit it is blocked, one past its limit is not', async (t) => {
  const password = await hashPassword(PASSWORD, { ln: 4, r: 1, p: 1 });
  const users = [...SACRIFICED, ALICE, BOB].map((name) => ({ name, password }));
  const stopgap = await Stopgap.start(t, {
    clock: new ManualClock(),
    rules: RULES,
    files: { 'many.yaml': JSON.stringify({ users }) },
    smtp: { auth: { users: './many.yaml' } },
  });
  const session = async (account: string): ReturnType<Stopgap['hello']> => {
    const dialogue = await stopgap.hello();
    assert.match(await dialogue.login(account, PASSWORD), /^235 /);
    return dialogue;
  };
  for (const account of SACRIFICED) {
    const dialogue = await session(account);
    assert.match(await dialogue.send(account, recipients(11)), /^250 /);
    await dialogue.quit();
  }
  assert.equal((await stopgap.all<BlockImposed>('BlockImposed')).length, 20);

  const bob = await session(BOB);
  assert.match(await bob.send(BOB, recipients(11)), /^250 /);
  const thief = await session(ALICE);
  let accepted = 0;
  while (accepted < 200 && (await thief.send(ALICE, recipients(1))).startsWith('250 ')) accepted++;
  assert.equal(accepted, 50);
  assert.match(await bob.send(BOB, recipients(11)), /^250 /);

  const proposed = await stopgap.all<BlockProposed>('BlockProposed');
  assert.deepEqual(
    proposed.map(({ data }) => data.subject.value),
    [BOB, ALICE],
  );
  const imposed = await stopgap.all<BlockImposed>('BlockImposed');
  assert.equal(imposed.length, 21);
  const { data, by } = imposed.at(-1)!;
  assert.deepEqual([data.subject.value, by, data.block], [ALICE, 'rule:burst@1', proposed[1]!.data.block]);
  assert.equal(
    data.evidence?.sentence,
    'Account alice@example.com: 50 recipients within 10m; rule "burst" allows 10; blocked although the circuit breaker is open: 5 times the limit or more.',
  );
  await bob.quit();
});
