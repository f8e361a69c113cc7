import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { ApiServer } from '../../support/api/server.js';
import { besideServer, Terminal } from './support.js';

describe('stopgap forget', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  test('stopgap forget asks first, and with --yes erases what concerns a person', async () => {
    await server.sent('dora@example.com', 2);
    const unasked = await terminal.run('forget', 'dora@example.com');
    assert.deepEqual([unasked.code, unasked.out], [1, '']);
    assert.match(unasked.err, /no terminal to ask at: --yes erases it all the same/);
    const { code, out, err } = await terminal.run('forget', 'dora@example.com', '--yes');
    assert.equal(code, 0, err);
    assert.match(
      out,
      /^forgotten: 1 event erased, 0 events kept without the name, as forgotten-[0-9a-f]{8}@invalid\n$/,
    );
    assert.match(err, /^Backups, the log/m);
    const json = await terminal.run('forget', 'dora@example.com', '--yes', '--json', '--type', 'address');
    assert.equal((JSON.parse(json.out) as { erased: number }).erased, 0);
    assert.equal(json.code, 1);
  });

  test('stopgap forget says first that nothing was erased, and nothing of what becomes of that', async () => {
    const remains = ['KurrentDB hides what was erased at once.', 'Backups are not reached from here.'];
    const nothing = { pseudonym: null, erased: 0, rewritten: 0, position: null, remains };
    const other = await ApiServer.start((deps) => ({
      ...deps,
      forgetting: { execute: async () => nothing } as unknown as typeof deps.forgetting,
    }));
    const at = await Terminal.at(other);
    try {
      const { code, err } = await at.run('forget', 'doar@example.com', '--yes');
      assert.equal(code, 1);
      assert.match(err, /^stopgap: nothing was erased: .*\nBackups are not reached from here\.\n/);
    } finally {
      await at.close();
      await other.stop();
    }
  });

  test('stopgap forget says which mail of theirs is on hold, and what is to be done first', async () => {
    const { id } = await server.block('held@example.com', { refusal: 'hold' });
    await server.held(id, 'held@example.com', 2);
    await server.post(`/api/v1/blocks/${id}/release`, {});
    const { code, out, err } = await terminal.run('forget', 'held@example.com', '--yes');
    assert.deepEqual([code, out], [1, '']);
    assert.ok(err.includes(`on hold (2 for the block ${id})`), err);
    assert.match(err, /release or delete it first \(stopgap block held ID --release or --delete\)/);
  });

  test('stopgap forget of a login that is a word of the rules leaves them as they are, and others can be applied', async () => {
    await writeFile(path.join(terminal.cwd, 'built-in.yaml'), DEFAULT_RULES);
    assert.equal((await terminal.run('rules', 'apply', 'built-in.yaml', '--yes')).code, 0);
    for (const login of ['block', 'day', 'true']) {
      await server.sent(login, 1);
      const { code, err } = await terminal.run('forget', login, '--yes');
      assert.equal(code, 0, err);
    }
    assert.equal((await terminal.run('rules', 'show')).out, DEFAULT_RULES);
    const { code, err } = await terminal.run('rules', 'apply', 'built-in.yaml');
    assert.equal(code, 0, err);
  });

  test('stopgap forget says of a name that nothing is stored of, and does not call it forgotten', async () => {
    const { code, out, err } = await terminal.run('forget', 'doar@example.com', '--yes');
    assert.deepEqual([code, out], [1, '']);
    assert.match(
      err,
      /^stopgap: nothing was erased: nothing is known of the account doar@example\.com; see that the name is written right$/m,
    );
    assert.match(err, /^Backups, the log/m);
  });
});
