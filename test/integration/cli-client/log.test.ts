import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { ApiServer } from '../../support/api/server.js';
import type { Terminal } from './support.js';
import { besideServer } from './support.js';

describe('stopgap log', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  test('stopgap log level says how much is logged, and changes it', async () => {
    assert.deepEqual(await terminal.run('log', 'level'), {
      code: 0,
      out: 'COMPONENT  LEVEL\nall        trace\n',
      err: '',
    });
    const changed = await terminal.run('log', 'level', 'warn', '--component', 'smtp');
    assert.equal(changed.out, 'COMPONENT  LEVEL\nall        trace\nsmtp       warn\n');
    assert.equal(server.deps.logs.levels.of('smtp').level, 'warn');
    const all = await terminal.run('log', 'level', 'error');
    assert.equal(all.out, 'COMPONENT  LEVEL\nall        error (configured: trace)\n');
    const { code, err } = await terminal.run('log', 'level', 'loud');
    assert.equal(code, 1);
    assert.match(err, /^stopgap: level: must be one of fatal, error, warn/);
  });

  test('stopgap log show prints the last lines, for people or as they are', async () => {
    const line = (level: string, component: string, msg: string): string =>
      `${JSON.stringify({ level, time: '2027-01-31T08:00:00.000Z', component, ip: '192.0.2.7', msg })}\n`;
    server.deps.logs.recent.push(line('info', 'smtp', 'one'));
    server.deps.logs.recent.push(line('error', 'api', 'two \u001b[31m'));
    const { out } = await terminal.run('log', 'show');
    assert.equal(
      out,
      '2027-01-31T08:00:00.000Z info  smtp: one ip=192.0.2.7\n' +
        '2027-01-31T08:00:00.000Z error api: two \\u001b[31m ip=192.0.2.7\n',
    );
    const { out: severe } = await terminal.run('log', 'show', '--level', 'warn', '--json');
    assert.equal((JSON.parse(severe) as { component: string }).component, 'api');
    assert.equal((await terminal.run('log', 'show', '--component', 'rules')).out, '');
    assert.match((await terminal.run('log', 'show', '--limit', '1')).out, /^[^\n]*api: two[^\n]*\n$/);
  });

  test('stopgap log hash says the hash of a name, and makes no key', async () => {
    const none = await terminal.run('log', 'hash', 'alice@example.com');
    assert.equal(none.code, 1);
    assert.match(none.err, /there is no \S+log-key: nothing was hashed here yet/);
    mkdirSync(path.join(terminal.cwd, 'data'));
    writeFileSync(path.join(terminal.cwd, 'data', 'log-key'), `${'07'.repeat(32)}\n`);
    const { code, out } = await terminal.run(
      'log',
      'hash',
      'alice@example.com',
      'ALICE@example.com',
      '192.0.2.7',
    );
    assert.equal(code, 0);
    const [head, first, second, third] = out.trimEnd().split('\n');
    assert.match(head!, /^HASH +NAME$/);
    assert.match(first!, /^h:[0-9a-f]{16} {2}alice@example\.com$/);
    assert.equal(second!.slice(0, 18), first!.slice(0, 18));
    assert.notEqual(third!.slice(0, 18), first!.slice(0, 18));
  });
});
