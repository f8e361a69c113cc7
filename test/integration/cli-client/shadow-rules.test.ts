import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { newId } from '../../../src/runtime/ids.js';
import { HOUR } from '../../../src/kernel/time.js';
import { sendStream } from '../../../src/sending/events.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';
import { ApiServer } from '../../support/api/server.js';
import { sent } from '../../support/sends.js';
import { besideServer, Terminal } from './support.js';

const STRICTER = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 50, then: block, for: 1h }
`;

describe('stopgap rules shadow and stopgap rules precision', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer(async (both) => {
    ({ server, terminal } = both);
    await writeFile(path.join(terminal.cwd, 'stricter.yaml'), STRICTER);
    await writeFile(path.join(terminal.cwd, 'bad.yaml'), STRICTER.replace('10m', 'soon'));
  });

  async function send(account: string, recipients: number): Promise<void> {
    const { store, models, clock } = server.deps;
    const { data, type } = sent(clock.now(), 0, { account, returnPath: account, recipients });
    const message = { type, data, id: newId(), at: clock.now(), by: 'smtp:test' };
    const { position } = await store.append(sendStream(account), [message], 'any');
    await models.reached(position);
  }

  const shadow = (...args: string[]) => terminal.run('rules', 'shadow', ...args);

  test('stopgap rules shadow says that no rules run in the shadow', async () => {
    for (const args of [['show'], ['differences'], ['promote'], ['remove']]) {
      const { code, err } = await shadow(...args);
      const said = 'stopgap: no rules run in the shadow: stopgap rules shadow apply FILE loads some\n';
      assert.deepEqual([code, err], [1, said], args[0]);
    }
  });

  test('stopgap rules shadow apply names the file and line of a fault before it asks anybody', async () => {
    const { code, err } = await shadow('apply', 'bad.yaml');
    assert.equal(code, 1);
    assert.match(err, /^stopgap: bad\.yaml:3: rules\[0\]\.window: must be a duration/);
  });

  test('stopgap rules shadow apply, show and differences tell how the two compare', async () => {
    const applied = await shadow('apply', 'stricter.yaml');
    assert.equal(applied.code, 0, applied.err);
    const head = /^shadow rules 1 by the-admin since \S+Z, beside version 1 in force/;
    assert.match(applied.err, head);
    assert.equal((await shadow('differences')).err, 'no differences\n');
    await send('early@example.com', 60);
    const open = await shadow('show');
    assert.match(open.err, head);
    assert.match(
      open.err,
      /\n1 case is open: it is counted once settled, within a day; stopgap rules shadow diff/,
    );
    assert.match(open.out, /^burst +0 +0 +0 +0 +0 +1\nall +0 +0 +0 +0 +0 +1\n$/m);
    server.clock.advance(HOUR);
    await send('other@example.com', 1);
    const { out, err } = await shadow('show');
    assert.match(err, head);
    assert.deepEqual(
      out
        .trimEnd()
        .split('\n')
        .map((line) => line.trim().split(/ {2,}/)),
      [
        ['RULE', 'BOTH', 'ONLY SHADOW', 'ONLY IN FORCE', 'STRONGER', 'WEAKER', 'OPEN'],
        ['burst', '0', '1', '0', '0', '0', '0'],
        ['all', '0', '1', '0', '0', '0', '0'],
      ],
    );
    assert.equal((await shadow('show', '--source')).out, STRICTER);
    const listed = await shadow('differences', '--kind', 'shadowOnly', '--limit', '1');
    assert.match(
      listed.out,
      /1h ago +shadowOnly +yes +Would have been blocked\. Account early@example\.com: 60 recipients/,
    );
    assert.equal((await shadow('differences', '--kind', 'both')).code, 1);
    const json = JSON.parse((await shadow('show', '--json')).out) as { compared: { shadowOnly: number } };
    assert.equal(json.compared.shadowOnly, 1);
  });

  test('stopgap rules shadow remove and promote end the shadow', async () => {
    assert.deepEqual(await shadow('remove'), { code: 0, out: '', err: 'no rules run in the shadow\n' });
    await shadow('apply', 'stricter.yaml');
    const promoted = await shadow('promote', '--yes');
    assert.match(promoted.err, /^rules version 2 in force, from the shadow, mode enforce\n$/m);
    const shown = await terminal.run('rules', 'show');
    assert.deepEqual([shown.out, shown.err], [STRICTER, 'version 2, from shadow\n']);
  });

  test('stopgap rules shadow promote names the rules that would go, and asks as stopgap rules apply does', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      await writeFile(path.join(there.cwd, 'built-in.yaml'), DEFAULT_RULES);
      await writeFile(path.join(there.cwd, 'stricter.yaml'), STRICTER);
      await there.run('rules', 'apply', 'built-in.yaml', '--yes');
      await there.run('rules', 'shadow', 'apply', 'stricter.yaml');
      const refused = await there.run('rules', 'shadow', 'promote');
      assert.equal(refused.code, 1);
      const builtIn = parseRules(DEFAULT_RULES, 'defaults').rules.length;
      assert.match(
        refused.err,
        new RegExp(`^removes ${builtIn} rules of those in force: minute, hour, `, 'm'),
      );
      assert.match(refused.err, /^stopgap: there is no terminal to ask at: --yes puts these rules in force/m);
      assert.equal((await other.get('/api/v1/rules')).json.version, 2, 'nothing has changed');
      const { code, err } = await there.run('rules', 'shadow', 'promote', '--yes');
      assert.equal(code, 0);
      assert.match(
        err,
        new RegExp(`^removes ${builtIn} rules .*\nrules version 3 in force, from the shadow`),
      );
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap rules shadow promote asks nothing where the shadow only adds rules', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      await writeFile(path.join(there.cwd, 'built-in.yaml'), DEFAULT_RULES);
      const more = STRICTER.replace('rules:', 'extends: defaults\nrules:');
      await writeFile(path.join(there.cwd, 'more.yaml'), more);
      await there.run('rules', 'apply', 'built-in.yaml', '--yes');
      await there.run('rules', 'shadow', 'apply', 'more.yaml');
      const { code, err } = await there.run('rules', 'shadow', 'promote');
      assert.deepEqual([code, err], [0, 'rules version 3 in force, from the shadow, mode enforce\n']);
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap rules precision counts by rule', async () => {
    const right = await server.trip('right@example.com', 'block', 'burst');
    await server.post(`/api/v1/blocks/${right}/release`);
    await server.trip('open@example.com', 'block', 'burst');
    const { out } = await terminal.run('rules', 'precision');
    assert.match(out, /^RULE +PRECISION +CONFIRMED +FALSE POSITIVES +DISMISSED +LAPSED +OPEN +IN FORCE\n/);
    assert.match(out, /^burst +100% +1 +0 +0 +0 +1 +yes$/m);
    const json = JSON.parse((await terminal.run('rules', 'precision', '--json')).out) as { items: unknown[] };
    assert.ok(json.items.length >= 1);
  });
});
