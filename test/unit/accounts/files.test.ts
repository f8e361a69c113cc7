import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { isLeftSo } from '../../../src/accounts/private-file.js';
import { ConfigError } from '../../../src/accounts/problems.js';
import { addToken, newToken, parseTokens, readTokens, revokeToken } from '../../../src/accounts/tokens.js';
import { addUser, parseUsers, readUsers, removeUser, setPassword } from '../../../src/accounts/users.js';
import { InvalidInput, StopgapError } from '../../../src/kernel/errors.js';
import { temporaryDirectory } from '../config/helpers.js';

const NOW = Date.parse('2026-01-02T03:04:05.678Z');
const HASH = '$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';

function problemsOf(parse: () => unknown): readonly string[] {
  try {
    parse();
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown.problems;
  }
  throw new Error('the file was taken');
}

function hasCode(code: string): (thrown: unknown) => boolean {
  return (thrown) => thrown instanceof StopgapError && thrown.code === code;
}

test('users are added, changed and removed; the file is private, whole and keeps its comments', async (context) => {
  const directory = temporaryDirectory(context);
  const file = path.join(directory, 'new/users.yaml');
  assert.equal(
    await addUser({ file, name: 'Anna@Example.com', password: 'sesame', now: NOW }),
    'anna@example.com',
  );
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(statSync(path.dirname(file)).mode & 0o777, 0o700);
  assert.doesNotMatch(readFileSync(file, 'utf8'), /sesame/);
  writeFileSync(file, `# by hand\n${readFileSync(file, 'utf8').replace('addedAt', '# since\n    addedAt')}`);
  await addUser({ file, name: 'bob', password: 'geheim', now: NOW });
  const before = await readUsers(file);
  assert.deepEqual([...before.keys()], ['anna@example.com', 'bob']);
  assert.equal(before.get('anna@example.com')!.addedAt, '2026-01-02T03:04:05.678Z');
  await setPassword({ file, name: 'ANNA@example.com', password: 'new' });
  const after = await readUsers(file);
  assert.notEqual(after.get('anna@example.com')!.password, before.get('anna@example.com')!.password);
  assert.equal(after.get('bob')!.password, before.get('bob')!.password);
  await removeUser({ file, name: 'bob' });
  assert.deepEqual([...(await readUsers(file)).keys()], ['anna@example.com']);
  assert.match(readFileSync(file, 'utf8'), /^# by hand[^]*# since/);
  assert.deepEqual(readdirSync(path.dirname(file)), ['users.yaml'], 'nothing is left behind');
});

test('names are unique in normal form, and what is not there is said', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  await addUser({ file, name: 'anna@example.com', password: 'x', now: NOW });
  await assert.rejects(
    addUser({ file, name: 'ANNA@EXAMPLE.COM.', password: 'x', now: NOW }),
    hasCode('conflict'),
  );
  await assert.rejects(removeUser({ file, name: 'bob' }), hasCode('not-found'));
  await assert.rejects(setPassword({ file, name: 'bob', password: 'x' }), hasCode('not-found'));
  for (const name of ['', 'a b', 'a\nb', '*@example.com', 'x'.repeat(321)]) {
    await assert.rejects(
      addUser({ file, name, password: 'x', now: NOW }),
      InvalidInput,
      JSON.stringify(name),
    );
  }
});

test('a broken users file is never written over', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  const text = 'users:\n  - name: [anna\n';
  writeFileSync(file, text);
  await assert.rejects(addUser({ file, name: 'bob', password: 'x', now: NOW }), ConfigError);
  assert.equal(readFileSync(file, 'utf8'), text);
});

test('a symbolic link stays one', async (context) => {
  const directory = temporaryDirectory(context);
  const real = path.join(directory, 'real.yaml');
  const link = path.join(directory, 'users.yaml');
  writeFileSync(real, 'users: []\n');
  symlinkSync(real, link);
  await addUser({ file: link, name: 'bob', password: 'x', now: NOW });
  assert.deepEqual([...(await readUsers(real)).keys()], ['bob']);
});

