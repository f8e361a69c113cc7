import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ApiServer } from '../../support/api/server.js';
import type { Terminal } from './support.js';
import { besideServer } from './support.js';

describe('stopgap exempt', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  test('stopgap exempt lists, adds and revokes', async () => {
    assert.match((await terminal.run('exempt', 'list')).err, /no exemptions/);
    const added = await terminal.run(
      'exempt',
      'add',
      'account',
      'News@Example.com',
      '--for',
      '1d',
      '--reason',
      'weekly list',
    );
    assert.deepEqual([added.code, added.out], [0, '']);
    const [, id] = /^account news@example\.com is exempt until .*: ([0-9a-f-]{36})\n$/.exec(added.err)!;
    const { out } = await terminal.run('exempt', 'list');
    assert.match(out, /account news@example\.com +the-admin +in 24h +0 +weekly list/);
    const revoked = await terminal.run('exempt', 'revoke', id!, '--note', 'moved');
    assert.equal(revoked.code, 0, revoked.err);
    assert.match((await terminal.run('exempt', 'list')).err, /no exemptions/);
  });

  test('stopgap exempt revokes by the subject too, with its type or without', async () => {
    const add = (type: string, value: string) =>
      terminal.run('exempt', 'add', type, value, '--indefinite', '--reason', 'list');
    const revoke = (...words: string[]) => terminal.run('exempt', 'revoke', ...words);
    await add('account', 'list@example.com');
    assert.match((await revoke('List@Example.com')).err, /^the exemption [0-9a-f-]{36} is revoked$/m);
    await add('account', 'list@example.com');
    await add('address', 'list@example.com');
    const several = await revoke('list@example.com');
    assert.equal(several.code, 1, several.err);
    assert.match(
      several.err,
      /several exemptions are of list@example\.com .*: give an id, or the type before it/,
    );
    assert.equal((await revoke('address', 'list@example.com')).code, 0);
    assert.match((await terminal.run('exempt', 'list')).out, /account list@example\.com/);
    assert.equal((await revoke('account', 'list@example.com')).code, 0);
    const none = await revoke('account', 'list@example.com');
    assert.deepEqual([none.code, /no exemption of account list@example\.com/.test(none.err)], [1, true]);
    const unknown = await revoke('list@example.com');
    assert.match(unknown.err, /there is no exemption list@example\.com in force/);
  });

  test('stopgap exempt revokes by the beginning of an id', async () => {
    const add = async (value: string): Promise<string> => {
      const { err } = await terminal.run(
        'exempt',
        'add',
        'account',
        value,
        '--indefinite',
        '--reason',
        'list',
      );
      return /: ([0-9a-f-]{36})\n$/.exec(err)![1]!;
    };
    const [first, second] = [await add('one@example.com'), await add('two@example.com')];
    const several = await terminal.run('exempt', 'revoke', first.slice(0, 8));
    assert.match(several.err, /several exemptions are of .*: give an id, or the type before it/);
    const few = await terminal.run('exempt', 'revoke', first.slice(0, 7));
    assert.match(few.err, /there is no exemption [0-9a-f]{7} in force/);
    const length = [...first].findIndex((letter, index) => letter !== second[index]) + 1;
    const { code, err } = await terminal.run('exempt', 'revoke', first.slice(0, length).toUpperCase());
    assert.deepEqual([code, err], [0, `the exemption ${first} is revoked\n`]);
    assert.equal((await terminal.run('exempt', 'revoke', second)).code, 0);
  });

  test('stopgap exempt revoke names the exemption that still covers the subject', async () => {
    const add = async (type: string, value: string, reason: string): Promise<string> => {
      const { err } = await terminal.run('exempt', 'add', type, value, '--indefinite', '--reason', reason);
      return /: ([0-9a-f-]{36})\n$/.exec(err)![1]!;
    };
    const wider = await add('domain', 'e.example', 'our own');
    const one = await add('account', 'e1@e.example', 'weekly list');
    const { code, err } = await terminal.run('exempt', 'revoke', 'account', 'e1@e.example');
    assert.deepEqual(
      [code, err],
      [0, `the exemption ${one} is revoked\naccount e1@e.example is still exempt: our own (${wider})\n`],
    );
    const last = await terminal.run('exempt', 'revoke', wider);
    assert.equal(last.err, `the exemption ${wider} is revoked\n`);
    const pattern = await add('address', '*@e.example', 'a pattern');
    const gone = await terminal.run('exempt', 'revoke', pattern);
    assert.deepEqual([gone.code, gone.err], [0, `the exemption ${pattern} is revoked\n`]);
  });

  test('stopgap exempt asks how long and why', async () => {
    const silent = await terminal.run('exempt', 'add', 'account', 'x@example.com', '--reason', 'list');
    assert.equal(silent.code, 2);
    assert.match(silent.err, /say how long: --for 1h, --until TIME or --indefinite/);
    const why = await terminal.run('exempt', 'add', 'account', 'x@example.com', '--indefinite');
    assert.deepEqual([why.code, /--reason/.test(why.err)], [2, true]);
  });

  test('stopgap exempt says which blocks go on all the same, and the command that ends each', async () => {
    const block = await server.block('blocked@example.com');
    const args = ['exempt', 'add', 'domain', 'example.com', '--indefinite', '--reason', 'lists'];
    const { code, err } = await terminal.run(...args);
    assert.equal(code, 0, err);
    const [, command] =
      /^warning: account blocked@example\.com is blocked all the same: to end that, stopgap (.*)$/m.exec(
        err,
      )!;
    assert.equal(command, `block release ${block.id}`);
    const released = await terminal.run(...command.split(' '));
    assert.match(released.err, /account blocked@example\.com is released/);
  });
});
