import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { hashPassword } from '../../../src/accounts/passwords.js';
import type { WatchedFile } from '../../../src/accounts/watched-file.js';
import { watchRules, watchSenders, watchTokens, watchUsers } from '../../../src/watched-files.js';
import { temporaryDirectory } from '../config/helpers.js';

const NAMES = ['a@example.com', 'b@example.com', 'c@example.com'];
const password = await hashPassword('correct-horse-battery-staple', { ln: 4, r: 1, p: 1 });
const hash = `sha256:${'0'.repeat(64)}`;
const rule = (id: string): unknown => ({
  ...{ id, per: 'account', count: 'recipients', window: '1h', limit: 100, then: 'block', for: '1h' },
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
    open: (file, log, metrics) => watchRules(file, { load: () => Promise.reject(new Error()) }, log, metrics),
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
