import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { hashPassword } from '../../../src/accounts/passwords.js';
import { revokeToken } from '../../../src/accounts/tokens.js';
import type { TokenTable } from '../../../src/accounts/tokens.js';
import { addUser, removeUser } from '../../../src/accounts/users.js';
import type { UserTable } from '../../../src/accounts/users.js';
import type { WatchedFile } from '../../../src/accounts/watched-file.js';
import { watchRules, watchSenders, watchTokens, watchUsers } from '../../../src/watched-files.js';
import { temporaryDirectory } from '../config/helpers.js';

const NAMES = ['a@example.com', 'b@example.com', 'c@example.com'];
const password = await hashPassword('correct-horse-battery-staple', { ln: 4, r: 1, p: 1 });
const hash = `sha256:${'0'.repeat(64)}`;
const rule = (id: string): unknown => ({
  id,
  per: 'account',
  count: 'recipients',
  window: '1h',
  limit: 100,
  then: 'block',
  for: '1h',
});

interface Kind {
  readonly full: unknown;
  readonly empty: string;
  readonly open: (
    file: string,
    log: Logger,
    metrics: { fileRefused(what: string): void },
  ) => Promise<Pick<WatchedFile<unknown>, 'current' | 'check'>>;
}

const KINDS: Readonly<Record<string, Kind>> = {
  users: { full: { users: NAMES.map((name) => ({ name, password })) }, empty: '', open: watchUsers },
  tokens: {
    full: { tokens: NAMES.map((name) => ({ name, role: 'admin', hash })) },
    empty: '',
    open: (file, log, metrics) => watchTokens(file, log, metrics, true),
  },
  senders: {
    full: Object.fromEntries(NAMES.map((name) => [name, 'x@example.org'])),
    empty: '',
    open: watchSenders,
  },
  rules: {
    full: { version: 1, rules: ['one', 'two', 'three'].map(rule) },
    empty: 'version: 1\nrules: []\n',
    open: (file, log, metrics) =>
      watchRules(file, { reload: () => Promise.reject(new Error()) }, log, metrics),
  },
};

for (const [what, { full, empty, open }] of Object.entries(KINDS))
  test(`a file of ${what} that was emptied leaves what was in force, warns once and is counted`, async (context) => {
    const file = path.join(temporaryDirectory(context), `${what}.yaml`);
    writeFileSync(file, JSON.stringify(full));
    const lines: string[] = [];
    const counted: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const watched = await open(file, log, { fileRefused: (one) => void counted.push(one) });
    const { current } = watched;
    writeFileSync(file, empty);
    for (let look = 0; look < 3; look++) await watched.check();
    assert.equal(watched.current, current);
    assert.deepEqual(counted, [what]);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as Record<string, unknown>).map((line) => line['level']),
      [40],
    );
    assert.match(lines[0]!, /has 0 entries, and 3 are in force: if that is meant, /);
  });

test('a user who is added to a file that was emptied does not make it count before the others are back', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  const full = JSON.stringify(KINDS['users']!.full);
  writeFileSync(file, full);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const watched = await watchUsers(file, log, { fileRefused: () => undefined });
  const look = async (): Promise<readonly string[]> => {
    for (let times = 0; times < 3; times++) await watched.check();
    return [...watched.current.keys()];
  };
  writeFileSync(file, '');
  assert.deepEqual(await look(), NAMES);
  await addUser({ file, name: 'new@example.com', password: 'correct-horse', now: 0 });
  assert.deepEqual(await look(), NAMES);
  assert.match(lines.at(-1)!, /has 1 entry, and 3 are in force: if that is meant, send the process SIGHUP/);
  writeFileSync(file, full);
  assert.deepEqual(await look(), NAMES);
  await addUser({ file, name: 'new@example.com', password: 'correct-horse', now: 0 });
  assert.deepEqual(await look(), [...NAMES, 'new@example.com']);
});

/** What the command line changes, in two seconds. */
const REMOVALS = {
  users: (file: string, name: string): Promise<unknown> => removeUser({ file, name }),
  tokens: (file: string, name: string): Promise<unknown> => revokeToken(file, name),
} as const;

for (const what of ['users', 'tokens'] as const)
  for (const left of [0, 5])
    test(`what the command line removes from a file of ${what} counts, though ${left} of 25 are left`, async (context) => {
      const file = path.join(temporaryDirectory(context), `${what}.yaml`);
      const names = Array.from({ length: 25 }, (_, index) => `u${index}@example.com`);
      const records = names.map((name) =>
        what === 'users' ? { name, password } : { name, role: 'admin', hash },
      );
      writeFileSync(file, JSON.stringify({ [what]: records }));
      const counted: string[] = [];
      const metrics = { fileRefused: (one: string) => void counted.push(one) };
      const watched = await KINDS[what]!.open(file, pino({ level: 'silent' }), metrics);
      for (const name of names.slice(left)) await REMOVALS[what](file, name);
      // Where the new file happens to get the inode of the old one it is looked at twice.
      for (let look = 0; look < 2; look++) await watched.check();
      const entries =
        what === 'users'
          ? (watched.current as UserTable).size
          : (watched.current as TokenTable).records.length;
      assert.deepEqual([entries, counted], [left, []]);
    });

test('a file that was cut after the command line had removed something is refused like any other', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  writeFileSync(file, JSON.stringify({ users: NAMES.map((name) => ({ name, password })) }));
  const counted: string[] = [];
  const watched = await watchUsers(file, pino({ level: 'silent' }), {
    fileRefused: (one) => void counted.push(one),
  });
  await removeUser({ file, name: NAMES[0]! });
  await watched.check();
  const text = readFileSync(file, 'utf8');
  const mark = /^#.*: 2\n$/m.exec(text)?.[0] ?? assert.fail(text);
  for (const cut of [`users: []\n${mark}`, `${mark}users: []\n`, 'users: []\n']) {
    writeFileSync(file, cut);
    for (let look = 0; look < 3; look++) await watched.check();
    assert.equal(watched.current.size, 2, cut);
  }
  assert.deepEqual(counted, ['users']);
});

test('a file to which the command line adds has no mark of what was left before', async (context) => {
  const file = path.join(temporaryDirectory(context), 'users.yaml');
  writeFileSync(file, JSON.stringify({ users: NAMES.map((name) => ({ name, password })) }));
  await removeUser({ file, name: NAMES[0]! });
  await addUser({ file, name: NAMES[0]!, password: 'correct-horse-battery-staple', now: 0 });
  assert.doesNotMatch(readFileSync(file, 'utf8'), /left by stopgap/);
});
