import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatInstant, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import type { ApiServer } from '../../support/api/server.js';
import { besideServer } from './support.js';
import type { Ran, Terminal } from './support.js';

describe('lists on the command line', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  const ran = async (...args: string[]): Promise<Ran> => {
    const result = await terminal.run(...args);
    assert.equal(result.code, 0, result.err);
    return result;
  };
  const json = async (...args: string[]): Promise<Record<string, unknown>> =>
    JSON.parse((await ran(...args, '--json')).out) as Record<string, unknown>;

  test('block list --at shows what was in force then, and --sort orders it', async () => {
    const { id } = await server.block('then@example.com', { duration: '2h' });
    await server.block('also@example.com', { duration: '1h' });
    server.clock.advance(MINUTE);
    const at = formatInstant(server.clock.now());
    server.clock.advance(MINUTE);
    await server.post(`/api/v1/blocks/${id}/release`, {});
    const { out } = await ran('block', 'list', '--at', at, '--sort', 'subject');
    assert.match(
      out,
      /^ID +STATE +SUBJECT .*\n\S+ +active +account also@example\.com .*\n\S+ +active +account then@example\.com .* in 1h59m$/m,
    );
    assert.doesNotMatch((await ran('block', 'list')).out, /then@example\.com/);
    assert.match((await ran('block', 'list', '--at', at, '--state', 'all')).out, /then@example\.com/);
    assert.equal((await terminal.run('block', 'list', '--sort', 'size')).code, 2);
  });

  test('say that they go on, also to a script, on standard error', async () => {
    for (const name of ['one', 'two']) {
      await server.block(`${name}@example.com`);
      await ran('exempt', 'add', 'account', `${name}@example.com`, '--indefinite', '--reason', 'newsletter');
      await ran('override', 'set', 'account', `${name}@example.com`, '--factor', '2', '--reason', 'order');
    }
    for (const list of [['block', 'list'], ['exempt', 'list'], ['override', 'list'], ['changes']])
      for (const form of [[], ['--json']]) {
        const { err } = await ran(...list, ...form, '--limit', '1');
        assert.match(err, /^there are more: raise --limit, or .*\n$/, [...list, ...form].join(' '));
        assert.equal((await ran(...list, ...form, '--limit', '500')).err, '');
      }
  });

  test('block edit changes the end, sooner or later, the description and how it refuses', async () => {
    const { id } = await server.block('edited@example.com', { duration: '4h' });
    const now = server.clock.now();
    await ran('block', 'edit', 'edited@example.com', '--for', '1h', '--note', 'sooner');
    const { json: shortened } = await server.get(`/api/v1/blocks/${id}`);
    assert.equal(shortened.until, formatInstant(now + HOUR));
    await ran('block', 'edit', id, '--description', 'a thief', '--refusal', 'honest');
    const edited = await json('block', 'edit', 'account', 'edited@example.com', '--indefinite');
    assert.deepEqual(
      [edited['description'], edited['refusal'], edited['indefinite'], edited['state']],
      ['a thief', 'honest', true, 'active'],
    );
    await ran('block', 'edit', id, '--description', 'known by now');
    assert.equal((await server.get(`/api/v1/blocks/${id}`)).json.description, 'known by now');
    await ran('block', 'edit', id, '--for', '2h', '--description', 'and for less long', '--refusal', 'defer');
    const { json: both } = await server.get(`/api/v1/blocks/${id}`);
    assert.deepEqual(
      [both.until, both.description, both.refusal],
      [formatInstant(server.clock.now() + 2 * HOUR), 'and for less long', 'defer'],
    );
    const tooLong = await terminal.run('block', 'edit', id, '--for', '1h', '--description', 'x'.repeat(501));
    assert.match(tooLong.err, /at most 500 characters/);
    assert.deepEqual((await server.get(`/api/v1/blocks/${id}`)).json, both);
    const nothing = await terminal.run('block', 'edit', id);
    assert.deepEqual([nothing.code, nothing.out], [2, '']);
    assert.match(nothing.err, /say what: --for/);
  });

  test('block edit changes no block that has ended, and no few letters stand for an id', async () => {
    const { id } = await server.block('released@example.com', { duration: '4h' });
    assert.match((await terminal.run('block', 'release', id.slice(0, 7))).err, /there is no block/);
    await ran('block', 'release', id);
    for (const name of [id, id.slice(0, 30)])
      for (const change of [
        ['--description', 'ticket 4711'],
        ['--refusal', 'hold'],
        ['--for', '1h'],
      ]) {
        const { code, err } = await terminal.run('block', 'edit', name, ...change);
        assert.deepEqual(
          [code, err.includes('is released: only an active block can be changed')],
          [1, true],
          err,
        );
      }
    const { json } = await server.get('/api/v1/blocks?value=released@example.com&state=active');
    assert.deepEqual(json.items, []);
  });

  test('sender show counts refused attempts as times, and refused recipients as recipients', async () => {
    const account = 'tries@example.com';
    const at = server.clock.now();
    const told = { reply: '451 4.3.2 later', since: at, entitled: true, transaction: 't1' };
    const refused = { ...told, account, direction: 'outbound', block: newId(), stage: 'rcpt', count: 40 };
    const some = { account, direction: 'outbound', transaction: 't2', count: 3, code: 550 };
    const events = [
      { id: newId(), type: 'MessageRefused', at, by: 'smtp:test', data: refused },
      { id: newId(), type: 'RecipientsRefused', at, by: 'smtp:test', data: some },
    ];
    const { position } = await server.deps.store.append(sendStream(account), events, 'any');
    await server.deps.models.reached(position);
    const { out } = await ran('sender', 'show', 'account', account);
    assert.match(out, /^\S+ +MessageRefused +- +40 +- +-$/m);
    assert.match(out, /^\S+ +RecipientsRefused +3 +1 +- +-$/m);
  });

  test('sender show and sender list tell how much is sent, and what stops it', async () => {
    await server.sent('sender@example.com', 7);
    const { id } = await server.block('sender@example.com');
    const { out } = await ran('sender', 'show', 'account', 'sender@example.com');
    assert.match(out, new RegExp(`^account sender@example\\.com\nblocked: ${id}\n`));
    assert.match(out, /^RULE +OBSERVED +LIMIT +COUNT +WITHIN +APPLIES$/m);
    assert.match(out, /^ID +STATE +SUBJECT /m);
    assert.match(
      out,
      /^AT +EVENT +RECIPIENTS +TIMES +FROM +EHLO\n\S+ +MessageAccepted +7 +1 +192\.0\.2\.7 +laptop\.example$/m,
    );
    assert.equal(
      ((await json('sender', 'show', 'account', 'sender@example.com'))['subject'] as { value: string }).value,
      'sender@example.com',
    );
    assert.match(
      (await ran('sender', 'list')).out,
      /^SENDER +AMOUNT +OF +WITHIN +BLOCK\naccount sender@example\.com +7 +recipients /,
    );
    assert.notEqual((await terminal.run('sender', 'show', 'planet', 'x')).code, 0);
    assert.equal((await ran('sender', 'show', 'sender@example.com')).out, out, 'an address is an account');
    const bare = await terminal.run('sender', 'show', '192.0.2.7');
    assert.equal(bare.code, 2);
    assert.match(bare.err, /say of what type it is.*any of account, address, domain, ehlo, ip/);
  });

  test('sender show names the block on something else that refuses the sender', async () => {
    const { id } = await server.block('', { subject: { type: 'domain', value: 'attacked.example' } });
    for (const type of ['account', 'address']) {
      const { out } = await ran('sender', 'show', type, 'innocent@attacked.example');
      assert.match(
        out,
        new RegExp(
          `^${type} innocent@attacked\\.example\nnot blocked itself\nrefused all the same: This sender is refused: domain attacked\\.example is blocked .*\\(stopgap block show ${id}\\)\n`,
        ),
      );
    }
    await server.block('', { subject: { type: 'ip', value: '203.0.113.0/24' } });
    await server.block('', { subject: { type: 'ehlo', value: 'robot-*' } });
    for (const [type, value, wide] of [
      ['domain', 'sub.attacked.example', 'domain attacked.example'],
      ['ip', '203.0.113.77', 'network 203.0.113.0/24'],
      ['ehlo', 'robot-7', 'EHLO name robot-*'],
    ] as const) {
      const { out } = await ran('sender', 'show', type, value);
      assert.ok(
        out.includes(
          'not blocked itself\nrefused all the same: This sender is refused: ' + wide + ' is blocked',
        ),
        out,
      );
    }
    // A part of it is blocked, and postmaster: not the whole.
    await server.block('', { subject: { type: 'ip', value: '198.51.100.0' } });
    await server.block('postmaster@calm.example');
    for (const [type, value] of [
      ['ip', '198.51.100.0/24'],
      ['domain', 'calm.example'],
    ] as const)
      assert.match((await ran('sender', 'show', type, value)).out, /\nnot blocked\n/);
    const { out } = await ran('sender', 'show', 'account', 'elsewhere@calm.example');
    assert.match(out, /^account elsewhere@calm\.example\nnot blocked\n/);
  });

  test('changes tells who decided what, and through what', async () => {
    await ran('block', 'add', 'account', 'changed@example.com', '--for', '1h', '--description', 'by hand');
    const { out } = await ran('changes', '--value', 'changed@example.com');
    assert.match(
      out,
      /^AT +BY +WHAT +VIA +SUBJECT +WHY\n2026\S+ +the-admin +BlockImposed +cli +account changed@example\.com +by hand\n$/,
    );
    assert.equal((await ran('changes', '--value', 'Changed@EXAMPLE.com')).out, out);
    assert.equal(((await json('changes', '--via', 'cli', '--limit', '1'))['items'] as unknown[]).length, 1);
    assert.match((await ran('changes', '--by', 'nobody')).err, /no changes/);
  });

  test('events prints what happens, with a head or a JSON object a line, and ends after so many', async () => {
    await server.block('events@example.com');
    const { out } = await ran('events', '--after', '0', '--types', 'BlockImposed', '--limit', '2');
    const lines = out.trimEnd().split('\n');
    assert.match(lines[0]!, /^POSITION +AT +TYPE +BY +WHAT$/);
    assert.match(lines[1]!, /^\d+ +2026\S+ +BlockImposed +the-admin +block-account:/);
    assert.equal(lines.length, 3);
    const { out: objects } = await ran('events', '--after', '0', '--limit', '3', '--json');
    const events = objects
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text) as { position: number });
    assert.equal(events.length, 3);
    assert.ok(events[0]!.position < events[1]!.position);
    const refused = await terminal.run('events', '--types', 'Nothing');
    assert.match(refused.err, /types/);
    assert.equal(refused.code, 1);
  });
});
