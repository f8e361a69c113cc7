import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINUTE } from '../../../src/kernel/time.js';
import { blockShape } from '../../../src/api/block-view.js';
import { ApiServer } from '../../support/api/server.js';
import { besideServer, Terminal } from './support.js';

describe('stopgap block', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  test('stopgap block says so if there is nothing to list', async () => {
    const { code, out, err } = await terminal.run('block', 'list');
    assert.deepEqual([code, out], [0, '']);
    assert.match(err, /no blocks that are active or proposed; --state all/);
  });

  test('stopgap block adds, shows and lists', async () => {
    const added = await terminal.run(
      'block',
      'add',
      'account',
      'Bob@Example.com',
      '--for',
      '1h',
      '--description',
      'phished',
    );
    assert.equal(added.code, 0, added.err);
    assert.match(added.out, /^subject {4}account bob@example\.com$/m);
    assert.match(added.out, /^until {6}2026-03-01T13:00:00\.000Z \(in 1h\)$/m);
    assert.match(added.out, /BlockImposed {2}the-admin/);
    server.clock.advance(18 * MINUTE);
    const { out } = await terminal.run('block', 'list');
    const [head, row] = out.trimEnd().split('\n');
    assert.match(head!, /^ID +STATE +SUBJECT +DIRECTION +BY +SINCE +ENDS +WHY$/);
    assert.match(
      row!,
      /^[0-9a-f-]{13} +active +account bob@example\.com +outbound +admin +18m ago +in 42m +phished$/,
    );
    // A table: every column begins where its heading does.
    assert.equal(row!.indexOf('in 42m'), head!.indexOf('ENDS'));
  });

  test('stopgap block says why with the numbers, in a line that fits the terminal unless it is to be wide', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      const why = 'its owner has opened the attachment and gives out passwords on the telephone';
      await other.block('bob@example.com', { description: why });
      const list = async (...more: string[]): Promise<string> => {
        const { out } = await there.run('block', 'list', ...more);
        return out.trimEnd().split('\n').at(-1)!;
      };
      const whole = await list();
      assert.ok(whole.endsWith(why), `${whole} (no terminal: it may be searched)`);
      there.env['COLUMNS'] = String(whole.length);
      assert.equal(await list(), whole);
      there.env['COLUMNS'] = String(whole.length - 1);
      assert.equal(await list(), whole.replace(' telephone', '…'));
      assert.equal(await list('--wide'), whole);
      await other.trip('eve@example.com', 'block');
      const { out } = await there.run('block', 'list', '--type', 'account', '--q', 'eve');
      assert.match(out, / {2}101 recipients within 10m; allows 100\n$/);
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap block shows no terminal what would turn its text round, for every verb that names the subject', async () => {
    const name = 'mail\u202eexample\u200b.com';
    const { out: added } = await terminal.run('block', 'add', 'ehlo', name, '--for', '1h', '--json');
    const { id, subject } = JSON.parse(added) as { id: string; subject: { value: string } };
    assert.equal(subject.value, name, 'a script gets the name as it is');
    assert.ok(added.includes('mail\\u202eexample'), added);
    for (const args of [
      ['show', id],
      ['list', '--type', 'ehlo'],
      ['release', id],
      ['show', id],
    ]) {
      const { out, err } = await terminal.run('block', ...args);
      const said = out + err;
      assert.match(said, /mail\ufffdexample\ufffd\.com/, args.join(' '));
      assert.doesNotMatch(said, /[\u202e\u200b]/, args.join(' '));
    }
  });

  test('stopgap block gives machines what the API gives', async () => {
    const listed = JSON.parse((await terminal.run('block', 'list', '--json')).out) as {
      items: { id: string }[];
      next: null;
    };
    const { json } = await server.get('/api/v1/blocks?state=active,proposed');
    assert.deepEqual(listed, json);
    const shown = JSON.parse(
      (await terminal.run('block', 'show', listed.items[0].id, '--json')).out,
    ) as unknown;
    assert.deepEqual({ ...(shown as object), refused: 0, lastRefusedAt: null }, json.items[0]);
  });

  test('stopgap block filters', async () => {
    await server.block('alice@example.net');
    const { out } = await terminal.run(
      'block',
      'list',
      '--q',
      'example.net',
      '--type',
      'account',
      '--state',
      'all',
      '--json',
    );
    assert.equal((JSON.parse(out) as { items: unknown[] }).items.length, 1);
    await server.trip('by-rule@example.net');
    const subjects = async (...more: string[]): Promise<string[]> => {
      const listed = await terminal.run('block', 'list', '--q', 'example.net', '--json', ...more);
      const { items } = JSON.parse(listed.out) as { items: { subject: { value: string } }[] };
      return items.map(({ subject }) => subject.value);
    };
    assert.deepEqual(await subjects('--rule', 'burst'), ['by-rule@example.net']);
    server.clock.advance(MINUTE);
    const then = new Date(server.clock.now()).toISOString();
    await server.block('later@example.net');
    assert.deepEqual(await subjects('--since', then), ['later@example.net']);
    assert.deepEqual(await subjects('--until', then), ['by-rule@example.net', 'alice@example.net']);
    const wrong = await terminal.run('block', 'list', '--state', 'asleep');
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /^stopgap: state: must be any of proposed, active/);
    assert.equal(wrong.err.trimEnd().split('\n').length, 1);
  });

  test('stopgap block takes ids that are cut short, as long as they are unique', async () => {
    const first = await server.block('short1@example.com');
    await server.block('short2@example.com');
    const { code, err } = await terminal.run(
      'block',
      'release',
      first.id.slice(0, 25),
      '--false-positive',
      '--note',
      'ours',
    );
    assert.equal(code, 0, err);
    assert.match(err, /account short1@example\.com is released/);
    const read = await server.get(`/api/v1/blocks/${first.id}`);
    assert.deepEqual([read.json.falsePositive, read.json.history.at(-1)!.note], [true, 'ours']);
    const many = await terminal.run('block', 'show', first.id.slice(0, 8));
    assert.equal(many.code, 1);
    assert.match(many.err, /several ids begin with [0-9a-f]{8} .*: give more of it/);
    const none = await terminal.run('block', 'show', 'ffff');
    assert.match(none.err, /there is no block ffff/);
    const strange = await terminal.run('block', 'show', '../rules');
    assert.match(strange.err, /there is no block \.\.\/rules/);
    const again = await terminal.run('block', 'release', first.id);
    assert.equal(again.code, 0);
    assert.match(again.err, /account short1@example\.com is released already, by the-admin$/m);
  });

  test('stopgap block ends with 0 for each of two who decide the same at the same time', async () => {
    const proposed = await server.trip('at-once@example.com');
    const both = await Promise.all([
      terminal.run('block', 'approve', proposed),
      terminal.run('block', 'approve', proposed),
    ]);
    assert.deepEqual(
      both.map(({ code }) => code),
      [0, 0],
    );
    assert.match(both.map(({ err }) => err).join(''), /is blocked already, by the-admin$/m);
  });

  test('stopgap block says of what was decided before how, and by whom, and fails where more was asked for', async () => {
    const dismissed = await server.trip('before@example.com');
    await terminal.run('block', 'dismiss', dismissed);
    const again = await terminal.run('block', 'dismiss', dismissed);
    assert.equal(again.code, 0, again.err);
    assert.match(again.err, /account before@example\.com is dismissed already, by the-admin$/m);
    const other = await terminal.run('block', 'approve', dismissed);
    assert.equal(other.code, 1);
    assert.match(other.err, /is dismissed: only a proposal can be approved/);
    const more = await terminal.run('block', 'dismiss', dismissed, '--false-positive');
    assert.equal(more.code, 1);
  });

  test('stopgap block says which command is meant if a subject has a proposal and no block, or a block and no proposal', async () => {
    const name = 'other-state@example.com';
    await server.trip(name);
    const release = await terminal.run('block', 'release', name);
    assert.equal(release.code, 1);
    assert.match(
      release.err,
      /no block other-state@example\.com that is active: one is proposed: stopgap block approve [0-9a-f-]{36}, or dismiss$/m,
    );
    await terminal.run('block', 'approve', name);
    const dismiss = await terminal.run('block', 'dismiss', name);
    assert.match(dismiss.err, /that is proposed: one is active: stopgap block release [0-9a-f-]{36}$/m);
    await terminal.run('block', 'release', name);
  });

  test('stopgap block takes the name of a subject too, if it means one block', async () => {
    const name = 'by-name@example.com';
    await server.block(name);
    const released = await terminal.run('block', 'release', 'By-Name@example.com');
    assert.match(released.err, /account by-name@example\.com is released/);
    const again = await terminal.run('block', 'release', name);
    assert.deepEqual(
      [again.code, again.err],
      [
        1,
        'stopgap: there is no block by-name@example.com that is active: stopgap block list shows them, and stopgap check says what refuses a sender\n',
      ],
    );
    assert.match((await terminal.run('block', 'show', name)).out, /^state +released$/m);
    await server.trip(name);
    assert.match((await terminal.run('block', 'approve', name)).err, /is active/);
    await server.block('', { subject: { type: 'address', value: name } });
    const both = await terminal.run('block', 'release', name);
    assert.match(both.err, /several blocks are of by-name@example\.com \(.* of account .*\): give an id/);
    const hex = 'abad.cafe';
    await server.block('', { subject: { type: 'domain', value: hex } });
    assert.match((await terminal.run('block', 'release', hex)).err, /domain abad\.cafe is released/);
  });

  test('stopgap block release says that another block still refuses the sender, and which', async () => {
    const domain = await server.block('', { subject: { type: 'domain', value: 'twice.example' } });
    for (const type of ['account', 'address']) {
      const { id } = await server.block('', { subject: { type, value: 'ann@twice.example' } });
      const { code, err } = await terminal.run('block', 'release', type, 'ann@twice.example');
      assert.equal(code, 0, err);
      assert.match(err, new RegExp(`^${type} ann@twice\\.example is released\n`));
      const again = await terminal.run('block', 'release', id);
      assert.match(
        again.err,
        new RegExp(
          `^${type} ann@twice\\.example is released already, by .*\nstill refused: .*${domain.id}\\)\n$`,
        ),
      );
      assert.match(
        err,
        new RegExp(
          `^still refused: This sender is refused: domain twice\\.example is blocked .*\\(stopgap block show ${domain.id}\\)$`,
          'm',
        ),
      );
    }
    await server.block('ben@once.example');
    const alone = await terminal.run('block', 'release', 'ben@once.example');
    assert.equal(alone.err, 'account ben@once.example is released\n');
  });

  test('stopgap block takes type and value of a subject, as block add does', async () => {
    const value = 'two-words@example.com';
    await server.block(value);
    await server.block('', { subject: { type: 'address', value } });
    assert.match(
      (await terminal.run('block', 'show', 'address', value)).out,
      /^subject +address two-words@/m,
    );
    const released = await terminal.run('block', 'release', 'account', 'Two-Words@example.com');
    assert.match(released.err, /^account two-words@example\.com is released$/m);
    const again = await terminal.run('block', 'release', 'account', value);
    assert.match(again.err, /there is no block of account two-words@example\.com that is active/);
    const still = await terminal.run('block', 'show', 'address', value);
    assert.match(still.out, /^state +active$/m);
    const wrong = await terminal.run('block', 'release', 'user', value);
    assert.match(wrong.err, /"user" is no subject type: use account, address, domain, ehlo, ip/);
    await server.trip(value);
    const approved = await terminal.run('block', 'approve', 'account', value);
    assert.match(approved.err, /account two-words@example\.com is active/);
  });

  test('stopgap block says of a block that it follows a release within the hour, who let go and why', async () => {
    const first = await server.trip('again@example.com', 'block');
    await terminal.run('block', 'release', first, '--false-positive', '--note', 'their newsletter');
    server.clock.advance(12 * MINUTE);
    const second = await server.trip('again@example.com', 'block');
    const at = new Date(server.clock.now() - 12 * MINUTE).toISOString();
    const { out } = await terminal.run('block', 'show', second);
    const text = `released at ${at.slice(11, 16)} UTC by the-admin as a false positive`;
    assert.ok(out.includes(`\nfollows    ${first.slice(0, 13)}, ${text}, "their newsletter"\n`), out);
    const listed = await terminal.run('block', 'list', '--q', 'again@');
    assert.ok(
      listed.out.trimEnd().endsWith(`101 recipients within 10m; allows 100; after one ${text}`),
      listed.out,
    );
    const { json } = await server.get(`/api/v1/blocks/${second}`);
    assert.deepEqual(blockShape.strict().parse(json).follows, {
      block: first,
      state: 'released',
      at,
      by: 'admin:the-admin',
      falsePositive: true,
      note: 'their newsletter',
    });
  });

  test('stopgap block approves for as long as it is told', async () => {
    await server.trip('longer@example.com');
    const { err } = await terminal.run('block', 'approve', 'longer@example.com', '--for', '12h');
    assert.match(err, /account longer@example\.com is active, ends in 12h/);
    const both = await terminal.run('block', 'approve', 'x', '--for', '1h', '--indefinite');
    assert.deepEqual([both.code, both.out], [2, '']);
  });

  test('stopgap block adds to a block in force what it names, and says so if that would end earlier', async () => {
    const add = (...more: string[]) => terminal.run('block', 'add', 'account', 'twice@example.com', ...more);
    await add('--for', '2h', '--refusal', 'honest', '--description', 'phished');
    const { out } = await add('--for', '3h');
    assert.match(out, /^refuses {4}honest$/m);
    assert.match(out, /^until .* \(in 3h\)$/m);
    assert.ok(out.includes('phished'), out);
    const earlier = await add('--for', '1h', '--refusal', 'soft');
    assert.equal(earlier.code, 1);
    assert.match(earlier.err, /is in force until .*, which is later: nothing was changed; change when/);
  });

  test('stopgap block approves and dismisses', async () => {
    const wanted = await server.trip('wanted@example.com');
    const listed = await terminal.run('block', 'list', '--state', 'proposed');
    assert.match(
      listed.out,
      /proposed +account wanted@example\.com +outbound +rule burst +now +lapses in 1d|lapses in 24h/,
    );
    const approved = await terminal.run('block', 'approve', wanted);
    assert.match(approved.err, /account wanted@example\.com is active, ends in 1h/);
    const shown = await terminal.run('block', 'show', wanted);
    assert.match(shown.out, /^evidence {3}Account wanted@example\.com: 101 recipients within 10m/m);
    const unwanted = await server.trip('unwanted@example.com');
    assert.match((await terminal.run('block', 'dismiss', unwanted, '--note', 'fine')).err, /is dismissed/);
    const wrong = await server.trip('wrong@example.com');
    assert.match((await terminal.run('block', 'dismiss', wrong, '--false-positive')).err, /is dismissed/);
    const { out } = await terminal.run('block', 'show', wrong);
    assert.match(out, /^state +dismissed \(false positive\)$/m);
    assert.doesNotMatch((await terminal.run('block', 'show', unwanted)).out, /false positive/);
  });

  test('stopgap block wants to know how long, and just once', async () => {
    const none = await terminal.run('block', 'add', 'account', 'x@example.com');
    assert.deepEqual(
      [none.code, none.err],
      [2, 'stopgap: say how long: --for 1h, --until TIME or --indefinite\n'],
    );
    const two = await terminal.run('block', 'add', 'account', 'x@example.com', '--for', '1h', '--indefinite');
    assert.equal(two.code, 2);
    const wrong = await terminal.run('block', 'add', 'planet', 'x', '--for', '1h');
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /^stopgap: subject\.type: must be one of account/);
  });

  test('stopgap block lets nothing from the wire reach the terminal as a control sequence', async () => {
    const { id } = await server.block('ansi@example.com', { description: '\u001b[31mred' });
    const { out } = await terminal.run('block', 'show', id);
    assert.equal(out.includes('\u001b'), false);
    assert.match(out, /\ufffd\[31mred/);
  });
});
