import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../src/accounts/problems.js';
import { parseUsers } from '../../../src/accounts/users.js';
import { parseAside, partsAside } from '../../../src/parsing/aside.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { InvalidRules, parseRules } from '../../../src/rules/parse.js';

const HASH = '$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const users = (count: number): string =>
  `users:\n${Array.from({ length: count }, (_, n) => `  - name: user${n}\n    password: ${HASH}\n`).join('')}`;

test('thousands of users come in parts, and between two of them other work has its turn', async () => {
  const text = users(3000);
  const found: unknown[] = [];
  let parts = 0;
  let turns = 0;
  for await (const part of partsAside('users', Buffer.from(text), 'u')) {
    found.push(...part);
    parts++;
    await new Promise<void>((resolve) =>
      setImmediate(() => {
        turns++;
        resolve();
      }),
    );
  }
  assert.deepEqual(found, [...parseUsers(text, 'u').values()]);
  assert.ok(parts >= 3, `${parts} parts`);
  assert.equal(turns, parts);
});

test('texts that are read at once do not mix', async () => {
  const texts = [users(1200), users(700), users(40), users(2000)];
  const read = await Promise.all(texts.map((text) => parseAside('users', text, 'u')));
  assert.deepEqual(
    read.map((list) => list.length),
    [1200, 700, 40, 2000],
  );
});

test('what is wrong is said as if it were read here, of very much the first', async () => {
  await assert.rejects(parseAside('users', users(500).replaceAll(HASH, 'secret'), 'u.yaml'), (thrown) => {
    assert.ok(thrown instanceof ConfigError);
    assert.equal(thrown.problems.length, 21);
    assert.match(thrown.problems[0]!, /^u\.yaml:3:15: users\[0\]\.password: is no hash that can be checked/);
    assert.equal(thrown.problems[20], 'u.yaml: and 480 more');
    return true;
  });
  const faulty = `${DEFAULT_RULES}\n${'# long\n'.repeat(1000)}unknown: 1\n`;
  let expected: unknown;
  assert.throws(
    () => parseRules(faulty, 'r.yaml'),
    (thrown) => (expected = thrown) instanceof InvalidRules,
  );
  await assert.rejects(parseAside('rules', faulty, 'r.yaml'), (thrown) => {
    assert.ok(thrown instanceof InvalidRules);
    assert.equal(thrown.message, (expected as InvalidRules).message);
    assert.deepEqual(thrown.faults, (expected as InvalidRules).faults);
    return true;
  });
});

test('rules that were sent as JSON are kept as YAML that means the same', async () => {
  const json = JSON.stringify({
    version: 1,
    rules: [],
    exempt: Array.from({ length: 200 }, (_, n) => ({
      subject: { type: 'account', value: `user${n}@example.com` },
      reason: 'r',
    })),
  });
  const [read] = await parseAside('rules', json, 'rules', { rewrite: true });
  assert.deepEqual(read!.rules, parseRules(json));
  assert.match(read!.source, /^version: 1\nrules: \[\]\nexempt:\n {2}- subject:/);
  assert.deepEqual(parseRules(read!.source), read!.rules);
});
