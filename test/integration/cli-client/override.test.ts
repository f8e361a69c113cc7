import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { MINUTE } from '../../../src/kernel/time.js';
import type { ApiServer } from '../../support/api/server.js';
import { RULES } from '../../support/overrides.js';
import { besideServer, Terminal } from './support.js';

describe('stopgap override', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer(async (both) => {
    ({ server, terminal } = both);
    await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
  });

  test('stopgap override sets, shows, lists and removes', async () => {
    assert.equal((await terminal.run('override', 'list')).err, 'no overrides\n');
    const options = [
      '--limit',
      'burst=500',
      '--limit',
      'day=off',
      '--limit',
      'old=1',
      '--plan',
      'news',
      '--reason',
      'a list',
    ];
    const set = await terminal.run('override', 'set', 'account', 'News@example.com', ...options);
    assert.deepEqual([set.code, set.err], [0, 'warning: limits.old: no rule in force has this id\n']);
    assert.match(
      set.out,
      /^account news@example\.com\n +burst=500 day=off old=1 \(unused\) +news +- +the-admin +"a list"\n/,
    );
    assert.match(
      set.out,
      /\nholds\n +burst +500 instead of 100, by the override of account news@example\.com/,
    );
    const shop = [
      '--factor',
      '2',
      '--total-limit',
      'domain=9000',
      '--total-factor',
      '3',
      '--until',
      '2026-03-02',
    ];
    assert.equal((await terminal.run('override', 'set', 'domain', 'shop.example', ...shop)).code, 0);
    const listed = await terminal.run('override', 'list');
    assert.deepEqual(
      listed.out
        .split('\n')
        .map((line) => line.trim().split(/ {2,}/))
        .slice(1, 3),
      [
        [
          'account news@example.com',
          'burst=500 day=off old=1 (unused)',
          'news',
          '-',
          'the-admin',
          '"a list"',
        ],
        ['domain shop.example', 'x2, in all domain=9000 x3', '-', 'in 12h', 'the-admin'],
      ],
    );
    const some = await terminal.run('override', 'list', '--type', 'domain', '--prefix', 'sh', '--json');
    assert.equal((JSON.parse(some.out) as { items: unknown[] }).items.length, 1);
    const removed = await terminal.run('override', 'remove', 'account', 'news@example.com', '--note', 'left');
    assert.deepEqual(
      [removed.code, removed.err],
      [0, 'the override of account news@example.com is removed\n'],
    );
    const shown = await terminal.run('override', 'show', 'account', 'news@example.com');
    assert.match(
      shown.out,
      /nothing is set\nhistory\n.*OverrideSet.*\n.*OverrideRemoved {2}api {2}the-admin {2}"left"/,
    );
  });

  test('stopgap override keeps what a second set does not name, and takes it away if that is asked for', async () => {
    const set = (...options: string[]) =>
      terminal.run('override', 'set', 'domain', 'twice.example', ...options);
    await set(
      '--limit',
      'burst=500',
      '--total-limit',
      'domain=9000',
      '--until',
      '2026-03-02',
      '--plan',
      'pro',
    );
    const second = await set('--limit', 'day=off', '--total-factor', '3', '--reason', 'order 17');
    assert.match(second.out, /\n +burst=500 day=off, in all domain=9000 x3 +pro +in 12h +the-admin/);
    const forEver = await set('--limit', 'burst=600', '--until', 'never');
    assert.match(forEver.out, /\n +burst=600 day=off, in all domain=9000 x3 +pro +- +the-admin/);
    const replaced = await set('--factor', '2', '--replace');
    assert.match(replaced.out, /\n +x2 +- +- +the-admin/);
  });

  test('stopgap override takes a duration too, as block add and exempt add do', async () => {
    const set = (...options: string[]) =>
      terminal.run('override', 'set', 'account', 'while@example.com', '--factor', '2', ...options);
    assert.match((await set('--for', '6h')).out, /\n +x2 +- +in 6h +the-admin/);
    const both = await set('--for', '6h', '--until', 'never');
    assert.deepEqual([both.code, /cannot be used with option '--until/.test(both.err)], [2, true]);
    const wrong = await set('--for', 'soon');
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /must be a duration such as 90s, 10m, 24h or 35d/);
    const far = await set('--for', '999999999w');
    assert.deepEqual([far.code, /must be at most 3650d/.test(far.err)], [2, true]);
  });

  test('stopgap override a limit whose time is over does not come back with the next set', async () => {
    const set = (...options: string[]) =>
      terminal.run('override', 'set', 'account', 'over@example.com', ...options);
    await set('--limit', 'burst=500', '--until', '2026-03-01T12:01:00Z');
    server.clock.advance(2 * MINUTE);
    const after = await set('--limit', 'day=2000');
    assert.deepEqual([after.code, after.err], [0, '']);
    assert.match(after.out, /\n +day=2000 +- +- +the-admin/);
  });

  test('stopgap override says what is wrong', async () => {
    const form = await terminal.run('override', 'set', 'account', 'a@example.com', '--limit', 'burst');
    assert.equal(form.code, 2);
    assert.match(form.err, /write it as burst=500, or day=off/);
    const empty = await terminal.run('override', 'set', 'account', 'a@example.com');
    assert.equal(empty.code, 1);
    assert.match(empty.err, /changes nothing: give limits, factor/);
    assert.match(
      (await terminal.run('override', 'set', 'ip', '192.0.2.1', '--factor', '2')).err,
      /type: must be one of/,
    );
    assert.match(
      (await terminal.run('override', 'remove', 'account', 'a@example.com')).err,
      /has no override/,
    );
  });

  test('stopgap override checks a file without a server', async () => {
    const offline = await Terminal.open(server.clock);
    try {
      const text =
        'version: 1\noverrides:\n  - { subject: { type: account, value: a@example.com }, factor: 2 }\n';
      await writeFile(path.join(offline.cwd, 'good.yaml'), text);
      await writeFile(path.join(offline.cwd, 'bad.yaml'), text.replace('factor: 2', 'factor: two'));
      const good = await offline.run('override', 'check', 'good.yaml');
      assert.deepEqual([good.code, good.err], [0, 'good.yaml: valid, 1 entry\n']);
      const bad = await offline.run('override', 'check', 'bad.yaml');
      assert.deepEqual(
        [bad.code, bad.err],
        [1, 'stopgap: bad.yaml:3:65: overrides[0].factor: must be a number from 0.1 to 100\n'],
      );
    } finally {
      await offline.close();
    }
  });

  test('stopgap override show, list and rules show tell of limits that no rule in force looks at any more', async () => {
    const limits = ['--limit', 'day=5', '--total-limit', 'domain=9', '--total-limit', 'burst=7'];
    await terminal.run('override', 'set', 'domain', 'gone.example', ...limits);
    await terminal.run('override', 'set', 'account', 'gone@gone.example', '--limit', 'day=6');
    await terminal.run(
      'override',
      'set',
      'account',
      'over@gone.example',
      '--limit',
      'older=6',
      '--for',
      '1m',
    );
    server.clock.advance(MINUTE);
    const [before, after] = [RULES, RULES.replace(/.*id: day.*\n/, '')];
    const file = path.join(terminal.cwd, 'without-day.yaml');
    await writeFile(file, after);
    const applied = await terminal.run('rules', 'apply', file, '--yes');
    try {
      const vain = /warning: \d overrides set limits\.day in vain: no rule in force has this id\n/;
      assert.match(applied.err, vain);
      const { err } = await terminal.run('rules', 'show');
      assert.match(err, vain);
      assert.match(err, /one override sets total\.limits\.burst in vain: the rule counts per account/);
      assert.doesNotMatch(err, /older/);
      const shown = await terminal.run('override', 'show', 'domain', 'gone.example');
      assert.match(shown.out, /\n +day=5 \(unused\), in all domain=9 burst=7 \(unused\) /);
      assert.match(shown.err, /warning: limits\.day: no rule in force has this id\n/);
      const listed = await terminal.run('override', 'list', '--prefix', 'gone');
      assert.match(listed.out, /^account gone@gone\.example +day=6 \(unused\) /m);
    } finally {
      await server.call('PUT', '/api/v1/rules', { body: { source: before } });
    }
  });
});