test('a change touches the lines of its record alone', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  const anna = `- password:   "${HASH}" # old\n  # what she is called\n  name: anna\n`;
  const bob = `- { name: bob, password: "${HASH}" }\n`;
  const eve = `- name: eve\n\n  password: ${HASH}`;
  const head = '# all of us\n---\nusers: # by hand\n\n# sales\n';
  writeFileSync(file, `${head}${anna}\n# support\n${bob}${eve}`);
  await addUser({ file, name: 'new', password: 'x', now: NOW });
  const added = readFileSync(file, 'utf8');
  assert.ok(added.startsWith(`${head}${anna}\n# support\n${bob}${eve}\n- name: new\n  password: $scrypt$`));
  const rest = added.slice(added.indexOf('- name: eve'));
  await setPassword({ file, name: 'anna', password: 'y' });
  const changed = readFileSync(file, 'utf8');
  const end = `\n# support\n${bob}${rest}`;
  assert.ok(changed.startsWith(head) && changed.endsWith(end));
  assert.match(
    changed.slice(head.length, -end.length),
    /^- password: "?\$scrypt\S+ # old\n {2}# what she is called\n {2}name: anna\n$/,
  );
  await removeUser({ file, name: 'anna' });
  // The mark tells a process that watches the file that what is gone was taken away.
  assert.equal(readFileSync(file, 'utf8'), `${head}${end}# so many entries are left by stopgap: 3\n`);
  for (const name of ['bob', 'eve', 'new']) await removeUser({ file, name });
  assert.equal((await readUsers(file)).size, 0);
  assert.match(readFileSync(file, 'utf8'), /^# all of us\n---\nusers:/);
});

test('a list that was written by others in one line, or with aliases, is changed as well', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  for (const text of [
    JSON.stringify({ users: [{ name: 'anna', password: HASH }] }),
    `users:\n  - { name: anna, password: &one "${HASH}" }\n  - { name: bob, password: *one }\n`,
  ]) {
    writeFileSync(file, text);
    await addUser({ file, name: 'eve', password: 'x', now: NOW });
    await setPassword({ file, name: 'eve', password: 'y' });
    const before = await readUsers(file);
    assert.equal(before.get('anna')!.password, HASH);
    await removeUser({ file, name: 'eve' });
    assert.deepEqual([...(await readUsers(file)).keys()], [...before.keys()].slice(0, -1));
  }
});

test('ten writers at once lose nothing', async (context) => {
  const file = path.join(temporaryDirectory(context), 'tokens.yaml');
  const names = Array.from({ length: 10 }, (_, index) => `token-${index}`);
  await Promise.all(names.map((name) => addToken({ file, name, role: 'viewer', now: NOW })));
  assert.deepEqual((await readTokens(file)).records.map(({ name }) => name).sort(), names);
});

test('faults of a users file are all said, with their places and without hashes', () => {
  const text = `users:
  - { name: anna@example.com, password: geheim }
  - { name: 2024, password: "${HASH}" }
  - { name: bob, password: "${HASH}", disabled: maybe, role: x }
  - { name: BOB2, password: "${HASH}" }
  - { name: bob2, password: "${HASH}" }
  - { password: "${HASH}" }
  - just text
user: []
`;
  const problems = problemsOf(() => parseUsers(text, 'users.yaml'));
  const column = (text: string): number => 1 + '  - { '.length + text.length;
  const bob = `name: bob, password: "${HASH}", disabled: `;
  assert.deepEqual(
    problems.map((problem) => problem.replace(/;.*/, '')),
    [
      'users.yaml:2:41: users[0].password: is no hash that can be checked',
      'users.yaml:3:13: users[1].name: must be text (in quotes where it looks like a number)',
      `users.yaml:4:${column(`${bob}maybe, `)}: users[2].role: unknown key`,
      `users.yaml:4:${column(bob)}: users[2].disabled: must be true or false`,
      'users.yaml:6:13: users[4].name: bob2 is there twice',
      'users.yaml:7:5: users[5].name: must be text (in quotes where it looks like a number)',
      'users.yaml:8:5: users[6]: must be a mapping with name, password, disabled, addedAt',
      'users.yaml:9:1: user: unknown key',
    ],
  );
  for (const problem of problems) {
    assert.doesNotMatch(problem, /geheim|AAAA/);
  }
});

test('a hash that falls into pieces is not shown', () => {
  const problems = problemsOf(() => parseUsers(`users: [{ name: a, password: ${HASH} }]\n`, 'u.yaml'));
  assert.ok(problems.some((problem) => problem.includes('in quotes')));
  for (const problem of problems) assert.doesNotMatch(problem, /AAAA/);
});

