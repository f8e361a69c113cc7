import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { CheckJson } from '../../../src/api/check.js';
import type { FailedLogins } from '../../../src/accounts/users.js';
import { formatInstant, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import * as replies from '../../../src/smtp/replies.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import type { PutOffs } from '../../../src/recording/put-offs.js';
import { ApiServer } from '../../support/api/server.js';

describe('a check of what a mail program said', () => {
  let server: ApiServer;
  let failed: FailedLogins | undefined;
  let putOffs: readonly PutOffs[] = [];
  let relay: 'ok' | 'failing' = 'ok';
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      failedLogins: () => failed,
      putOffs: () => putOffs,
      upstreamState: () => relay,
      asksBesides: '450',
      takesArriving: true,
      accountState: (account) => (account === 'gone@example.com' ? 'unknown' : 'active'),
    }));
  });
  after(() => server.stop());

  const said = async (account: string, text: string, more = '') => {
    const query = `account=${account}&said=${encodeURIComponent(text)}${more}`;
    const { status, json, text: raw } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(status, 200, raw);
    const check = json as unknown as CheckJson;
    assert.ok(check.sentence.startsWith(check.said!.sentence), check.sentence);
    return check.said!;
  };

  test('finds the block on an EHLO name or network that made it, at AUTH or later', async () => {
    const ehlo = await server.block('', { subject: { type: 'ehlo', value: 'pc-1.example' } });
    const ip = await server.block('', { subject: { type: 'ip', value: '198.51.100.0/24' } });
    await server.refused('ann@example.com', ehlo.id, 'auth', '535 5.7.8 Authentication failed');
    server.clock.advance(MINUTE);
    await server.refused('ann@example.com', ip.id, 'rcpt', '451 4.3.2 Try again later');
    const atAuth = await said('ann@example.com', 'Login failed: 535 5.7.8 authentication failed');
    assert.deepEqual(
      [atAuth.cause, atAuth.block, atAuth.code, atAuth.enhanced],
      ['block', ehlo.id, 535, '5.7.8'],
    );
    assert.match(atAuth.sentence, /at AUTH at .* \(ehlo pc-1\.example\)\. The password may well be right\.$/);
    const atRcpt = await said('ann@example.com', 'Server error: "451 4.3.2 Try again later"');
    assert.deepEqual([atRcpt.cause, atRcpt.block], ['block', ip.id]);
    const words = await said('ann@example.com', 'The server said: Try again later');
    assert.equal(words.block, ip.id, 'by its words alone');
  });

  test('finds the block that made a login fail through Dovecot, whose mail server words the failure', async () => {
    const block = await server.block('fay@example.com');
    const now = server.clock.now();
    // An older wrong password of the account must not be taken for it.
    failed = { failed: 1, putOff: 0, since: now, at: now, network: '192.0.2.1', isKnown: true };
    server.clock.advance(MINUTE);
    await server.refused('fay@example.com', block.id, 'auth', AS_WRONG_PASSWORD);
    for (const text of [
      '535 5.7.8 Error: authentication failed: (reason unavailable)',
      '535 Incorrect authentication data',
      'Anmeldung: Authentication failed',
      'The server did not accept your password',
    ]) {
      const found = await said('fay@example.com', text);
      assert.deepEqual([found.cause, found.block], ['block', block.id], text);
      assert.match(
        found.sentence,
        /^The mail server said that, at AUTH at .*, since Stopgap had the login fail because of block .* \(account fay@example\.com\)\. The password may well be right\.$/,
      );
    }
    for (const text of ['550 5.1.1 authentication', 'Connection reset'])
      assert.notEqual((await said('fay@example.com', text)).cause, 'block', text);
    failed = undefined;
    // In a session that was open before.
    assert.match(
      (await said('fay@example.com', '451 4.3.2')).sentence,
      /^That is what block .* \(account fay@example\.com\) has the client told\.$/,
    );
  });

  test('finds the block behind the own words of a mail program for a login that failed, which name no code', async () => {
    const block = await server.block('', { subject: { type: 'ehlo', value: 'pc-3.example' } });
    await server.refused('gil@example.com', block.id, 'auth', '535 5.7.8 Authentication credentials invalid');
    for (const text of [
      'Login to server mx.example.com with username gil@example.com failed.',
      'Cannot Send Mail. The user name or password for "mx.example.com" is incorrect.',
      'Authentication failed',
      '(0x800CCC92) The e-mail server rejected your login.',
      'Anmeldung fehlgeschlagen',
      'Das Kennwort ist falsch',
      "L'authentification a échoué",
      'Logon failed',
    ]) {
      const found = await said('gil@example.com', text);
      assert.deepEqual([found.cause, found.block, found.code], ['block', block.id, null], text);
      assert.match(found.sentence, /The password may well be right\.$/);
    }
    for (const text of ['550 5.1.1 login', '5.1.1 login', 'Connection reset', 'It does not send'])
      assert.equal((await said('gil@example.com', text)).cause, 'none', text);
    // What was said at RCPT TO is no login that failed.
    await server.refused('hal@example.com', block.id, 'rcpt', '451 4.3.2 Try again later');
    assert.equal((await said('hal@example.com', 'Login failed')).cause, 'none');
    assert.equal((await said('gone@example.com', 'Login failed')).cause, 'no login');
    failed = {
      failed: 1,
      putOff: 0,
      since: server.clock.now(),
      at: server.clock.now(),
      network: '192.0.2.1',
      isKnown: true,
    };
    assert.equal((await said('ida@example.com', 'The password is incorrect')).cause, 'password');
    failed = undefined;
  });

  test('finds the wrong password that came after the refusal of a block: before the block if that is over, after it if not', async () => {
    for (const reply of ['535 5.7.8 Authentication credentials invalid', AS_WRONG_PASSWORD]) {
      const account = reply === AS_WRONG_PASSWORD ? 'kim@example.com' : 'jo@example.com';
      const block = await server.block(account);
      await server.refused(account, block.id, 'auth', reply);
      const refused = server.clock.now();
      server.clock.advance(3 * MINUTE);
      const at = server.clock.now();
      failed = { failed: 2, putOff: 0, since: at - MINUTE, at, network: '192.0.2.1', isKnown: true };
      server.clock.advance(MINUTE);
      const texts = ['535 5.7.8 Authentication credentials invalid', 'Login failed'];
      for (const text of texts) {
        const found = await said(account, text);
        assert.deepEqual([found.cause, found.block], ['block', block.id], text);
        assert.match(
          found.sentence,
          / because of block .*\. Its password was wrong: .* from 192\.0\.2\.1\.$/,
        );
        assert.doesNotMatch(found.sentence, /may well be right/);
      }
      await server.post(`/api/v1/blocks/${block.id}/release`, {});
      for (const text of texts) {
        const found = await said(account, text);
        assert.deepEqual([found.cause, found.at, found.block], ['password', formatInstant(at), null], text);
        assert.match(
          found.sentence,
          /^Its password was wrong: .* from 192\.0\.2\.1\. Another login failed at AUTH at /,
        );
        assert.ok(found.sentence.includes(block.id), found.sentence);
        assert.doesNotMatch(found.sentence, /may well be right/);
      }
      const earlier = await said(account, '535', `&at=${formatInstant(refused)}`);
      assert.deepEqual([earlier.cause, earlier.block], ['block', block.id]);
      failed = undefined;
    }
  });

  test('takes the refusal that is nearest to the time that was named, a little later too', async () => {
    const [first, second] = [await server.block('a@example.com'), await server.block('b@example.com')];
    await server.refused('bea@example.com', first.id, 'auth', '535 5.7.8 no');
    const then = server.clock.now();
    server.clock.advance(5 * HOUR);
    const later = formatInstant(server.clock.now());
    server.clock.advance(5 * MINUTE);
    await server.refused('bea@example.com', second.id, 'auth', '535 5.7.8 no');
    assert.equal((await said('bea@example.com', '535')).block, second.id);
    const wasLater = await said('bea@example.com', '535', `&at=${later}`);
    assert.equal(wasLater.block, second.id);
    assert.match(
      wasLater.sentence,
      / That was after the time that was asked about, which may not be exact\.$/,
    );
    assert.equal((await said('bea@example.com', '535', `&at=${formatInstant(then)}`)).block, first.id);
  });

  test('finds a wrong password, an account that there is not, and what the server behind refused', async () => {
    const now = server.clock.now();
    failed = { failed: 2, putOff: 1, since: now - MINUTE, at: now, network: '192.0.2.1', isKnown: true };
    assert.equal((await said('cleo@example.com', '535 5.7.8')).cause, 'password');
    assert.equal((await said('cleo@example.com', '454 4.7.0')).cause, 'too many logins');
    failed = undefined;
    assert.equal((await said('gone@example.com', '535 5.7.8')).cause, 'no login');
    const data = { account: 'dan@example.com', direction: 'outbound', transaction: 't', count: 1, code: 550 };
    const event = { id: newId(), type: 'RecipientsRefused', at: now, by: 'smtp:test', data };
    await server.deps.store.append(sendStream('dan@example.com'), [event], 'any');
    assert.equal((await said('dan@example.com', '550 5.1.1 no such user')).cause, 'mail server');
  });

  test('knows each reply of its own, and blames no other server for it', async () => {
    const texts = Object.values(replies).flatMap((one) =>
      typeof one === 'object' && 'code' in one ? [replies.replyLine(one)] : [],
    );
    assert.ok(texts.length >= 15);
    for (const text of [
      ...[...texts, replies.replyLine(replies.refusalReply('honest', 'help@example.com'))],
      '452 Error: too many recipients',
      'Error: "552 Error: message exceeds fixed maximum message size 26214400"',
      '450 4.3.2 <ann@example.net>: Recipient address rejected: Service temporarily unavailable, please try again later',
    ]) {
      const { sentence } = await said('lea@example.com', text);
      assert.match(sentence, /^Stopgap says that /, text);
      assert.doesNotMatch(sentence, /another server|Nothing here/i, text);
    }
    const settings = [
      ['452 Error: too many recipients', 'other', 'smtp.maxRecipients'],
      ['552 5.3.4 Message exceeds the size limit', 'other', 'smtp.maxMessageSize'],
      ['553 5.7.1 You may not send from this address', 'return path', 'smtp.senders'],
      [
        '421 4.7.0 Too many connections from your network, please try again later',
        'other',
        'smtp.perNetwork',
      ],
    ] as const;
    for (const [text, cause, setting] of settings) {
      const found = await said('lea@example.com', text);
      assert.equal(found.cause, cause, text);
      assert.ok(found.sentence.includes(setting), found.sentence);
    }
    // By the code alone it may have been either.
    const byCode = await said('lea@example.com', '552 quota');
    assert.equal(byCode.cause, 'none');
    assert.match(
      byCode.sentence,
      /^Nothing here is known to have said 552 .* smtp\.maxMessageSize .* Another server may have/,
    );
  });

  test('finds what put off everybody around then, and says where a block of a network is not ruled out', async () => {
    const at = server.clock.now();
    const [later, login] = [replies.replyLine(replies.TRY_LATER), replies.replyLine(replies.LOGIN_LATER)];
    const cases = [
      ['upstream', later, 'the mail server behind does not answer'],
      ['store', later, 'the store takes no events'],
      ['spool', '451', 'spool directory'],
      ['logins', login, 'smtp.auth.backend'],
      ['checks', '454', 'more passwords'],
    ] as const;
    for (const [why, text, words] of cases) {
      putOffs = [{ why, since: at - MINUTE, at }];
      const found = await said('max@example.com', text);
      assert.deepEqual([found.cause, found.at, found.block], ['trouble', formatInstant(at), null]);
      assert.ok(found.sentence.includes(words), found.sentence);
      const other = text.startsWith('451') ? login : later;
      assert.equal((await said('max@example.com', other)).cause, 'none', 'another reply');
      assert.equal((await said('max@example.com', '451 4.7.1 Greylisted')).cause, 'none');
    }
    putOffs = [{ why: 'upstream', since: at - 2 * HOUR, at: at - HOUR }];
    for (const [minutes, cause] of [
      [0, 'none'],
      [50, 'trouble'],
      [90, 'trouble'],
      [140, 'none'],
    ] as const) {
      const then = formatInstant(at - minutes * MINUTE);
      assert.equal((await said('max@example.com', later, `&at=${then}`)).cause, cause, then);
    }
    putOffs = [];
    const unknown = await said('max@example.com', later);
    assert.match(unknown.sentence, /None of it is known here .* give the IP address/);
    assert.doesNotMatch((await said('max@example.com', later, '&ip=192.0.2.1')).sentence, /give the IP/);
    relay = 'failing';
    const now = await said('max@example.com', later);
    assert.deepEqual([now.cause, now.at], ['trouble', null]);
    assert.match(now.sentence, /it is so now\.$/);
    relay = 'ok';
  });

  test('takes a trouble for the cause where the block of an earlier refusal is over, and the block where it stands', async () => {
    const later = replies.replyLine(replies.TRY_LATER);
    const block = await server.block('ned@example.com');
    await server.refused('ned@example.com', block.id, 'rcpt', later);
    server.clock.advance(MINUTE);
    const at = server.clock.now();
    putOffs = [{ why: 'upstream', since: at, at }];
    assert.equal((await said('ned@example.com', later)).cause, 'block');
    await server.post(`/api/v1/blocks/${block.id}/release`, {});
    assert.equal((await said('ned@example.com', later)).cause, 'trouble');
    putOffs = [];
    const over = await said('ned@example.com', later);
    assert.deepEqual([over.cause, over.block], ['block', block.id]);
    assert.match(
      over.sentence,
      /That block is over\. If it was later, a block of a network may have done it: give the IP/,
    );
  });

  test('finds the block of a network that made a login of an unknown account fail, at the address that is named', async () => {
    const own = await server.block('pat@example.com');
    await server.refused('pat@example.com', own.id, 'auth', AS_WRONG_PASSWORD);
    await server.post(`/api/v1/blocks/${own.id}/release`, {});
    const network = await server.block('', { subject: { type: 'ip', value: '203.0.113.0/24' } });
    const text = '535 5.7.8 Error: authentication failed';
    const before = await said('pat@example.com', text, '&ip=203.0.113.9');
    assert.deepEqual(
      [before.cause, before.block],
      ['block', network.id],
      'it stands, though nothing is recorded',
    );
    server.clock.advance(MINUTE);
    const now = server.clock.now();
    const data = {
      ip: '203.0.113.9',
      direction: 'outbound',
      stage: 'auth',
      block: network.id,
      count: 1,
      since: now,
    };
    const event = {
      ...{ id: newId(), type: 'MessageRefused', at: now, by: 'policy:test' },
      data: { ...data, reply: AS_WRONG_PASSWORD },
    };
    await server.deps.store.append(sendStream('203.0.113.9'), [event], 'any');
    const found = await said('pat@example.com', text, '&ip=203.0.113.9');
    assert.deepEqual([found.cause, found.block], ['block', network.id]);
    assert.match(found.sentence, /a login from 203\.0\.113\.9 fail because of block .*203\.0\.113\.0\/24/);
    assert.match(
      (await said('pat@example.com', text)).sentence,
      /That block is over\. .* give the IP address/,
    );
    const never = await said('quin@example.com', text);
    assert.match(never.sentence, /^Nothing here is known to have said 535 .* give the IP address/);
    assert.equal((await said('quin@example.com', text, '&ip=203.0.113.9')).block, network.id);
  });

  test('says plainly that nothing here said it', async () => {
    const other = await said('eve@example.com', '554 5.7.1 Message rejected');
    assert.deepEqual([other.cause, other.block], ['none', null]);
    assert.match(
      other.sentence,
      /^Nothing here is known to have said 554 5\.7\.1 to this account around then\./,
    );
    const network = await said('eve@example.com', 'Connection timed out');
    assert.match(network.sentence, /^Most likely no mail server said that: the program did not reach one/);
    const port = await said('eve@example.com', 'cannot connect to 192.0.2.7:587 on 2026-01-31');
    assert.equal(port.code, null, 'a port and an address are no code');
  });

  test('needs an account', async () => {
    const without = await server.get('/api/v1/check?ip=192.0.2.1&said=535', { role: 'viewer' });
    assert.equal(without.status, 400);
  });
});