test('an empty users file has no users', () => {
  for (const text of ['', '# nothing\n', 'users:\n', 'users: []\n'])
    assert.equal(parseUsers(text, 'u').size, 0);
});

test('a token is found by itself alone, and gone once revoked', async (context) => {
  const file = path.join(temporaryDirectory(context), 'tokens.yaml');
  const token = await addToken({ file, name: 'ops', role: 'operator', now: NOW });
  const other = await addToken({ file, name: 'viewer', role: 'viewer', now: NOW });
  assert.match(token, /^sgp_[A-Za-z0-9_-]{43}$/);
  assert.ok(!readFileSync(file, 'utf8').includes(token));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const table = await readTokens(file);
  assert.equal(table.find(token, NOW)?.role, 'operator');
  assert.equal(table.find(other, NOW)?.name, 'viewer');
  assert.equal(table.find(newToken(), NOW), undefined);
  assert.equal(table.find('', NOW), undefined);
  await assert.rejects(addToken({ file, name: 'ops', role: 'admin', now: NOW }), hasCode('conflict'));
  await assert.rejects(addToken({ file, name: 'x', role: 'root', now: NOW }), InvalidInput);
  await assert.rejects(addToken({ file, name: 'a b', role: 'admin', now: NOW }), InvalidInput);
  await revokeToken(file, 'ops');
  assert.equal((await readTokens(file)).find(token, NOW), undefined);
  assert.equal((await readTokens(file)).find(other, NOW)?.name, 'viewer');
  await assert.rejects(revokeToken(file, 'ops'), hasCode('not-found'));
});

test('faults of a tokens file are said with their places', () => {
  const text = 'tokens:\n  - { name: a, role: root, hash: "sha256:00" }\n';
  assert.deepEqual(
    problemsOf(() => parseTokens(text, 't.yaml')),
    [
      't.yaml:2:22: tokens[0].role: is not known; use viewer, operator, admin, server, domain',
      't.yaml:2:34: tokens[0].hash: must be sha256: and 64 hex digits; make the token with stopgap token add',
    ],
  );
});

test('what is removed from a file without a line end at its end leaves the last entry as it is', async (context) => {
  const directory = temporaryDirectory(context);
  for (const last of [`password: ${HASH}`, `disabled: true`, `# a note`]) {
    const file = path.join(directory, 'users.yaml');
    const users = ['a', 'b', 'c'].map((name) => `- name: ${name}\n  password: ${HASH}\n`).join('');
    writeFileSync(file, `users:\n${users}  ${last}`.replace(`${HASH}\n  password: ${HASH}`, HASH));
    await removeUser({ file, name: 'a' });
    const left = await readUsers(file);
    assert.deepEqual([...left.keys()], ['b', 'c']);
    assert.equal(left.get('c')!.password, HASH);
    assert.equal(left.get('c')!.disabled, last === 'disabled: true');
    assert.ok(isLeftSo(readFileSync(file, 'utf8'), 2), last);
  }
  const file = path.join(directory, 'tokens.yaml');
  const hash = `sha256:${'0'.repeat(64)}`;
  writeFileSync(
    file,
    `tokens:\n- {name: a, role: viewer, hash: "${hash}"}\n- name: b\n  hash: ${hash}\n  role: viewer`,
  );
  await revokeToken(file, 'a');
  assert.deepEqual(
    (await readTokens(file)).records.map(({ name, role }) => [name, role]),
    [['b', 'viewer']],
  );
});

test('a change of a file without an end of its last line gives it one: it counts at the first look', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  writeFileSync(file, `users:\n  - name: anna\n    password: ${HASH}\n  - name: bob\n    password: ${HASH}`);
  await setPassword({ file, name: 'anna', password: 'new' });
  assert.match(readFileSync(file, 'utf8'), /\n {2}- name: bob\n {4}password: \S+\n$/);
});

test('a name that holds what scripts take for a line end is the same after a change', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  for (const separator of ['\u2028', '\u2029', '\u0085']) {
    const name = `a${separator}b`;
    writeFileSync(file, `users:\n  - name: ${name}\n    password: ${HASH}\n`);
    await setPassword({ file, name, password: 'new' });
    await addUser({ file, name: `c${separator}d`, password: 'x', now: NOW });
    assert.deepEqual([...(await readUsers(file)).keys()], [name, `c${separator}d`]);
  }
});
